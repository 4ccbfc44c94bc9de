#include "attention/backward/key_tile/bfloat16/rounded_dscores.hpp"

#include "attention/problem/minus_infinity.hpp"
#include "attention/softmax/normalizer.hpp"
#include "kernels/micro_kernel.hpp"
#include "simd/packet.hpp"
#include "simd/rounded_pair.hpp"

namespace heedful {
namespace {

using P = simd::Packet<float>;
constexpr int width = simd::lanes<float>;

struct Gradients {
  P probability, dproduct;
};

// One vector of one key. `Plain`: nothing is hidden, without dropout, softcap and dscores.
template <bool Plain, class Normalizer>
inline __attribute__((always_inline)) Gradients gradients_at(const Normalizer& normalizer,
                                                             const RoundedDscores& block,
                                                             std::ptrdiff_t at, const P& base,
                                                             const P& factor, const P& delta) {
  const P score = simd::load(block.scores + at);
  P probability = normalizer.probability(score, base, factor);
  P dprobability = simd::load(block.dprobabilities + at);
  if constexpr (Plain) {
    return {probability, normalizer.dscore(probability, dprobability, delta)};
  } else {
    const P keep = block.keep_factors ? simd::load(block.keep_factors + at) : simd::broadcast(1.0f);
    dprobability = simd::multiply(dprobability, keep);
    P dscore = normalizer.dscore(probability, dprobability, delta);
    // a hidden key has none, whatever base and dout are
    const P hidden = simd::equal(score, simd::broadcast(minus_infinity<float>));
    const P zero = simd::broadcast(0.0f);
    probability = simd::select(hidden, zero, simd::multiply(probability, keep));
    dscore = simd::select(hidden, zero, dscore);
    if (block.dscores) simd::store(block.dscores + at, dscore);
    if (block.cap_derivative) {
      dscore = simd::multiply(dscore, simd::load(block.cap_derivative + at));
    }
    return {probability, dscore};
  }
}

template <class Pair, int Vectors, bool Plain, class Normalizer>
inline __attribute__((always_inline)) void round_keys(const Normalizer& normalizer,
                                                      const RoundedDscores& block) {
  constexpr int lanes = Vectors * width;
  P base[Vectors], factor[Vectors], delta[Vectors];
#pragma GCC unroll 4
  for (int v = 0; v < Vectors; ++v) {
    base[v] = simd::load(block.base + v * width);
    factor[v] = simd::load(block.factor + v * width);
    delta[v] = simd::load(block.delta + v * width);
  }
  for (std::ptrdiff_t key = 0; key < block.keys; key += 2) {
#pragma GCC unroll 4
    for (int v = 0; v < Vectors; ++v) {
      const std::ptrdiff_t at = key * lanes + v * width, word = key / 2 * lanes + v * width;
      const Gradients even =
          gradients_at<Plain>(normalizer, block, at, base[v], factor[v], delta[v]);
      const Gradients odd =
          gradients_at<Plain>(normalizer, block, at + lanes, base[v], factor[v], delta[v]);
      const Pair probabilities = Pair::of(even.probability, odd.probability);
      probabilities.store_even(block.probabilities + key * block.row + v * width);
      probabilities.store_odd(block.probabilities + (key + 1) * block.row + v * width);
      const Pair dproducts = Pair::of(even.dproduct, odd.dproduct);
      dproducts.store_even(block.dproducts + key * block.row + v * width);
      dproducts.store_odd(block.dproducts + (key + 1) * block.row + v * width);
      const simd::Words words = dproducts.words();
      simd::store_words(block.words + word, words);
      simd::store_words(block.rests + word,
                        Pair::of(simd::subtract(even.dproduct, simd::even_of(words)),
                                 simd::subtract(odd.dproduct, simd::odd_of(words)))
                            .words());
    }
  }
}

template <int Vectors, bool Plain, class Normalizer>
void round_by_bits(const Normalizer& normalizer, const RoundedDscores& block) {
  round_keys<simd::RoundedPair, Vectors, Plain>(normalizer, block);
}

#if HEEDFUL_BFLOAT16_PAIRS
template <int Vectors, bool Plain, class Normalizer>
HEEDFUL_PAIRS_TARGET void round_by_instruction(const Normalizer& normalizer,
                                               const RoundedDscores& block) {
  round_keys<simd::InstructionPair, Vectors, Plain>(normalizer, block);
}
#endif

template <int Vectors, bool Plain>
void round_vectors(const ScoreRule<float>& rule, const RoundedDscores& block) {
  with_normalizer(rule, [&](const auto& normalizer) {
#if HEEDFUL_BFLOAT16_PAIRS
    if (simd::has_bfloat16_pairs()) {
      return round_by_instruction<Vectors, Plain>(normalizer, block);
    }
#endif
    round_by_bits<Vectors, Plain>(normalizer, block);
  });
}

template <int Vectors>
void round_vectors(const ScoreRule<float>& rule, const RoundedDscores& block) {
  const bool plain =
      !block.partial && !block.keep_factors && !block.cap_derivative && !block.dscores;
  plain ? round_vectors<Vectors, true>(rule, block) : round_vectors<Vectors, false>(rule, block);
}

}  // namespace

void round_dscores(const ScoreRule<float>& rule, const RoundedDscores& block) {
  static_assert(max_vectors == 3);
  switch (block.lanes / width) {
    case 1:
      return round_vectors<1>(rule, block);
    case 2:
      return round_vectors<2>(rule, block);
    default:
      return round_vectors<3>(rule, block);
  }
}

}  // namespace heedful
