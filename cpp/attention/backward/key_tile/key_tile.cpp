#include "attention/backward/key_tile/key_tile.hpp"

#include <algorithm>

#include "kernels/micro_kernel.hpp"
#include "kernels/nonfinite.hpp"

namespace heedful {
namespace {

// totals (+)= sums, then sums = 0.
template <class T>
void flush_sums(T* sums, std::ptrdiff_t count, bool first, double* totals) {
  for (std::ptrdiff_t i = 0; i < count; ++i) {
    totals[i] = (first ? 0.0 : totals[i]) + static_cast<double>(sums[i]);
  }
  std::fill_n(sums, count, T{0});
}

// Adds sums (rows, columns padded to whole vectors), in T or in double, to rows of the result.
template <class T, class Sum>
void add_sums(const TensorView& to, const BackwardTask& task, std::ptrdiff_t first_row,
              std::ptrdiff_t rows, std::ptrdiff_t columns, double factor, const Sum* sums) {
  const Sum scale = static_cast<Sum>(factor);
  for (std::ptrdiff_t row = 0; row < rows; ++row) {
    T* const out = reinterpret_cast<T*>(to.row(task.item, task.kv_head, first_row + row));
    const Sum* const from = sums + row * padded<T>(columns);
    if (task.chunk == 0) {  // still zeros, possibly memory that was never touched
      for (std::ptrdiff_t column = 0; column < columns; ++column)
        out[column] = static_cast<T>(from[column] * scale);
    } else {
      for (std::ptrdiff_t column = 0; column < columns; ++column)
        out[column] += static_cast<T>(from[column] * scale);
    }
  }
}

// A copy pays off if several panels read it.
template <class T>
InPlace condition(const BackwardCall<T>& call, const BackwardTask& task) {
  const std::ptrdiff_t panels = (call.partition.first_panel(task.item, task.chunk + 1) -
                                 call.partition.first_panel(task.item, task.chunk)) *
                                call.problem.group();
  return panels > 3 ? InPlace::close : InPlace::any_stride;
}

}  // namespace

template <class T>
KeyTile<T>::KeyTile(const BackwardCall<T>& call, const BackwardTask& task,
                    const BackwardScratch<T>& scratch)
    : keys(call.partition.key_tile(task.item, task.key_tile)),
      key_rows(call.tensors.key, task.item, task.kv_head, call.problem.items[task.item].key_begin,
               keys, call.problem.depth, condition(call, task), scratch.keys),
      value_rows(call.tensors.value, task.item, task.kv_head,
                 call.problem.items[task.item].key_begin, keys, call.problem.value_depth,
                 condition(call, task), scratch.values),
      call_(call),
      task_(task),
      scratch_(scratch) {}

template <class T>
void KeyTile<T>::start_panel(const VisibleKeys<T>& visible) {
  const bool writes_all = visible.keys.size() == keys.size() && !visible.score_copy &&
                          call_.problem.score_kind != ScoreKind::additive;
  accumulates_ = started() || !writes_all;
  if (!started() && accumulates_) {
    std::fill_n(scratch_.dkey, keys.size() * scratch_.depth, T{0});
    std::fill_n(scratch_.dvalue, keys.size() * scratch_.value_depth, T{0});
  }
  if (panels_ == level_panels) flush_level();
  ++panels_;
}

// sums[key][column] (+)= Σ_lane coefficients[key][lane] · rows[lane][column]
template <class T>
void KeyTile<T>::add_rows(const VisibleKeys<T>& visible, const T* coefficients, Rows<T> rows,
                          std::ptrdiff_t columns, T* sums, RowPrefetch& prefetch) {
  const std::ptrdiff_t count = visible.keys.size(), queries = visible.panel.count;
  const int lanes = visible.panel.lanes();
  if (visible.score_copy) {
    guarded_rows(visible.score_copy, coefficients, rows, count, lanes, queries, columns, sums,
                 columns);
    return;
  }
  Product<T> product{count,     queries,     0,    coefficients, lanes,       1,
                     rows.data, rows.stride, sums, columns,      accumulates_};
  product.prefetch = &prefetch;
  multiply_wide(product, columns);
}

template <class T>
void KeyTile<T>::flush_level() {
  flush_sums(scratch_.dkey, keys.size() * scratch_.depth, levels_ == 0, scratch_.dkey_totals);
  flush_sums(scratch_.dvalue, keys.size() * scratch_.value_depth, levels_ == 0,
             scratch_.dvalue_totals);
  panels_ = 0;
  ++levels_;
}

template <class T>
void KeyTile<T>::add_dvalue(const VisibleKeys<T>& visible, const T* probabilities, Rows<T> dout,
                            RowPrefetch& prefetch) {
  add_rows(visible, probabilities, dout, scratch_.value_depth, dvalue(visible.keys.begin),
           prefetch);
}

template <class T>
void KeyTile<T>::add_dkey(const VisibleKeys<T>& visible, const T* dproducts, Rows<T> query,
                          RowPrefetch& prefetch) {
  add_rows(visible, dproducts, query, scratch_.depth, dkey(visible.keys.begin), prefetch);
}

template <class T>
void KeyTile<T>::write_dquery(const VisibleKeys<T>& visible, const T* dproducts, T* dquery,
                              RowPrefetch& prefetch) {
  const Rows<T> rows = key_rows.from(visible.keys.begin);
  const std::ptrdiff_t count = visible.keys.size(), depth = call_.problem.depth;
  const int lanes = visible.panel.lanes();
  if (visible.score_copy) {
    guarded_columns(visible.score_copy, dproducts, rows, count, lanes, depth, dquery, false);
    return;
  }
  Product<T> product{
      depth,  count, visible.panel.vectors, rows.data, 1, rows.stride, dproducts, lanes,
      dquery, lanes};
  product.prefetch = &prefetch;
  multiply(product);
}

template <class T>
void KeyTile<T>::add_to_outputs() {
  if (!started()) return;
  const Problem& problem = call_.problem;
  const BackwardTensors& tensors = call_.tensors;
  const std::ptrdiff_t first = problem.items[task_.item].key_begin + keys.begin;
  const auto add = [&](const auto* dkey, const auto* dvalue) {
    add_sums<T>(tensors.dkey, task_, first, keys.size(), problem.depth, problem.product_slope(),
                dkey);
    add_sums<T>(tensors.dvalue, task_, first, keys.size(), problem.value_depth, 1, dvalue);
  };
  if (levels_ == 0) return add(scratch_.dkey, scratch_.dvalue);
  flush_level();
  add(scratch_.dkey_totals, scratch_.dvalue_totals);
}

template class KeyTile<float>;
template class KeyTile<double>;

}  // namespace heedful
