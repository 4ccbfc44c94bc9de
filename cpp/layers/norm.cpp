#include "layers/norm.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "arrays/even_ranges.hpp"
#include "arrays/prefetch.hpp"
#include "arrays/row_loop.hpp"
#include "parallel/scratch.hpp"

namespace heedful {
namespace {

// Ranges of rows: enough for many threads, few enough that adding their sums is cheap.
EvenRanges ranges_of(std::ptrdiff_t rows) {
  return {rows, std::clamp<std::ptrdiff_t>(rows / 16, 1, 64)};
}

// Number of rows whose gradients are summed one after another in T.
constexpr std::ptrdiff_t level_rows = 256;

// Bytes of the next row, which is prefetched while one is processed in several passes: in none of
// them does the hardware prefetcher read far enough ahead.
template <class T>
std::ptrdiff_t row_bytes(const Norm<T>& norm) {
  return norm.columns * static_cast<std::ptrdiff_t>(sizeof(T));
}

// Mean and 1 / √(variance) of a row whose squares, or whose sum, overflow: computed of the row
// scaled down by a power of two. epsilon is negligible beside such a variance.
template <class T>
struct Statistics {
  T mean, rstd;
};

template <class T>
[[gnu::noinline]] Statistics<T> scaled_statistics(const T* x, std::ptrdiff_t columns,
                                                  bool centred) {
  const T shrink = std::ldexp(T{1}, -std::numeric_limits<T>::max_exponent / 2 - 16);
  const T count = static_cast<T>(columns);
  const auto small = [&](auto at) { return simd::multiply(at.load(x), at.all(shrink)); };
  const T mean = centred ? sum_elements<T>(columns, small) / count : T{0};
  const T squares = sum_elements<T>(columns, [&](auto at) {
    const auto distance = simd::subtract(small(at), at.all(mean));
    return simd::multiply(distance, distance);
  });
  return {mean / shrink, shrink / std::sqrt(squares / count)};
}

template <class T>
void forward_row(const Norm<T>& norm, const T* x, const T* bias, T* y, T* mean, T& rstd) {
  const std::ptrdiff_t columns = norm.columns;
  const T count = static_cast<T>(std::max<std::ptrdiff_t>(columns, 1));
  T row_mean = 0;
  if (mean) {
    row_mean = sum_elements<T>(columns, [&](auto at) { return at.load(x); }) / count;
  }
  const T squares = sum_elements<T>(columns, [&](auto at) {
    const auto distance = simd::subtract(at.load(x), at.all(row_mean));
    return simd::multiply(distance, distance);
  });
  T scale = T{1} / std::sqrt(squares / count + norm.epsilon);
  if (!std::isfinite(squares)) [[unlikely]] {
    const Statistics<T> scaled = scaled_statistics(x, columns, mean != nullptr);
    row_mean = scaled.mean, scale = scaled.rstd;
  }
  if (mean) *mean = row_mean;
  rstd = scale;
  for_each_element<T>(columns, [&](auto at) {
    auto value = simd::multiply(simd::subtract(at.load(x), at.all(row_mean)), at.all(scale));
    if (norm.weight) value = simd::multiply(value, at.load(norm.weight));
    if (bias) value = simd::add(value, at.load(bias));
    at.store(y, value);
  });
}

// Not inlined: inside the loop over rows its own loops would run out of registers.
template <class T>
[[gnu::noinline]] void backward_row(const Norm<T>& norm, const T* dy, const T* x, const T* mean,
                                    T rstd, T* dx, T* dweight, T* dbias) {
  const std::ptrdiff_t columns = norm.columns;
  const T count = static_cast<T>(std::max<std::ptrdiff_t>(columns, 1));
  const T row_mean = mean ? *mean : T{0};
  const auto x_hat = [&](auto at) {
    return simd::multiply(simd::subtract(at.load(x), at.all(row_mean)), at.all(rstd));
  };
  const auto g = [&](auto at) {
    return norm.weight ? simd::multiply(at.load(dy), at.load(norm.weight)) : at.load(dy);
  };
  const T mean_g = mean ? sum_elements<T>(columns, g) / count : T{0};
  const T mean_g_x_hat =
      sum_elements<T>(columns, [&](auto at) { return simd::multiply(g(at), x_hat(at)); }) / count;
  for_each_element<T>(columns, [&](auto at) {
    const auto gradient = at.load(dy), unit = x_hat(at);
    const auto centred = simd::subtract(g(at), at.all(mean_g));
    if (dweight) {
      at.store(dweight, simd::multiply_add(gradient, unit, at.load(dweight)));
    }
    if (dbias) at.store(dbias, simd::add(gradient, at.load(dbias)));
    at.store(dx,
             simd::multiply(at.all(rstd),
                            simd::subtract(centred, simd::multiply(unit, at.all(mean_g_x_hat)))));
  });
}

// Adds all rows to the first, pairwise: the error grows with the logarithm of their number.
template <class T>
void add_rows_in_pairs(T* sums, std::ptrdiff_t rows, std::ptrdiff_t columns) {
  for (std::ptrdiff_t distance = 1; distance < rows; distance *= 2) {
    for (std::ptrdiff_t row = 0; row + distance < rows; row += 2 * distance) {
      T* const sum = sums + row * columns;
      const T* const other = sum + distance * columns;
      for_each_element<T>(columns,
                          [&](auto at) { at.store(sum, simd::add(at.load(sum), at.load(other))); });
    }
  }
}

}  // namespace

template <class T>
void norm_forward(const Norm<T>& norm, Matrix<const T> x, const T* bias, Matrix<T> y, T* mean,
                  T* rstd, const Team& team) {
  const EvenRanges ranges = ranges_of(norm.rows);
  const Team size = threads_for(cost_of(norm), team);
  parallel_for(ranges.count, size, 0, [&](std::ptrdiff_t range, Worker& worker) {
    for (std::ptrdiff_t row = ranges.begin(range); row < ranges.begin(range + 1); ++row) {
      if (row % 16 == 0) worker.check();
      prefetch_row(x.row(row + 1), row_bytes(norm));
      forward_row(norm, x.row(row), bias, y.row(row), mean ? mean + row : nullptr, rstd[row]);
    }
  });
}

template <class T>
void norm_backward(const Norm<T>& norm, Matrix<const T> dy, Matrix<const T> x, const T* mean,
                   const T* rstd, Matrix<T> dx, T* dweight, T* dbias, const Team& team) {
  const EvenRanges ranges = ranges_of(norm.rows);
  const std::ptrdiff_t columns = norm.columns;
  // one row of sums for each range: [range][column]; long ranges move them regularly to sums in
  // double: the error of a sum in T grows with its number of rows
  Buffer<T> weights(dweight ? ranges.count * columns : 0, zeroed);
  Buffer<T> biases(dbias ? ranges.count * columns : 0, zeroed);
  const bool levels = norm.rows > level_rows * ranges.count;
  Buffer<double> long_weights(levels ? weights.size() : 0, zeroed);
  Buffer<double> long_biases(levels ? biases.size() : 0, zeroed);
  const auto take_level = [&](Buffer<T>& sums, Buffer<double>& total, std::ptrdiff_t range) {
    if (total.size() == 0) return;
    for (std::ptrdiff_t i = range * columns; i < (range + 1) * columns; ++i) {
      total[i] += static_cast<double>(sums[i]);
      sums[i] = 0;
    }
  };
  const Team size = threads_for(cost_of(norm), team);
  parallel_for(ranges.count, size, 0, [&](std::ptrdiff_t range, Worker& worker) {
    T* const own_weights = dweight ? weights.data() + range * columns : nullptr;
    T* const own_biases = dbias ? biases.data() + range * columns : nullptr;
    const std::ptrdiff_t end = ranges.begin(range + 1);
    for (std::ptrdiff_t row = ranges.begin(range); row < end;) {
      for (const std::ptrdiff_t stop = std::min(row + level_rows, end); row < stop; ++row) {
        if (row % 16 == 0) worker.check();
        prefetch_row(x.row(row + 1), row_bytes(norm));
        prefetch_row(dy.row(row + 1), row_bytes(norm));
        backward_row(norm, dy.row(row), x.row(row), mean ? mean + row : nullptr, rstd[row],
                     dx.row(row), own_weights, own_biases);
      }
      take_level(weights, long_weights, range);
      take_level(biases, long_biases, range);
    }
  });
  const auto add_up = [&](auto& sums, T* total) {
    if (total == nullptr) return;
    add_rows_in_pairs(sums.data(), ranges.count, columns);
    for (std::ptrdiff_t i = 0; i < columns; ++i) total[i] += static_cast<T>(sums[i]);
  };
  if (levels) {
    add_up(long_weights, dweight);
    add_up(long_biases, dbias);
  } else {
    add_up(weights, dweight);
    add_up(biases, dbias);
  }
}

template void norm_forward(const Norm<float>&, Matrix<const float>, const float*, Matrix<float>,
                           float*, float*, const Team&);
template void norm_forward(const Norm<double>&, Matrix<const double>, const double*, Matrix<double>,
                           double*, double*, const Team&);
template void norm_backward(const Norm<float>&, Matrix<const float>, Matrix<const float>,
                            const float*, const float*, Matrix<float>, float*, float*, const Team&);
template void norm_backward(const Norm<double>&, Matrix<const double>, Matrix<const double>,
                            const double*, const double*, Matrix<double>, double*, double*,
                            const Team&);

}  // namespace heedful
