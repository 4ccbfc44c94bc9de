// How dense layers multiply int8 in this process. One of
//   widened       to pairs of int16 (integer_dots.hpp): everywhere
//   bytes         four at a time without VNNI, what 16 bits cannot hold set apart
//                 (split_words.hpp)
//   vnni          four at a time (integer_dots.hpp)
//   tiles         16 × 64 at a time (AMX, tiles.hpp)
//   tiles_model   the same products by the software model of the tiles: slow, for tests
// All compute the same integers, and so the same bits.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace heedful::simd {

enum class Int8Way : std::uint8_t { widened, bytes, vnni, tiles, tiles_model };

struct Int8Ways {
  Int8Way products;  // of many rows
  Int8Way rows;      // of few rows, which read memory: widened or vnni
  bool forced = false;
};

Int8Ways int8_ways();

// "widened", "bytes", "vnni", "tiles" or "tiles-model".
const char* int8_way_name();

// Takes the way of that name instead, for the whole process; an empty name, the fastest. Returns
// why not, where this processor, its system or this level cannot, and then changes nothing.
std::string force_int8(std::string_view way);

}  // namespace heedful::simd
