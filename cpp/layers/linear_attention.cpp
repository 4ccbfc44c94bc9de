#include "layers/linear_attention.hpp"

#include <algorithm>

#include "arrays/row_loop.hpp"
#include "layers/linear_attention_rows.hpp"
#include "layers/range_sums.hpp"

namespace heedful {
namespace {

// The sums of one range: S, then z.
template <class T>
struct Sums {
  Matrix<T> values;  // (D, Dv rounded up to full vectors)
  T* features;       // (D, likewise)

  Sums(const LinearAttention& call, T* memory)
      : values{memory, padded<T>(call.value_depth)},
        features(memory + call.depth * values.stride) {}

  static std::ptrdiff_t size(const LinearAttention& call) {
    return call.depth * padded<T>(call.value_depth) + padded<T>(call.depth);
  }

  void clear(const LinearAttention& call) { std::fill_n(values.data, size(call), T{0}); }

  void add_keys(const LinearAttention& call, std::ptrdiff_t count, Matrix<T> key, Matrix<T> value) {
    add_outer(count, key, call.depth, value, values);
    add_rows<T>(count, key, nullptr, features);
  }
};

template <class T>
struct Scratch {
  std::size_t size;
  Matrix<T> key, value, query, out;
  T *panel, *scores, *sums;

  Scratch(const LinearAttention& call, std::byte* memory) {
    WorkArea area(memory);
    key = take_rows<T>(area, call.depth);
    value = take_rows<T>(area, call.value_depth);
    query = take_rows<T>(area, call.depth);
    out = take_rows<T>(area, call.value_depth);
    panel = area.take<T>(key.stride * chunk_rows);
    scores = area.take<T>(chunk_rows * chunk_rows);
    sums = area.take<T>(Sums<T>::size(call));
    size = area.size();
  }
};

template <class T>
class Forward {
 public:
  Forward(const LinearAttention& call, KeySums<const T> before, const TensorView& out,
          const TensorView& norm, KeySums<T> added)
      : call_(call), before_(before), out_(out), norm_(norm), added_(added) {}

  void run(const Team& team) {
    const std::size_t bytes = Scratch<T>(call_, nullptr).size;
    const std::ptrdiff_t lines = call_.lines();
    if (keys_.count() == 1 && queries_.count() == 1) {
      parallel_for(lines, team, bytes, [&](std::ptrdiff_t line, Worker& worker) {
        attend_line(line, Scratch<T>(call_, worker.scratch), worker);
      });
      return;
    }
    RangeSums<T> sums(lines, keys_.count(), Sums<T>::size(call_), RangeSums<T>::Sees::before);
    parallel_for(lines * keys_.count(), team, bytes, [&](std::ptrdiff_t task, Worker& worker) {
      const std::ptrdiff_t line = task / keys_.count(), range = task % keys_.count();
      sum_keys(line, range, {call_, sums.own(line, range)}, Scratch<T>(call_, worker.scratch),
               worker);
    });
    parallel_for(lines, team, 0, [&](std::ptrdiff_t line, Worker&) {
      sums.accumulate(line);
      if (added_) write_added(line, {call_, sums.total(line)});
      for (std::ptrdiff_t range = 0; before_ && range < keys_.count(); ++range) {
        add_before(line, {call_, sums.seen(line, range)});
      }
      if (before_) add_before(line, {call_, sums.total(line)});
    });
    parallel_for(lines * queries_.count(), team, bytes, [&](std::ptrdiff_t task, Worker& worker) {
      const std::ptrdiff_t line = task / queries_.count(), range = task % queries_.count();
      // causal: of the ranges before; this task alone uses and updates them
      T* const seen = call_.causal ? sums.seen(line, range) : sums.total(line);
      attend_range(line, range, {call_, seen}, Scratch<T>(call_, worker.scratch), worker);
    });
  }

 private:
  // A sequence of one range needs no table of sums.
  void attend_line(std::ptrdiff_t line, const Scratch<T>& scratch, Worker& worker) {
    Sums<T> sums(call_, scratch.sums);
    sums.clear(call_);
    if (added_ || !call_.causal) {
      sum_keys(line, 0, sums, scratch, worker);
      if (added_) write_added(line, sums);
      if (call_.causal) sums.clear(call_);
    }
    if (before_) add_before(line, sums);
    attend_range(line, 0, sums, scratch, worker);
  }

  void sum_keys(std::ptrdiff_t line, std::ptrdiff_t range, Sums<T> sums, const Scratch<T>& scratch,
                Worker& worker) const {
    for (std::ptrdiff_t first = keys_.begin(range); first < keys_.end(range); first += chunk_rows) {
      worker.check();
      const auto rows = ChunkRows::of(call_, line, first, keys_.end(range));
      load_keys(call_, rows, scratch.key, scratch.value);
      sums.add_keys(call_, rows.count, scratch.key, scratch.value);
    }
  }

  // `seen`: the sums over all keys; causal: over those before the range, updated to its end.
  void attend_range(std::ptrdiff_t line, std::ptrdiff_t range, Sums<T> seen,
                    const Scratch<T>& scratch, Worker& worker) const {
    for (std::ptrdiff_t first = queries_.begin(range); first < queries_.end(range);
         first += chunk_rows) {
      worker.check();
      const auto rows = ChunkRows::of(call_, line, first, queries_.end(range));
      Matrix<T> transposed_key;
      if (call_.causal) {
        load_keys(call_, rows, scratch.key, scratch.value);
        transposed_key = transpose_chunk(rows.count, scratch.key, scratch.panel);
      }
      for (std::ptrdiff_t member = 0; member < call_.group(); ++member) {
        attend(rows, rows.kv_head * call_.group() + member, seen, transposed_key, scratch);
      }
      if (call_.causal) seen.add_keys(call_, rows.count, scratch.key, scratch.value);
    }
  }

  // One query head.
  void attend(const ChunkRows& rows, std::ptrdiff_t head, const Sums<T>& seen,
              Matrix<T> transposed_key, const Scratch<T>& scratch) const {
    load_queries(call_, rows, head, scratch.query);
    multiply_rows(rows.count, scratch.query, call_.depth, seen.values, scratch.out);
    const LowerScores<T> own{rows.count, {scratch.scores, transposed_key.stride}};
    if (call_.causal) {
      own.compute(scratch.query, call_.depth, transposed_key);
      own.add_to_queries(scratch.value, scratch.out);
    }
    for (std::ptrdiff_t i = 0; i < rows.count; ++i) {
      T sum = dot(scratch.query.row(i), seen.features, scratch.query.stride);
      if (call_.causal) sum += own.row_sum(i);
      *reinterpret_cast<T*>(norm_.row(rows.item, head, rows.first + i)) = sum;
      T* const row = scratch.out.row(i);
      const T factor = T{1} / sum;
      if (sum == 0) {
        std::fill_n(row, scratch.out.stride, T{0});
      } else {
        for_each_element<T>(scratch.out.stride, [&](auto at) {
          at.store(row, simd::multiply(at.load(row), at.all(factor)));
        });
      }
    }
    write_rows(out_, rows, head, call_.value_depth, scratch.out);
  }

  void write_added(std::ptrdiff_t line, const Sums<T>& total) const {
    for (std::ptrdiff_t d = 0; d < call_.depth; ++d) {
      std::copy_n(total.values.row(d), call_.value_depth,
                  added_.values + (line * call_.depth + d) * call_.value_depth);
    }
    std::copy_n(total.features, call_.depth, added_.features + line * call_.depth);
  }

  void add_before(std::ptrdiff_t line, const Sums<T>& sums) const {
    const auto add = [](const T* from, std::ptrdiff_t count, T* to) {
      for_each_element<T>(count,
                          [&](auto at) { at.store(to, simd::add(at.load(to), at.load(from))); });
    };
    for (std::ptrdiff_t d = 0; d < call_.depth; ++d) {
      add(before_.values + (line * call_.depth + d) * call_.value_depth, call_.value_depth,
          sums.values.row(d));
    }
    add(before_.features + line * call_.depth, call_.depth, sums.features);
  }

  const LinearAttention& call_;
  const KeySums<const T> before_;
  const TensorView &out_, &norm_;
  const KeySums<T> added_;
  const RowRanges keys_{call_.keys}, queries_{call_.queries};
};

}  // namespace

Cost cost_of(const LinearAttention& call) {
  const double rows =
      static_cast<double>(call.items) * (static_cast<double>(call.heads * call.queries) +
                                         static_cast<double>(call.kv_heads * call.keys));
  const double widths = static_cast<double>(call.depth + call.value_depth);
  const double own = call.causal ? widths * chunk_rows / 2 : 0;
  return {rows * (static_cast<double>(call.depth) * static_cast<double>(call.value_depth) + own), 0,
          rows * widths};
}

template <class T>
void linear_attention_forward(const LinearAttention& call, KeySums<const T> before,
                              const TensorView& out, const TensorView& norm, KeySums<T> added,
                              const Team& team) {
  Forward<T>(call, before, out, norm, added).run(threads_for(cost_of(call), team));
}

template void linear_attention_forward(const LinearAttention&, KeySums<const float>,
                                       const TensorView&, const TensorView&, KeySums<float>,
                                       const Team&);
template void linear_attention_forward(const LinearAttention&, KeySums<const double>,
                                       const TensorView&, const TensorView&, KeySums<double>,
                                       const Team&);

}  // namespace heedful
