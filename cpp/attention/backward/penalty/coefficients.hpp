// What penalties of a row's probabilities and scores add to the gradients of its scores:
//   dscore += p · (α p + β s + γ) + δ sign(s) + ε s − τ t
//   p   the probability, before dropout     s   the score in natural units     t   the target
// with six coefficients for each row, of which all penalties of a call are a sum:
//   l2          Σ p²                  α = 2     γ = −2 Σ p²
//   entropy     −Σ p log p            β = −1    γ = lse − entropy
//   z           lse²                  γ = 2 lse
//   scores_l1   mean of |s|           δ = 1 / keys
//   scores_l2   mean of s²            ε = 2 / keys
//   target      Σ t (log t − log p)   γ = Σ t   τ = 1
#pragma once

#include <cstddef>

#include "arrays/tensor_view.hpp"
#include "simd/packet.hpp"

namespace heedful {

inline constexpr int penalty_coefficients = 6;  // α, β, γ, δ, ε, τ

// coefficients (B, H, Lq, 6) and target (B, H, Lq, Lk), both of T; axes of target broadcast. Either
// may be absent.
struct Penalty {
  TensorView coefficients, target;

  explicit operator bool() const { return static_cast<bool>(coefficients); }
};

// `coefficients` (6, lanes) from the first of the vector's lanes; target: its vector, or null.
template <class T>
simd::Packet<T> penalty_dscore(const simd::Packet<T>& probability, const simd::Packet<T>& score,
                               const T* coefficients, std::ptrdiff_t lanes, const T* target) {
  using P = simd::Packet<T>;
  const auto coefficient = [&](int index) { return simd::load(coefficients + index * lanes); };
  const P zero = simd::broadcast(T{0}), one = simd::broadcast(T{1});
  P factor = simd::multiply_add(coefficient(0), probability, coefficient(2));
  factor = simd::multiply_add(coefficient(1), score, factor);
  // a probability of 0 has no gradient, whatever its score is: 0 · ∞ would be NaN
  P dscore =
      simd::select(simd::equal(probability, zero), zero, simd::multiply(probability, factor));
  const P sign = simd::subtract(simd::select(simd::less(zero, score), one, zero),
                                simd::select(simd::less(score, zero), one, zero));
  dscore = simd::multiply_add(coefficient(3), sign, dscore);
  dscore = simd::multiply_add(coefficient(4), score, dscore);
  if (!target) return dscore;
  return simd::subtract(dscore, simd::multiply(coefficient(5), simd::load(target)));
}

}  // namespace heedful
