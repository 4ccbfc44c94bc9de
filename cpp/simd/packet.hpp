// One vector register, and the operations that the kernels need: the only file that names Eigen.
#pragma once

#include <Eigen/Core>
#include <cmath>
#include <cstddef>
#include <cstring>
#include <type_traits>
#include <utility>

namespace heedful::simd {

template <class T>
using Packet = typename Eigen::internal::packet_traits<T>::type;

// Elements of one register: 16 floats with 512-bit vectors, 8 with 256, 4 with 128; half as many
// doubles.
template <class T>
inline constexpr int lanes = Eigen::internal::unpacket_traits<Packet<T>>::size;

// Number of vector registers of the instruction set.
inline constexpr int registers = EIGEN_ARCH_DEFAULT_NUMBER_OF_REGISTERS;

// multiply_add is one instruction.
#ifdef EIGEN_VECTORIZE_FMA
inline constexpr bool fused = true;
#else
inline constexpr bool fused = false;
#endif

template <class T>
inline Packet<T> load(const T* from) {
  return Eigen::internal::ploadu<Packet<T>>(from);
}
template <class T>
inline void store(T* to, const Packet<T>& a) {
  Eigen::internal::pstoreu<T>(to, a);
}
template <class T>
inline Packet<T> broadcast(const T& a) {
  return Eigen::internal::pset1<Packet<T>>(a);
}
template <class P>
inline P add(const P& a, const P& b) {
  return Eigen::internal::padd(a, b);
}
template <class P>
inline P subtract(const P& a, const P& b) {
  return Eigen::internal::psub(a, b);
}
template <class P>
inline P multiply(const P& a, const P& b) {
  return Eigen::internal::pmul(a, b);
}
template <class P>
inline P divide(const P& a, const P& b) {
  return Eigen::internal::pdiv(a, b);
}
// a · b + c, with one rounding where the processor has such an instruction
template <class P>
inline P multiply_add(const P& a, const P& b, const P& c) {
  return Eigen::internal::pmadd(a, b, c);
}
// The larger of the two; a where either is NaN, like std::max.
template <class P>
inline P maximum(const P& a, const P& b) {
  return Eigen::internal::pmax(a, b);
}
template <class P>
inline P minimum(const P& a, const P& b) {
  return Eigen::internal::pmin(a, b);
}
template <class P>
inline P absolute(const P& a) {
  return Eigen::internal::pabs(a);
}
// To the nearest integer, halves to even.
template <class P>
inline P round_even(const P& a) {
  return Eigen::internal::print(a);
}
// Comparisons return all ones or all zeros in each lane; select returns a where mask is ones, else
// b.
template <class P>
inline P equal(const P& a, const P& b) {
  return Eigen::internal::pcmp_eq(a, b);
}
template <class P>
inline P less(const P& a, const P& b) {
  return Eigen::internal::pcmp_lt(a, b);
}
template <class P>
inline P less_equal(const P& a, const P& b) {
  return Eigen::internal::pcmp_le(a, b);
}
template <class P>
inline P both(const P& a, const P& b) {
  return Eigen::internal::pand(a, b);
}
template <class P>
inline P select(const P& mask, const P& a, const P& b) {
  return Eigen::internal::pselect(mask, a, b);
}
template <class P>
inline auto sum(const P& a) {
  return Eigen::internal::predux(a);
}
// Over lanes that are not NaN.
template <class P>
inline auto max_lane(const P& a) {
  return Eigen::internal::predux_max(a);
}
template <class P>
inline auto min_lane(const P& a) {
  return Eigen::internal::predux_min(a);
}

// The natural logarithm, within a few ulp; −∞ for 0.
template <class P>
inline P log(const P& a) {
  return Eigen::internal::plog(a);
}

// Eigen has a packet tanh (a few ulp) for float only.
template <class T>
inline Packet<T> tanh(const Packet<T>& a) {
  if constexpr (sizeof(T) == sizeof(float)) {
    return Eigen::internal::ptanh(a);
  } else {
    T values[lanes<T>];
    store(values, a);
    for (T& value : values) value = std::tanh(value);
    return load(values);
  }
}

// Prefetches the cache line of an address, which need not be valid, into L2: lines that are
// prefetched early enough would be evicted from L1, which also has room for fewer outstanding
// requests.
inline void prefetch(const void* address) { __builtin_prefetch(address, 0, 2); }

// ... into L1, shortly before it is read.
inline void prefetch_near(const void* address) { __builtin_prefetch(address, 0, 3); }

// A square of lanes × lanes elements, transposed: square.packet[i][j] ↔ square.packet[j][i].
template <class T>
using Square = Eigen::internal::PacketBlock<Packet<T>, lanes<T>>;

template <class T>
inline void transpose(Square<T>& square) {
  Eigen::internal::ptranspose(square);
}

namespace detail {

template <int... Indices, class P>
inline P shuffle(const P& a, const P& b, std::integer_sequence<int, Indices...>) {
#ifdef __clang__
  return __builtin_shufflevector(a, b, Indices...);
#else
  using Bits = std::conditional_t<sizeof(P) / sizeof...(Indices) == 8, long long, int>;
  typedef Bits Mask __attribute__((vector_size(sizeof(P))));
  return __builtin_shuffle(a, b, Mask{Indices...});
#endif
}

template <int begin, int... Lanes, class P>
inline P every_second(const P& a, const P& b, std::integer_sequence<int, Lanes...>) {
  return shuffle(a, b, std::integer_sequence<int, begin + 2 * Lanes...>());
}
template <int begin, int... Lanes, class P>
inline P alternate(const P& a, const P& b, std::integer_sequence<int, Lanes...>) {
  constexpr int width = sizeof...(Lanes);
  return shuffle(a, b,
                 std::integer_sequence<int, begin + Lanes / 2 + (Lanes % 2 ? width : 0)...>());
}

template <int begin, int... Lanes, class P>
inline P alternate_fours(const P& a, const P& b, std::integer_sequence<int, Lanes...>) {
  constexpr int width = sizeof...(Lanes);
  return shuffle(a, b,
                 std::integer_sequence<int, (begin + Lanes) / 8 * 4 + Lanes % 4 +
                                                ((begin + Lanes) / 4 % 2 ? width : 0)...>());
}

// Lanes whose index has the bit `half` take b, the others a: once the lane itself, once the one
// `half` lanes away. In their sum each lane has half as many terms left to add.
template <int half, class P, int... Lanes>
inline P add_halves(const P& a, const P& b, std::integer_sequence<int, Lanes...>) {
  constexpr int width = sizeof...(Lanes);
  return add(
      shuffle(a, b, std::integer_sequence<int, ((Lanes & half) ? Lanes + width : Lanes)...>()),
      shuffle(a, b,
              std::integer_sequence<int, ((Lanes & half) ? Lanes + width : Lanes) ^ half...>()));
}

template <int half, class P, int... Lanes>
inline P swap_halves(const P& a, std::integer_sequence<int, Lanes...>) {
  return shuffle(a, a, std::integer_sequence<int, Lanes ^ half...>());
}

}  // namespace detail

// Of the elements of a followed by b, those at even and at odd positions, and the inverse:
//   zip_low(evens(a, b), odds(a, b)) is a, zip_high(evens(a, b), odds(a, b)) is b
template <class T>
inline Packet<T> evens(const Packet<T>& a, const Packet<T>& b) {
  return detail::every_second<0>(a, b, std::make_integer_sequence<int, lanes<T>>());
}
template <class T>
inline Packet<T> odds(const Packet<T>& a, const Packet<T>& b) {
  return detail::every_second<1>(a, b, std::make_integer_sequence<int, lanes<T>>());
}
template <class T>
inline Packet<T> zip_low(const Packet<T>& a, const Packet<T>& b) {
  return detail::alternate<0>(a, b, std::make_integer_sequence<int, lanes<T>>());
}
template <class T>
inline Packet<T> zip_high(const Packet<T>& a, const Packet<T>& b) {
  return detail::alternate<lanes<T> / 2>(a, b, std::make_integer_sequence<int, lanes<T>>());
}

// The same for four elements at a time: a[0 … 3], b[0 … 3], a[4 … 7] and so on.
inline Packet<float> zip_fours_low(const Packet<float>& a, const Packet<float>& b) {
  return detail::alternate_fours<0>(a, b, std::make_integer_sequence<int, lanes<float>>());
}
inline Packet<float> zip_fours_high(const Packet<float>& a, const Packet<float>& b) {
  return detail::alternate_fours<lanes<float>>(a, b,
                                               std::make_integer_sequence<int, lanes<float>>());
}

// A step of summing the lanes of many vectors at once: returns one vector in which the sums of
// vector i are in the lanes whose index has the bits of i · Half, still to be summed over the other
// bits. `step`: the distance between the vectors that are summed.
//   sum_lanes<T, 1, lanes<T>>(vectors): lane i is the sum over the lanes of vector i
template <class T, int Half, int Count>
inline Packet<T> sum_lanes(const Packet<T>* vectors, int step = 1) {
  if constexpr (Count == 1) {
    return vectors[0];
  } else {
    return detail::add_halves<Half>(sum_lanes<T, 2 * Half, Count / 2>(vectors, 2 * step),
                                    sum_lanes<T, 2 * Half, Count / 2>(vectors + step, 2 * step),
                                    std::make_integer_sequence<int, lanes<T>>());
  }
}

// The last of these steps: lanes with the bit Half have the sums of b, the others those of a.
template <class T, int Half>
inline Packet<T> add_halves(const Packet<T>& a, const Packet<T>& b) {
  return detail::add_halves<Half>(a, b, std::make_integer_sequence<int, lanes<T>>());
}

// The bits of one register as another type of the same size.
template <class To, class From>
inline To bits_as(const From& from) {
  static_assert(sizeof(To) == sizeof(From));
  To to;
  std::memcpy(&to, &from, sizeof(To));
  return to;
}

}  // namespace heedful::simd
