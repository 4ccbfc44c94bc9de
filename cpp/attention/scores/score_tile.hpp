// The scores of a panel of queries against a tile of keys, as the softmax sees them:
//   score[key][lane] = cap(scale · query · key) − slope |position − key| + bias, −∞ where hidden
//   cap(x) = softcap · tanh(x / softcap), or x
// Where nothing but restrictions follows the product, scores stay products, query · key, and the
// scale is left to the exponential, which takes differences of scores: so it neither rounds queries
// nor scores.
#pragma once

#include <cstddef>

#include "attention/problem/panel.hpp"
#include "attention/problem/problem.hpp"
#include "attention/problem/score_rule.hpp"
#include "attention/scores/mask.hpp"
#include "attention/scores/tile_rows.hpp"

namespace heedful {

template <class T>
struct ScoreTile {
  KeyRange keys{0, 0};   // those computed; the others of the tile are hidden from every lane
  bool partial = false;  // some lane does not see some of them
};

// What score_tile works with and in.
//   scores (keys, lanes), written     mask_buffer (mask_tile_size)
//   maximum (lanes): raised to the greatest score of each lane; may be null
//   cap_slope (keys, lanes): written with cap'(x) when there is a softcap; may be null
template <class T>
struct ScoreBuffers {
  T* scores;
  T* mask_buffer;
  T* maximum = nullptr;
  T* cap_derivative = nullptr;
};

// What is known of a tile before anything of it is read.
template <class T>
struct TilePlan {
  KeyRange keys{0, 0};  // those to be computed
  MaskTile<T> mask;
  bool outside = false;  // some of them lie outside of some lane's range
  bool changes = false;  // the product is not yet the score: its maximum is of no use
};

template <class T>
TilePlan<T> plan_tile(const Problem& problem, std::ptrdiff_t item, const Panel<T>& panel,
                      KeyRange keys, const ScoreRule<T>& rule, T* mask_buffer);

// Makes scores of products.
template <class T>
ScoreTile<T> finish_tile(const Problem& problem, std::ptrdiff_t item, const Panel<T>& panel,
                         const TilePlan<T>& plan, const ScoreRule<T>& rule,
                         const ScoreBuffers<T>& buffers);

// Plan, product of numbers T, finish.
template <class T>
ScoreTile<T> score_tile(const Problem& problem, std::ptrdiff_t item, const Panel<T>& panel,
                        KeyRange keys, const ScoreRule<T>& rule, const T* query_panel,
                        TileRows<T>& key_rows, const ScoreBuffers<T>& buffers);

// Row by row, for few queries: makes scores[key − keys.begin] of raw products, in place. `values`
// are those of mask_row, or null. The scores have room for a whole vector behind the last.
template <class T>
void score_row(const Problem& problem, std::ptrdiff_t item, std::ptrdiff_t head,
               std::ptrdiff_t query, KeyRange keys, KeyRange visible, const ScoreRule<T>& rule,
               const T* values, T* scores);

}  // namespace heedful
