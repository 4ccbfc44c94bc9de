// The normal distribution on packets, for GELU.
//   Φ(−x) = e^(−x²/2) · (1 − t) · Q(t)      t = (x − k) / (x + k), x ≥ 0      Φ(x) = 1 − Φ(−x)
// Q is the minimax polynomial (relative error 7.2e-9 for float, 9.2e-18 for double) up to where
// e^(−x²/2) is 0.
#pragma once

#include "simd/exp.hpp"
#include "simd/packet.hpp"
#include "simd/polynomial.hpp"

namespace heedful::simd {

template <class T>
struct NormalConstants;

template <>
struct NormalConstants<float> {
  static constexpr float middle = 3.5;  // k
  static constexpr float tail[] = {0.10634515344857932f,     -0.080794535014851157f,
                                   0.045060721251907551f,    -0.016579005824370613f,
                                   0.0024866254207498387f,   0.00092758795875490207f,
                                   -0.00045361556620815844f, -0.000070706097865373293f,
                                   0.000060270811172275133f, 0.000015812545899284389f};
};
template <>
struct NormalConstants<double> {
  static constexpr double middle = 4.5;
  static constexpr double tail[] = {
      0.0848033921078003483067,      -0.0711397511391796852662,   0.0496058352284086385247,
      -0.0281268666612176650613,     0.0123758440633594680566,    -0.00376348068638429599537,
      0.000469290375566029360631,    0.000194314508015824367918,  -0.000101971833828166170887,
      7.0901326839297476946e-7,      0.0000124491920090783647343, -0.00000177032734913766765823,
      -0.00000158177768403256546711, 3.54427482437354541669e-7,   2.38103571708891333626e-7,
      -5.5525071420718451673e-8,     -4.21009073390339280487e-8,  6.83520135172837211908e-9,
      7.71575221569860580379e-9,     -3.63070236302166043983e-10, -1.12233637099097942744e-9,
      -6.00216147057378183938e-11,   6.99623745738870127967e-11};
};

// Φ(x), the cumulative distribution function, and e^(−x²/2), √(2π) times the density. Small values
// of Φ keep their relative precision, which 1 + erf would lose.
template <class T>
struct Normal {
  Packet<T> cdf, gaussian;

  explicit Normal(const Packet<T>& x) {
    using C = NormalConstants<T>;
    // for ∞, t would be NaN; minimum() returns its first argument if that is NaN
    const Packet<T> magnitude = minimum(absolute(x), broadcast(T(40)));
    gaussian = simd::exp<T>(multiply(multiply(magnitude, broadcast(T(-0.5))), magnitude));
    const Packet<T> t =
        divide(subtract(magnitude, broadcast(C::middle)), add(magnitude, broadcast(C::middle)));
    const Packet<T> one = broadcast(T(1));
    const Packet<T> tail =
        multiply(gaussian, multiply(polynomial<T>(C::tail, t), subtract(one, t)));
    cdf = select(less(x, broadcast(T(0))), tail, subtract(one, tail));
  }
};

}  // namespace heedful::simd
