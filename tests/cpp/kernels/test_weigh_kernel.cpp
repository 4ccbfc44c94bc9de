// Weighted sums of rows for few rows of weights, against long double, and with hidden rows of NaN.
#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "check.hpp"
#include "kernels/nonfinite.hpp"
#include "kernels/weigh_kernel.hpp"
#include "random_numbers.hpp"

namespace heedful {
namespace {

template <class T>
struct Example {
  static constexpr std::ptrdiff_t width = simd::lanes<T>;

  std::ptrdiff_t rows, keys, columns;
  RowVectors<T> vectors;
  std::vector<T> weights, values, before, sums;

  Example(std::ptrdiff_t rows_, std::ptrdiff_t keys_, std::ptrdiff_t columns_)
      : rows(rows_), keys(keys_), columns(columns_), vectors(columns_) {
    RandomNumbers random(7);
    const auto fill = [&](std::vector<T>& to, std::ptrdiff_t count) {
      to.resize(static_cast<std::size_t>(count));
      for (T& value : to) value = static_cast<T>(random.between(-1, 1));
    };
    fill(weights, rows * weight_stride());
    fill(values, keys * value_stride());
    fill(before, rows * columns);
    sums.resize(static_cast<std::size_t>(rows * sum_stride()));
    for (std::ptrdiff_t row = 0; row < rows; ++row) {
      vectors.spread(before.data() + row * columns, T{1}, sums.data() + row * sum_stride());
    }
  }
  std::ptrdiff_t weight_stride() const { return keys + 3; }
  std::ptrdiff_t value_stride() const { return columns + 5; }
  std::ptrdiff_t sum_stride() const { return vectors.count * width; }
  Weighing<T> weighing() {
    return {rows,
            keys,
            weights.data(),
            weight_stride(),
            {values.data(), value_stride()},
            vectors,
            sums.data(),
            sum_stride(),
            {reinterpret_cast<const char*>(values.data()), 0}};
  }
  std::vector<T> joined(std::ptrdiff_t row) const {
    std::vector<T> result(static_cast<std::size_t>(columns));
    vectors.join(sums.data() + row * sum_stride(), T{1}, result.data());
    return result;
  }
  // over the keys for which `counts` is true
  template <class Counts>
  bool right(const Counts& counts) const {
    for (std::ptrdiff_t row = 0; row < rows; ++row) {
      const std::vector<T> found = joined(row);
      for (std::ptrdiff_t column = 0; column < columns; ++column) {
        long double sum = before[static_cast<std::size_t>(row * columns + column)];
        for (std::ptrdiff_t key = 0; key < keys; ++key) {
          if (!counts(row, key)) continue;
          sum += static_cast<long double>(
                     weights[static_cast<std::size_t>(row * weight_stride() + key)]) *
                 values[static_cast<std::size_t>(key * value_stride() + column)];
        }
        if (!(std::abs(found[static_cast<std::size_t>(column)] - sum) <=
              static_cast<long double>(keys + 1) * std::numeric_limits<T>::epsilon())) {
          return false;
        }
      }
    }
    return true;
  }
};

template <class T>
void sums_are_weighted_sums() {
  constexpr std::ptrdiff_t width = simd::lanes<T>;
  for (std::ptrdiff_t rows = 1; rows <= 9; ++rows) {
    for (const std::ptrdiff_t keys : {0, 1, 5, 37}) {
      for (std::ptrdiff_t columns = width; columns <= 11 * width; columns += width / 2 + 1) {
        Example<T> example(rows, keys, columns);
        weigh(example.weighing());
        check(example.right([](std::ptrdiff_t, std::ptrdiff_t) { return true; }),
              "sums[row] += weights[row] · values");
      }
    }
  }
}

template <class T>
void a_hidden_row_of_nan_is_skipped() {
  constexpr std::ptrdiff_t width = simd::lanes<T>;
  for (const std::ptrdiff_t columns : {width, 2 * width + 1}) {
    Example<T> example(3, 7, columns);
    const auto counts = [](std::ptrdiff_t, std::ptrdiff_t key) { return key != 2; };
    for (std::ptrdiff_t column = 0; column < columns; ++column) {
      example.values[static_cast<std::size_t>(2 * example.value_stride() + column)] =
          std::numeric_limits<T>::quiet_NaN();
    }
    std::vector<T> scores(example.weights.size(), T{0});
    for (std::ptrdiff_t row = 0; row < example.rows; ++row) {
      scores[static_cast<std::size_t>(row * example.weight_stride() + 2)] =
          -std::numeric_limits<T>::infinity();
    }
    guarded_weigh(scores.data(), example.weighing());
    check(example.right(counts), "a key whose score is -∞ does not contribute to the sums");
  }
}

template <class T>
void pieces_have_the_bits_of_the_whole() {
  constexpr std::ptrdiff_t width = simd::lanes<T>;
  for (std::ptrdiff_t rows = 1; rows <= 5; ++rows) {
    for (const std::ptrdiff_t columns : {width, 9 * width + 1}) {
      Example<T> whole(rows, 29, columns), pieces(rows, 29, columns);
      weigh(whole.weighing());
      const std::ptrdiff_t ends[] = {0, 1, 8, 8, 29};
      for (int piece = 0; piece < 4; ++piece) {
        Weighing<T> weighing = pieces.weighing();
        weighing.keys = ends[piece + 1] - ends[piece];
        weighing.weights += ends[piece];
        weighing.values.data += ends[piece] * pieces.value_stride();
        weigh(weighing);
      }
      check(whole.sums == pieces.sums, "keys added in pieces give the same bits");
    }
  }
}

template <class T>
void runs_have_the_bits_of_the_whole() {
  constexpr std::ptrdiff_t width = simd::lanes<T>;
  for (std::ptrdiff_t rows = 1; rows <= 5; ++rows) {
    for (const std::ptrdiff_t columns : {width, 9 * width + 1}) {
      Example<T> whole(rows, 29, columns), runs(rows, 29, columns);
      weigh(whole.weighing());
      Weighing<T> weighing = runs.weighing();
      const std::ptrdiff_t ends[] = {1, 8, 24, 29};
      // each run in memory of its own
      std::vector<std::vector<T>> memory;
      ValueRun<T> further[3];
      for (int run = 0; run < 3; ++run) {
        memory.emplace_back(runs.values.begin() + ends[run] * runs.value_stride(),
                            runs.values.begin() + ends[run + 1] * runs.value_stride());
        further[run] = {memory.back().data(), ends[run + 1] - ends[run], weighing.prefetch};
      }
      weighing.keys = ends[0];
      weighing.further = further;
      weighing.num_further = 3;
      weigh(weighing);
      check(whole.sums == runs.sums, "keys in several runs give the same bits");
    }
  }
}

template <class T>
void the_guard_keeps_the_bits() {
  constexpr std::ptrdiff_t width = simd::lanes<T>;
  for (const std::ptrdiff_t columns : {width, 3 * width + 2}) {
    Example<T> plain(5, 29, columns), guarded(5, 29, columns);
    // it adds a sum of its own
    std::fill(plain.sums.begin(), plain.sums.end(), T{0});
    std::fill(guarded.sums.begin(), guarded.sums.end(), T{0});
    weigh(plain.weighing());
    const std::vector<T> scores(guarded.weights.size(), T{0});
    guarded_weigh(scores.data(), guarded.weighing());
    check(plain.sums == guarded.sums, "with nothing hidden the sums have the same bits");
  }
}

// What floats in [−1, 1] are stored as.
template <class Stored>
void narrow_row(const float* from, Stored* to, std::ptrdiff_t count) {
  if constexpr (sizeof(Stored) == 1) {
    for (std::ptrdiff_t i = 0; i < count; ++i) {
      to[i].value = static_cast<std::int8_t>(127 * from[i]);
    }
  } else {
    simd::convert_row(from, to, count);
  }
}

// Values of 16 or 8 bits have the same result, bit for bit, as the same values in float32.
template <class Stored>
void stored_values_are_widened() {
  constexpr std::ptrdiff_t width = simd::lanes<float>;
  for (std::ptrdiff_t rows = 1; rows <= 5; ++rows) {
    for (const std::ptrdiff_t columns : {width, 9 * width + 3}) {
      Example<float> wide(rows, 13, columns), narrow(rows, 13, columns);
      std::vector<Stored> stored(wide.values.size());
      const auto count = static_cast<std::ptrdiff_t>(stored.size());
      narrow_row(wide.values.data(), stored.data(), count);
      simd::convert_row(stored.data(), wide.values.data(), count);
      weigh(wide.weighing());
      const Weighing<float> as = narrow.weighing();
      weigh(Weighing<float, Stored>{as.rows,
                                    as.keys,
                                    as.weights,
                                    as.weight_stride,
                                    {stored.data(), as.values.stride},
                                    as.vectors,
                                    as.sums,
                                    as.sum_stride,
                                    as.prefetch});
      check(narrow.sums == wide.sums, "stored values are summed as those in float32");
    }
  }
}

}  // namespace
}  // namespace heedful

int main() {
  heedful::sums_are_weighted_sums<float>();
  heedful::sums_are_weighted_sums<double>();
  heedful::pieces_have_the_bits_of_the_whole<float>();
  heedful::runs_have_the_bits_of_the_whole<float>();
  heedful::pieces_have_the_bits_of_the_whole<double>();
  heedful::runs_have_the_bits_of_the_whole<double>();
  heedful::a_hidden_row_of_nan_is_skipped<float>();
  heedful::a_hidden_row_of_nan_is_skipped<double>();
  heedful::the_guard_keeps_the_bits<float>();
  heedful::the_guard_keeps_the_bits<double>();
  heedful::stored_values_are_widened<heedful::simd::Float16>();
  heedful::stored_values_are_widened<heedful::simd::Bfloat16>();
  heedful::stored_values_are_widened<heedful::simd::Int8>();
  return heedful::summary();
}
