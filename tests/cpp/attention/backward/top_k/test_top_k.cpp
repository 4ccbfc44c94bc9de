// Attention to the highest-scoring keys over the whole table of cases: forward against the
// definition with all other keys masked, probabilities likewise, gradients against those of dense
// attention with that mask; and the same bits for all strides and threads.
#include <algorithm>
#include <cmath>
#include <vector>

#include "attention/backward/top_k/backward.hpp"
#include "attention/forward/top_k/forward.hpp"
#include "attention/forward/top_k/probabilities.hpp"
#include "attention/problem/key_index.hpp"
#include "backward_call.hpp"
#include "cases.hpp"
#include "check.hpp"
#include "dense.hpp"

namespace heedful {
namespace {

constexpr double untouched = -99;

// Arithmetic in which scores that differ do so by more than rounding, and scores that tie do so
// exactly: 0.7 is no sum of few powers of two, and tanh is 1 for large scores.
void make_clear(Example& example) {
  if (example.problem.scale == 0.7) example.problem.scale = 0.75;
  if (example.problem.softcap > 0) example.problem.softcap = 40;
}

Example clear_example(const Case& test_case, ElementType type, Layout layout = Layout::plain) {
  Example example = example_of(test_case, type, layout);
  make_clear(example);
  return example;
}

// A mask of the kept keys, which holds with the case's own restrictions.
Tensor mask_of_kept(const Example& example, Dense& dense, std::ptrdiff_t top_k) {
  const Sizes& sizes = example.sizes;
  Tensor mask(ElementType::boolean, {sizes.items, sizes.heads, sizes.queries, sizes.keys});
  mask.fill([] { return 0.0; });
  for (std::ptrdiff_t item = 0; item < sizes.items; ++item) {
    const Item& place = example.problem.items[item];
    for (std::ptrdiff_t head = 0; head < sizes.heads; ++head) {
      for (std::ptrdiff_t i = 0; i < place.queries; ++i) {
        std::vector<std::ptrdiff_t> keys;
        for (std::ptrdiff_t j = 0; j < place.keys; ++j) {
          if (dense.scores(item, head, i, j) > minus_infinity<long double>) keys.push_back(j);
        }
        std::stable_sort(keys.begin(), keys.end(), [&](std::ptrdiff_t a, std::ptrdiff_t b) {
          return dense.scores(item, head, i, a) > dense.scores(item, head, i, b);
        });
        keys.resize(std::min(keys.size(), static_cast<std::size_t>(top_k)));
        for (const std::ptrdiff_t key : keys) mask.set(item, head, i, key, 1);
      }
    }
  }
  return mask;
}

// Indices (items, heads, rows, top_k), and their view.
struct Kept {
  std::vector<KeyIndex> keys;
  std::vector<std::ptrdiff_t> offsets;
  TensorView view;

  Kept(const Sizes& sizes, std::ptrdiff_t top_k)
      : keys(static_cast<std::size_t>(sizes.items * sizes.heads * sizes.queries * top_k + 1), -1) {
    const std::ptrdiff_t row = top_k * static_cast<std::ptrdiff_t>(sizeof(KeyIndex));
    for (std::ptrdiff_t item = 0; item <= sizes.items; ++item) {
      offsets.push_back(item * sizes.heads * sizes.queries * row);
    }
    view.data = reinterpret_cast<char*>(keys.data());
    view.item_offsets = offsets.data();
    view.head_stride = sizes.queries * row;
    view.row_stride = row;
  }
  const KeyIndex* row(std::ptrdiff_t item, std::ptrdiff_t head, std::ptrdiff_t at) const {
    return reinterpret_cast<const KeyIndex*>(view.row(item, head, at));
  }
};

bool same(const Tensor& a, const Tensor& b) {
  bool same = true;
  a.for_each([&](auto... index) {
    const double x = a.get(index...), y = b.get(index...);
    same &= x == y || (std::isnan(x) && std::isnan(y));
  });
  return same;
}

template <class T>
struct Forward {
  Tensor out, lse, probabilities;
  Kept kept;

  Forward(const Example& example, std::ptrdiff_t top_k, int threads, Layout layout)
      : kept(example.sizes, top_k) {
    const Sizes& sizes = example.sizes;
    const Shape rows{sizes.items, sizes.heads, sizes.queries, 1};
    out = Tensor(example.query.view().type,
                 {sizes.items, sizes.heads, sizes.queries, sizes.value_depth}, layout);
    lse = Tensor(element_type<T>, rows, layout);
    probabilities = Tensor(element_type<T>, {sizes.items, sizes.heads, sizes.queries, sizes.keys});
    for (Tensor* const tensor : {&out, &lse, &probabilities}) {
      tensor->fill([] { return untouched; });
    }
    Problem problem = example.problem;
    problem.top_k = top_k;
    const Team team{threads, nullptr};
    top_k_forward<T>(problem, example.query.view(), example.key.view(), example.value.view(),
                     out.view(), lse.view(), kept.view, team);
    problem.sink = nullptr;  // it is included in lse
    top_k_probabilities<T>(problem, example.query.view(), example.key.view(), lse.view(),
                           probabilities.view(), {nullptr, sizes.queries, sizes.keys}, false, team);
  }
  bool equals(const Forward& other) const {
    return same(out, other.out) && same(lse, other.lse) &&
           same(probabilities, other.probabilities) && kept.keys == other.kept.keys;
  }
};

template <class T>
void results_are_those_of_the_kept_keys(const Case& test_case, ElementType type,
                                        std::ptrdiff_t top_k) {
  const Example example = clear_example(test_case, type);
  Dense all(example.problem, example.query.view(), example.key.view(), example.value.view());
  const Tensor mask = mask_of_kept(example, all, top_k);
  Problem masked = example.problem;
  masked.mask = mask.view();
  Dense dense(masked, example.query.view(), example.key.view(), example.value.view());
  const Forward<T> found(example, top_k, 1, Layout::plain);
  bool right = true, keys_are_right = true, none_else = true;
  const auto close_to = [](double actual, long double expected, double allowed) {
    return actual == expected || std::abs(actual - expected) <= allowed * (1 + std::abs(expected));
  };
  found.lse.for_each([&](auto item, auto head, auto row, auto) {
    const Item& place = example.problem.items[item];
    const std::ptrdiff_t i = row - place.query_begin;
    if (i < 0 || i >= place.queries) {
      none_else &= found.lse.get(item, head, row) == untouched;
      for (std::ptrdiff_t d = 0; d < example.sizes.value_depth; ++d) {
        none_else &= std::abs(found.out.get(item, head, row, d) - untouched) < 1;
      }
      return;
    }
    right &= close_to(found.lse.get(item, head, row), dense.lse(item, head, i),
                      tolerance(element_type<T>));
    for (std::ptrdiff_t d = 0; d < example.sizes.value_depth; ++d) {
      right &=
          close_to(found.out.get(item, head, row, d), dense.out(item, head, i, d), tolerance(type));
    }
    const KeyIndex* kept = found.kept.row(item, head, row);
    for (std::ptrdiff_t j = 0; j < place.keys; ++j) {
      right &= close_to(found.probabilities.get(item, head, i, j), dense.applied(item, head, i, j),
                        tolerance(element_type<T>));
      if (mask.get(item, head, i, j) != 0) keys_are_right &= *kept++ == j;
    }
    keys_are_right &= kept == found.kept.row(item, head, row) + top_k || *kept == no_key;
  });
  const bool holds = check(right, "results are those of the kept keys") &&
                     check(keys_are_right, "kept keys are in ascending order") &&
                     check(none_else, "rows of no item stay as they were");
  if (!holds) std::printf("in \"%s\", %td keys\n", test_case.name, top_k);
  for (const auto& [layout, threads] : variants) {
    const Forward<T> other(clear_example(test_case, type, layout), top_k, threads, layout);
    check(found.equals(other), "the same bits for all strides and threads");
  }
}

template <class T>
Gradients<T> gradients_of(const BackwardInputs<T>& inputs, const Extras& extras,
                          std::ptrdiff_t top_k, const TensorView& kept, int threads,
                          Layout layout) {
  return {inputs, extras, layout, [&](Problem& problem, const BackwardTensors& tensors) {
            problem.top_k = top_k;
            top_k_backward<T>(problem, tensors, kept, Team{threads, nullptr});
          }};
}

// Layouts of gradients: the compiled function gets contiguous ones.
bool is_contiguous(Layout layout) {
  return layout == Layout::plain || layout == Layout::heads_inside;
}

template <class T>
void gradients_are_those_of_the_kept_keys(const Case& test_case, const Extras& extras,
                                          std::ptrdiff_t top_k) {
  const ElementType type = element_type<T>;
  const Example example = clear_example(test_case, type);
  Dense all(example.problem, example.query.view(), example.key.view(), example.value.view());
  const Tensor mask = mask_of_kept(example, all, top_k);
  Problem masked = example.problem;
  masked.mask = mask.view();
  Dense dense(masked, example.query.view(), example.key.view(), example.value.view());
  const Forward<T> forward(example, top_k, 1, Layout::plain);
  BackwardInputs<T> inputs(test_case, dense, extras, type, Layout::plain);
  make_clear(inputs.example);
  const Gradients<T> found =
      gradients_of<T>(inputs, extras, top_k, forward.kept.view, 1, Layout::plain);
  inputs.example.problem.mask = mask.view();
  const Gradients<T> expected(inputs, extras, 1, Layout::plain);
  const auto compare = [&](const Tensor& a, const Tensor& b, const char* sentence) {
    bool right = true;
    a.for_each([&](auto... index) {
      right &= std::abs(a.get(index...) - b.get(index...)) <=
               40 * tolerance(type) * (1 + std::abs(b.get(index...)));
    });
    if (!check(right, sentence)) std::printf("in \"%s\", %td keys\n", test_case.name, top_k);
  };
  compare(found.dquery, expected.dquery, "dquery is that of the kept keys");
  compare(found.dkey, expected.dkey, "dkey is that of the kept keys");
  compare(found.dvalue, expected.dvalue, "dvalue is that of the kept keys");
  if (extras.dbias) compare(found.dbias, expected.dbias, "dbias is that of the kept keys");
  for (const auto& [layout, threads] : variants) {
    if (!is_contiguous(layout)) continue;
    BackwardInputs<T> other_inputs(test_case, dense, extras, type, layout);
    make_clear(other_inputs.example);
    check(found.equals(
              gradients_of<T>(other_inputs, extras, top_k, forward.kept.view, threads, layout)),
          "gradients have the same bits for all strides and threads");
  }
}

template <class T>
void everything() {
  for (const Case& test_case : cases) {
    for (const std::ptrdiff_t top_k : {1, 6, 40}) {
      if (top_k > test_case.sizes.keys) continue;
      results_are_those_of_the_kept_keys<T>(test_case, element_type<T>, top_k);
      gradients_are_those_of_the_kept_keys<T>(test_case, {}, top_k);
      gradients_are_those_of_the_kept_keys<T>(test_case, {true, true, true, {}}, top_k);
    }
    if (test_case.sizes.keys < 6) continue;
    for (const OwnAxes own : {OwnAxes{false, true, true, true}, OwnAxes{true, true, false, true},
                              OwnAxes{true, true, true, false}}) {
      gradients_are_those_of_the_kept_keys<T>(test_case, {false, false, true, own}, 6);
    }
  }
}

}  // namespace
}  // namespace heedful

int main() {
  using namespace heedful;
  everything<double>();
  everything<float>();
  for (const Case& test_case : cases) {
    if (test_case.sizes.keys < 6) continue;
    for (const ElementType type : {ElementType::float16, ElementType::bfloat16}) {
      results_are_those_of_the_kept_keys<float>(test_case, type, 6);
    }
  }
  return summary();
}
