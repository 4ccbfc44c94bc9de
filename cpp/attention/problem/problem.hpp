// The parameters of one attention call, as plain numbers and views: everything except query, key,
// value and the results.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "arrays/tensor_view.hpp"
#include "attention/problem/block_mask.hpp"
#include "attention/problem/score_kind.hpp"
#include "parallel/cost.hpp"
#include "simd/bfloat16_ways.hpp"

namespace heedful {

// The position of one item (a batch entry, or one sequence of a packed batch) in the arrays.
//   query_begin, key_begin   its first rows        queries, keys   its numbers of rows
//   offset                   query i has key position i + offset
struct Item {
  std::ptrdiff_t query_begin, queries, key_begin, keys, offset;
};

struct Problem {
  std::ptrdiff_t num_items = 0;     // B
  std::ptrdiff_t num_heads = 0;     // H
  std::ptrdiff_t num_kv_heads = 0;  // Hkv
  std::ptrdiff_t depth = 0;         // D
  std::ptrdiff_t value_depth = 0;   // Dv
  const Item* items = nullptr;      // (B)

  double scale = 1;
  double softcap = 0;         // 0: none
  std::ptrdiff_t left = -1;   // keys j ≥ i + offset − left; −1: no limit
  std::ptrdiff_t right = -1;  // keys j ≤ i + offset + right; −1: no limit; causal is 0
  bool exclude_self = false;  // key i + offset is hidden from query i
  std::ptrdiff_t top_k = 0;   // how many keys a query attends to; 0: no limit. Only for top_k/
  TensorView mask;            // boolean, true: may attend
  TensorView bias;            // added to the capped scores; −∞ hides a key as a mask does
  BlockMask block_mask;       // hides keys as a mask does
  // Blocks whose weights are all below this share of the largest one so far are dropped in a
  // forward pass, which writes to the kinds of block_mask that they are empty; 0: none.
  double min_weight = 0;
  const double* alibi_slopes = nullptr;  // (B or 1, H)
  std::ptrdiff_t alibi_item_stride = 0;  // 0 or H
  // (H): α of the normaliser entmax of each head, 1 < α ≤ 2; null: softmax. Only for entmax/, and
  // for backward/ and probabilities.hpp with the thresholds that it found.
  const double* alphas = nullptr;
  const double* sink = nullptr;  // (H): one more logit per row, without a value
  ScoreKind score_kind = ScoreKind::dot;
  // For additive scores: (Hkv or 1, E) in the compute type, E being the depth. The scale is 1 then,
  // and there is no softcap.
  const void* score_vector = nullptr;
  std::ptrdiff_t score_vector_stride = 0;  // 0 or E
  double dropout_p = 0;
  double key_dropout_p = 0;       // hides single pairs of a query and a key
  double gumbel_temperature = 0;  // divides scores with Gumbel noise; 0: neither
  std::uint64_t seed = 0;         // of dropouts and noise
  simd::Bfloat16Ways bfloat16 = simd::bfloat16_ways();

  // Whether weights may be rounded to bfloat16, where types and processor make that faster: not if
  // D and Dv differ, because PyTorch rounds the weights only where they are equal.
  bool may_round_weights() const { return depth == value_depth && score_kind == ScoreKind::dot; }
  // Whether what is visible depends on more than ranges.
  bool has_masks() const { return mask || bias || block_mask; }
  // d (what enters the softmax) / d score, and / d (query · key), but for a softcap.
  double score_slope() const { return gumbel_temperature > 0 ? 1 / gumbel_temperature : 1; }
  double product_slope() const { return scale * score_slope(); }
  std::ptrdiff_t group() const { return num_kv_heads > 0 ? num_heads / num_kv_heads : 0; }
};

// The cost of a forward pass, ignoring masks; a backward pass costs a small multiple of it.
inline Cost cost_of(const Problem& problem) {
  constexpr double head_elements = 500;  // starting and finishing a task takes as long
  double items = 0, queries = 0, keys = 0, pairs = 0;
  for (std::ptrdiff_t i = 0; i < problem.num_items; ++i) {
    const double own = static_cast<double>(problem.items[i].queries);
    if (own == 0) continue;
    items += 1;
    queries += own;
    keys += static_cast<double>(problem.items[i].keys);
    pairs += own * static_cast<double>(problem.items[i].keys);
  }
  const double heads = static_cast<double>(problem.num_heads);
  const double kv_heads = static_cast<double>(problem.num_kv_heads);
  const double depth = static_cast<double>(problem.depth);
  const double value_depth = static_cast<double>(problem.value_depth);
  const double score_work = static_cast<double>(traits_of(problem.score_kind).work);
  return {heads * pairs * (depth * score_work + value_depth),
          kv_heads * keys * (depth + value_depth),
          heads * (queries * (depth + value_depth) + pairs) + kv_heads * items * head_elements};
}

// Keys [begin, end) of an item.
struct KeyRange {
  std::ptrdiff_t begin, end;
  bool empty() const { return begin >= end; }
  std::ptrdiff_t size() const { return end - begin; }
};

// The keys visible to query i of the item under causal, window and length. Callers clamp positions
// far below 2^62, so the sums cannot overflow.
inline KeyRange visible_keys(const Problem& problem, const Item& item, std::ptrdiff_t query) {
  const std::ptrdiff_t position = query + item.offset;
  KeyRange range{0, item.keys};
  if (problem.left >= 0) {
    range.begin = std::clamp<std::ptrdiff_t>(position - problem.left, 0, item.keys);
  }
  if (problem.right >= 0) {
    range.end = std::clamp<std::ptrdiff_t>(position + problem.right + 1, 0, item.keys);
  }
  return range;
}

// The key at query i's own position, if it is hidden from it and among `keys`; otherwise −1.
inline std::ptrdiff_t excluded_key(const Problem& problem, const Item& item, std::ptrdiff_t query,
                                   KeyRange keys) {
  const std::ptrdiff_t position = query + item.offset;
  const bool excluded = problem.exclude_self && position >= keys.begin && position < keys.end;
  return excluded ? position : -1;
}

}  // namespace heedful
