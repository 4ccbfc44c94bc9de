#include "layers/rotary.hpp"

#include <algorithm>
#include <cstdlib>

#include "arrays/prefetch.hpp"
#include "arrays/row_loop.hpp"
#include "arrays/rows.hpp"
#include "simd/packet.hpp"

namespace heedful {
namespace {

using simd::add;
using simd::multiply;
using simd::subtract;

template <class T>
void rotate_halves(const T* x, const T* cos, const T* sin, std::ptrdiff_t pairs, T* y) {
  for_each_element<T>(pairs, [&](auto at) {
    const auto first = at.load(x), second = at.load(x + pairs);
    const auto along = at.load(cos), across = at.load(sin);
    at.store(y, subtract(multiply(first, along), multiply(second, across)));
    at.store(y + pairs, add(multiply(second, along), multiply(first, across)));
  });
}

template <class T>
void rotate_interleaved(const T* x, const T* cos, const T* sin, std::ptrdiff_t pairs, T* y) {
  constexpr std::ptrdiff_t width = simd::lanes<T>;
  std::ptrdiff_t i = 0;
  for (; i + width <= pairs; i += width) {
    const auto low = simd::load(x + 2 * i), high = simd::load(x + 2 * i + width);
    const auto first = simd::evens<T>(low, high), second = simd::odds<T>(low, high);
    const auto along = simd::load(cos + i), across = simd::load(sin + i);
    const auto left = subtract(multiply(first, along), multiply(second, across));
    const auto right = add(multiply(second, along), multiply(first, across));
    simd::store(y + 2 * i, simd::zip_low<T>(left, right));
    simd::store(y + 2 * i + width, simd::zip_high<T>(left, right));
  }
  for (; i < pairs; ++i) {
    const T first = x[2 * i], second = x[2 * i + 1];
    y[2 * i] = first * cos[i] - second * sin[i];
    y[2 * i + 1] = second * cos[i] + first * sin[i];
  }
}

// The partition into tasks: rows of one item and of a head, or of all heads where the stride of
// heads is smaller than that of rows.
struct Partition {
  bool heads_together;
  std::ptrdiff_t heads, rows;  // of a task
  std::ptrdiff_t head_tasks, row_tasks;

  explicit Partition(const Rotary& call) {
    constexpr std::ptrdiff_t max_elements = 16384;
    heads_together = std::abs(call.x.head_stride) < std::abs(call.x.row_stride);
    heads = heads_together ? call.heads : 1;
    rows =
        std::max<std::ptrdiff_t>(max_elements / std::max<std::ptrdiff_t>(heads * call.depth, 1), 1);
    head_tasks = heads_together ? 1 : call.heads;
    row_tasks = (call.rows + rows - 1) / rows;
  }
};

template <class T>
void rotate_row(const Rotary& call, std::ptrdiff_t item, std::ptrdiff_t head, std::ptrdiff_t row,
                T* buffer) {
  const char* const from = call.x.row(item, head, row);
  char* const to = call.y.row(item, head, row);
  const T* x = reinterpret_cast<const T*>(from);
  T* y = reinterpret_cast<T*>(to);
  if (!call.x.in_place<T>()) {
    read_row(from, call.x.type, call.x.column_stride, buffer, call.depth);
    x = buffer;
  }
  if (!call.y.in_place<T>()) y = buffer;
  const T* const cos = reinterpret_cast<const T*>(call.cos.row(item, 0, row));
  const T* const sin = reinterpret_cast<const T*>(call.sin.row(item, 0, row));
  (call.interleaved ? rotate_interleaved<T> : rotate_halves<T>)(x, cos, sin, call.pairs, y);
  if (x != y) std::copy(x + 2 * call.pairs, x + call.depth, y + 2 * call.pairs);
  if (y == buffer) write_row(y, to, call.y.type, call.y.column_stride, call.depth);
}

}  // namespace

template <class T>
void rotate_rows(const Rotary& call, const Team& team) {
  const Partition partition(call);
  const bool converts = !call.x.in_place<T>() || !call.y.in_place<T>();
  const std::size_t bytes = converts ? static_cast<std::size_t>(call.depth) * sizeof(T) : 0;
  const std::ptrdiff_t row_bytes = call.depth * element_size(call.x.type);
  const auto run = [&](std::ptrdiff_t task, Worker& worker) {
    const std::ptrdiff_t unit = task / partition.row_tasks,
                         begin = task % partition.row_tasks * partition.rows;
    const std::ptrdiff_t item = unit / partition.head_tasks;
    const std::ptrdiff_t first = partition.heads_together ? 0 : unit % partition.head_tasks;
    T* const buffer = reinterpret_cast<T*>(worker.scratch);
    for (std::ptrdiff_t row = begin; row < std::min(begin + partition.rows, call.rows); ++row) {
      for (std::ptrdiff_t head = first; head < first + partition.heads; ++head) {
        // the hardware prefetcher does not follow rows that are not contiguous
        prefetch_row(call.x.row(item, head, row + 1), row_bytes);
        rotate_row(call, item, head, row, buffer);
      }
    }
  };
  parallel_for(call.items * partition.head_tasks * partition.row_tasks,
               threads_for(cost_of(call), team), bytes, run);
}

template void rotate_rows<float>(const Rotary&, const Team&);
template void rotate_rows<double>(const Rotary&, const Team&);

}  // namespace heedful
