#include <algorithm>

#include "arrays/row_loop.hpp"
#include "layers/gradient_sums.hpp"
#include "layers/linear_attention.hpp"
#include "layers/linear_attention_rows.hpp"
#include "layers/range_sums.hpp"

namespace heedful {
namespace {

template <class T>
struct Scratch {
  std::size_t size;
  Matrix<T> key, value, query, g, out, dfeatures, dvalue;
  T *key_panel, *value_panel, *scores, *dscores, *h, *sums;

  Scratch(const LinearAttention& call, std::byte* memory) {
    WorkArea area(memory);
    key = take_rows<T>(area, call.depth);
    value = take_rows<T>(area, call.value_depth);
    query = take_rows<T>(area, call.depth);
    g = take_rows<T>(area, call.value_depth);
    out = take_rows<T>(area, call.value_depth);
    dfeatures = take_rows<T>(area, call.depth);
    dvalue = take_rows<T>(area, call.value_depth);
    key_panel = area.take<T>(key.stride * chunk_rows);
    value_panel = area.take<T>(value.stride * chunk_rows);
    scores = area.take<T>(chunk_rows * chunk_rows);
    dscores = area.take<T>(chunk_rows * chunk_rows);
    h = area.take<T>(chunk_rows);
    sums = area.take<T>(std::max(KeySide<T>::size(call), QuerySide<T>::size(call)));
    size = area.size();
  }
};

template <class T>
class Backward {
 public:
  Backward(const LinearAttention& call, const TensorView& dout, const TensorView& out,
           const TensorView& norm, const TensorView& dquery, const TensorView& dkey,
           const TensorView& dvalue)
      : call_(call),
        dout_(dout),
        out_(out),
        norm_(norm),
        dquery_(dquery),
        dkey_(dkey),
        dvalue_(dvalue) {}

  void run(const Team& team) {
    const std::size_t bytes = Scratch<T>(call_, nullptr).size;
    if (keys_.count() == 1 && queries_.count() == 1) {
      parallel_for(2 * call_.lines(), team, bytes, [&](std::ptrdiff_t task, Worker& worker) {
        const Scratch<T> scratch(call_, worker.scratch);
        if (task < call_.lines()) {  // the longer tasks first
          write_line_of_keys(task, scratch, worker);
        } else {
          write_line_of_queries(task - call_.lines(), scratch, worker);
        }
      });
      return;
    }
    const std::ptrdiff_t of_queries = call_.lines() * queries_.count();
    const std::ptrdiff_t of_keys = call_.lines() * keys_.count();
    using Sums = RangeSums<T>;
    Sums keys(call_.lines(), keys_.count(), KeySide<T>::size(call_), Sums::Sees::before);
    Sums queries(call_.lines(), queries_.count(), QuerySide<T>::size(call_), Sums::Sees::after);
    parallel_for(of_queries + of_keys, team, bytes, [&](std::ptrdiff_t task, Worker& worker) {
      const Scratch<T> scratch(call_, worker.scratch);
      if (task < of_queries) {
        const std::ptrdiff_t line = task / queries_.count(), range = task % queries_.count();
        sum_queries(line, range, {call_, queries.own(line, range)}, scratch, worker);
      } else {
        const std::ptrdiff_t line = (task - of_queries) / keys_.count(),
                             range = (task - of_queries) % keys_.count();
        sum_keys(line, range, {call_, keys.own(line, range)}, scratch, worker);
      }
    });
    parallel_for(call_.lines(), team, 0, [&](std::ptrdiff_t line, Worker&) {
      keys.accumulate(line);
      queries.accumulate(line);
    });
    parallel_for(of_keys + of_queries, team, bytes, [&](std::ptrdiff_t task, Worker& worker) {
      const Scratch<T> scratch(call_, worker.scratch);
      // causal: of the ranges after or before; this task alone uses and updates them
      if (task < of_keys) {
        const std::ptrdiff_t line = task / keys_.count(), range = task % keys_.count();
        T* const seeing = call_.causal ? queries.seen(line, range) : queries.total(line);
        write_dkeys(line, range, {call_, seeing}, scratch, worker);
      } else {
        const std::ptrdiff_t line = (task - of_keys) / queries_.count(),
                             range = (task - of_keys) % queries_.count();
        T* const seen = call_.causal ? keys.seen(line, range) : keys.total(line);
        write_dqueries(line, range, {call_, seen}, scratch, worker);
      }
    });
  }

 private:
  // Sequences of one range need no table of sums.
  void write_line_of_keys(std::ptrdiff_t line, const Scratch<T>& scratch, Worker& worker) const {
    std::fill_n(scratch.sums, QuerySide<T>::size(call_), T{0});
    const QuerySide<T> seeing(call_, scratch.sums);
    if (!call_.causal) sum_queries(line, 0, seeing, scratch, worker);
    write_dkeys(line, 0, seeing, scratch, worker);
  }

  void write_line_of_queries(std::ptrdiff_t line, const Scratch<T>& scratch, Worker& worker) const {
    std::fill_n(scratch.sums, KeySide<T>::size(call_), T{0});
    const KeySide<T> seen(call_, scratch.sums);
    if (!call_.causal) sum_keys(line, 0, seen, scratch, worker);
    write_dqueries(line, 0, seen, scratch, worker);
  }

  void sum_keys(std::ptrdiff_t line, std::ptrdiff_t range, KeySide<T> sums,
                const Scratch<T>& scratch, Worker& worker) const {
    for (std::ptrdiff_t first = keys_.begin(range); first < keys_.end(range); first += chunk_rows) {
      worker.check();
      const auto rows = ChunkRows::of(call_, line, first, keys_.end(range));
      load_keys(call_, rows, scratch.key, scratch.value);
      sums.add(call_, rows.count, scratch.key, scratch.value);
    }
  }

  void sum_queries(std::ptrdiff_t line, std::ptrdiff_t range, QuerySide<T> sums,
                   const Scratch<T>& scratch, Worker& worker) const {
    for (std::ptrdiff_t first = queries_.begin(range); first < queries_.end(range);
         first += chunk_rows) {
      worker.check();
      const auto rows = ChunkRows::of(call_, line, first, queries_.end(range));
      for (std::ptrdiff_t member = 0; member < call_.group(); ++member) {
        load_query_side(rows, rows.kv_head * call_.group() + member, scratch);
        sums.add(call_, rows.count, scratch.query, scratch.g, scratch.h);
      }
    }
  }

  // φ(q), g and h of one query head.
  void load_query_side(const ChunkRows& rows, std::ptrdiff_t head,
                       const Scratch<T>& scratch) const {
    load_queries(call_, rows, head, scratch.query);
    copy_rows(dout_, rows.item, head, rows.first, rows.count, call_.value_depth, scratch.g.data);
    copy_rows(out_, rows.item, head, rows.first, rows.count, call_.value_depth, scratch.out.data);
    for (std::ptrdiff_t i = 0; i < rows.count; ++i) {
      const T sum = *reinterpret_cast<const T*>(norm_.row(rows.item, head, rows.first + i));
      T* const g = scratch.g.row(i);
      const T factor = T{1} / sum;
      if (sum == 0) {
        std::fill_n(g, scratch.g.stride, T{0});
      } else {
        for_each_element<T>(scratch.g.stride, [&](auto at) {
          at.store(g, simd::multiply(at.load(g), at.all(factor)));
        });
      }
      scratch.h[i] = -dot(g, scratch.out.row(i), scratch.g.stride);
    }
  }

  // `seen`: the sums over all keys; causal: over those before the range, updated to its end.
  void write_dqueries(std::ptrdiff_t line, std::ptrdiff_t range, KeySide<T> seen,
                      const Scratch<T>& scratch, Worker& worker) const {
    for (std::ptrdiff_t first = queries_.begin(range); first < queries_.end(range);
         first += chunk_rows) {
      worker.check();
      const auto rows = ChunkRows::of(call_, line, first, queries_.end(range));
      Matrix<T> transposed_value;
      if (call_.causal) {
        load_keys(call_, rows, scratch.key, scratch.value);
        transposed_value = transpose_chunk(rows.count, scratch.value, scratch.value_panel);
      }
      for (std::ptrdiff_t member = 0; member < call_.group(); ++member) {
        const std::ptrdiff_t head = rows.kv_head * call_.group() + member;
        load_query_side(rows, head, scratch);
        multiply_rows(rows.count, scratch.g, call_.value_depth, seen.values, scratch.dfeatures);
        for (std::ptrdiff_t i = 0; i < rows.count; ++i) {
          T* const row = scratch.dfeatures.row(i);
          for_each_element<T>(scratch.dfeatures.stride, [&](auto at) {
            at.store(row, simd::multiply_add(at.load(seen.features), at.all(scratch.h[i]),
                                             at.load(row)));
          });
        }
        if (call_.causal) {
          const LowerScores<T> own{rows.count, {scratch.dscores, transposed_value.stride}};
          own.compute(scratch.g, call_.value_depth, transposed_value, scratch.h);
          own.add_to_queries(scratch.key, scratch.dfeatures);
        }
        feature_gradient(rows.count, scratch.query, scratch.dfeatures);
        write_rows(dquery_, rows, head, call_.depth, scratch.dfeatures);
      }
      if (call_.causal) seen.add(call_, rows.count, scratch.key, scratch.value);
    }
  }

  // `seeing`: the sums over all queries; causal: over those after the range, updated to its start.
  void write_dkeys(std::ptrdiff_t line, std::ptrdiff_t range, QuerySide<T> seeing,
                   const Scratch<T>& scratch, Worker& worker) const {
    const std::ptrdiff_t length = keys_.end(range) - keys_.begin(range);
    for (std::ptrdiff_t chunk = (length + chunk_rows - 1) / chunk_rows; chunk-- > 0;) {
      worker.check();
      const auto rows =
          ChunkRows::of(call_, line, keys_.begin(range) + chunk * chunk_rows, keys_.end(range));
      load_keys(call_, rows, scratch.key, scratch.value);
      multiply_rows(rows.count, scratch.value, call_.value_depth, seeing.transposed,
                    scratch.dfeatures);
      for (std::ptrdiff_t i = 0; i < rows.count; ++i) {
        T* const row = scratch.dfeatures.row(i);
        for_each_element<T>(scratch.dfeatures.stride, [&](auto at) {
          at.store(row, simd::add(at.load(row), at.load(seeing.features)));
        });
      }
      multiply_rows(rows.count, scratch.key, call_.depth, seeing.values, scratch.dvalue);
      if (call_.causal) add_own_queries(rows, seeing, scratch);
      feature_gradient(rows.count, scratch.key, scratch.dfeatures);
      for (std::ptrdiff_t i = 0; i < rows.count; ++i) {
        if (is_kept(call_, rows, i)) continue;
        std::fill_n(scratch.dfeatures.row(i), scratch.dfeatures.stride, T{0});
        std::fill_n(scratch.dvalue.row(i), scratch.dvalue.stride, T{0});
      }
      write_rows(dkey_, rows, rows.kv_head, call_.depth, scratch.dfeatures);
      write_rows(dvalue_, rows, rows.kv_head, call_.value_depth, scratch.dvalue);
    }
  }

  // Adds what the chunk's own queries contribute to its keys, then the queries to `seeing`.
  void add_own_queries(const ChunkRows& rows, QuerySide<T>& seeing,
                       const Scratch<T>& scratch) const {
    const auto transposed_key = transpose_chunk(rows.count, scratch.key, scratch.key_panel);
    const auto transposed_value = transpose_chunk(rows.count, scratch.value, scratch.value_panel);
    const LowerScores<T> scores{rows.count, {scratch.scores, transposed_key.stride}};
    const LowerScores<T> dscores{rows.count, {scratch.dscores, transposed_value.stride}};
    for (std::ptrdiff_t member = 0; member < call_.group(); ++member) {
      load_query_side(rows, rows.kv_head * call_.group() + member, scratch);
      scores.compute(scratch.query, call_.depth, transposed_key);
      scores.add_to_keys(scratch.g, scratch.dvalue);
      dscores.compute(scratch.g, call_.value_depth, transposed_value, scratch.h);
      dscores.add_to_keys(scratch.query, scratch.dfeatures);
      seeing.add(call_, rows.count, scratch.query, scratch.g, scratch.h);
    }
  }

  const LinearAttention& call_;
  const TensorView &dout_, &out_, &norm_, &dquery_, &dkey_, &dvalue_;
  const RowRanges keys_{call_.keys}, queries_{call_.queries};
};

}  // namespace

template <class T>
void linear_attention_backward(const LinearAttention& call, const TensorView& dout,
                               const TensorView& out, const TensorView& norm,
                               const TensorView& dquery, const TensorView& dkey,
                               const TensorView& dvalue, const Team& team) {
  Cost cost = cost_of(call);
  cost.multiply_adds *= 3;
  Backward<T>(call, dout, out, norm, dquery, dkey, dvalue).run(threads_for(cost, team));
}

template void linear_attention_backward<float>(const LinearAttention&, const TensorView&,
                                               const TensorView&, const TensorView&,
                                               const TensorView&, const TensorView&,
                                               const TensorView&, const Team&);
template void linear_attention_backward<double>(const LinearAttention&, const TensorView&,
                                                const TensorView&, const TensorView&,
                                                const TensorView&, const TensorView&,
                                                const TensorView&, const Team&);

}  // namespace heedful
