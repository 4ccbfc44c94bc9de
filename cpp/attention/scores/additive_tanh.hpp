// tanh(q + k) of all pairs of several q and k, where e^2q and e^2k are computed once each:
//   z = e^2q · e^2k      tanh = (z − 1) / (z + 1)      1 − tanh² = 4 z / (z + 1)²
//
// So a pair costs half a division and a few products instead of an exponential: two pairs share one
// division, a/b and c/d being a·d/(b·d) and c·b/(b·d). Near 0, z − 1 stays accurate, because the
// rounding error of the exponentials is carried along (simd/exp_rest.hpp): without it the error
// near 0 would be one ulp of 1, not of tanh. |q| + |k| may be at most 20, so that the product of
// two (z + 1)² is a normal number; otherwise tanh of the sum is computed.
#pragma once

#include <algorithm>
#include <cstddef>

#include "arrays/rows.hpp"
#include "simd/exp_rest.hpp"
#include "simd/packet.hpp"
#include "simd/tanh.hpp"

namespace heedful {

template <class T>
inline constexpr T max_for_products = T(20);

// Columns that are processed together: their data stays in L1, on the stack.
inline constexpr std::ptrdiff_t additive_columns = 32;

// With fused multiply-add, where the product and the subtraction of 1 are rounded once, e^2x =
// first · (1 + second). Without it, e^2x = first + second, and first has half a mantissa, so that
// the product of two is exact: a quarter of the time of tanh itself there, but with multiply-add it
// would take a quarter longer than the first form (AVX2).
template <class T>
struct QueryPower {
  simd::Packet<T> first, second;
};
template <class T>
struct KeyPower {
  simd::Packet<T> first, second, whole;
};

template <class T>
inline KeyPower<T> power_of(const simd::Packet<T>& x) {
  const simd::ExpParts<T> parts = simd::exp_parts<T>(simd::add(x, x));
  if constexpr (simd::fused) return {parts.power, parts.rest, parts.power};
  constexpr T halves = sizeof(T) == sizeof(double) ? T(134217729) : T(4097);  // 2^27 + 1, 2^12 + 1
  const auto scaled = simd::multiply(parts.power, simd::broadcast(halves));
  const auto high = simd::subtract(scaled, simd::subtract(scaled, parts.power));
  const auto low =
      simd::add(simd::subtract(parts.power, high), simd::multiply(parts.power, parts.rest));
  return {high, low, parts.power};
}

template <class T>
struct TanhTerms {
  simd::Packet<T> numerator, denominator, z;  // z − 1, z + 1, z
};

template <class T>
inline TanhTerms<T> tanh_terms(const QueryPower<T>& q, const KeyPower<T>& k) {
  simd::Packet<T> z, numerator = simd::multiply_add(q.first, k.first, simd::broadcast(T(-1)));
  if constexpr (simd::fused) {
    z = simd::multiply(q.first, k.first);
    numerator = simd::multiply_add(z, simd::add(q.second, k.second), numerator);
  } else {
    z = simd::multiply(simd::add(q.first, q.second), k.whole);
    numerator = simd::add(numerator,
                          simd::multiply_add(q.first, k.second, simd::multiply(q.second, k.whole)));
  }
  return {numerator, simd::add(numerator, simd::broadcast(T(2))), z};
}

// t = tanh x, and (1 − t²) / 4
template <class T>
struct TanhDerivative {
  simd::Packet<T> tanh, quarter;
};

// For any x, with e = e^−2|x|: (1 − e) / (1 + e), near 0 the polynomial of exact_tanh, and
// e / (1 + e)², which stays accurate where it is small.
template <class T>
inline TanhDerivative<T> tanh_derivative(const simd::Packet<T>& x) {
  const auto one = simd::broadcast(T(1)), magnitude = simd::absolute(x);
  const auto decay = simd::exp<T>(simd::multiply(magnitude, simd::broadcast(T(-2))));
  const auto inverse = simd::divide(one, simd::add(one, decay));
  const auto far = simd::multiply(simd::subtract(one, decay), inverse);
  const auto signed_far =
      simd::select(simd::is_negative<T>(x), simd::subtract(simd::broadcast(T(0)), far), far);
  const auto near =
      simd::multiply(x, simd::polynomial<T>(simd::TanhConstants<T>::tanh, simd::multiply(x, x)));
  return {simd::select(simd::less(simd::broadcast(T(0.625)), magnitude), signed_far, near),
          simd::multiply(simd::multiply(decay, inverse), inverse)};
}

// The maximum |x| of all x added; NaN is ignored, since it stays NaN in either form.
template <class T>
class MaxMagnitude {
 public:
  void add(const simd::Packet<T>& x) { maximum_ = simd::maximum(maximum_, simd::absolute(x)); }
  T value() const { return simd::max_lane(maximum_); }

 private:
  simd::Packet<T> maximum_ = simd::broadcast(T(0));
};

// e^2x of some columns: of a query panel, [column][lane], and of one key, [column].
template <class T>
struct QueryExponentials {
  alignas(64) T first[additive_columns][max_vectors * simd::lanes<T>];
  alignas(64) T second[additive_columns][max_vectors * simd::lanes<T>];
  T max_magnitude;

  // panel [column][lane]. Padded with zeros to an even number of columns.
  void load(const T* panel, std::ptrdiff_t columns, int lanes) {
    MaxMagnitude<T> maximum;
    for (std::ptrdiff_t c = 0; c < columns + columns % 2; ++c) {
      for (int lane = 0; lane < lanes; lane += simd::lanes<T>) {
        const auto x = c < columns ? simd::load(panel + c * lanes + lane) : simd::broadcast(T(0));
        maximum.add(x);
        const KeyPower<T> power = power_of<T>(x);
        simd::store(first[c] + lane, power.first);
        simd::store(second[c] + lane, power.second);
      }
    }
    max_magnitude = maximum.value();
  }
  QueryPower<T> at(std::ptrdiff_t column, int lane) const {
    return {simd::load(first[column] + lane), simd::load(second[column] + lane)};
  }
};

template <class T>
struct KeyExponentials {
  alignas(64) T elements[additive_columns];  // the key itself, 0 past the last column
  alignas(64) T first[additive_columns];
  alignas(64) T second[additive_columns];
  alignas(64) T whole[additive_columns];
  T max_magnitude;

  void load(const T* key, std::ptrdiff_t columns) {
    std::copy_n(key, columns, elements);
    std::fill(elements + columns, elements + additive_columns, T(0));
    MaxMagnitude<T> maximum;
    for (std::ptrdiff_t c = 0; c < columns; c += simd::lanes<T>) {
      const auto x = simd::load(elements + c);
      maximum.add(x);
      const KeyPower<T> power = power_of<T>(x);
      simd::store(first + c, power.first);
      simd::store(second + c, power.second);
      simd::store(whole + c, power.whole);
    }
    max_magnitude = maximum.value();
  }
  KeyPower<T> at(std::ptrdiff_t column) const {
    return {simd::broadcast(first[column]), simd::broadcast(second[column]),
            simd::broadcast(whole[column])};
  }
};

// Whether the exponentials of all pairs may be multiplied.
template <class T>
inline bool can_multiply(const QueryExponentials<T>& queries, const KeyExponentials<T>& key) {
  return queries.max_magnitude + key.max_magnitude <= max_for_products<T>;
}

// Few queries are processed along the columns: one lane per query would leave most lanes idle.
template <class T>
inline bool few_lanes(int count) {
  return count <= std::max(1, simd::lanes<T> / 4);
}

}  // namespace heedful
