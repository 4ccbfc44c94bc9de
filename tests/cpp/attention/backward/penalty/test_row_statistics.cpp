// The sums of rows that penalties are made of, over the whole table of cases, against long double:
// with and without a target, for all strides and threads.
#include <array>
#include <cmath>
#include <cstdio>
#include <limits>

#include "attention/backward/penalty/row_statistics.hpp"
#include "cases.hpp"
#include "check.hpp"
#include "dense.hpp"

namespace heedful {
namespace {

constexpr double untouched = -99;

template <class T>
struct Result {
  Tensor lse, target, values;

  Result(const Example& example, Dense& dense, int threads, Layout layout) {
    const Sizes& sizes = example.sizes;
    lse = Tensor(element_type<T>, {sizes.items, sizes.heads, sizes.queries, 1}, layout);
    target = Tensor(element_type<T>, {sizes.items, sizes.heads, sizes.queries, sizes.keys},
                    Layout::plain);
    values =
        Tensor(element_type<T>, {sizes.items, sizes.heads, sizes.queries, row_statistics_count},
               layout == Layout::heads_inside ? layout : Layout::plain);
    values.fill([] { return untouched; });
    lse.for_each([&](auto item, auto head, auto row, auto) {
      const Item& place = example.problem.items[item];
      const std::ptrdiff_t i = row - place.query_begin;
      lse.set(item, head, row, 0,
              i >= 0 && i < place.queries ? static_cast<double>(dense.lse(item, head, i))
                                          : -std::numeric_limits<double>::infinity());
    });
    int count = 0;
    target.fill([&] { return static_cast<double>(++count % 7) / 8; });
    Problem problem = example.problem;
    problem.sink = nullptr;  // it is included in lse
    row_statistics<T>(problem, example.query.view(), example.key.view(), lse.view(), values.view(),
                      {true, true, target.view()}, Team{threads, nullptr});
  }

  bool equals(const Result& other) const {
    bool same = true;
    values.for_each(
        [&](auto... index) { same &= values.get(index...) == other.values.get(index...); });
    return same;
  }
};

using Sums = std::array<long double, row_statistics_count>;

// The sums of a row, and those of the magnitudes of their terms.
template <class T>
Sums expected_of(const Example& example, Dense& dense, const Result<T>& result, std::ptrdiff_t item,
                 std::ptrdiff_t head, std::ptrdiff_t i, Sums& terms) {
  Sums sums{};
  for (std::ptrdiff_t j = 0; j < example.problem.items[item].keys; ++j) {
    const long double s = dense.scores(item, head, i, j);
    if (s == minus_infinity<long double>) continue;
    const long double p = dense.probabilities(item, head, i, j);
    const long double log_p = s - dense.lse(item, head, i);
    const long double t = result.target.get(item, head, i, j);
    const long double log_t = t > 0 ? std::log(t) : 0;
    const Sums own{p * p, p == 0 ? 0 : -p * log_p, std::abs(s), s * s, 1, t, t * (log_t - log_p)};
    for (std::size_t n = 0; n < own.size(); ++n) {
      sums[n] += own[n];
      terms[n] += std::abs(own[n]);
    }
    // scores are rounded: what is near 0 has errors of their size
    terms[1] += p * (std::abs(s) + std::abs(dense.lse(item, head, i)));
    terms[6] += t * (std::abs(s) + std::abs(dense.lse(item, head, i)));
    terms[2] += 1;
    terms[3] += std::abs(s);
  }
  return sums;
}

template <class T>
void sums_are_those_of_the_definition(const Case& test_case) {
  const Example example = example_of(test_case, element_type<T>);
  Dense dense(example.problem, example.query.view(), example.key.view(), example.value.view());
  const Result<T> result(example, dense, 1, Layout::plain);
  bool right = true;
  for (std::ptrdiff_t item = 0; item < example.problem.num_items; ++item) {
    const Item& place = example.problem.items[item];
    for (std::ptrdiff_t head = 0; head < example.problem.num_heads; ++head) {
      for (std::ptrdiff_t i = 0; i < place.queries; ++i) {
        if (place.query_begin != 0) continue;  // targets are of the rows of an item
        Sums terms{};
        const Sums sums = expected_of<T>(example, dense, result, item, head, i, terms);
        for (std::size_t n = 0; n < sums.size(); ++n) {
          const double actual = result.values.get(item, head, i, static_cast<std::ptrdiff_t>(n));
          right &= std::abs(actual - sums[n]) <=
                   10 * tolerance(element_type<T>) * static_cast<double>(1 + terms[n]);
        }
      }
    }
  }
  if (!check(right, "sums are those of the definition")) {
    std::printf("in \"%s\"\n", test_case.name);
  }
  for (const auto& [layout, threads] : variants) {
    const Result<T> other(example_of(test_case, element_type<T>, layout), dense, threads, layout);
    check(result.equals(other), "the same bits for all strides and threads");
  }
}

}  // namespace
}  // namespace heedful

int main() {
  using namespace heedful;
  for (const Case& test_case : cases) {
    sums_are_those_of_the_definition<double>(test_case);
    sums_are_those_of_the_definition<float>(test_case);
  }
  return summary();
}
