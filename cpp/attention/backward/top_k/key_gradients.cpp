#include "attention/backward/top_k/key_gradients.hpp"

#include <algorithm>

#include "arrays/rows.hpp"
#include "simd/packet.hpp"

namespace heedful {
namespace {

// sum += factor · row, of whole vectors.
template <class T>
void add_scaled(const T* row, T factor, std::ptrdiff_t columns, T* sum) {
  const auto factors = simd::broadcast(factor);
  for (std::ptrdiff_t column = 0; column < columns; column += simd::lanes<T>) {
    const auto total =
        simd::multiply_add(factors, simd::load(row + column), simd::load(sum + column));
    simd::store(sum + column, total);
  }
}

// totals += sums, then sums = 0.
template <class T>
void flush(T* sums, std::ptrdiff_t count, double* totals) {
  for (std::ptrdiff_t i = 0; i < count; ++i) totals[i] += static_cast<double>(sums[i]);
  std::fill_n(sums, count, T{0});
}

template <class T>
void read_padded(const TensorView& view, std::ptrdiff_t item, std::ptrdiff_t head,
                 std::ptrdiff_t row, std::ptrdiff_t columns, T* to) {
  read_row(view.row(item, head, row), view.type, view.column_stride, to, columns);
}

// Rows of the result, contiguous in T, from sums (keys, columns padded) in T or in double.
template <class T, class Sum>
void write_sums(const TensorView& to, std::ptrdiff_t item, std::ptrdiff_t head,
                std::ptrdiff_t first, std::ptrdiff_t keys, std::ptrdiff_t columns, double factor,
                const Sum* sums) {
  for (std::ptrdiff_t key = 0; key < keys; ++key) {
    T* const row = reinterpret_cast<T*>(to.row(item, head, first + key));
    const Sum* const from = sums + key * padded<T>(columns);
    for (std::ptrdiff_t column = 0; column < columns; ++column) {
      row[column] = static_cast<T>(from[column] * static_cast<Sum>(factor));
    }
  }
}

}  // namespace

template <class T>
KeyScratch<T>::KeyScratch(const TopKBackward<T>& call, std::ptrdiff_t keys, std::ptrdiff_t rows,
                          std::byte* memory) {
  const std::ptrdiff_t depth = padded<T>(call.problem.depth);
  const std::ptrdiff_t value_depth = padded<T>(call.problem.value_depth);
  WorkArea area(memory);
  query = area.take<T>(depth);
  dout = area.take<T>(value_depth);
  dkey = area.take<T>(keys * depth);
  dvalue = area.take<T>(keys * value_depth);
  const bool several = rows > level_rows;
  dkey_totals = several ? area.take<double>(keys * depth) : nullptr;
  dvalue_totals = several ? area.take<double>(keys * value_depth) : nullptr;
  bias_sums = call.bias_adds == BiasAdds::own_row ? area.take<double>(keys) : nullptr;
  size = area.size();
}

template <class T>
void write_key_gradients(const TopKBackward<T>& call, const Wave<T>& wave, std::ptrdiff_t kv_head,
                         KeyRange keys, const KeyScratch<T>& scratch, Worker& worker) {
  const Problem& problem = call.problem;
  const BackwardTensors& tensors = call.tensors;
  const std::ptrdiff_t item = kv_head / problem.num_kv_heads;
  const std::ptrdiff_t own_head = kv_head % problem.num_kv_heads, group = problem.group();
  const Item& own = problem.items[item];
  const std::ptrdiff_t depth = padded<T>(problem.depth);
  const std::ptrdiff_t value_depth = padded<T>(problem.value_depth);
  const bool several = group * own.queries > level_rows;
  std::fill_n(scratch.query, depth, T{0});
  std::fill_n(scratch.dout, value_depth, T{0});
  std::fill_n(scratch.dkey, keys.size() * depth, T{0});
  std::fill_n(scratch.dvalue, keys.size() * value_depth, T{0});
  if (several) {
    std::fill_n(scratch.dkey_totals, keys.size() * depth, 0.0);
    std::fill_n(scratch.dvalue_totals, keys.size() * value_depth, 0.0);
  }
  const auto flush_level = [&] {
    flush(scratch.dkey, keys.size() * depth, scratch.dkey_totals);
    flush(scratch.dvalue, keys.size() * value_depth, scratch.dvalue_totals);
  };

  std::ptrdiff_t row = 0;  // of the head's
  for (std::ptrdiff_t head = own_head * group; head < (own_head + 1) * group; ++head) {
    if (scratch.bias_sums) std::fill_n(scratch.bias_sums, keys.size(), 0.0);
    for (std::ptrdiff_t query = 0; query < own.queries; ++query, ++row) {
      if (row % level_rows == 0) {
        worker.check();
        if (row > 0) flush_level();
      }
      const KeyIndex* const kept = call.keys_of(item, head, query);
      const KeyIndex* const end = kept + problem.top_k;
      const KeyIndex* at = std::lower_bound(kept, end, static_cast<KeyIndex>(keys.begin));
      if (at == end || *at >= keys.end) continue;
      read_padded(tensors.query, item, head, own.query_begin + query, problem.depth, scratch.query);
      read_padded(tensors.dout, item, head, own.query_begin + query, problem.value_depth,
                  scratch.dout);
      const std::ptrdiff_t place = wave.at(problem, kv_head, row);
      for (; at != end && *at < keys.end; ++at) {
        const std::ptrdiff_t key = *at - keys.begin, from = place + (at - kept);
        add_scaled(scratch.query, wave.buffers.dproducts[from], depth, scratch.dkey + key * depth);
        add_scaled(scratch.dout, wave.buffers.probabilities[from], value_depth,
                   scratch.dvalue + key * value_depth);
        if (scratch.bias_sums) {
          scratch.bias_sums[key] += static_cast<double>(wave.buffers.dscores[from]);
        }
      }
    }
    if (scratch.bias_sums) {
      write_bias_gradient<T>(tensors.dbias, item, head, keys, scratch.bias_sums);
    }
  }

  const auto write = [&](const auto* dkey, const auto* dvalue) {
    const std::ptrdiff_t first = own.key_begin + keys.begin;
    write_sums<T>(tensors.dkey, item, own_head, first, keys.size(), problem.depth,
                  problem.product_slope(), dkey);
    write_sums<T>(tensors.dvalue, item, own_head, first, keys.size(), problem.value_depth, 1.0,
                  dvalue);
  };
  if (!several) return write(scratch.dkey, scratch.dvalue);
  flush_level();
  write(scratch.dkey_totals, scratch.dvalue_totals);
}

template struct KeyScratch<float>;
template struct KeyScratch<double>;
template void write_key_gradients(const TopKBackward<float>&, const Wave<float>&, std::ptrdiff_t,
                                  KeyRange, const KeyScratch<float>&, Worker&);
template void write_key_gradients(const TopKBackward<double>&, const Wave<double>&, std::ptrdiff_t,
                                  KeyRange, const KeyScratch<double>&, Worker&);

}  // namespace heedful
