// Tiles: eight registers of up to 16 rows of 64 bytes, and the instructions of AMX that multiply
// them (Intel 64 and IA-32 Architectures Software Developer's Manual, volume 2). Two classes with
// the same functions: TileRegisters executes the instructions, TileModel computes the same bits
// without them, everywhere. Kernels are templates over the two.
//
//   tiles.configure(config)             LDTILECFG   the shapes; contents become zero if they change
//   tiles.zero<C>()                     TILEZERO
//   tiles.load<A>(from, stride)         TILELOADD   stride in bytes; memory of any alignment
//   tiles.store<C>(to, stride)          TILESTORED
//   tiles.dot_bfloat16<C, A, B>()       TDPBF16PS   C[m][n] += Σ_k A[m][2k] B[k][2n]
//                                                            + Σ_k A[m][2k+1] B[k][2n+1]
//   tiles.dot_int8<C, A, B>()           TDPBSSD     C[m][n] += Σ_k Σ_i<4 A[m][4k+i] B[k][4n+i]
//   tiles.dot_uint8_int8<C, A, B>()     TDPBUSD     the same, with A unsigned
//
// A has the rows of C, B the columns of C, and as many rows as A has 32-bit words in a row. The
// state belongs to the thread: a task makes the object, and its destructor releases the tiles
// (TILERELEASE), so that a switch of threads has less to save.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace heedful::simd {

// The operand of LDTILECFG.
struct alignas(64) TileConfig {
  std::uint8_t palette = 1, start_row = 0, reserved[14] = {};
  std::uint16_t row_bytes[16] = {};
  std::uint8_t rows[16] = {};

  void set(int tile, std::ptrdiff_t rows_, std::ptrdiff_t row_bytes_) {
    rows[tile] = static_cast<std::uint8_t>(rows_);
    row_bytes[tile] = static_cast<std::uint16_t>(row_bytes_);
  }
  bool operator==(const TileConfig& other) const {
    return std::memcmp(this, &other, sizeof(*this)) == 0;
  }
};
static_assert(sizeof(TileConfig) == 64);

// A tile of the model. Rows and bytes outside of its shape are zero.
struct Tile {
  std::ptrdiff_t rows = 0, row_bytes = 0;
  alignas(64) std::uint8_t bytes[16][64] = {};

  void shape(std::ptrdiff_t new_rows, std::ptrdiff_t new_row_bytes);
  void load(const void* from, std::ptrdiff_t stride);
  void store(void* to, std::ptrdiff_t stride) const;
};

// In float32, rounded to nearest even; subnormal operands and results are zeros, whatever the
// thread's rounding and flushing, and no exception is flagged: even and odd products are summed
// apart over k from zero, each by a fused multiply-add; the two sums are added; then that to C.
// Which NaN a NaN is, is not specified.
void tile_dot_bfloat16(Tile& c, const Tile& a, const Tile& b);
// Products are exact, sums wrap around in 32 bits.
void tile_dot_int8(Tile& c, const Tile& a, const Tile& b);
void tile_dot_uint8_int8(Tile& c, const Tile& a, const Tile& b);

class TileModel {
 public:
  void configure(const TileConfig& config);
  template <int C>
  void zero() {
    tiles_[C].shape(tiles_[C].rows, tiles_[C].row_bytes);
  }
  template <int A>
  void load(const void* from, std::ptrdiff_t stride) {
    tiles_[A].load(from, stride);
  }
  template <int C>
  void store(void* to, std::ptrdiff_t stride) const {
    tiles_[C].store(to, stride);
  }
  template <int C, int A, int B>
  void dot_bfloat16() {
    tile_dot_bfloat16(tiles_[C], tiles_[A], tiles_[B]);
  }
  template <int C, int A, int B>
  void dot_int8() {
    tile_dot_int8(tiles_[C], tiles_[A], tiles_[B]);
  }
  template <int C, int A, int B>
  void dot_uint8_int8() {
    tile_dot_uint8_int8(tiles_[C], tiles_[A], tiles_[B]);
  }

 private:
  TileConfig config_{0};
  Tile tiles_[8];
};

// Whether this module contains the instructions, which its assembler must know.
#ifdef HEEDFUL_TILES
inline constexpr bool compiled_tiles = true;
#else
inline constexpr bool compiled_tiles = false;
#endif

// ... and this processor has them, and the system lets this process use them. Linux gives the
// permission to a process that asks for it; this asks once.
bool has_bfloat16_tiles();
bool has_int8_tiles();

#ifdef HEEDFUL_TILES

// Written out, because the compilers' intrinsics take the numbers of tiles from the source text, or
// need a target attribute on whatever they are inlined into.
class TileRegisters {
 public:
  TileRegisters() = default;
  TileRegisters(const TileRegisters&) = delete;
  TileRegisters& operator=(const TileRegisters&) = delete;
  ~TileRegisters() {
    if (config_.palette != 0) __asm__ volatile("tilerelease");
  }

  void configure(const TileConfig& config) {
    if (config_ == config) return;
    config_ = config;
    __asm__ volatile("ldtilecfg %0" : : "m"(config_));
  }
  template <int C>
  void zero() {
    __asm__ volatile("tilezero %%tmm%c0" : : "i"(C));
  }
  template <int A>
  void load(const void* from, std::ptrdiff_t stride) {
    __asm__ volatile("tileloadd (%0,%1,1), %%tmm%c2" : : "r"(from), "r"(stride), "i"(A) : "memory");
  }
  template <int C>
  void store(void* to, std::ptrdiff_t stride) const {
    __asm__ volatile("tilestored %%tmm%c2, (%0,%1,1)" : : "r"(to), "r"(stride), "i"(C) : "memory");
  }
  template <int C, int A, int B>
  void dot_bfloat16() {
    __asm__ volatile("tdpbf16ps %%tmm%c2, %%tmm%c1, %%tmm%c0" : : "i"(C), "i"(A), "i"(B));
  }
  template <int C, int A, int B>
  void dot_int8() {
    __asm__ volatile("tdpbssd %%tmm%c2, %%tmm%c1, %%tmm%c0" : : "i"(C), "i"(A), "i"(B));
  }
  template <int C, int A, int B>
  void dot_uint8_int8() {
    __asm__ volatile("tdpbusd %%tmm%c2, %%tmm%c1, %%tmm%c0" : : "i"(C), "i"(A), "i"(B));
  }

 private:
  TileConfig config_{0};
};

#endif

}  // namespace heedful::simd
