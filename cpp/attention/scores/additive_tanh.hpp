// tanh(q + k) of all pairs of some q and some k, where e^2q and e^2k are computed once each:
//   z = e^2q · e^2k      tanh = (z − 1) / (z + 1)      1 − tanh² = 4 z / (z + 1)²
//
// So a pair takes half a division and a few products instead of an exponential: two pairs share one
// division, a/b and c/d being a·d/(b·d) and c·b/(b·d). Near 0, z − 1 keeps its digits, because what
// the powers were rounded by comes along (simd/exp_rest.hpp): without it the error near 0 would be
// a unit in the last place of 1, not of tanh. |q| + |k| may be 20 at most, then (z + 1)² of two is
// a normal number; others take the tanh of their sum.
#pragma once

#include <algorithm>
#include <cstddef>

#include "arrays/rows.hpp"
#include "simd/exp_rest.hpp"
#include "simd/packet.hpp"
#include "simd/tanh.hpp"

namespace heedful {

template <class T>
inline constexpr T most_for_pairs = T(20);

// Columns that are worked on together: what belongs to them lies in the nearest cache and on the
// stack.
inline constexpr std::ptrdiff_t additive_columns = 32;

// e^2x = first · (1 + second) where a product and the 1 that is subtracted are rounded once, as
// multiply-add does. Elsewhere e^2x = first + second, and first has half a mantissa, so that the
// product of two is exact: a quarter of the time that tanh itself takes there, but with
// multiply-add it would take a quarter longer than the first way (AVX2).
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
  simd::Packet<T> above, below, z;  // z − 1, z + 1, z
};

template <class T>
inline TanhTerms<T> tanh_terms(const QueryPower<T>& q, const KeyPower<T>& k) {
  simd::Packet<T> z, above = simd::multiply_add(q.first, k.first, simd::broadcast(T(-1)));
  if constexpr (simd::fused) {
    z = simd::multiply(q.first, k.first);
    above = simd::multiply_add(z, simd::add(q.second, k.second), above);
  } else {
    z = simd::multiply(simd::add(q.first, q.second), k.whole);
    above =
        simd::add(above, simd::multiply_add(q.first, k.second, simd::multiply(q.second, k.whole)));
  }
  return {above, simd::add(above, simd::broadcast(T(2))), z};
}

// t = tanh x, and (1 − t²) / 4
template <class T>
struct TanhSlope {
  simd::Packet<T> tanh, quarter;
};

// Of any x, with e = e^−2|x|: (1 − e) / (1 + e), near 0 the polynomial of exact_tanh, and
// e / (1 + e)², which keeps its digits where it is small.
template <class T>
inline TanhSlope<T> tanh_slope(const simd::Packet<T>& x) {
  const auto one = simd::broadcast(T(1)), size = simd::absolute(x);
  const auto decay = simd::exp<T>(simd::multiply(size, simd::broadcast(T(-2))));
  const auto inverse = simd::divide(one, simd::add(one, decay));
  const auto far = simd::multiply(simd::subtract(one, decay), inverse);
  const auto signed_far =
      simd::select(simd::is_negative<T>(x), simd::subtract(simd::broadcast(T(0)), far), far);
  const auto near =
      simd::multiply(x, simd::polynomial<T>(simd::TanhConstants<T>::tanh, simd::multiply(x, x)));
  return {simd::select(simd::less(simd::broadcast(T(0.625)), size), signed_far, near),
          simd::multiply(simd::multiply(decay, inverse), inverse)};
}

// The greatest |x| of all that were shown; NaN does not count, for it stays NaN either way.
template <class T>
class Greatest {
 public:
  void show(const simd::Packet<T>& x) { seen_ = simd::maximum(seen_, simd::absolute(x)); }
  T value() const { return simd::max_lane(seen_); }

 private:
  simd::Packet<T> seen_ = simd::broadcast(T(0));
};

// e^2x of some columns: of the rows of a panel of queries, [column][lane], and of one key,
// [column].
template <class T>
struct QueryExponentials {
  alignas(64) T first[additive_columns][max_vectors * simd::lanes<T>];
  alignas(64) T second[additive_columns][max_vectors * simd::lanes<T>];
  T greatest;

  // panel [column][lane]. Behind the last column come 0s up to an even number.
  void load(const T* panel, std::ptrdiff_t columns, int lanes) {
    Greatest<T> seen;
    for (std::ptrdiff_t c = 0; c < columns + columns % 2; ++c) {
      for (int lane = 0; lane < lanes; lane += simd::lanes<T>) {
        const auto x = c < columns ? simd::load(panel + c * lanes + lane) : simd::broadcast(T(0));
        seen.show(x);
        const KeyPower<T> power = power_of<T>(x);
        simd::store(first[c] + lane, power.first);
        simd::store(second[c] + lane, power.second);
      }
    }
    greatest = seen.value();
  }
  QueryPower<T> at(std::ptrdiff_t column, int lane) const {
    return {simd::load(first[column] + lane), simd::load(second[column] + lane)};
  }
};

template <class T>
struct KeyExponentials {
  alignas(64) T number[additive_columns];  // the key itself, 0 behind the last column
  alignas(64) T first[additive_columns];
  alignas(64) T second[additive_columns];
  alignas(64) T whole[additive_columns];
  T greatest;

  void load(const T* key, std::ptrdiff_t columns) {
    std::copy_n(key, columns, number);
    std::fill(number + columns, number + additive_columns, T(0));
    Greatest<T> seen;
    for (std::ptrdiff_t c = 0; c < columns; c += simd::lanes<T>) {
      const auto x = simd::load(number + c);
      seen.show(x);
      const KeyPower<T> power = power_of<T>(x);
      simd::store(first + c, power.first);
      simd::store(second + c, power.second);
      simd::store(whole + c, power.whole);
    }
    greatest = seen.value();
  }
  KeyPower<T> at(std::ptrdiff_t column) const {
    return {simd::broadcast(first[column]), simd::broadcast(second[column]),
            simd::broadcast(whole[column])};
  }
};

// Whether pairs of these may be multiplied.
template <class T>
inline bool multiplies(const QueryExponentials<T>& queries, const KeyExponentials<T>& key) {
  return queries.greatest + key.greatest <= most_for_pairs<T>;
}

// Rows of few queries are worked on along the columns: a lane each would leave most lanes idle.
template <class T>
inline bool few_lanes(int count) {
  return count <= std::max(1, simd::lanes<T> / 4);
}

}  // namespace heedful
