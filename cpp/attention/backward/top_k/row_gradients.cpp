#include "attention/backward/top_k/row_gradients.hpp"

#include <algorithm>

#include "arrays/finite_cast.hpp"
#include "arrays/rows.hpp"
#include "attention/backward/delta.hpp"
#include "attention/forward/top_k/kept_scale.hpp"
#include "attention/problem/minus_infinity.hpp"
#include "attention/scores/score_tile.hpp"
#include "attention/softmax/dropout.hpp"
#include "attention/softmax/normalizer.hpp"
#include "kernels/listed_rows.hpp"
#include "simd/packet.hpp"

namespace heedful {
namespace {

// A row of a head, and its kept keys.
struct KeptRow {
  std::ptrdiff_t item, kv_head, head, query;
  const KeyIndex* keys;
  std::ptrdiff_t count;
};

template <class T>
KeptRow kept_row(const TopKBackward<T>& call, std::ptrdiff_t kv_head, std::ptrdiff_t row) {
  const Problem& problem = call.problem;
  const std::ptrdiff_t item = kv_head / problem.num_kv_heads;
  const std::ptrdiff_t own_head = kv_head % problem.num_kv_heads;
  const std::ptrdiff_t head = own_head * problem.group() + row / problem.items[item].queries;
  const std::ptrdiff_t query = row % problem.items[item].queries;
  const KeyIndex* const keys = call.keys_of(item, head, query);
  return {item,  own_head, head,
          query, keys,     std::lower_bound(keys, keys + problem.top_k, no_key) - keys};
}

// A row of query or dout as vectors, times a factor.
template <class T>
void load_vectors(const TensorView& view, const KeptRow& row, std::ptrdiff_t at,
                  std::ptrdiff_t columns, const RowVectors<T>& vectors, T factor, T* buffer,
                  T* to) {
  read_row(view.row(row.item, row.head, at), view.type, view.column_stride, buffer, columns);
  std::fill(buffer + columns, buffer + padded<T>(columns), T{0});
  vectors.spread(buffer, factor, to);
  // what the last vector repeats
  std::fill_n(to + padded<T>(columns) - (columns > 0 ? simd::lanes<T> : 0), vectors.repeated(),
              T{0});
}

// Calls visit(begin, rows, count) for the kept keys, some at a time.
template <class T, class Visit>
void for_rows(const TopKBackward<T>& call, const KeptRow& row, const GatheredRows<T>& rows,
              const Visit& visit) {
  constexpr std::ptrdiff_t max_rows = GatheredRows<T>::max_rows;
  const std::ptrdiff_t first = call.problem.items[row.item].key_begin;
  for (std::ptrdiff_t begin = 0; begin < row.count; begin += max_rows) {
    const std::ptrdiff_t count = std::min(max_rows, row.count - begin);
    visit(begin, rows.load(row.item, row.kv_head, first, row.keys + begin, count), count);
  }
}

template <class T>
void write_dprobabilities(const TopKBackward<T>& call, const KeptRow& row,
                          const RowScratch<T>& scratch) {
  for_rows(call, row, scratch.value_rows,
           [&](std::ptrdiff_t begin, const T* const* values, std::ptrdiff_t count) {
             dot_listed(scratch.dout, values, count, scratch.value_vectors,
                        scratch.dprobabilities + begin);
           });
  const TensorView& dweights = call.tensors.dweights;
  if (!dweights) return;
  const char* const from = dweights.row(row.item, row.head, row.query);
  for (std::ptrdiff_t i = 0; i < row.count; ++i) {
    scratch.dprobabilities[i] +=
        *reinterpret_cast<const T*>(from + row.keys[i] * dweights.column_stride);
  }
}

// probabilities, dscores and dproducts of all kept keys.
template <class T>
void write_dscores(const TopKBackward<T>& call, const KeptRow& row, const KeptScale<T>& scale,
                   T row_delta, const RowScratch<T>& scratch) {
  const std::ptrdiff_t whole = padded<T>(row.count);
  std::fill(scratch.scores + row.count, scratch.scores + whole, minus_infinity<T>);
  std::fill(scratch.dprobabilities + row.count, scratch.dprobabilities + whole, T{0});
  if (scratch.keep_factors) {
    std::fill_n(scratch.keep_factors, whole, T{1});
    apply_dropout_keys(call.problem, row.item, row.head, row.query, row.keys, row.count,
                       call.dropout_factor, scratch.keep_factors);
  }
  const auto base = simd::broadcast(scale.base), factor = simd::broadcast(scale.factor);
  const auto delta = simd::broadcast(row_delta);
  with_normalizer(call.rule, [&](const auto& normalizer) {
    for (std::ptrdiff_t i = 0; i < whole; i += simd::lanes<T>) {
      auto probability = normalizer.probability(simd::load(scratch.scores + i), base, factor);
      auto dprobability = simd::load(scratch.dprobabilities + i);
      if (scratch.keep_factors) {
        dprobability = simd::multiply(dprobability, simd::load(scratch.keep_factors + i));
      }
      const auto dscore = normalizer.dscore(probability, dprobability, delta);
      if (scratch.keep_factors) {
        probability = simd::multiply(probability, simd::load(scratch.keep_factors + i));
      }
      simd::store(scratch.probabilities + i, probability);
      simd::store(scratch.dscores + i, dscore);
      if (call.rule.caps()) {
        simd::store(scratch.dproducts + i,
                    simd::multiply(dscore, simd::load(scratch.cap_derivative + i)));
      }
    }
  });
}

template <class T>
void write_dquery(const TopKBackward<T>& call, const KeptRow& row, const RowScratch<T>& scratch) {
  for_rows(call, row, scratch.key_rows,
           [&](std::ptrdiff_t begin, const T* const* keys, std::ptrdiff_t count) {
             weigh_listed(scratch.dproducts + begin, keys, count, scratch.key_vectors, begin > 0,
                          scratch.dquery);
           });
  scratch.key_vectors.join(scratch.dquery, finite_cast<T>(call.problem.product_slope()),
                           scratch.row);
  const std::ptrdiff_t at = call.problem.items[row.item].query_begin + row.query;
  std::copy_n(scratch.row, call.problem.depth,
              reinterpret_cast<T*>(call.tensors.dquery.row(row.item, row.head, at)));
}

// dbias[key] += dscore, in a row of the query's own.
template <class T>
void add_dbias(const TensorView& dbias, const KeptRow& row, const T* dscores) {
  char* const to = dbias.row(row.item, row.head, row.query);
  if (dbias.column_stride == 0) {
    // one element for all keys: nearly 0, so that the rounding of its sum is visible
    double sum = 0;
    for (std::ptrdiff_t i = 0; i < row.count; ++i) sum += static_cast<double>(dscores[i]);
    *reinterpret_cast<T*>(to) += static_cast<T>(sum);
    return;
  }
  for (std::ptrdiff_t i = 0; i < row.count; ++i) {
    *reinterpret_cast<T*>(to + row.keys[i] * dbias.column_stride) += dscores[i];
  }
}

}  // namespace

template <class T>
RowScratch<T>::RowScratch(const TopKBackward<T>& call, std::byte* memory)
    : area(memory),
      key_rows(call.tensors.key, call.problem.depth, area),
      value_rows(call.tensors.value, call.problem.value_depth, area),
      key_vectors(call.problem.depth),
      value_vectors(call.problem.value_depth) {
  const std::ptrdiff_t depth = padded<T>(call.problem.depth);
  const std::ptrdiff_t value_depth = padded<T>(call.problem.value_depth);
  const std::ptrdiff_t count = padded<T>(call.problem.top_k);
  row = area.take<T>(2 * std::max(depth, value_depth));
  query = area.take<T>(depth);
  dout = area.take<T>(value_depth);
  dquery = area.take<T>(depth);
  scores = area.take<T>(count);
  buffer = area.take<T>(count);
  cap_derivative = area.take<T>(call.rule.caps() ? count : 0);
  keep_factors = call.problem.dropout_p > 0 ? area.take<T>(count) : nullptr;
  dprobabilities = area.take<T>(count);
  probabilities = area.take<T>(count);
  dscores = area.take<T>(count);
  dproducts = call.rule.caps() ? area.take<T>(count) : dscores;
}

template <class T>
void write_row_gradients(const TopKBackward<T>& call, const Wave<T>& wave, std::ptrdiff_t kv_head,
                         std::ptrdiff_t row_index, const RowScratch<T>& scratch) {
  const Problem& problem = call.problem;
  const BackwardTensors& tensors = call.tensors;
  const KeptRow row = kept_row(call, kv_head, row_index);
  const std::ptrdiff_t at = problem.items[row.item].query_begin + row.query;
  write_delta(tensors, problem.value_depth, row.item, row.head, at, 1, scratch.row);
  if (row.count == 0) return;
  const auto element = [&](const TensorView& view) {
    return *reinterpret_cast<const T*>(view.row(row.item, row.head, at));
  };

  load_vectors(tensors.query, row, at, problem.depth, scratch.key_vectors, call.rule.query_factor,
               scratch.row, scratch.query);
  load_vectors(tensors.dout, row, at, problem.value_depth, scratch.value_vectors, T{1}, scratch.row,
               scratch.dout);
  for_rows(call, row, scratch.key_rows,
           [&](std::ptrdiff_t begin, const T* const* keys, std::ptrdiff_t count) {
             dot_listed(scratch.query, keys, count, scratch.key_vectors, scratch.scores + begin);
           });
  score_keys(problem, row.item, row.head, row.query, row.keys, row.count, call.rule, scratch.scores,
             scratch.cap_derivative);
  const KeptScale<T> scale(call.rule, element(tensors.lse), scratch.scores, row.count,
                           scratch.buffer);
  write_dprobabilities(call, row, scratch);
  write_dscores(call, row, scale, element(tensors.delta), scratch);
  write_dquery(call, row, scratch);
  if (call.bias_adds == BiasAdds::with_dquery) add_dbias(tensors.dbias, row, scratch.dscores);

  const std::ptrdiff_t place = wave.at(problem, kv_head, row_index);
  std::copy_n(scratch.probabilities, row.count, wave.buffers.probabilities.data() + place);
  std::copy_n(scratch.dproducts, row.count, wave.buffers.dproducts.data() + place);
  if (call.stores_dscores()) {
    std::copy_n(scratch.dscores, row.count, wave.buffers.dscores + place);
  }
}

template struct RowScratch<float>;
template struct RowScratch<double>;
template void write_row_gradients(const TopKBackward<float>&, const Wave<float>&, std::ptrdiff_t,
                                  std::ptrdiff_t, const RowScratch<float>&);
template void write_row_gradients(const TopKBackward<double>&, const Wave<double>&, std::ptrdiff_t,
                                  std::ptrdiff_t, const RowScratch<double>&);

}  // namespace heedful
