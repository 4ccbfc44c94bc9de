#include "simd/tiles.hpp"

#include <algorithm>
#include <cassert>

#include "simd/packet.hpp"
#include "simd/processor.hpp"

#if defined(HEEDFUL_TILES) && defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace heedful::simd {
namespace {

constexpr int width = lanes<double>;
typedef double Doubles __attribute__((vector_size(8 * width)));
typedef float Floats __attribute__((vector_size(4 * width)));
typedef std::int64_t Longs __attribute__((vector_size(8 * width)));
typedef std::uint64_t Bits __attribute__((vector_size(8 * width)));

constexpr std::int64_t sign_bit = std::int64_t{1} << 63;

Longs bits_of(const Doubles& a) { return bits_as<Longs>(a); }
Doubles select(const Longs& mask, const Doubles& a, const Doubles& b) {
  return bits_as<Doubles>((bits_of(a) & mask) | (bits_of(b) & ~mask));
}
Doubles with_sign_of(const Doubles& a, double magnitude) {
  return bits_as<Doubles>((bits_of(a) & sign_bit) | bits_of(Doubles{} + magnitude));
}

// The float nearest to the exact x + y, ties to even, as a double; below 2^−126 after rounding to
// 24 bits it is a zero of its sign. x and y are floats or products of two bfloat16, so they and
// the error of their sum are exact in double. The sum is first rounded to odd: with 53 bits, of
// which the last one says that something is missing, rounding it again makes no second error.
Doubles rounded_sum(const Doubles& x, const Doubles& y) {
  const Doubles sum = x + y;
  const Doubles of_y = sum - x;
  const Doubles error = (x - (sum - of_y)) + (y - of_y);  // NaN if the sum is not finite
  const Longs inexact = (error < 0) | (error > 0);
  const Longs smaller = (bits_of(error) ^ bits_of(sum)) < 0;  // the exact sum, in magnitude
  const Longs odd = bits_as<Longs>(bits_as<Bits>(sum) + bits_as<Bits>(smaller)) | 1;
  const Doubles exact = bits_as<Doubles>((odd & inexact) | (bits_of(sum) & ~inexact));
  const Doubles magnitude = bits_as<Doubles>(bits_of(exact) & ~sign_bit);
  // what rounds to 2^128 is replaced, because converting it would flag an overflow
  const Longs overflows = magnitude >= 0x1.ffffffp127;
  const Longs vanishes = magnitude < 0x1.ffffffp-127;
  const Doubles finite = select(vanishes, with_sign_of(exact, 0), exact);
  const Doubles representable = select(overflows, with_sign_of(exact, __builtin_inf()), finite);
  return __builtin_convertvector(__builtin_convertvector(representable, Floats), Doubles);
}

// The float of those bits; a zero of its sign if it is subnormal.
double operand(std::uint32_t bits) {
  if ((bits & 0x7F800000u) == 0) bits &= 0x80000000u;
  return static_cast<double>(bits_as<float>(bits));
}

void split_words(const std::uint8_t* row, double* even, double* odd) {
  for (int n = 0; n < 16; ++n) {
    std::uint32_t word;
    std::memcpy(&word, row + 4 * n, sizeof(word));
    even[n] = operand(word << 16);
    odd[n] = operand(word & 0xFFFF0000u);
  }
}

Doubles load_doubles(const double* from) {
  Doubles values;
  std::memcpy(&values, from, sizeof(values));
  return values;
}

[[maybe_unused]] bool shapes_fit(const Tile& c, const Tile& a, const Tile& b) {
  return c.rows == a.rows && c.row_bytes == b.row_bytes && a.row_bytes == 4 * b.rows;
}

template <class A>
void dot_bytes(Tile& c, const Tile& a, const Tile& b) {
  assert(shapes_fit(c, a, b));
  for (std::ptrdiff_t m = 0; m < c.rows; ++m) {
    std::uint32_t sums[16];
    std::memcpy(sums, c.bytes[m], sizeof(sums));
    for (std::ptrdiff_t k = 0; k < b.rows; ++k) {
      for (std::ptrdiff_t n = 0; n < c.row_bytes / 4; ++n) {
        for (int i = 0; i < 4; ++i) {
          const int product = static_cast<A>(a.bytes[m][4 * k + i]) *
                              static_cast<std::int8_t>(b.bytes[k][4 * n + i]);
          sums[n] += static_cast<std::uint32_t>(product);
        }
      }
    }
    std::memcpy(c.bytes[m], sums, sizeof(sums));
  }
}

bool permitted() {
#if defined(HEEDFUL_TILES) && defined(__linux__)
  // ARCH_REQ_XCOMP_PERM of XFEATURE_XTILEDATA, for all threads of the process
  static const bool granted = syscall(SYS_arch_prctl, 0x1023, 18) == 0;
  return granted;
#else
  return false;
#endif
}

}  // namespace

void Tile::shape(std::ptrdiff_t new_rows, std::ptrdiff_t new_row_bytes) {
  rows = new_rows;
  row_bytes = new_row_bytes;
  std::memset(bytes, 0, sizeof(bytes));
}

void Tile::load(const void* from, std::ptrdiff_t stride) {
  for (std::ptrdiff_t row = 0; row < rows; ++row) {
    std::memcpy(bytes[row], static_cast<const char*>(from) + row * stride,
                static_cast<std::size_t>(row_bytes));
  }
}

void Tile::store(void* to, std::ptrdiff_t stride) const {
  for (std::ptrdiff_t row = 0; row < rows; ++row) {
    std::memcpy(static_cast<char*>(to) + row * stride, bytes[row],
                static_cast<std::size_t>(row_bytes));
  }
}

void tile_dot_bfloat16(Tile& c, const Tile& a, const Tile& b) {
  assert(shapes_fit(c, a, b));
  alignas(64) double b_even[16][16], b_odd[16][16], a_even[16], a_odd[16], before[16], after[16];
  for (std::ptrdiff_t k = 0; k < b.rows; ++k) split_words(b.bytes[k], b_even[k], b_odd[k]);
  for (std::ptrdiff_t m = 0; m < c.rows; ++m) {
    split_words(a.bytes[m], a_even, a_odd);
    for (int n = 0; n < 16; ++n) {
      std::uint32_t bits;
      std::memcpy(&bits, c.bytes[m] + 4 * n, sizeof(bits));
      before[n] = operand(bits);
    }
    for (int n = 0; n < 16; n += width) {
      Doubles even{}, odd{};
      for (std::ptrdiff_t k = 0; k < b.rows; ++k) {
        even = rounded_sum(even, a_even[k] * load_doubles(b_even[k] + n));
        odd = rounded_sum(odd, a_odd[k] * load_doubles(b_odd[k] + n));
      }
      const Doubles sum = rounded_sum(load_doubles(before + n), rounded_sum(even, odd));
      std::memcpy(after + n, &sum, sizeof(sum));
    }
    for (int n = 0; n < c.row_bytes / 4; ++n) {
      const auto value = static_cast<float>(after[n]);
      std::memcpy(c.bytes[m] + 4 * n, &value, sizeof(value));
    }
  }
}

void tile_dot_int8(Tile& c, const Tile& a, const Tile& b) { dot_bytes<std::int8_t>(c, a, b); }
void tile_dot_uint8_int8(Tile& c, const Tile& a, const Tile& b) {
  dot_bytes<std::uint8_t>(c, a, b);
}

void TileModel::configure(const TileConfig& config) {
  if (config_ == config) return;
  config_ = config;
  for (int tile = 0; tile < 8; ++tile) {
    tiles_[tile].shape(config.rows[tile], config.row_bytes[tile]);
  }
}

bool has_bfloat16_tiles() {
  return compiled_tiles && processor().has_bfloat16_tiles && permitted();
}
bool has_int8_tiles() { return compiled_tiles && processor().has_int8_tiles && permitted(); }

}  // namespace heedful::simd
