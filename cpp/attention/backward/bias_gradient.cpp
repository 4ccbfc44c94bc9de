#include "attention/backward/bias_gradient.hpp"

#include <algorithm>

#include "simd/packet.hpp"

namespace heedful {
namespace {

// dbias has one element for all keys: the sum of a row of the softmax's gradient. It is nearly 0,
// so its rounding is visible.
template <class T>
T sum_of_lane(const T* from, std::ptrdiff_t keys, std::ptrdiff_t step) {
  T totals[8] = {};
  for (std::ptrdiff_t key = 0; key < keys; ++key) totals[key % 8] += from[key * step];
  return ((totals[0] + totals[1]) + (totals[2] + totals[3])) +
         ((totals[4] + totals[5]) + (totals[6] + totals[7]));
}

template <class T>
void add_lane(char* row, std::ptrdiff_t stride, const T* from, std::ptrdiff_t keys,
              std::ptrdiff_t step) {
  for (std::ptrdiff_t key = 0; key < keys; ++key) {
    *reinterpret_cast<T*>(row + key * stride) += from[key * step];
  }
}

// W keys of W lanes at a time, transposed in registers. Two lanes may share a row, so rows are read
// and written one after another.
template <class T>
void add_square(char* const* rows, std::ptrdiff_t count, const T* from, std::ptrdiff_t step) {
  simd::Square<T> square;
#pragma GCC unroll 16
  for (int i = 0; i < simd::lanes<T>; ++i) square.packet[i] = simd::load(from + i * step);
  simd::transpose<T>(square);
#pragma GCC unroll 16
  for (int i = 0; i < simd::lanes<T>; ++i) {
    if (i >= count) break;
    T* const to = reinterpret_cast<T*>(rows[i]);
    simd::store(to, simd::add(simd::load(to), square.packet[i]));
  }
}

}  // namespace

template <class T>
void add_bias_gradient(const TensorView& dbias, std::ptrdiff_t item, const Panel<T>& panel,
                       KeyRange keys, const T* dscores) {
  if (keys.empty()) return;
  constexpr std::ptrdiff_t width = simd::lanes<T>, size = sizeof(T);
  const std::ptrdiff_t stride = dbias.column_stride, step = panel.lanes();
  const std::ptrdiff_t squares = stride == size ? keys.size() / width * width : 0;
  for (std::ptrdiff_t lane = 0; lane < panel.count; lane += width) {
    const std::ptrdiff_t count = std::min<std::ptrdiff_t>(width, panel.count - lane);
    char* rows[width];
    for (std::ptrdiff_t i = 0; i < count; ++i) {
      rows[i] = dbias.row(item, panel.head[lane + i], panel.query[lane + i]) + keys.begin * stride;
    }
    for (std::ptrdiff_t key = 0; key < squares; key += width) {
      add_square(rows, count, dscores + key * step + lane, step);
      for (std::ptrdiff_t i = 0; i < count; ++i) rows[i] += width * size;
    }
    const T* const from = dscores + squares * step + lane;
    const std::ptrdiff_t remainder = keys.size() - squares;
    for (std::ptrdiff_t i = 0; i < count; ++i) {
      if (stride == 0) {
        *reinterpret_cast<T*>(rows[i]) += sum_of_lane(from + i, remainder, step);
      } else {
        add_lane(rows[i], stride, from + i, remainder, step);
      }
    }
  }
}

template <class T>
void sum_bias_gradient(const Panel<T>& panel, std::ptrdiff_t keys, const T* dscores, double* sums) {
  constexpr int width = simd::lanes<T>;
  const std::ptrdiff_t step = panel.lanes();
  const int whole = panel.count / width * width;
  for (std::ptrdiff_t key = 0; key < keys; ++key) {
    const T* const from = dscores + key * step;
    auto total = simd::broadcast(T{0});
    for (int lane = 0; lane < whole; lane += width) {
      total = simd::add(total, simd::load(from + lane));
    }
    double sum = static_cast<double>(simd::sum(total));
    for (int lane = whole; lane < panel.count; ++lane) sum += static_cast<double>(from[lane]);
    sums[key] += sum;
  }
}

template <class T>
void write_bias_gradient(const TensorView& dbias, std::ptrdiff_t item, std::ptrdiff_t head,
                         KeyRange keys, const double* sums) {
  char* const row = dbias.row(item, head, 0);
  for (std::ptrdiff_t key = keys.begin; key < keys.end; ++key) {
    *reinterpret_cast<T*>(row + key * dbias.column_stride) = static_cast<T>(sums[key - keys.begin]);
  }
}

template void sum_bias_gradient(const Panel<float>&, std::ptrdiff_t, const float*, double*);
template void sum_bias_gradient(const Panel<double>&, std::ptrdiff_t, const double*, double*);
template void add_bias_gradient(const TensorView&, std::ptrdiff_t, const Panel<float>&, KeyRange,
                                const float*);
template void add_bias_gradient(const TensorView&, std::ptrdiff_t, const Panel<double>&, KeyRange,
                                const double*);
template void write_bias_gradient<float>(const TensorView&, std::ptrdiff_t, std::ptrdiff_t,
                                         KeyRange, const double*);
template void write_bias_gradient<double>(const TensorView&, std::ptrdiff_t, std::ptrdiff_t,
                                          KeyRange, const double*);

}  // namespace heedful
