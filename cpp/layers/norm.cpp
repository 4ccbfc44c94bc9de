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

// Ranges of rows: enough for many threads, few enough for their sums to be little work.
EvenRanges ranges_of(std::ptrdiff_t rows) {
  return {rows, std::clamp<std::ptrdiff_t>(rows / 16, 1, 64)};
}

// Rows whose gradients are summed one after another in T.
constexpr std::ptrdiff_t level_rows = 256;

// Of the next row, prefetched while one is worked on in several passes, none of which reads far
// enough ahead by itself.
template <class T>
std::ptrdiff_t row_bytes(const Norm<T>& norm) {
  return norm.columns * static_cast<std::ptrdiff_t>(sizeof(T));
}

// Mean and 1 / √(variance) of numbers whose squares, or whose sum, pass the largest number: those
// of numbers that are smaller by a power of two. Beside them epsilon is nothing.
template <class T>
struct Measures {
  T middle, scale;
};

template <class T>
[[gnu::noinline]] Measures<T> measure_huge(const T* x, std::ptrdiff_t columns, bool centred) {
  const T shrink = std::ldexp(T{1}, -std::numeric_limits<T>::max_exponent / 2 - 16);
  const T count = static_cast<T>(columns);
  const auto small = [&](auto at) { return simd::multiply(at.load(x), at.all(shrink)); };
  const T mean = centred ? sum_numbers<T>(columns, small) / count : T{0};
  const T squares = sum_numbers<T>(columns, [&](auto at) {
    const auto distance = simd::subtract(small(at), at.all(mean));
    return simd::multiply(distance, distance);
  });
  return {mean / shrink, shrink / std::sqrt(squares / count)};
}

template <class T>
void forward_row(const Norm<T>& norm, const T* x, const T* bias, T* y, T* mean, T& rstd) {
  const std::ptrdiff_t columns = norm.columns;
  const T count = static_cast<T>(std::max<std::ptrdiff_t>(columns, 1));
  T middle = 0;
  if (mean) {
    middle = sum_numbers<T>(columns, [&](auto at) { return at.load(x); }) / count;
  }
  const T squares = sum_numbers<T>(columns, [&](auto at) {
    const auto distance = simd::subtract(at.load(x), at.all(middle));
    return simd::multiply(distance, distance);
  });
  T scale = T{1} / std::sqrt(squares / count + norm.epsilon);
  if (!std::isfinite(squares)) [[unlikely]] {
    const Measures<T> huge = measure_huge(x, columns, mean != nullptr);
    middle = huge.middle, scale = huge.scale;
  }
  if (mean) *mean = middle;
  rstd = scale;
  each_number<T>(columns, [&](auto at) {
    auto value = simd::multiply(simd::subtract(at.load(x), at.all(middle)), at.all(scale));
    if (norm.weight) value = simd::multiply(value, at.load(norm.weight));
    if (bias) value = simd::add(value, at.load(bias));
    at.store(y, value);
  });
}

// Not inlined: within the loop over rows its own loops run out of registers.
template <class T>
[[gnu::noinline]] void backward_row(const Norm<T>& norm, const T* dy, const T* x, const T* mean,
                                    T rstd, T* dx, T* dweight, T* dbias) {
  const std::ptrdiff_t columns = norm.columns;
  const T count = static_cast<T>(std::max<std::ptrdiff_t>(columns, 1));
  const T middle = mean ? *mean : T{0};
  const auto normal = [&](auto at) {
    return simd::multiply(simd::subtract(at.load(x), at.all(middle)), at.all(rstd));
  };
  const auto upstream = [&](auto at) {
    return norm.weight ? simd::multiply(at.load(dy), at.load(norm.weight)) : at.load(dy);
  };
  const T level = mean ? sum_numbers<T>(columns, upstream) / count : T{0};
  const T slope =
      sum_numbers<T>(columns, [&](auto at) { return simd::multiply(upstream(at), normal(at)); }) /
      count;
  each_number<T>(columns, [&](auto at) {
    const auto gradient = at.load(dy), unit = normal(at);
    const auto rest = simd::subtract(upstream(at), at.all(level));
    if (dweight) {
      at.store(dweight, simd::multiply_add(gradient, unit, at.load(dweight)));
    }
    if (dbias) at.store(dbias, simd::add(gradient, at.load(dbias)));
    at.store(dx, simd::multiply(at.all(rstd),
                                simd::subtract(rest, simd::multiply(unit, at.all(slope)))));
  });
}

// The sum of all rows into the first, pairwise: the error grows with the logarithm of their number.
template <class T>
void add_rows_in_pairs(T* sums, std::ptrdiff_t rows, std::ptrdiff_t columns) {
  for (std::ptrdiff_t distance = 1; distance < rows; distance *= 2) {
    for (std::ptrdiff_t row = 0; row + distance < rows; row += 2 * distance) {
      T* const sum = sums + row * columns;
      const T* const other = sum + distance * columns;
      each_number<T>(columns,
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
  // one row of sums for each range: [range][column], and of long ranges what was taken out of it,
  // in double: the error of a sum in T grows with its rows
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
