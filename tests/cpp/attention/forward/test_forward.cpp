// The weighted sum of the values over the whole table of cases: correct, the same bits for all
// memory layouts, numbers of threads and numbers of items, and independent of hidden keys.
#include <cmath>
#include <limits>

#include "forward_checks.hpp"

namespace heedful {
namespace {

// Key rows that no query sees are not accessed: their memory need not exist.
template <class T>
void a_tile_that_no_query_sees_is_not_read() {
  for (const std::ptrdiff_t queries : {1, 37}) {
    Example example({1, 2, 1, queries, 1301, 5, 3}, element_type<T>);
    example.add_mask({true, false, false, true});
    for (std::ptrdiff_t key = 0; key < 1301; ++key) {
      example.mask.set(0, 0, 0, key, key < 100 ? 1 : 0);
    }
    Dense dense(example.problem, example.query.view(), example.key.view(), example.value.view());
    const auto shortened = [](const Tensor& whole, std::ptrdiff_t depth) {
      Tensor some(element_type<T>, {1, 1, 400, depth});  // more than one tile, much less than all
      some.for_each([&](auto... index) { some.set(index..., whole.get(index...)); });
      return some;
    };
    example.key = shortened(example.key, 5);
    example.value = shortened(example.value, 3);
    const Result<T> result(example);  // the address sanitizer reports reads past the end
    close(result.out.get(0, 1, queries - 1, 2),
          static_cast<double>(dense.out(0, 1, queries - 1, 2)), 1e-4, "hidden keys are not read");
  }
}

template <class T>
void scores_may_be_extreme() {
  for (const std::ptrdiff_t queries : {1, 37}) {
    for (const double scale : {1e-30, 1e4, 1e30}) {
      Example example({1, 2, 1, queries, 53, 5, 3}, element_type<T>);
      example.problem.scale = scale;
      const Result<T> result(example);
      Dense dense(example.problem, example.query.view(), example.key.view(), example.value.view());
      bool right = true;
      result.out.for_each([&](auto... index) {
        // with a large scale the maximum score has probability 1, and products of exact inputs are
        // exact
        right &= std::abs(result.out.get(index...) - dense.out(index...)) <= 1e-3;
      });
      if (!check(right, "scores of any size have their softmax")) {
        std::printf("at scale %g\n", scale);
      }
    }
  }
}

template <class T>
void lse_may_be_left_out() {
  const Example example = example_of(cases[1], element_type<T>);
  const Result<T> whole(example);
  Result<T> without_lse(example);
  without_lse.out.fill([] { return untouched; });
  attention_forward<T>(example.problem, example.query.view(), example.key.view(),
                       example.value.view(), without_lse.out.view(), TensorView{},
                       Team{1, nullptr});
  check(without_lse.equals(whole), "without lse, out is the same");
}

template <class T>
void everything() {
  for (const Case& test_case : cases) {
    forward_is_right<T>(test_case, {element_type<T>});
  }
  a_tile_that_no_query_sees_is_not_read<T>();
  scores_may_be_extreme<T>();
  lse_may_be_left_out<T>();
}

}  // namespace
}  // namespace heedful

int main() {
  using namespace heedful;
  everything<float>();
  everything<double>();
  return summary();
}
