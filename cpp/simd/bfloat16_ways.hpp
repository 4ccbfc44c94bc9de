// How attention multiplies bfloat16 in this process. One of
//   widened       converted to float32 first; weights are not rounded
//   pairs         two at a time (AVX512-BF16, bfloat16_pairs.hpp)
//   tiles         16 × 32 at a time (AMX, tiles.hpp)
//   tiles_model   the same products by the software model of the tiles: slow, for tests
// chosen once, by a table of processors, so that one machine always gives the same bits.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace heedful::simd {

enum class Bfloat16Way : std::uint8_t { widened, pairs, tiles, tiles_model };

struct Bfloat16Ways {
  Bfloat16Way products;    // of many queries
  Bfloat16Way row_scores;  // of few queries with all keys, which read memory: widened or pairs
};

Bfloat16Ways bfloat16_ways();

// "widened", "pairs", "tiles" or "tiles-model", and why it was chosen.
struct Bfloat16Description {
  const char* way;
  std::string reason;
};
Bfloat16Description bfloat16_description();

// Takes the way of that name instead, for the whole process; an empty name, the one of the table.
// Returns why not, where this processor, its system or this level cannot, and then changes nothing.
std::string force_bfloat16(std::string_view way);

}  // namespace heedful::simd
