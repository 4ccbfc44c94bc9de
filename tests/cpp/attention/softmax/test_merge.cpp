// Results over splits of the keys are merged into the result over all of them.
#include <cmath>
#include <limits>
#include <vector>

#include "attention/problem/minus_infinity.hpp"
#include "attention/softmax/merge.hpp"
#include "cases.hpp"
#include "check.hpp"

namespace heedful {
namespace {

constexpr double nan = std::numeric_limits<double>::quiet_NaN();

// Splits with random results; in some rows some splits have no visible key, in row 3 none has.
struct Splits {
  MergeSizes sizes{3, 2, 3, 301, 5};
  std::vector<Tensor> outs, lses;

  Splits(ElementType type, ElementType lse_type, Layout layout) {
    RandomNumbers random(16);
    for (std::ptrdiff_t p = 0; p < sizes.splits; ++p) {
      outs.emplace_back(type, Shape{sizes.num_items, sizes.num_heads, sizes.rows, sizes.depth},
                        layout);
      lses.emplace_back(lse_type, Shape{sizes.num_items, sizes.num_heads, sizes.rows, 1}, layout);
      outs.back().fill([&] { return random.exact(); });
      lses.back().fill([&] { return random.between(-50, 50); });
      lses.back().for_each([&](auto item, auto head, auto row, auto) {
        if (row != 3 && (row + p) % 4 != 0) return;
        lses.back().set(item, head, row, 0, minus_infinity<double>);
        outs.back().set(item, head, row, 1, nan);  // the out of such a split is ignored
      });
    }
  }
};

template <class T>
struct Merged {
  Tensor out, lse;

  Merged(const Splits& splits, ElementType type, Layout layout, int threads)
      : out(type, splits.outs[0].shape(), layout),
        lse(element_type<T>, splits.lses[0].shape(), layout) {
    std::vector<TensorView> outs, lses;
    for (const Tensor& split : splits.outs) outs.push_back(split.view());
    for (const Tensor& split : splits.lses) lses.push_back(split.view());
    merge_attention<T>(splits.sizes, outs.data(), lses.data(), out.view(), lse.view(),
                       Team{threads, nullptr});
  }
};

template <class T>
void merged_rows_are_those_of_the_definition(ElementType type) {
  const Splits splits(type, element_type<T>, Layout::plain);
  const Merged<T> merged(splits, type, Layout::plain, 1);
  bool right = true;
  merged.lse.for_each([&](auto item, auto head, auto row, auto) {
    long double maximum = minus_infinity<double>;
    for (const Tensor& lse : splits.lses) maximum = std::fmax(maximum, lse.get(item, head, row));
    if (std::isinf(maximum)) {
      right &= merged.lse.get(item, head, row) == minus_infinity<double>;
      for (std::ptrdiff_t d = 0; d < splits.sizes.depth; ++d) {
        right &= merged.out.get(item, head, row, d) == 0;
      }
      return;
    }
    long double sum = 0;
    for (const Tensor& lse : splits.lses) sum += std::exp(lse.get(item, head, row) - maximum);
    right &= std::abs(merged.lse.get(item, head, row) - (maximum + std::log(sum))) <=
             tolerance(element_type<T>) * 50;
    for (std::ptrdiff_t d = 0; d < splits.sizes.depth; ++d) {
      long double out = 0;
      for (std::size_t p = 0; p < splits.outs.size(); ++p) {
        const long double lse = splits.lses[p].get(item, head, row);
        if (!std::isinf(lse)) {
          out += std::exp(lse - maximum) / sum * splits.outs[p].get(item, head, row, d);
        }
      }
      right &= std::abs(merged.out.get(item, head, row, d) - out) <= tolerance(type) * 50;
    }
  });
  check(right,
        "out = Σ exp(lse_p − lse) out_p, lse = ln Σ exp(lse_p); 0 and −∞ where no split has a "
        "visible key");
}

template <class T>
void the_same_bits_for_all_strides_and_threads(ElementType type) {
  const Merged<T> plain(Splits(type, element_type<T>, Layout::plain), type, Layout::plain, 1);
  for (const auto& [layout, threads] : variants) {
    const Merged<T> merged(Splits(type, element_type<T>, layout), type, layout, threads);
    bool same = true;
    merged.out.for_each(
        [&](auto... index) { same &= merged.out.get(index...) == plain.out.get(index...); });
    merged.lse.for_each(
        [&](auto... index) { same &= merged.lse.get(index...) == plain.lse.get(index...); });
    check(same, "the same bits for all strides and threads");
  }
}

template <class T>
void one_split_is_itself() {
  Splits splits(element_type<T>, element_type<T>, Layout::plain);
  splits.sizes.splits = 1;
  const Merged<T> merged(splits, element_type<T>, Layout::plain, 1);
  bool same = true;
  merged.lse.for_each([&](auto item, auto head, auto row, auto) {
    const bool visible = !std::isinf(splits.lses[0].get(item, head, row));
    same &= merged.lse.get(item, head, row) == splits.lses[0].get(item, head, row);
    for (std::ptrdiff_t d = 0; d < splits.sizes.depth; ++d) {
      same &= merged.out.get(item, head, row, d) ==
              (visible ? splits.outs[0].get(item, head, row, d) : 0);
    }
  });
  check(same, "one split alone is unchanged");
}

void empty_results_are_merged() {
  for (const MergeSizes& sizes :
       {MergeSizes{2, 0, 3, 7, 5}, MergeSizes{2, 2, 0, 7, 5}, MergeSizes{2, 2, 3, 0, 5}}) {
    merge_attention<float>(sizes, nullptr, nullptr, {}, {}, Team{2, nullptr});
  }
  Splits splits(ElementType::float32, ElementType::float32, Layout::plain);
  splits.sizes.depth = 0;
  const Merged<float> merged(splits, ElementType::float32, Layout::plain, 2);
  check(!std::isnan(merged.lse.get(0, 0, 0)), "without columns there is still a log-sum-exp");
}

template <class T>
void everything(ElementType type) {
  merged_rows_are_those_of_the_definition<T>(type);
  the_same_bits_for_all_strides_and_threads<T>(type);
}

}  // namespace
}  // namespace heedful

int main() {
  using namespace heedful;
  everything<double>(ElementType::float64);
  everything<float>(ElementType::float32);
  everything<float>(ElementType::float16);
  everything<float>(ElementType::bfloat16);
  one_split_is_itself<float>();
  one_split_is_itself<double>();
  empty_results_are_merged();
  return summary();
}
