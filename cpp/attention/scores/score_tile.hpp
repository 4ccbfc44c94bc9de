// The scores of a query panel and a key tile, as input of the softmax:
//   score[key][lane] = cap(scale · query · key) − slope |position − key| + bias, −∞ where hidden
//   cap(x) = softcap · tanh(x / softcap), or x
// If only masks, causal and window follow the product, scores stay unscaled, query · key, and the
// scale is applied in the exponential, to differences of scores: so it rounds neither queries nor
// scores.
#pragma once

#include <cstddef>

#include "attention/problem/key_index.hpp"
#include "attention/problem/panel.hpp"
#include "attention/problem/problem.hpp"
#include "attention/problem/score_rule.hpp"
#include "attention/scores/mask.hpp"
#include "attention/scores/tile_rows.hpp"

namespace heedful {

template <class T>
struct ScoreTile {
  KeyRange keys{0, 0};   // those computed; the other keys of the tile are hidden from every lane
  bool partial = false;  // some of them are hidden from some lane
};

// The buffers of score_tile.
//   scores (keys, lanes), written     mask_buffer (mask_tile_size)
//   maximum (lanes): updated with the maximum score of each lane; may be null
//   cap_derivative (keys, lanes): written with cap'(x) if there is a softcap; may be null
template <class T>
struct ScoreBuffers {
  T* scores;
  T* mask_buffer;
  T* maximum = nullptr;
  T* cap_derivative = nullptr;
};

// What follows from ranges, mask and bias before keys of a tile are read.
template <class T>
struct TilePlan {
  KeyRange keys{0, 0};  // the keys to be computed
  MaskTile<T> mask;
  bool outside = false;        // some of them are outside some lane's range
  bool excludes_self = false;  // one of them is at the own position of a lane that may not see it
  bool changes = false;        // scores differ from the products, whose maximum is then not needed
};

template <class T>
TilePlan<T> plan_tile(const Problem& problem, std::ptrdiff_t item, const Panel<T>& panel,
                      KeyRange keys, const ScoreRule<T>& rule, T* mask_buffer);

// Converts products to scores.
template <class T>
ScoreTile<T> finish_tile(const Problem& problem, std::ptrdiff_t item, const Panel<T>& panel,
                         const TilePlan<T>& plan, const ScoreRule<T>& rule,
                         const ScoreBuffers<T>& buffers);

// plan_tile, the product in T, and finish_tile.
template <class T>
ScoreTile<T> score_tile(const Problem& problem, std::ptrdiff_t item, const Panel<T>& panel,
                        KeyRange keys, const ScoreRule<T>& rule, const T* query_panel,
                        TileRows<T>& key_rows, const ScoreBuffers<T>& buffers);

// One row, for few queries: converts raw products to scores[key − keys.begin], in place. `values`
// are those of mask_row, or null. The scores have room for a whole vector past the end.
template <class T>
void score_row(const Problem& problem, std::ptrdiff_t item, std::ptrdiff_t head,
               std::ptrdiff_t query, KeyRange keys, KeyRange visible, const ScoreRule<T>& rule,
               const T* values, T* scores);

// The same for a list of `count` visible keys. cap_derivative (count): written with cap'(x) if
// there is a softcap. Both have room for a whole vector past the end.
template <class T>
void score_keys(const Problem& problem, std::ptrdiff_t item, std::ptrdiff_t head,
                std::ptrdiff_t query, const KeyIndex* keys, std::ptrdiff_t count,
                const ScoreRule<T>& rule, T* scores, T* cap_derivative);

}  // namespace heedful
