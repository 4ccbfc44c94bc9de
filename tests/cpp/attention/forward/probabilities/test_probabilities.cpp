// Scores and probabilities over the whole table of cases, for all rows and for selected rows, per
// head and averaged, those of bfloat16 in every way that the processor has.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "attention/forward/probabilities/probabilities.hpp"
#include "cases.hpp"
#include "check.hpp"
#include "dense.hpp"
#include "simd/bfloat16_pairs.hpp"
#include "simd/tiles.hpp"

namespace heedful {
namespace {

constexpr double untouched = -99;

// Selected queries, unordered and one of them twice, or all.
struct Selection {
  std::vector<std::int64_t> rows;
  std::ptrdiff_t count;

  Selection(const Sizes& sizes, bool some) : count(sizes.queries) {
    if (!some) return;
    for (const std::int64_t row : {5, 0, 36, 5, 30}) {
      if (row < sizes.queries) rows.push_back(row);
    }
    count = static_cast<std::ptrdiff_t>(rows.size());
  }
  std::ptrdiff_t query(std::ptrdiff_t index) const {
    return rows.empty() ? index : rows[static_cast<std::size_t>(index)];
  }
  SelectedRows selected(const Sizes& sizes) const {
    return {rows.empty() ? nullptr : rows.data(), count, sizes.keys};
  }
};

enum class Kind { scores, probabilities, averaged };

// The element type of queries and keys, and how bfloat16 is multiplied.
struct Inputs {
  ElementType type;
  simd::Bfloat16Way way = simd::Bfloat16Way::widened;
};

Example example_of(const Case& test_case, Inputs inputs, Layout layout = Layout::plain) {
  Example example = example_of(test_case, inputs.type, layout);
  example.problem.bfloat16.products = inputs.way;
  return example;
}

template <class T>
struct Result {
  Tensor lse, values;
  Selection rows;

  Result(const Example& example, Dense& dense, Kind kind, bool some, int threads, Layout layout)
      : rows(example.sizes, some) {
    const Sizes& sizes = example.sizes;
    lse = Tensor(element_type<T>, {sizes.items, sizes.heads, sizes.queries, 1}, layout);
    lse.for_each([&](auto item, auto head, auto row, auto) {
      const Item& place = example.problem.items[item];
      const std::ptrdiff_t i = row - place.query_begin;
      const bool belongs = i >= 0 && i < place.queries;
      lse.set(item, head, row, 0,
              belongs ? static_cast<double>(dense.lse(item, head, i)) : untouched);
    });
    // rows are contiguous, as the caller allocates them
    values = Tensor(element_type<T>,
                    {sizes.items, kind == Kind::averaged ? 1 : sizes.heads, rows.count, sizes.keys},
                    layout == Layout::heads_inside ? layout : Layout::plain);
    values.fill([] { return untouched; });
    Problem problem = example.problem;
    const Team team{threads, nullptr};
    if (kind == Kind::scores) {
      problem.dropout_p = 0;
      attention_scores<T>(problem, example.query.view(), example.key.view(), values.view(),
                          rows.selected(sizes), team);
    } else {
      problem.sink = nullptr;  // it is included in lse
      attention_probabilities<T>(problem, example.query.view(), example.key.view(), lse.view(),
                                 values.view(), rows.selected(sizes), kind == Kind::averaged, team);
    }
  }

  bool equals(const Result& other) const {
    bool same = true;
    values.for_each(
        [&](auto... index) { same &= values.get(index...) == other.values.get(index...); });
    return same;
  }
};

long double expected_of(const Example& example, Dense& dense, Kind kind, std::ptrdiff_t item,
                        std::ptrdiff_t head, std::ptrdiff_t query, std::ptrdiff_t key) {
  const bool outside = key >= example.problem.items[item].keys;
  if (kind == Kind::scores) {
    return outside ? -std::numeric_limits<long double>::infinity()
                   : dense.scores(item, head, query, key);
  }
  if (outside) return 0;
  if (kind == Kind::probabilities) return dense.applied(item, head, query, key);
  long double sum = 0;
  for (std::ptrdiff_t h = 0; h < example.sizes.heads; ++h) {
    sum += dense.applied(item, h, query, key);
  }
  return sum / static_cast<long double>(std::max<std::ptrdiff_t>(example.sizes.heads, 1));
}

template <class T>
void values_are_those_of_the_definition(const Case& test_case, Dense& dense, Kind kind, bool some,
                                        Inputs inputs) {
  const Example example = example_of(test_case, inputs);
  const Result<T> result(example, dense, kind, some, 1, Layout::plain);
  bool right = true;
  result.values.for_each([&](auto item, auto head, auto row, auto key) {
    const std::ptrdiff_t query = result.rows.query(row);
    const double actual = result.values.get(item, head, row, key);
    if (query >= example.problem.items[item].queries) {
      right &= actual == untouched;
      return;
    }
    const long double expected = expected_of(example, dense, kind, item, head, query, key);
    right &= actual == expected ||
             std::abs(actual - expected) <= tolerance(element_type<T>) * (1 + std::abs(expected));
  });
  if (!check(right, "values are those of the definition, in the rows that belong to an item")) {
    std::printf("in \"%s\", kind %d, %s rows\n", test_case.name, static_cast<int>(kind),
                some ? "some" : "all");
  }
  if (some != (kind == Kind::probabilities))
    return;  // half of the kinds are enough to test every variant
  for (const auto& [layout, threads] : variants) {
    const Result<T> other(example_of(test_case, inputs, layout), dense, kind, some, threads,
                          layout);
    check(result.equals(other), "the same bits for all strides and threads");
  }
}

// Rows whose lse overflows exponentials still sum to 1.
template <class T>
void probabilities_of_very_large_scores_sum_to_1() {
  for (const double size : {1e4, 1e12, static_cast<double>(std::numeric_limits<T>::max()) / 2}) {
    Example example({1, 2, 1, 7, 53, 5, 3}, element_type<T>);
    example.add_bias(element_type<T>);
    example.bias.for_each([&](auto... index) { example.bias.set(index..., -size); });
    Dense dense(example.problem, example.query.view(), example.key.view(), example.value.view());
    const Result<T> result(example, dense, Kind::probabilities, false, 1, Layout::plain);
    for (std::ptrdiff_t row = 0; row < 7; ++row) {
      double sum = 0;
      for (std::ptrdiff_t key = 0; key < 53; ++key) sum += result.values.get(0, 1, row, key);
      close(sum, 1, 1e-4, "probabilities sum to 1 for scores of any magnitude");
    }
  }
}

template <class T>
void everything(Inputs inputs) {
  for (const Case& test_case : cases) {
    const Example example = example_of(test_case, inputs);
    Dense dense(example.problem, example.query.view(), example.key.view(), example.value.view());
    for (const Kind kind : {Kind::scores, Kind::probabilities, Kind::averaged}) {
      values_are_those_of_the_definition<T>(test_case, dense, kind, false, inputs);
      values_are_those_of_the_definition<T>(test_case, dense, kind, true, inputs);
    }
  }
}

// The ways round differently, so their scores differ somewhere.
void the_way_is_the_one_of_the_problem(simd::Bfloat16Way way) {
  const Case test_case{"deep", {1, 2, 1, 67, 523, 96, 3}, [](Example& example) {
                         for (Tensor* const tensor : {&example.query, &example.key}) {
                           tensor->fill([&] { return example.random.between(-1, 1); });
                         }
                       }};
  const auto result_of = [&](simd::Bfloat16Way used, Kind kind) {
    const Example example = example_of(test_case, {ElementType::bfloat16, used});
    Dense dense(example.problem, example.query.view(), example.key.view(), example.value.view());
    return Result<float>(example, dense, kind, false, 1, Layout::plain);
  };
  for (const Kind kind : {Kind::scores, Kind::probabilities}) {
    const Result<float> widened = result_of(simd::Bfloat16Way::widened, kind);
    check(!widened.equals(result_of(way, kind)), "another way, other bits");
  }
}

}  // namespace
}  // namespace heedful

int main() {
  using namespace heedful;
  using simd::Bfloat16Way;
  everything<double>({ElementType::float64});
  everything<float>({ElementType::float32});
  everything<float>({ElementType::bfloat16});
  std::vector<Bfloat16Way> ways{Bfloat16Way::tiles_model};
  if (simd::compiled_bfloat16_pairs && simd::has_bfloat16_pairs())
    ways.push_back(Bfloat16Way::pairs);
  if (simd::has_bfloat16_tiles()) ways.push_back(Bfloat16Way::tiles);
  for (const Bfloat16Way way : ways) {
    the_way_is_the_one_of_the_problem(way);
    everything<float>({ElementType::bfloat16, way});
  }
  probabilities_of_very_large_scores_sum_to_1<float>();
  probabilities_of_very_large_scores_sum_to_1<double>();
  return summary();
}
