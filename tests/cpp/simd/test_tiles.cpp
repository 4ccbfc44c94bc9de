// The model of AMX's tiles against plain loops over the manual's operations, and the instructions
// against the model where the processor has them.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>
#include <vector>

#include "check.hpp"
#include "half_bits.hpp"
#include "random_numbers.hpp"
#include "simd/overflow_flag.hpp"
#include "simd/tiles.hpp"

namespace heedful::simd {
namespace {

// C (rows, columns), A (rows, words), B (words, columns) in 32-bit words, with strides in words.
struct Operands {
  std::ptrdiff_t rows, words, columns, a_stride, b_stride, c_stride;
  std::vector<std::uint32_t> a, b, c;

  template <class Draw>
  Operands(std::ptrdiff_t rows_, std::ptrdiff_t words_, std::ptrdiff_t columns_, const Draw& draw)
      : rows(rows_),
        words(words_),
        columns(columns_),
        a_stride(words + 3),
        b_stride(columns + 1),
        c_stride(columns + 2) {
    const auto fill = [&](std::vector<std::uint32_t>& matrix, std::ptrdiff_t count) {
      matrix.resize(static_cast<std::size_t>(count));
      for (auto& word : matrix) word = draw();
    };
    fill(a, (rows - 1) * a_stride + words);
    fill(b, (words - 1) * b_stride + columns);
    fill(c, (rows - 1) * c_stride + columns);
  }

  TileConfig config() const {
    TileConfig config;
    config.set(0, rows, 4 * columns);
    config.set(3, rows, 4 * words);
    config.set(7, words, 4 * columns);
    return config;
  }
  std::uint32_t a_at(std::ptrdiff_t m, std::ptrdiff_t k) const {
    return a[static_cast<std::size_t>(m * a_stride + k)];
  }
  std::uint32_t b_at(std::ptrdiff_t k, std::ptrdiff_t n) const {
    return b[static_cast<std::size_t>(k * b_stride + n)];
  }
  std::size_t c_index(std::ptrdiff_t m, std::ptrdiff_t n) const {
    return static_cast<std::size_t>(m * c_stride + n);
  }
};

enum class Operation { bfloat16, int8, uint8_int8 };

// C after the operation; `from_zero`: without C before.
template <class Tiles>
std::vector<std::uint32_t> result_of(const Operands& x, Operation operation, bool from_zero) {
  std::vector<std::uint32_t> c = x.c;
  Tiles tiles;
  tiles.configure(x.config());
  if (from_zero) {
    tiles.template zero<0>();
  } else {
    tiles.template load<0>(c.data(), 4 * x.c_stride);
  }
  tiles.template load<3>(x.a.data(), 4 * x.a_stride);
  tiles.template load<7>(x.b.data(), 4 * x.b_stride);
  switch (operation) {
    case Operation::bfloat16:
      tiles.template dot_bfloat16<0, 3, 7>();
      break;
    case Operation::int8:
      tiles.template dot_int8<0, 3, 7>();
      break;
    case Operation::uint8_int8:
      tiles.template dot_uint8_int8<0, 3, 7>();
      break;
  }
  tiles.template store<0>(c.data(), 4 * x.c_stride);
  return c;
}

// To 24 bits with an unbounded exponent, then subnormal numbers to zero.
long double rounded(long double exact) {
  if (exact == 0 || !std::isfinite(exact)) return exact;
  int exponent;
  const long double fraction = std::frexp(exact, &exponent);
  const long double nearest = std::ldexp(std::nearbyint(std::ldexp(fraction, 24)), exponent - 24);
  if (std::abs(nearest) < 0x1p-126L) return std::copysign(0.0L, exact);
  if (std::abs(nearest) >= 0x1p128L) {
    return std::copysign(std::numeric_limits<long double>::infinity(), exact);
  }
  return nearest;
}

long double operand(std::uint32_t bits) {
  float value;
  std::memcpy(&value, &bits, sizeof(value));
  if (std::fpclassify(value) == FP_SUBNORMAL) return std::signbit(value) ? -0.0L : 0.0L;
  return static_cast<long double>(value);
}

// Element (m, n), as the manual writes it. A long double holds the exact sum of a float and a
// product of two bfloat16, or more bits of it than decide how it is rounded.
long double expected_float(const Operands& x, std::ptrdiff_t m, std::ptrdiff_t n, bool from_zero) {
  long double even = 0, odd = 0;
  for (std::ptrdiff_t k = 0; k < x.words; ++k) {
    const std::uint32_t a = x.a_at(m, k), b = x.b_at(k, n);
    even = rounded(even + operand(a << 16) * operand(b << 16));
    odd = rounded(odd + operand(a & 0xFFFF0000u) * operand(b & 0xFFFF0000u));
  }
  const long double before = from_zero ? 0 : operand(x.c[x.c_index(m, n)]);
  return rounded(before + rounded(even + odd));
}

bool same(std::uint32_t bits, long double expected) {
  float actual;
  std::memcpy(&actual, &bits, sizeof(actual));
  if (std::isnan(expected)) return std::isnan(actual);
  const auto wide = static_cast<long double>(actual);
  return wide == expected && std::signbit(actual) == std::signbit(expected);
}

bool same_floats(const std::vector<std::uint32_t>& a, const std::vector<std::uint32_t>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), [](std::uint32_t x, std::uint32_t y) {
    const auto is_nan = [](std::uint32_t bits) { return (bits & 0x7FFFFFFFu) > 0x7F800000u; };
    return x == y || (is_nan(x) && is_nan(y));
  });
}

void instructions_have_the_bits_of_the_model([[maybe_unused]] const Operands& x,
                                             [[maybe_unused]] Operation operation) {
#ifdef HEEDFUL_TILES
  if (operation == Operation::bfloat16 ? !has_bfloat16_tiles() : !has_int8_tiles()) return;
  check(same_floats(result_of<TileRegisters>(x, operation, false),
                    result_of<TileModel>(x, operation, false)),
        "the instructions have the bits of the model");
#endif
}

void floats_are_those_of_the_manual(const Operands& x) {
  for (const bool from_zero : {false, true}) {
    const std::vector<std::uint32_t> c = result_of<TileModel>(x, Operation::bfloat16, from_zero);
    bool right = true, none_else = true;
    for (std::ptrdiff_t m = 0; m < x.rows; ++m) {
      for (std::ptrdiff_t n = 0; n < x.columns; ++n) {
        right &= same(c[x.c_index(m, n)], expected_float(x, m, n, from_zero));
      }
      for (std::ptrdiff_t n = x.columns; m + 1 < x.rows && n < x.c_stride; ++n) {
        none_else &= c[x.c_index(m, n)] == x.c[x.c_index(m, n)];
      }
    }
    check(right, "sums of even and odd products, rounded one by one");
    check(none_else, "nothing is written between the rows");
  }
  instructions_have_the_bits_of_the_model(x, Operation::bfloat16);
}

// Words of two bfloat16 (and floats as C) whose exponents are uniform in a range.
auto with_exponents(RandomNumbers& random, int low, int high) {
  return [&random, low, high] {
    const auto half = [&] {
      const auto exponent =
          static_cast<std::uint32_t>(low + 127) +
          static_cast<std::uint32_t>(random.bits() % static_cast<std::uint64_t>(high - low + 1));
      return static_cast<std::uint32_t>(random.bits() & 0x807Fu) | exponent << 7;
    };
    const std::uint32_t low_half = half();
    return low_half | half() << 16;
  };
}

void random_floats() {
  RandomNumbers random(1);
  for (int turn = 0; turn < 20; ++turn) {
    const auto any = [&] { return static_cast<std::uint32_t>(random.bits()); };
    floats_are_those_of_the_manual({16, 16, 16, with_exponents(random, -8, 8)});
    floats_are_those_of_the_manual({16, 16, 16, with_exponents(random, -70, -58)});  // subnormal
    floats_are_those_of_the_manual({16, 16, 16, with_exponents(random, -77, -50)});
    floats_are_those_of_the_manual({16, 16, 16, with_exponents(random, 58, 65)});  // overflow
    floats_are_those_of_the_manual({16, 16, 16, with_exponents(random, -126, 127)});
    floats_are_those_of_the_manual({16, 1, 16, any});  // with NaN, ∞ and subnormal operands
    floats_are_those_of_the_manual({3, 2, 5, any});
    floats_are_those_of_the_manual({16, 16, 16, any});
  }
  for (const std::ptrdiff_t rows : {1, 7, 16}) {
    for (const std::ptrdiff_t words : {1, 5, 16}) {
      for (const std::ptrdiff_t columns : {1, 11, 16}) {
        floats_are_those_of_the_manual({rows, words, columns, with_exponents(random, -8, 8)});
      }
    }
  }
}

std::uint32_t word(double even, double odd = 0) {
  return Bfloat16::nearest(even) | static_cast<std::uint32_t>(Bfloat16::nearest(odd)) << 16;
}

// One element, C = 0: pairs of factors, all even.
std::uint32_t sum_of(const std::vector<std::pair<double, double>>& factors) {
  const auto count = static_cast<std::ptrdiff_t>(factors.size());
  Operands x(1, count, 1, [] { return 0u; });
  for (std::ptrdiff_t k = 0; k < count; ++k) {
    const auto& [a, b] = factors[static_cast<std::size_t>(k)];
    x.a[static_cast<std::size_t>(k)] = word(a);
    x.b[static_cast<std::size_t>(k * x.b_stride)] = word(b);
  }
  instructions_have_the_bits_of_the_model(x, Operation::bfloat16);
  return result_of<TileModel>(x, Operation::bfloat16, true)[0];
}

void rounding_is_that_of_one_fused_step() {
  check(sum_of({{1, 1}, {0x1p-12, 0x1p-12}}) == 0x3F800000u, "1 + 2^−24: a tie, to even");
  check(sum_of({{1, 1}, {0x1p-12, 1.0078125 * 0x1p-12}}) == 0x3F800001u, "just above the tie");
  check(sum_of({{0x1p-63, 0x1p-63}}) == 0x00800000u, "2^−126 is the smallest result");
  check(sum_of({{0x1p-63, -0x1p-64}}) == 0, "−2^−127 is flushed to −0, and −0 + 0 is 0");
  check(sum_of({{0x1p-63, 0x1p-63}, {0x1p-75, -0x1p-75}}) == 0, "2^−126 − 2^−150 has 24 bits");
  check(sum_of({{0x1p-63, 0x1p-63}, {0x1p-75, -0x1p-76}}) == 0x00800000u,
        "2^−126 − 2^−151 is rounded to 2^−126 first");
  check(sum_of({{0x1p-127, 0x1p+100}}) == 0, "a subnormal operand is 0");
  check(sum_of({{0x1p64, 0x1p63}, {0x1p64, 0x1p63}}) == 0x7F800000u, "overflow is ∞");
}

void no_exception_is_flagged() {
  Operands x(1, 1, 1, [] { return 0u; });
  x.a[0] = x.b[0] = word(0x1p100);
  const OverflowFlag flag;
  const auto c = result_of<TileModel>(x, Operation::bfloat16, true);
  check(c[0] == 0x7F800000u && !flag.raised(), "overflow flags nothing");
}

std::int64_t byte_of(std::uint32_t word, int index, bool is_signed) {
  const std::int64_t byte = word >> (8 * index) & 0xFF;
  return is_signed && byte >= 128 ? byte - 256 : byte;
}

void integers_are_exact() {
  RandomNumbers random(2);
  for (const std::ptrdiff_t rows : {1, 5, 16}) {
    for (const std::ptrdiff_t words : {1, 7, 16}) {
      for (const std::ptrdiff_t columns : {3, 16}) {
        const Operands x(rows, words, columns,
                         [&] { return static_cast<std::uint32_t>(random.bits()); });
        for (const Operation operation : {Operation::int8, Operation::uint8_int8}) {
          const auto c = result_of<TileModel>(x, operation, false);
          bool right = true;
          for (std::ptrdiff_t m = 0; m < rows; ++m) {
            for (std::ptrdiff_t n = 0; n < columns; ++n) {
              std::int64_t sum = x.c[x.c_index(m, n)];
              for (std::ptrdiff_t k = 0; k < words; ++k) {
                for (int i = 0; i < 4; ++i) {
                  sum += byte_of(x.a_at(m, k), i, operation == Operation::int8) *
                         byte_of(x.b_at(k, n), i, true);
                }
              }
              right &= c[x.c_index(m, n)] == static_cast<std::uint32_t>(sum);
            }
          }
          check(right, "sums of products of bytes, modulo 2^32");
          instructions_have_the_bits_of_the_model(x, operation);
        }
      }
    }
  }
}

}  // namespace
}  // namespace heedful::simd

int main() {
  using namespace heedful;
  if (!simd::compiled_tiles) {
    std::puts("the assembler does not know AMX: only the model");
  } else if (!simd::has_bfloat16_tiles()) {
    std::puts("no tiles on this processor, or no permission: only the model");
  }
  simd::random_floats();
  simd::rounding_is_that_of_one_fused_step();
  simd::no_exception_is_flagged();
  simd::integers_are_exact();
  return summary();
}
