// Rows of int8 split into words whose pairs fit: nothing is lost, nothing saturates, and products
// with them are those of the rows.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "check.hpp"
#include "kernels/exact_product.hpp"
#include "kernels/int8_kernel.hpp"
#include "kernels/micro_kernel.hpp"
#include "kernels/split_words.hpp"
#include "random_numbers.hpp"
#include "simd/integer_dots.hpp"

namespace heedful {
namespace {

std::size_t size(std::ptrdiff_t count) { return static_cast<std::size_t>(count); }

constexpr std::ptrdiff_t gap = 5;

// What the elements are: random up to a magnitude, or all the same.
struct Values {
  const char* what;
  int magnitude;
  bool random;

  std::int8_t draw(RandomNumbers& random_numbers) const {
    if (!random) return static_cast<std::int8_t>(magnitude);
    return static_cast<std::int8_t>(int(random_numbers.bits() % size(2 * magnitude)) - magnitude);
  }
};
constexpr Values all_values[] = {{"random", 128, true}, {"small", 64, true}, {"-128", -128, false},
                                 {"127", 127, false},   {"64", 64, false},   {"65", 65, false},
                                 {"-64", -64, false}};

struct SplitRow {
  std::vector<std::byte> main;
  std::vector<ExtraWord> extra;

  SplitRow(const std::vector<std::int8_t>& row, std::ptrdiff_t words)
      : main(size(4 * words + gap), std::byte{77}), extra(size(words)) {
    const ExtraWord* const end = split_words(row.data(), static_cast<std::ptrdiff_t>(row.size()),
                                             words, main.data(), extra.data());
    extra.resize(static_cast<std::size_t>(end - extra.data()));
  }

  std::vector<int> main_elements(std::ptrdiff_t words) const {
    std::vector<int> elements;
    for (std::ptrdiff_t i = 0; i < 4 * words; ++i) {
      elements.push_back(static_cast<std::int8_t>(main[size(i)]));
    }
    return elements;
  }
  std::vector<int> extra_elements(std::ptrdiff_t words) const {
    std::vector<int> elements(size(4 * words));
    for (const ExtraWord& one : extra) {
      std::int8_t bytes[4];
      std::memcpy(bytes, &one.word, sizeof(bytes));
      for (std::size_t i = 0; i < 4; ++i) elements[4 * one.place + i] += bytes[i];
    }
    return elements;
  }
};

bool pairs_fit(const std::vector<int>& elements) {
  bool fit = true;
  for (std::size_t i = 0; i < elements.size(); i += 2) {
    const int high = std::max(elements[i], 0) + std::max(elements[i + 1], 0);
    const int low = std::min(elements[i], 0) + std::min(elements[i + 1], 0);
    fit &= 255 * high < 1 << 15 && 255 * low >= -(1 << 15);
  }
  return fit;
}

void nothing_is_lost_and_nothing_saturates() {
  for (const Values& values : all_values) {
    for (const std::ptrdiff_t count : {0, 1, 3, 4, 30, 31, 32, 33, 255, 256, 257, 259, 772}) {
      RandomNumbers random(static_cast<std::uint64_t>(count));
      std::vector<std::int8_t> row;
      for (std::ptrdiff_t i = 0; i < count; ++i) row.push_back(values.draw(random));
      const std::ptrdiff_t words = (count + 3) / 4;
      const SplitRow split(row, words);
      const auto main = split.main_elements(words), extra = split.extra_elements(words);
      bool right = pairs_fit(main) && pairs_fit(extra);
      for (std::size_t i = 0; i < main.size(); ++i) {
        right &= main[i] + extra[i] == (i < row.size() ? row[i] : 0);
      }
      for (std::ptrdiff_t i = 0; i < gap; ++i)
        right &= split.main[size(4 * words + i)] == std::byte{77};
      if (std::abs(values.magnitude) <= 64) right &= split.extra.empty();  // pairs of 128 fit
      if (!check(right, "w = main + extra, the pairs of both fit, and nothing else is written")) {
        std::printf("%s, %td elements\n", values.what, count);
      }
    }
  }
}

void products_are_exact() {
  for (const Values& values : all_values) {
    for (std::ptrdiff_t rows = 0; rows <= 17; ++rows) {
      for (int vectors = 1; vectors <= max_vectors; ++vectors) {
        for (const std::ptrdiff_t words : {0, 1, 5, 67}) {
          RandomNumbers random(static_cast<std::uint64_t>(rows + words));
          const std::ptrdiff_t lanes = vectors * simd::lanes<float>, depth = 4 * words;
          std::vector<std::int8_t> weight(size(rows * depth + 1));
          for (auto& element : weight) element = values.draw(random);
          std::vector<std::byte> a(size(rows * depth + 1));
          std::vector<ExtraWord> extra(size(rows * words + 1));
          std::vector<std::int64_t> begins{0};
          ExtraWord* end = extra.data();
          for (std::ptrdiff_t row = 0; row < rows; ++row) {
            end =
                split_words(weight.data() + row * depth, depth, words, a.data() + row * depth, end);
            begins.push_back(end - extra.data());
          }
          std::vector<std::uint8_t> b(size(depth * lanes + 1));
          for (auto& element : b) {
            element = static_cast<std::uint8_t>(random.bits() % 4 ? 255 : random.bits() % 256);
          }
          std::vector<std::int32_t> c(size(rows * lanes + 1), -77);
          multiply(simd::Int8Way::bytes, {rows, words, vectors, a.data(), depth,
                                          reinterpret_cast<const std::uint32_t*>(b.data()),
                                          c.data(), extra.data(), begins.data()});
          const bool right = c.back() == -77 && is_exact_product(weight, size(depth), b, size(rows),
                                                                 size(lanes), size(depth), c);
          if (!check(right, "products of split rows are exact")) {
            std::printf("%s at %td rows, %td words, %d vectors\n", values.what, rows, words,
                        vectors);
          }
        }
      }
    }
  }
}

}  // namespace
}  // namespace heedful

int main() {
  using namespace heedful;
  if (simd::compiled_bytes) {
    nothing_is_lost_and_nothing_saturates();
    products_are_exact();
  } else {
    std::puts("no products of bytes at this level");
  }
  return summary();
}
