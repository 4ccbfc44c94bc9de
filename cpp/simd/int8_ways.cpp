#include "simd/int8_ways.hpp"

#include <atomic>

#include "simd/integer_dots.hpp"
#include "simd/tiles.hpp"

namespace heedful::simd {
namespace {

constexpr const char* names[] = {"widened", "bytes", "vnni", "tiles", "tiles-model"};

// Few rows read the weight from memory, and gain nothing by bytes.
Int8Way fastest_of_rows() { return has_vnni() ? Int8Way::vnni : Int8Way::widened; }

Int8Ways fastest() {
  static const Int8Way without_tiles = has_vnni()       ? Int8Way::vnni
                                       : compiled_bytes ? Int8Way::bytes
                                                        : Int8Way::widened;
  static const Int8Ways ways{has_int8_tiles() ? Int8Way::tiles : without_tiles, fastest_of_rows()};
  return ways;
}

std::atomic<int> forced{-1};  // an index of names

}  // namespace

Int8Ways int8_ways() {
  const int index = forced.load(std::memory_order_relaxed);
  if (index < 0) return fastest();
  const auto way = static_cast<Int8Way>(index);
  const bool tiles = way == Int8Way::tiles || way == Int8Way::tiles_model;
  const Int8Way rows = tiles ? fastest_of_rows() : way == Int8Way::bytes ? Int8Way::widened : way;
  return {way, rows, true};
}

const char* int8_way_name() { return names[static_cast<int>(int8_ways().products)]; }

std::string force_int8(std::string_view way) {
  int index = -1;
  for (int i = 0; i < 5; ++i) {
    if (way == names[i]) index = i;
  }
  if (index < 0 && !way.empty()) return "there is no such way";
  if (index == static_cast<int>(Int8Way::bytes) && !compiled_bytes) {
    return "this level does not multiply bytes";
  }
  if (index == static_cast<int>(Int8Way::vnni) && !has_vnni()) {
    return compiled_vnni ? "this processor has no VNNI" : "this level does not use VNNI";
  }
  if (index == static_cast<int>(Int8Way::tiles)) {
    if (!compiled_tiles) return "this module was compiled without AMX";
    if (!has_int8_tiles()) return "this processor or its system has no AMX-INT8";
  }
  forced.store(index, std::memory_order_relaxed);
  return {};
}

}  // namespace heedful::simd
