#include "attention/backward/key_tile/additive_gradients.hpp"

#include <algorithm>

#include "attention/scores/additive_tanh.hpp"

namespace heedful {
namespace {

using simd::add;
using simd::broadcast;
using simd::load;
using simd::multiply;
using simd::multiply_add;
using simd::Packet;
using simd::store;

// A NaN where dscore is 0 belongs to a hidden key.
template <bool guard, class T>
TanhDerivative<T> guarded(const TanhDerivative<T>& derivative, const Packet<T>& dscore) {
  if constexpr (guard) {
    const auto zero = broadcast(T(0));
    const auto hidden = simd::equal(dscore, zero);
    return {simd::select(hidden, zero, derivative.tanh),
            simd::select(hidden, zero, derivative.quarter)};
  } else {
    return derivative;
  }
}

// The sums of some columns: dquery and dscore_vector over all keys, dkey of one key.
template <class T>
struct ColumnSums {
  static constexpr int width = simd::lanes<T>;
  alignas(64) T dquery[additive_columns][max_vectors * width];
  Packet<T> dkey[additive_columns], dscore_vector[additive_columns];

  ColumnSums() {
    std::fill_n(&dquery[0][0], additive_columns * max_vectors * width, T(0));
    std::fill_n(dkey, additive_columns, broadcast(T(0)));
    std::fill_n(dscore_vector, additive_columns, broadcast(T(0)));
  }

  template <bool guard>
  void accumulate(std::ptrdiff_t column, int lane, const Packet<T>& dscore,
                  const TanhDerivative<T>& unguarded) {
    const TanhDerivative<T> derivative = guarded<guard, T>(unguarded, dscore);
    T* const to = dquery[column] + lane;
    const auto term = multiply(dscore, derivative.quarter);
    store(to, add(load(to), term));
    dkey[column] = lane == 0 ? term : add(dkey[column], term);
    dscore_vector[column] = multiply_add(dscore, derivative.tanh, dscore_vector[column]);
  }
};

template <class T, int vectors, bool guard>
void accumulate_pairs(const QueryExponentials<T>& queries, const KeyExponentials<T>& key,
                      const T* dscores, std::ptrdiff_t columns, ColumnSums<T>& sums) {
  for (std::ptrdiff_t c = 0; c < columns; c += 2) {
    const auto first_key = key.at(c), second_key = key.at(c + 1);
#pragma GCC unroll 3
    for (int v = 0; v < vectors; ++v) {
      const int lane = v * simd::lanes<T>;
      const TanhTerms<T> one = tanh_terms<T>(queries.at(c, lane), first_key);
      const TanhTerms<T> two = tanh_terms<T>(queries.at(c + 1, lane), second_key);
      const auto inverse =
          simd::divide(broadcast(T(1)), multiply(one.denominator, two.denominator));
      const auto first = multiply(inverse, two.denominator),
                 second = multiply(inverse, one.denominator);
      const auto dscore = load(dscores + lane);
      sums.template accumulate<guard>(
          c, lane, dscore,
          {multiply(one.numerator, first), multiply(multiply(one.z, first), first)});
      sums.template accumulate<guard>(
          c + 1, lane, dscore,
          {multiply(two.numerator, second), multiply(multiply(two.z, second), second)});
    }
  }
}

template <class T, int vectors, bool guard>
void accumulate_singles(const T* panel, const T* key, const T* dscores, std::ptrdiff_t columns,
                        ColumnSums<T>& sums) {
  constexpr int lanes = vectors * simd::lanes<T>;
  for (std::ptrdiff_t c = 0; c < columns; ++c) {
    const auto element = broadcast(key[c]);
    for (int lane = 0; lane < lanes; lane += simd::lanes<T>) {
      sums.template accumulate<guard>(
          c, lane, load(dscores + lane),
          tanh_derivative<T>(add(load(panel + c * lanes + lane), element)));
    }
  }
}

// Columns [begin, begin + columns).
template <class T, int vectors, bool guard>
void accumulate_columns(const AdditiveTile<T>& tile, const AdditiveGradients<T>& gradients,
                        std::ptrdiff_t begin, std::ptrdiff_t columns) {
  constexpr int width = simd::lanes<T>, lanes = vectors * width;
  QueryExponentials<T> queries;
  KeyExponentials<T> key;
  ColumnSums<T> sums;
  T factor[additive_columns] = {};  // 0 past the last column
  for (std::ptrdiff_t c = 0; c < columns; ++c) factor[c] = 4 * tile.score_vector[begin + c];
  const T* const panel = tile.query_panel + begin * lanes;
  queries.load(panel, columns, lanes);
  const std::ptrdiff_t stride = padded<T>(tile.columns);
  for (std::ptrdiff_t k = 0; k < tile.keys; ++k) {
    key.load(tile.key_rows.data + k * tile.key_rows.stride + begin, columns);
    const T* const dscores = gradients.dscores + k * lanes;
    if (can_multiply(queries, key)) {
      accumulate_pairs<T, vectors, guard>(queries, key, dscores, columns, sums);
    } else {
      accumulate_singles<T, vectors, guard>(panel, key.elements, dscores, columns, sums);
    }
    T* const dkey = gradients.dkey + k * stride + begin;
    for (std::ptrdiff_t c = 0; c < columns; c += width) {
      const auto total = simd::sum_lanes<T, 1, width>(sums.dkey + c);
      store(dkey + c, multiply_add(total, load(factor + c), load(dkey + c)));
    }
  }
  for (std::ptrdiff_t c = 0; c < columns; ++c) {
    T* const dquery = gradients.dquery + (begin + c) * lanes;
    for (int lane = 0; lane < lanes; lane += width) {
      store(dquery + lane, multiply(load(sums.dquery[c] + lane), broadcast(factor[c])));
    }
    gradients.dscore_vector[begin + c] += static_cast<double>(simd::sum(sums.dscore_vector[c]));
  }
}

// One query: the lanes run over its columns.
template <class T>
void accumulate_lane(const AdditiveTile<T>& tile, int lanes, int lane,
                     const AdditiveGradients<T>& gradients) {
  constexpr int width = simd::lanes<T>;
  const std::ptrdiff_t stride = padded<T>(tile.columns);
  for (std::ptrdiff_t begin = 0; begin < tile.columns; begin += width) {
    const std::ptrdiff_t columns = std::min<std::ptrdiff_t>(width, tile.columns - begin);
    T query[width] = {}, factor[width] = {}, key[width] = {};
    for (std::ptrdiff_t c = 0; c < columns; ++c) {
      query[c] = tile.query_panel[(begin + c) * lanes + lane];
      factor[c] = 4 * tile.score_vector[begin + c];
    }
    const auto queries = load(query), factors = load(factor);
    auto dquery = broadcast(T(0)), dscore_vector = broadcast(T(0));
    for (std::ptrdiff_t k = 0; k < tile.keys; ++k) {
      const T dscore = gradients.dscores[k * lanes + lane];
      if (dscore == 0) continue;  // possibly a hidden key
      const T* row = tile.key_rows.data + k * tile.key_rows.stride + begin;
      if (columns < width) row = std::copy_n(row, columns, key) - columns;
      const TanhDerivative<T> derivative = tanh_derivative<T>(add(queries, load(row)));
      const auto term = multiply(broadcast(dscore), derivative.quarter);
      T* const dkey = gradients.dkey + k * stride + begin;
      store(dkey, multiply_add(term, factors, load(dkey)));
      dquery = add(dquery, term);
      dscore_vector = multiply_add(broadcast(dscore), derivative.tanh, dscore_vector);
    }
    T of_query[width], of_score_vector[width];
    store(of_query, multiply(dquery, factors));
    store(of_score_vector, dscore_vector);
    for (std::ptrdiff_t c = 0; c < columns; ++c) {
      gradients.dquery[(begin + c) * lanes + lane] = of_query[c];
      gradients.dscore_vector[begin + c] += static_cast<double>(of_score_vector[c]);
    }
  }
}

template <class T, bool guard>
void accumulate_all(const AdditiveTile<T>& tile, const Panel<T>& panel,
                    const AdditiveGradients<T>& gradients) {
  const auto accumulate = panel.vectors == 1   ? accumulate_columns<T, 1, guard>
                          : panel.vectors == 2 ? accumulate_columns<T, 2, guard>
                                               : accumulate_columns<T, 3, guard>;
  for (std::ptrdiff_t begin = 0; begin < tile.columns; begin += additive_columns) {
    accumulate(tile, gradients, begin, std::min(additive_columns, tile.columns - begin));
  }
}

}  // namespace

template <class T>
void additive_gradients(const AdditiveTile<T>& tile, const Panel<T>& panel,
                        const AdditiveGradients<T>& gradients) {
  const int lanes = panel.lanes();
  if (few_lanes<T>(panel.count)) {
    for (int lane = 0; lane < panel.count; ++lane) accumulate_lane(tile, lanes, lane, gradients);
    return;
  }
  for (std::ptrdiff_t k = 0; k < tile.keys; ++k) {
    std::fill(gradients.dscores + k * lanes + panel.count, gradients.dscores + (k + 1) * lanes,
              T(0));
  }
  (gradients.guard ? accumulate_all<T, true> : accumulate_all<T, false>)(tile, panel, gradients);
}

template void additive_gradients(const AdditiveTile<float>&, const Panel<float>&,
                                 const AdditiveGradients<float>&);
template void additive_gradients(const AdditiveTile<double>&, const Panel<double>&,
                                 const AdditiveGradients<double>&);

}  // namespace heedful
