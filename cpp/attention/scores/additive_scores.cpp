#include "attention/scores/additive_scores.hpp"

#include <algorithm>

#include "attention/scores/additive_tanh.hpp"
#include "attention/scores/score_maximum.hpp"
#include "kernels/micro_kernel.hpp"

namespace heedful {
namespace {

template <class T>
using Sums = simd::Packet<T>[max_vectors];

// Two columns at a time share one division: r = 1 / (denominator₁ · denominator₂).
template <class T, int vectors>
void add_pairs(const QueryExponentials<T>& queries, const KeyExponentials<T>& key,
               const T* score_vector, std::ptrdiff_t columns, Sums<T>& sums) {
  for (std::ptrdiff_t c = 0; c < columns; c += 2) {
    const auto first_key = key.at(c), second_key = key.at(c + 1);
    const auto first_factor = simd::broadcast(score_vector[c]);
    const auto second_factor = simd::broadcast(score_vector[c + 1]);
#pragma GCC unroll 3
    for (int v = 0; v < vectors; ++v) {
      const int lane = v * simd::lanes<T>;
      const TanhTerms<T> one = tanh_terms<T>(queries.at(c, lane), first_key);
      const TanhTerms<T> two = tanh_terms<T>(queries.at(c + 1, lane), second_key);
      const auto inverse =
          simd::divide(simd::broadcast(T(1)), simd::multiply(one.denominator, two.denominator));
      const auto first = simd::multiply(simd::multiply(one.numerator, two.denominator), inverse);
      const auto second = simd::multiply(simd::multiply(two.numerator, one.denominator), inverse);
      sums[v] = simd::multiply_add(first_factor, first, sums[v]);
      sums[v] = simd::multiply_add(second_factor, second, sums[v]);
    }
  }
}

template <class T>
void add_singles(const T* panel, int lanes, const T* key, const T* score_vector,
                 std::ptrdiff_t columns, Sums<T>& sums) {
  for (std::ptrdiff_t c = 0; c < columns; ++c) {
    const auto element = simd::broadcast(key[c]), factor = simd::broadcast(score_vector[c]);
    for (int v = 0; v * simd::lanes<T> < lanes; ++v) {
      const auto query = simd::load(panel + c * lanes + v * simd::lanes<T>);
      sums[v] = simd::multiply_add(factor, simd::exact_tanh<T>(simd::add(query, element)), sums[v]);
    }
  }
}

// Columns [begin, begin + columns) of the sum. The score vector is 0 past the last column.
template <class T, int vectors>
void add_columns(const AdditiveTile<T>& tile, std::ptrdiff_t begin, std::ptrdiff_t columns,
                 T* scores) {
  constexpr int lanes = vectors * simd::lanes<T>;
  QueryExponentials<T> queries;
  KeyExponentials<T> key;
  T score_vector[additive_columns] = {};
  std::copy_n(tile.score_vector + begin, columns, score_vector);
  const T* const panel = tile.query_panel + begin * lanes;
  queries.load(panel, columns, lanes);
  for (std::ptrdiff_t k = 0; k < tile.keys; ++k, scores += lanes) {
    key.load(tile.key_rows.data + k * tile.key_rows.stride + begin, columns);
    Sums<T> sums;
    for (int v = 0; v < vectors; ++v) sums[v] = simd::broadcast(T(0));
    if (can_multiply(queries, key)) {
      add_pairs<T, vectors>(queries, key, score_vector, columns, sums);
    } else {
      add_singles(panel, lanes, key.elements, score_vector, columns, sums);
    }
    for (int v = 0; v < vectors; ++v) {
      T* const to = scores + v * simd::lanes<T>;
      simd::store(to, begin == 0 ? sums[v] : simd::add(simd::load(to), sums[v]));
    }
  }
}

// One query: the lanes run over its columns, padding lanes are 0.
template <class T>
void score_lane(const AdditiveTile<T>& tile, int lanes, int lane, T* scores) {
  constexpr std::ptrdiff_t max_columns = 8 * additive_columns;
  alignas(64) T query[max_columns], score_vector[max_columns];
  for (std::ptrdiff_t begin = 0; begin < tile.columns; begin += max_columns) {
    const std::ptrdiff_t columns = std::min(max_columns, tile.columns - begin);
    const std::ptrdiff_t whole = columns / simd::lanes<T> * simd::lanes<T>;
    std::fill(query + whole, query + max_columns, T(0));
    std::fill(score_vector + whole, score_vector + max_columns, T(0));
    std::copy_n(tile.score_vector + begin, columns, score_vector);
    for (std::ptrdiff_t c = 0; c < columns; ++c) {
      query[c] = tile.query_panel[(begin + c) * lanes + lane];
    }
    for (std::ptrdiff_t k = 0; k < tile.keys; ++k) {
      const T* const key = tile.key_rows.data + k * tile.key_rows.stride + begin;
      auto sum = simd::broadcast(T(0));
      const auto add = [&](std::ptrdiff_t c, const T* elements) {
        const auto x = simd::add(simd::load(query + c), simd::load(elements));
        sum = simd::multiply_add(simd::load(score_vector + c), simd::exact_tanh<T>(x), sum);
      };
      for (std::ptrdiff_t c = 0; c < whole; c += simd::lanes<T>) add(c, key + c);
      if (whole < columns) {
        T remainder[simd::lanes<T>] = {};
        std::copy_n(key + whole, columns - whole, remainder);
        add(whole, remainder);
      }
      T& score = scores[k * lanes + lane];
      score = begin == 0 ? simd::sum(sum) : score + simd::sum(sum);
    }
  }
}

template <class T>
void score_few_lanes(const AdditiveTile<T>& tile, const Panel<T>& panel, T* scores) {
  const int lanes = panel.lanes();
  for (int lane = 0; lane < panel.count; ++lane) score_lane(tile, lanes, lane, scores);
  for (std::ptrdiff_t k = 0; k < tile.keys; ++k) {
    T* const row = scores + k * lanes;
    std::fill(row + panel.count, row + lanes, row[panel.count - 1]);
  }
}

}  // namespace

template <class T>
void additive_scores(const AdditiveTile<T>& tile, const Panel<T>& panel, T* scores, T* maximum) {
  const int lanes = panel.lanes();
  if (tile.columns == 0) {
    std::fill_n(scores, tile.keys * lanes, T(0));
  } else if (few_lanes<T>(panel.count)) {
    score_few_lanes(tile, panel, scores);
  } else {
    const auto add = panel.vectors == 1   ? add_columns<T, 1>
                     : panel.vectors == 2 ? add_columns<T, 2>
                                          : add_columns<T, 3>;
    for (std::ptrdiff_t begin = 0; begin < tile.columns; begin += additive_columns) {
      add(tile, begin, std::min(additive_columns, tile.columns - begin), scores);
    }
  }
  if (maximum) update_maximum(scores, lanes, tile.keys, maximum);
}

template <class T>
AdditiveTile<T> additive_tile(const Problem& problem, const Panel<T>& panel, std::ptrdiff_t keys,
                              Rows<T> key_rows, const T* query_panel) {
  const std::ptrdiff_t kv_head = panel.head[0] / problem.group();
  return {keys, problem.depth, key_rows, query_panel,
          static_cast<const T*>(problem.score_vector) + kv_head * problem.score_vector_stride};
}

template void additive_scores(const AdditiveTile<float>&, const Panel<float>&, float*, float*);
template void additive_scores(const AdditiveTile<double>&, const Panel<double>&, double*, double*);
template AdditiveTile<float> additive_tile(const Problem&, const Panel<float>&, std::ptrdiff_t,
                                           Rows<float>, const float*);
template AdditiveTile<double> additive_tile(const Problem&, const Panel<double>&, std::ptrdiff_t,
                                            Rows<double>, const double*);

}  // namespace heedful
