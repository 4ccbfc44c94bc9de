#include "attention/forward/entmax/weights.hpp"

#include "simd/lane_mask.hpp"
#include "simd/packet.hpp"

namespace heedful {
namespace {

// d probability / dα = a · probability + b · entropy − c · slope, of a vector of lanes.
template <class T>
struct AlphaDerivative {
  alignas(64) T a[simd::lanes<T>];
  alignas(64) T b[simd::lanes<T>];
  alignas(64) T c[simd::lanes<T>];

  AlphaDerivative(const Thresholds<T>& thresholds, int lane) {
    for (int i = 0; i < simd::lanes<T>; ++i) {
      const double inverse = 1 / (thresholds.alpha[lane + i] - 1);
      const double sum = thresholds.slopes[lane + i];
      const double own = inverse * inverse + inverse * thresholds.entropies[lane + i];
      a[i] = static_cast<T>(inverse * inverse);
      b[i] = static_cast<T>(inverse);
      c[i] = static_cast<T>(sum == 0 ? 0 : own / sum);  // 0: no key is visible
    }
  }
  simd::Packet<T> at(const simd::Packet<T>& probability, const simd::Packet<T>& slope,
                     const simd::Packet<T>& entropy) const {
    const auto negative = simd::multiply(simd::load(c), slope);
    return simd::multiply_add(simd::load(a), probability,
                              simd::subtract(simd::multiply(simd::load(b), entropy), negative));
  }
};

template <class T, class Power>
std::uint64_t write_probabilities(const Power& power, const Thresholds<T>& thresholds, int lanes,
                                  std::ptrdiff_t keys, T* scores) {
  const auto zero = simd::broadcast(T{0});
  std::uint64_t used = 0;
  for (std::ptrdiff_t begin = 0; begin < keys; begin += group_keys) {
    const std::ptrdiff_t end = std::min(begin + group_keys, keys);
    auto total = zero;  // a sum, because a maximum would lose NaN
    for (std::ptrdiff_t key = begin; key < end; ++key) {
      for (int lane = 0; lane < lanes; lane += simd::lanes<T>) {
        T* const score = scores + key * lanes + lane;
        const auto excess = thresholds.excess(simd::load(score), lane);
        const auto probability = simd::multiply(power.slope(excess, lane), excess);
        simd::store(score, probability);
        total = simd::add(total, probability);
      }
    }
    if (simd::above_or_nan(total, zero)) used |= std::uint64_t{1} << begin / group_keys;
  }
  return used;
}

template <class T, class Power>
void write_slopes(const Power& power, const Thresholds<T>& thresholds, int lanes,
                  std::ptrdiff_t keys, const T* scores, T* slopes, T* slope_sums) {
  alignas(64) T factors[Panel<T>::max_lanes];
  for (int lane = 0; lane < lanes; ++lane) {
    const double sum = thresholds.slopes[lane];
    factors[lane] = static_cast<T>(sum == 0 ? 0 : 1 / sum);
  }
  for (int lane = 0; lane < lanes; lane += simd::lanes<T>) {
    auto total = simd::broadcast(T{0});
    const auto factor = simd::load(factors + lane);
    for (std::ptrdiff_t at = lane; at < keys * lanes; at += lanes) {
      const auto excess = thresholds.excess(simd::load(scores + at), lane);
      const auto slope = simd::multiply(factor, power.slope(excess, lane));
      simd::store(slopes + at, slope);
      total = simd::add(total, slope);
    }
    simd::store(slope_sums + lane, simd::add(simd::load(slope_sums + lane), total));
  }
}

template <class T>
void write_derivatives(const Thresholds<T>& thresholds, int lanes, std::ptrdiff_t keys,
                       const T* scores, T* derivatives) {
  const EntmaxPower<T> power{thresholds.exponent};
  for (int lane = 0; lane < lanes; lane += simd::lanes<T>) {
    const AlphaDerivative<T> derivative(thresholds, lane);
    for (std::ptrdiff_t at = lane; at < keys * lanes; at += lanes) {
      const auto excess = thresholds.excess(simd::load(scores + at), lane);
      const auto slope = power.slope(excess, lane);
      simd::store(derivatives + at, derivative.at(simd::multiply(slope, excess), slope,
                                                  thresholds.entropy(excess, slope, lane)));
    }
  }
}

}  // namespace

template <class T>
std::uint64_t write_weights(double alpha, const Thresholds<T>& thresholds, int lanes,
                            std::ptrdiff_t keys, const TileWeights<T>& weights, T* slope_sums) {
  const T* const scores = weights.probabilities;  // until they are replaced
  if (weights.derivatives) {
    write_derivatives(thresholds, lanes, keys, scores, weights.derivatives);
  }
  return with_power(alpha, thresholds, [&](const auto& power) {
    if (weights.slopes) {
      write_slopes(power, thresholds, lanes, keys, scores, weights.slopes, slope_sums);
    }
    return write_probabilities(power, thresholds, lanes, keys, weights.probabilities);
  });
}

template std::uint64_t write_weights(double, const Thresholds<float>&, int, std::ptrdiff_t,
                                     const TileWeights<float>&, float*);
template std::uint64_t write_weights(double, const Thresholds<double>&, int, std::ptrdiff_t,
                                     const TileWeights<double>&, double*);

}  // namespace heedful
