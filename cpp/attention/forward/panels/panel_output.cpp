#include "attention/forward/panels/panel_output.hpp"

#include <algorithm>

#include "arrays/panel_transposes.hpp"
#include "kernels/micro_kernel.hpp"

namespace heedful {
namespace {

template <class T>
char* row_of_out(const ForwardCall<T>& call, std::ptrdiff_t item, const Panel<T>& panel, int lane) {
  const std::ptrdiff_t row = call.problem.items[item].query_begin + panel.query[lane];
  return call.out.row(item, panel.head[lane], row);
}

}  // namespace

template <class T>
void write_rows(const ForwardCall<T>& call, std::ptrdiff_t item, const Panel<T>& panel,
                const T* rows) {
  const std::ptrdiff_t columns = call.problem.value_depth;
  if (panel.one_head && call.out.row_stride == columns * call.out.column_stride) {
    // rows without gaps are one long row
    write_row(rows, row_of_out(call, item, panel, 0), call.out.type, call.out.column_stride,
              panel.count * columns);
    return;
  }
  for (int lane = 0; lane < panel.count; ++lane) {
    write_row(rows + lane * columns, row_of_out(call, item, panel, lane), call.out.type,
              call.out.column_stride, columns);
  }
}

template <class T>
void write_weighted(const ForwardCall<T>& call, std::ptrdiff_t item, const Panel<T>& panel,
                    const RunningSoftmax<T>& state, const T* weights, std::ptrdiff_t keys,
                    Rows<T> values, T* rows, RowPrefetch& prefetch) {
  T factors[Panel<T>::max_lanes];
  out_factors(call.rule, state.sum, call.dropout_factor, panel.lanes(), factors);
  // the rows of a panel of one head are one stride apart
  const bool in_place = call.out.template in_place<T>() && panel.one_head;
  T* const out = in_place ? reinterpret_cast<T*>(row_of_out(call, item, panel, 0)) : rows;
  const std::ptrdiff_t stride = in_place
                                    ? call.out.row_stride / static_cast<std::ptrdiff_t>(sizeof(T))
                                    : call.problem.value_depth;
  Product<T> product{panel.count, keys,          0,   weights, 1, panel.lanes(),
                     values.data, values.stride, out, stride};
  product.row_factors = factors;
  product.prefetch = &prefetch;
  multiply_wide(product, call.problem.value_depth);
  if (!in_place) write_rows(call, item, panel, rows);
}

template <class T>
void write_out(const ForwardCall<T>& call, std::ptrdiff_t item, const Panel<T>& panel,
               const RunningSoftmax<T>& state, T* rows) {
  const bool in_place = call.out.template in_place<T>();
  // initialised: g++ does not see at every level that a panel has lanes
  alignas(64) T factors[Panel<T>::max_lanes] = {};
  T* to[Panel<T>::max_lanes] = {};
  out_factors(call.rule, state.sum, call.dropout_factor, panel.lanes(), factors);
  for (int lane = 0; lane < panel.lanes(); ++lane) {
    to[lane] = in_place && lane < panel.count
                   ? reinterpret_cast<T*>(row_of_out(call, item, panel, lane))
                   // padding lanes share one row
                   : rows + std::min(lane, panel.count) * call.problem.value_depth;
  }
  panel_to_rows(state.out, panel.lanes(), call.problem.value_depth, factors, to);
  if (!in_place) write_rows(call, item, panel, rows);
}

template <class T>
void write_lse(const ForwardCall<T>& call, std::ptrdiff_t item, const Panel<T>& panel,
               const RunningSoftmax<T>& state) {
  for (int lane = 0; lane < panel.count; ++lane) {
    write_lse(call, item, Row{panel.head[lane], panel.query[lane]},
              log_sum_exp(call.rule, state.maximum[lane], state.sum[lane]));
  }
}

template <class T>
void write_split(const Problem& problem, const Panel<T>& panel, std::ptrdiff_t first_row,
                 const RunningSoftmax<T>& state, const KeySplit<T>& split, T* rows) {
  alignas(64) T factors[Panel<T>::max_lanes];
  T* to[Panel<T>::max_lanes];
  for (int lane = 0; lane < panel.lanes(); ++lane) {
    factors[lane] = 1;
    to[lane] = lane < panel.count ? split.out + (first_row + lane) * problem.value_depth : rows;
  }
  panel_to_rows(state.out, panel.lanes(), problem.value_depth, factors, to);
  std::copy_n(state.maximum, panel.count, split.maximum + first_row);
  std::copy_n(state.sum, panel.count, split.sum + first_row);
}

template void write_weighted(const ForwardCall<float>&, std::ptrdiff_t, const Panel<float>&,
                             const RunningSoftmax<float>&, const float*, std::ptrdiff_t,
                             Rows<float>, float*, RowPrefetch&);
template void write_weighted(const ForwardCall<double>&, std::ptrdiff_t, const Panel<double>&,
                             const RunningSoftmax<double>&, const double*, std::ptrdiff_t,
                             Rows<double>, double*, RowPrefetch&);
template void write_rows(const ForwardCall<float>&, std::ptrdiff_t, const Panel<float>&,
                         const float*);
template void write_rows(const ForwardCall<double>&, std::ptrdiff_t, const Panel<double>&,
                         const double*);
template void write_out(const ForwardCall<float>&, std::ptrdiff_t, const Panel<float>&,
                        const RunningSoftmax<float>&, float*);
template void write_out(const ForwardCall<double>&, std::ptrdiff_t, const Panel<double>&,
                        const RunningSoftmax<double>&, double*);
template void write_lse(const ForwardCall<float>&, std::ptrdiff_t, const Panel<float>&,
                        const RunningSoftmax<float>&);
template void write_lse(const ForwardCall<double>&, std::ptrdiff_t, const Panel<double>&,
                        const RunningSoftmax<double>&);
template void write_split(const Problem&, const Panel<float>&, std::ptrdiff_t,
                          const RunningSoftmax<float>&, const KeySplit<float>&, float*);
template void write_split(const Problem&, const Panel<double>&, std::ptrdiff_t,
                          const RunningSoftmax<double>&, const KeySplit<double>&, double*);

}  // namespace heedful
