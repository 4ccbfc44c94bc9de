// Gradients over the whole table of cases: correct, the same bits for all memory layouts and
// numbers of threads, and independent of what is hidden.
#include <algorithm>
#include <cmath>
#include <iterator>
#include <limits>
#include <string_view>

#include "attention/backward/backward.hpp"
#include "backward_call.hpp"
#include "cases.hpp"
#include "check.hpp"
#include "dense.hpp"

namespace heedful {
namespace {

// Gradients are sums of `terms` terms, each of which contains a sum over dout ∘ out: a 16-bit out
// is rounded.
double allowed(ElementType type, std::ptrdiff_t terms, std::ptrdiff_t value_depth) {
  return tolerance(type) * (4 + std::sqrt(static_cast<double>(terms + value_depth)));
}

template <class T>
void gradients_are_those_of_the_definition(const Case& test_case, Dense& dense,
                                           const Extras& extras, ElementType type) {
  BackwardInputs<T> inputs(test_case, dense, extras, type, Layout::plain);
  const Example& example = inputs.example;
  DenseGradients expected_gradients(example.problem, inputs.dense, example.query, example.key,
                                    example.value, inputs.dout.view(), inputs.dlse.view(),
                                    inputs.dweights.view());
  const Gradients<T> gradients(inputs, extras, 1, Layout::plain);
  const std::ptrdiff_t group =
      test_case.sizes.kv_heads == 0 ? 1 : test_case.sizes.heads / test_case.sizes.kv_heads;
  const auto compare = [&](const Tensor& actual, Grid& expected, std::ptrdiff_t terms,
                           const char* sentence) {
    bool right = true;
    long double worst = 0;
    actual.for_each([&](auto... index) {
      const long double number = expected(index...);
      const long double error = std::abs(actual.get(index...) - number) / (1 + std::abs(number));
      right &= error <= allowed(type, terms, test_case.sizes.value_depth);
      worst = std::fmax(worst, error);
    });
    if (!check(right, sentence)) {
      std::printf("in \"%s\", element type %d, off by %Lg\n", test_case.name,
                  static_cast<int>(type), worst);
    }
  };
  compare(gradients.dquery, expected_gradients.query, test_case.sizes.keys,
          "dquery = scale · dscore key");
  compare(gradients.dkey, expected_gradients.key, group * test_case.sizes.queries,
          "dkey = scale · dscoreᵀ query");
  compare(gradients.dvalue, expected_gradients.value, group * test_case.sizes.queries,
          "dvalue = probabilitiesᵀ dout");
  bool right = true;
  gradients.delta.for_each([&](auto item, auto head, auto row, auto) {
    const std::ptrdiff_t i = inputs.query_at(item, row);
    if (i < 0) return;
    const long double expected = expected_gradients.delta(item, head, i);
    right &= std::abs(gradients.delta.get(item, head, row) - expected) <=
             allowed(type, 0, test_case.sizes.value_depth) * (1 + std::abs(expected));
  });
  if (!check(right, "delta = Σ dout ∘ out − row_term")) std::printf("in \"%s\"\n", test_case.name);
  if (!extras.dbias) return;
  const Shape shape = gradients.dbias.shape();
  Grid summed(shape.items, shape.heads, shape.rows, shape.columns);
  const Sizes& sizes = test_case.sizes;
  for (std::ptrdiff_t item = 0; item < sizes.items; ++item) {
    for (std::ptrdiff_t head = 0; head < sizes.heads; ++head) {
      for (std::ptrdiff_t i = 0; i < example.problem.items[item].queries; ++i) {
        for (std::ptrdiff_t j = 0; j < example.problem.items[item].keys; ++j) {
          summed(item % shape.items, head % shape.heads, i % shape.rows, j % shape.columns) +=
              expected_gradients.bias(item, head, i, j);
        }
      }
    }
  }
  compare(gradients.dbias, summed, sizes.items * sizes.heads,
          "dbias = dscore, summed over its broadcast axes");
}

template <class T>
void the_same_bits_for_all_layouts_and_threads(const Case& test_case, Dense& dense,
                                               const Extras& extras, ElementType type) {
  const BackwardInputs<T> plain(test_case, dense, extras, type, Layout::plain);
  const Gradients<T> expected(plain, extras, 1, Layout::plain);
  for (const auto& [layout, threads] : variants) {
    // the columns of gradients are contiguous, as the caller allocates them
    const Layout own = layout == Layout::heads_inside ? layout : Layout::plain;
    const BackwardInputs<T> inputs(test_case, dense, extras, type, layout);
    if (!check(expected.equals(Gradients<T>(inputs, extras, threads, own)),
               "the same bits for all strides and threads")) {
      std::printf("in \"%s\", layout %d, %d threads\n", test_case.name, static_cast<int>(layout),
                  threads);
    }
  }
}

// NaN in a key and its value that no query sees, and in a query and dout without visible keys.
template <class T>
void what_is_hidden_has_no_effect(const Case& test_case, Dense& dense) {
  const Sizes& sizes = test_case.sizes;
  if (sizes.items == 0 || sizes.heads == 0 || sizes.keys > 700 || sizes.queries > 300) return;
  const Extras extras;
  const BackwardInputs<T> clean(test_case, dense, extras, element_type<T>, Layout::plain);
  const Gradients<T> expected(clean, extras, 1, Layout::plain);
  const std::ptrdiff_t item = sizes.items - 1, kv_head = sizes.kv_heads - 1;
  const Problem& problem = clean.example.problem;
  const Item& place = problem.items[item];
  for (const double odd :
       {std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity()}) {
    BackwardInputs<T> dirty(test_case, dense, extras, element_type<T>, Layout::plain);
    bool any = false;
    for (std::ptrdiff_t j = 0; j < place.keys; ++j) {
      bool visible = false;
      for (std::ptrdiff_t head = 0; head < sizes.heads; ++head) {
        for (std::ptrdiff_t i = 0; i < place.queries && head / problem.group() == kv_head; ++i) {
          visible |= is_visible(problem, item, head, i, j);
        }
      }
      if (visible) continue;
      any = true;
      for (std::ptrdiff_t d = 0; d < sizes.depth; ++d) {
        dirty.example.key.set(item, kv_head, place.key_begin + j, d, odd);
      }
      for (std::ptrdiff_t d = 0; d < sizes.value_depth; ++d) {
        dirty.example.value.set(item, kv_head, place.key_begin + j, d, odd);
      }
    }
    for (std::ptrdiff_t i = 0; i < place.queries; ++i) {
      if (!std::isinf(clean.lse.get(item, sizes.heads - 1, place.query_begin + i))) continue;
      any = true;
      const std::ptrdiff_t row = place.query_begin + i;
      for (std::ptrdiff_t d = 0; d < sizes.depth; ++d) {
        dirty.example.query.set(item, sizes.heads - 1, row, d, odd);
      }
      for (std::ptrdiff_t d = 0; d < sizes.value_depth; ++d) {
        dirty.dout.set(item, sizes.heads - 1, row, d, odd);
      }
    }
    if (!any) return;
    if (!check(expected.equals(Gradients<T>(dirty, extras, 2, Layout::plain)),
               "keys that no query sees, and queries without visible keys, may hold anything")) {
      std::printf("in \"%s\" with %g\n", test_case.name, odd);
    }
  }
}

// A NaN visible to some queries: the others keep their gradients.
template <class T>
void a_nan_reaches_only_the_queries_that_see_it() {
  const Case causal{"causal", {1, 2, 1, 37, 53, 5, 3}, [](Example& example) {
                      example.problem.right = 0;
                      set_offset(example, 10);
                    }};
  const Extras extras;
  Dense dense = dense_of(causal, element_type<T>);
  const BackwardInputs<T> clean(causal, dense, extras, element_type<T>, Layout::plain);
  const Gradients<T> expected(clean, extras, 1, Layout::plain);
  BackwardInputs<T> dirty(causal, dense, extras, element_type<T>, Layout::plain);
  for (std::ptrdiff_t d = 0; d < 3; ++d) {
    dirty.example.value.set(0, 0, 30, d, std::numeric_limits<double>::quiet_NaN());
  }
  const Gradients<T> gradients(dirty, extras, 2, Layout::plain);
  bool earlier_same = true, later_nan = true;
  gradients.dquery.for_each([&](auto item, auto head, auto row, auto column) {
    const double actual = gradients.dquery.get(item, head, row, column);
    if (row + 10 < 30) {
      earlier_same &= actual == expected.dquery.get(item, head, row, column);
    } else {
      later_nan &= std::isnan(actual);
    }
  });
  check(earlier_same, "queries before a NaN key keep their gradients, bit for bit");
  check(later_nan, "queries that see it get NaN");
}

constexpr OwnAxes biases[] = {{true, true, true, true},  {false, true, true, true},
                              {true, false, true, true}, {false, false, true, true},
                              {true, true, true, false}, {true, true, false, true}};

// Cases with a gradient of the bias, in each shape that it may have.
bool has_dbias(const Case& test_case) {
  constexpr std::string_view names[] = {
      "plain",        "bias",   "bias over several key tiles", "packed sequences",
      "all together", "softcap"};
  return std::find(std::begin(names), std::end(names), test_case.name) != std::end(names);
}

template <class T>
void everything_about(const Case& test_case, ElementType type) {
  Dense dense = dense_of(test_case, type);
  const Extras no_extras, all_but_bias{true, true, false, {}};
  gradients_are_those_of_the_definition<T>(test_case, dense, no_extras, type);
  the_same_bits_for_all_layouts_and_threads<T>(test_case, dense, all_but_bias, type);
  if (type != element_type<T>) return;
  gradients_are_those_of_the_definition<T>(test_case, dense, {true, false, false, {}}, type);
  gradients_are_those_of_the_definition<T>(test_case, dense, all_but_bias, type);
  what_is_hidden_has_no_effect<T>(test_case, dense);
  for (const OwnAxes& own : biases) {
    if (!has_dbias(test_case)) return;
    const Extras bias{false, false, true, own};
    gradients_are_those_of_the_definition<T>(test_case, dense, bias, type);
    the_same_bits_for_all_layouts_and_threads<T>(test_case, dense, bias, type);
  }
}

}  // namespace
}  // namespace heedful

int main() {
  using namespace heedful;
  for (const Case& test_case : cases) {
    everything_about<double>(test_case, ElementType::float64);
    everything_about<float>(test_case, ElementType::float32);
    everything_about<float>(test_case, ElementType::float16);
    everything_about<float>(test_case, ElementType::bfloat16);
  }
  a_nan_reaches_only_the_queries_that_see_it<float>();
  a_nan_reaches_only_the_queries_that_see_it<double>();
  return summary();
}
