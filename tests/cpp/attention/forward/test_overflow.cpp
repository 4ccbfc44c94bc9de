// Weighted means of values near the largest finite number stay within the range of the values,
// though their sum overflows.
#include <cmath>
#include <limits>

#include "attention/forward/forward.hpp"
#include "attention/forward/overflow.hpp"
#include "attention/softmax/scaled_mean.hpp"
#include "check.hpp"
#include "example.hpp"

namespace heedful {
namespace {

double largest(ElementType type) { return largest_finite<double>(type); }

template <class T>
Tensor out_of(const Example& example, ElementType type) {
  const Sizes& sizes = example.sizes;
  Tensor out(type, {sizes.items, sizes.heads, sizes.queries, sizes.value_depth});
  attention_forward<T>(example.problem, example.query.view(), example.key.view(),
                       example.value.view(), out.view(), TensorView{}, Team{2, nullptr});
  return out;
}

constexpr Sizes shapes[] = {{2, 2, 1, 1, 29, 5, 3},    {1, 2, 1, 1, 2113, 5, 17},
                            {1, 2, 2, 53, 97, 5, 3},   {1, 2, 2, 53, 97, 5, 32},
                            {1, 1, 1, 61, 1031, 8, 9}, {1, 1, 1, 23, 1523, 8, 16}};

template <class T>
void equal_values_come_back(ElementType type) {
  for (const Sizes& sizes : shapes) {
    for (const bool additive : {false, true}) {
      if (additive && type != element_type<T>) continue;
      Example example(sizes, type);
      std::vector<T> score_vector(static_cast<std::size_t>(sizes.depth), T(0.3));
      if (additive) {
        example.problem.score_kind = ScoreKind::additive;
        example.problem.score_vector = score_vector.data();
        example.problem.scale = 1;
      }
      for (const double sign : {1.0, -1.0}) {
        const double value = sign * largest(type);
        example.value.fill([&] { return value; });
        const Tensor out = out_of<T>(example, type);
        bool right = true;
        out.for_each([&](auto item, auto head, auto row, auto column) {
          const double found = out.get(item, head, row, column);
          right &= std::isfinite(found) && std::abs(found / value - 1) < 0.01;
        });
        check(right, "the mean of equal values is that value");
      }
    }
  }
}

void infinity_and_nan_stay() {
  Example example({1, 2, 2, 53, 97, 5, 4}, ElementType::float32);
  const double inf = std::numeric_limits<double>::infinity();
  example.value.fill([&] { return largest(ElementType::float32); });
  for (std::ptrdiff_t head = 0; head < 2; ++head) {
    example.value.set(0, head, 3, 0, inf);
    example.value.set(0, head, 5, 1, std::nan(""));
    example.value.set(0, head, 7, 2, inf);
    example.value.set(0, head, 9, 2, -inf);
  }
  const Tensor out = out_of<float>(example, ElementType::float32);
  check(out.get(0, 1, 31, 0) == inf, "∞ reaches the output");
  check(std::isnan(out.get(0, 1, 31, 1)), "NaN reaches the output");
  check(std::isnan(out.get(0, 1, 31, 2)), "∞ of both signs is NaN");
  check(std::isfinite(out.get(0, 1, 31, 3)), "another column stays finite");
}

void means_are_scaled_back() {
  const float top = std::numeric_limits<float>::max();
  const float scaled = top * value_scale<float>;
  const float above = scaled * 1.000001f;
  check(unscaled_mean(scaled, top, true) == top, "the largest number is restored");
  check(unscaled_mean(above, top, true) == top, "rounding does not exceed it");
  check(unscaled_mean(-above, top, true) == -top, "nor below its negative");
  check(std::isinf(unscaled_mean(above, top, false)), "with dropout it may");
  check(std::isinf(unscaled_mean(std::numeric_limits<float>::infinity(), top, true)), "∞ is ∞");
}

}  // namespace
}  // namespace heedful

int main() {
  using namespace heedful;
  equal_values_come_back<float>(ElementType::float32);
  equal_values_come_back<double>(ElementType::float64);
  equal_values_come_back<float>(ElementType::float16);
  equal_values_come_back<float>(ElementType::bfloat16);
  infinity_and_nan_stay();
  means_are_scaled_back();
  return summary();
}
