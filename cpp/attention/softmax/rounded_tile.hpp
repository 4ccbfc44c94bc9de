// add_tile with weights rounded to bfloat16, as operands of the product of tiles: one pass over the
// scores of a tile, in steps of four keys that a product may do beside its own.
//   words[pair][lane]   the rounded weights of two keys; a missing key has weight 0
//   sum += Σ weight     rounded_sum += Σ rounded weight
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "attention/softmax/online_softmax.hpp"
#include "kernels/micro_kernel.hpp"
#include "kernels/side_work.hpp"
#include "simd/bfloat16_pairs.hpp"
#include "simd/packet.hpp"
#include "simd/rounded_pair.hpp"

namespace heedful {

// The words begin at the scores, of which they take the first half.
template <class Normalizer>
class RoundedTile : public SideWork {
  using P = simd::Packet<float>;
  static constexpr int width = simd::lanes<float>, max_lanes = max_vectors * width;

 public:
  // `begins_odd`: the first pair lacks its even key.
  RoundedTile(const Normalizer& normalizer, float* scores, std::ptrdiff_t keys, int lanes,
              bool begins_odd)
      : SideWork(step_of(lanes / width), (pairs_of(keys, begins_odd) + 1) / 2),
        normalizer_(normalizer),
        scores_(scores - (begins_odd ? lanes : 0)),
        words_(reinterpret_cast<std::uint32_t*>(scores)),
        first_(begins_odd ? 1 : 0),
        end_(keys + first_) {}

  static std::ptrdiff_t pairs_of(std::ptrdiff_t keys, bool begins_odd) {
    return (keys + (begins_odd ? 1 : 0) + 1) / 2;
  }

  // Before the first step: rescales the sums to the new maximum. factors (lanes): what `out` must
  // be multiplied by. Returns whether they are not all 1.
  bool start(RunningSoftmax<float>& state, float* rounded_sum, int lanes, const float* new_maximum,
             float* factors) {
    const bool rose = std::memcmp(new_maximum, state.maximum,
                                  static_cast<std::size_t>(lanes) * sizeof(float)) != 0;
    for (int lane = 0; lane < lanes; lane += width) {
      const P base = normalizer_.base(simd::load(new_maximum + lane));
      simd::store(base_ + lane, base);
      simd::store(total_ + lane, simd::broadcast(0.0f));
      simd::store(rounded_ + lane, simd::broadcast(0.0f));
      if (!rose) continue;
      const P factor = normalizer_.rescale(simd::load(state.maximum + lane), base);
      simd::store(factors + lane, factor);
      for (float* const sum : {state.sum, rounded_sum}) {
        simd::store(sum + lane, simd::multiply(simd::load(sum + lane), factor));
      }
      simd::store(state.maximum + lane, simd::load(new_maximum + lane));
    }
    return rose;
  }

  // After the last step.
  void add_sums(RunningSoftmax<float>& state, float* rounded_sum, int lanes) const {
    for (int lane = 0; lane < lanes; lane += width) {
      simd::store(state.sum + lane,
                  simd::add(simd::load(state.sum + lane), simd::load(total_ + lane)));
      simd::store(rounded_sum + lane,
                  simd::add(simd::load(rounded_sum + lane), simd::load(rounded_ + lane)));
    }
  }

 private:
  // Two pairs of keys, of which the first and the last may be missing, if not `All`.
  template <int Vectors, class Pair, bool All>
  [[gnu::always_inline]] static inline void add_pairs(RoundedTile& tile) {
    constexpr int lanes = Vectors * width;
    const std::ptrdiff_t key = tile.next_, pairs = All || key + 2 < tile.end_ ? 2 : 1;
    const float* const scores = tile.scores_ + key * lanes;
    std::uint32_t* const words = tile.words_ + key / 2 * lanes;
#pragma GCC unroll 4
    for (int lane = 0; lane < lanes; lane += width) {
      const P base = simd::load(tile.base_ + lane);
      P weights[4];
#pragma GCC unroll 4
      for (int i = 0; i < 4; ++i) {
        const bool exists = All || (key + i >= tile.first_ && key + i < tile.end_);
        weights[i] = exists ? tile.normalizer_.weight(simd::load(scores + i * lanes + lane), base)
                            : simd::broadcast(0.0f);
      }
      P total = simd::load(tile.total_ + lane), rounded = simd::load(tile.rounded_ + lane);
#pragma GCC unroll 4
      for (int i = 0; i < 4; ++i) total = simd::add(total, weights[i]);
#pragma GCC unroll 2
      for (int i = 0; i < pairs; ++i) {
        const simd::Words both = Pair::of(weights[2 * i], weights[2 * i + 1]).words();
        simd::store_words(words + i * lanes + lane, both);
        rounded = simd::add(rounded, simd::even_of(both));
        rounded = simd::add(rounded, simd::odd_of(both));
      }
      simd::store(tile.total_ + lane, total);
      simd::store(tile.rounded_ + lane, rounded);
    }
    tile.next_ += 4;
  }

  template <int Vectors, class Pair>
  [[gnu::always_inline]] static inline void step(SideWork& work) {
    auto& tile = static_cast<RoundedTile&>(work);
    if (tile.next_ >= tile.first_ && tile.next_ + 4 <= tile.end_) {
      add_pairs<Vectors, Pair, true>(tile);
    } else {
      add_pairs<Vectors, Pair, false>(tile);
    }
  }
  template <int Vectors>
  static void step_by_bits(SideWork& work) {
    step<Vectors, simd::RoundedPair>(work);
  }
#if HEEDFUL_BFLOAT16_PAIRS
  template <int Vectors>
  HEEDFUL_PAIRS_TARGET static void step_by_instruction(SideWork& work) {
    step<Vectors, simd::InstructionPair>(work);
  }
#endif

  template <int Vectors>
  static auto step_for() {
#if HEEDFUL_BFLOAT16_PAIRS
    if (simd::has_bfloat16_pairs()) return &step_by_instruction<Vectors>;
#endif
    return &step_by_bits<Vectors>;
  }
  static void (*step_of(int vectors))(SideWork&) {
    return vectors == 1 ? step_for<1>() : vectors == 2 ? step_for<2>() : step_for<3>();
  }

  const Normalizer normalizer_;
  const float* scores_;  // of key 0, which may be missing
  std::uint32_t* words_;
  std::ptrdiff_t next_ = 0, first_, end_;  // keys, of which the first ones may be missing
  alignas(64) float base_[max_lanes], total_[max_lanes], rounded_[max_lanes];
};

}  // namespace heedful
