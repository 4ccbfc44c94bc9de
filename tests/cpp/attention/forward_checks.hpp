// Properties of the weighted sum in every case, for every element type: correct, the same bits for
// all memory layouts, numbers of threads and numbers of items, and independent of hidden keys.
#pragma once

#include <cmath>
#include <limits>

#include "attention/forward/forward.hpp"
#include "cases.hpp"
#include "check.hpp"
#include "dense.hpp"
#include "paged_tensor.hpp"

namespace heedful {

inline constexpr double untouched = -99;

// The element type of a call, and how bfloat16 is multiplied.
struct Kind {
  ElementType type;
  simd::Bfloat16Way way = simd::Bfloat16Way::widened;
};

inline Example example_of(const Case& test_case, Kind kind, Layout layout = Layout::plain) {
  Example example = example_of(test_case, kind.type, layout);
  const bool pairs = kind.way == simd::Bfloat16Way::pairs;
  example.problem.bfloat16 = {kind.way, pairs ? kind.way : simd::Bfloat16Way::widened};
  return example;
}

template <class T>
struct Result {
  Tensor out, lse;

  explicit Result(const Example& example, int threads = 1, Layout layout = Layout::plain)
      : Result(example, example.key.view(), example.value.view(), threads, layout) {}
  Result(const Example& example, const TensorView& key, const TensorView& value, int threads = 1,
         Layout layout = Layout::plain)
      : out(example.query.view().type,
            {example.sizes.items, example.sizes.heads, example.sizes.queries,
             example.sizes.value_depth},
            layout),
        lse(element_type<T>, {example.sizes.items, example.sizes.heads, example.sizes.queries, 1},
            layout) {
    out.fill([] { return untouched; });
    lse.fill([] { return untouched; });
    attention_forward<T>(example.problem, example.query.view(), key, value, out.view(), lse.view(),
                         Team{threads, nullptr});
  }

  // Equal elements, in any layout.
  bool equals(const Result& other) const {
    bool same = true;
    const auto compare = [&](const Tensor& a, const Tensor& b) {
      a.for_each([&](auto... index) {
        const double x = a.get(index...), y = b.get(index...);
        same &= x == y || (std::isnan(x) && std::isnan(y));
      });
    };
    compare(out, other.out);
    compare(lse, other.lse);
    return same;
  }
};

inline bool belongs(const Item& item, std::ptrdiff_t row) {
  return row >= item.query_begin && row < item.query_begin + item.queries;
}

template <class T>
void results_are_those_of_the_definition(const Case& test_case, Kind kind) {
  const Example example = example_of(test_case, kind);
  Dense dense(example.problem, example.query.view(), example.key.view(), example.value.view());
  const Result<T> result(example);
  const double allowed = tolerance(kind.type);
  bool right = true, none_else = true;
  result.out.for_each([&](auto item, auto head, auto row, auto column) {
    const Item& place = example.problem.items[item];
    const double actual = result.out.get(item, head, row, column);
    if (!belongs(place, row)) {
      none_else &= std::abs(actual - untouched) < 1;
      return;
    }
    const long double expected = dense.out(item, head, row - place.query_begin, column);
    right &= std::abs(actual - expected) <= allowed * (1 + std::abs(expected));
  });
  result.lse.for_each([&](auto item, auto head, auto row, auto) {
    const Item& place = example.problem.items[item];
    const double actual = result.lse.get(item, head, row);
    if (!belongs(place, row)) {
      none_else &= actual == untouched;
      return;
    }
    const long double expected = dense.lse(item, head, row - place.query_begin);
    right &= actual == expected ||
             std::abs(actual - expected) <= tolerance(element_type<T>) * (1 + std::abs(expected));
  });
  if (!check(right, "out and lse are those of the definition")) {
    std::printf("in \"%s\"\n", test_case.name);
  }
  if (!check(none_else, "rows of no item stay as they were")) {
    std::printf("in \"%s\"\n", test_case.name);
  }
}

template <class T>
void the_same_bits_for_all_layouts_and_threads(const Case& test_case, Kind kind) {
  const Result<T> plain(example_of(test_case, kind));
  for (const auto& [layout, threads] : variants) {
    const Result<T> result(example_of(test_case, kind, layout), threads, layout);
    if (!check(plain.equals(result), "the same bits for all strides and threads")) {
      std::printf("in \"%s\", layout %d, %d threads\n", test_case.name, static_cast<int>(layout),
                  threads);
    }
  }
}

template <class T>
void the_same_bits_on_pages(const Case& test_case, Kind kind) {
  const Example example = example_of(test_case, kind);
  const Result<T> plain(example);
  for (const std::ptrdiff_t page_rows : {1, 7, 16, 64, 1000}) {
    const bool rows_first = page_rows == 7;
    const PagedTensor key(example.key, page_rows, rows_first);
    const PagedTensor value(example.value, page_rows, rows_first);
    const Result<T> result(example, key.view(), value.view(), 2);
    if (!check(plain.equals(result), "the same bits for rows on pages")) {
      std::printf("in \"%s\", %td rows a page\n", test_case.name, page_rows);
    }
  }
}

inline TensorView from_item(TensorView view, std::ptrdiff_t item) {
  view.item_offsets += item;
  return view;
}

template <class T>
void an_item_alone_has_the_same_bits(const Case& test_case, Kind kind) {
  const Example example = example_of(test_case, kind);
  if (test_case.sizes.items < 2 || example.problem.dropout_p > 0) return;
  const Result<T> together(example);
  const std::ptrdiff_t item = test_case.sizes.items - 1;
  Problem problem = example.problem;
  problem.num_items = 1;
  problem.items += item;
  problem.mask = from_item(problem.mask, item);
  problem.bias = from_item(problem.bias, item);
  problem.block_mask.kinds = from_item(problem.block_mask.kinds, item);
  if (problem.alibi_slopes) problem.alibi_slopes += item * problem.alibi_item_stride;
  Result<T> alone(example);
  alone.out.fill([] { return untouched; });
  alone.lse.fill([] { return untouched; });
  attention_forward<T>(problem, from_item(example.query.view(), item),
                       from_item(example.key.view(), item), from_item(example.value.view(), item),
                       from_item(alone.out.view(), item), from_item(alone.lse.view(), item),
                       Team{2, nullptr});
  bool same = true, none_else = true;
  alone.out.for_each([&](auto at, auto... index) {
    same &= at != item || alone.out.get(at, index...) == together.out.get(at, index...);
    none_else &= at == item || alone.out.get(at, index...) == untouched;
  });
  if (!check(same && none_else, "an item has the same bits alone")) {
    std::printf("in \"%s\"\n", test_case.name);
  }
}

// Whether a row sees a key of an item and key/value head.
inline bool row_sees_key(const Problem& problem, std::ptrdiff_t item, std::ptrdiff_t head,
                         std::ptrdiff_t query, std::ptrdiff_t kv_head, std::ptrdiff_t key) {
  return head / problem.group() == kv_head && is_visible(problem, item, head, query, key);
}

// NaN or ∞ in one key and its value: rows that see it may become NaN, all others keep their bits.
template <class T>
void what_is_hidden_has_no_effect(const Case& test_case, Kind kind) {
  const Sizes& sizes = test_case.sizes;
  if (sizes.items == 0 || sizes.heads == 0 || sizes.keys > 700 || sizes.queries > 300) return;
  const Example whole = example_of(test_case, kind);
  const Result<T> clean(whole);
  const std::ptrdiff_t item = sizes.items - 1, kv_head = sizes.kv_heads - 1;
  for (const double odd :
       {std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity()}) {
    const std::ptrdiff_t keys = whole.problem.items[item].keys;
    for (std::ptrdiff_t key = 0; key < keys; key += 1 + keys / 7) {
      Example example = example_of(test_case, kind);
      const Problem& problem = example.problem;
      const Item& place = problem.items[item];
      for (std::ptrdiff_t d = 0; d < sizes.depth; ++d) {
        example.key.set(item, kv_head, place.key_begin + key, d, odd);
      }
      for (std::ptrdiff_t d = 0; d < sizes.value_depth; ++d) {
        example.value.set(item, kv_head, place.key_begin + key, d, odd);
      }
      const Result<T> result(example, 2);
      bool others_same = true, reached = true;
      result.out.for_each([&](auto at, auto head, auto row, auto column) {
        const double actual = result.out.get(at, head, row, column);
        const Item& own = problem.items[at];
        if (at == item && belongs(own, row) &&
            row_sees_key(problem, at, head, row - own.query_begin, kv_head, key)) {
          const bool dropped =
              problem.dropout_p > 0;  // a score of −∞ has probability 0, and may be dropped too
          reached &= std::isnan(actual) || dropped || std::isinf(odd) || sizes.depth == 0;
          return;
        }
        const double before = clean.out.get(at, head, row, column);
        others_same &= actual == before;
      });
      if (!check(others_same, "rows that do not see a key keep their bits, whatever it holds") ||
          !check(reached, "rows that see a NaN become NaN")) {
        std::printf("in \"%s\", key %td, %g\n", test_case.name, key, odd);
      }
    }
  }
}

template <class T>
void forward_is_right(const Case& test_case, Kind kind) {
  results_are_those_of_the_definition<T>(test_case, kind);
  the_same_bits_for_all_layouts_and_threads<T>(test_case, kind);
  the_same_bits_on_pages<T>(test_case, kind);
  an_item_alone_has_the_same_bits<T>(test_case, kind);
  what_is_hidden_has_no_effect<T>(test_case, kind);
}

}  // namespace heedful
