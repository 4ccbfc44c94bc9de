// Products of words of int8 and of int16 in every block size, against exact integers. Those of
// tiles are in test_tile_kernel.cpp.
#include <cstdio>
#include <vector>

#include "check.hpp"
#include "kernels/exact_product.hpp"
#include "kernels/int8_kernel.hpp"
#include "kernels/micro_kernel.hpp"
#include "random_numbers.hpp"
#include "simd/integer_dots.hpp"

namespace heedful {
namespace {

std::size_t size(std::ptrdiff_t count) { return static_cast<std::size_t>(count); }

constexpr std::int32_t gap = -77;

// What the elements are: random, or the extremes that would saturate 16 bits.
struct Values {
  const char* what;
  int a, b;  // of all elements, unless random
  bool random = false;
};
constexpr Values all_values[] = {
    {"random", 0, 0, true}, {"-128 · 255", -128, 255}, {"127 · 255", 127, 255}, {"-1 · 1", -1, 1}};

// A holds elements of type A, B of type B, as many as fill a word.
template <class A, class B>
void products_are_exact(simd::Int8Way way) {
  constexpr std::ptrdiff_t in_word = 4 / sizeof(A);
  for (const Values& values : all_values) {
    for (std::ptrdiff_t rows = 0; rows <= 19; ++rows) {
      for (int vectors = 1; vectors <= max_vectors; ++vectors) {
        for (const std::ptrdiff_t words : {0, 1, 5, 193}) {
          const std::ptrdiff_t lanes = vectors * simd::lanes<float>, depth = words * in_word;
          const std::ptrdiff_t a_row = depth + 3;  // bytes may be any distance apart
          RandomNumbers random(static_cast<std::uint64_t>(rows + words));
          std::vector<A> a(size(rows * a_row + 1));
          std::vector<B> b(size(depth * lanes + 1));
          for (auto& element : a) {
            element = static_cast<A>(values.random ? int(random.bits() % 256) - 128 : values.a);
          }
          for (auto& element : b) {
            element = static_cast<B>(values.random ? int(random.bits() % 256) : values.b);
          }
          std::vector<std::int32_t> c(size(rows * lanes + 1), gap);
          multiply(way, {rows, words, vectors, reinterpret_cast<const std::byte*>(a.data()),
                         a_row * static_cast<std::ptrdiff_t>(sizeof(A)),
                         reinterpret_cast<const std::uint32_t*>(b.data()), c.data()});
          const bool right = c.back() == gap && is_exact_product(a, size(a_row), b, size(rows),
                                                                 size(lanes), size(depth), c);
          if (!check(right, "C = A B, exactly, and nothing else is written")) {
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
  products_are_exact<std::int16_t, std::int16_t>(simd::Int8Way::widened);
  if (simd::has_vnni()) {
    products_are_exact<std::int8_t, std::uint8_t>(simd::Int8Way::vnni);
  } else {
    std::puts("no VNNI at this level or on this processor");
  }
  return summary();
}
