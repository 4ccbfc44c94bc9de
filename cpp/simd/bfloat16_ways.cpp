#include "simd/bfloat16_ways.hpp"

#include <atomic>

#include "simd/bfloat16_pairs.hpp"
#include "simd/processor.hpp"
#include "simd/tiles.hpp"

namespace heedful::simd {
namespace {

constexpr const char* names[] = {"widened", "pairs", "tiles", "tiles-model"};

struct Choice {
  Bfloat16Ways ways;
  const char* reason;
};

// What pairs are worth where they exist. The comments give the time of vdpbf16ps over that of a
// fused multiply-add, which does half as many multiplications (twelve independent sums in
// registers, the two loops in turn), and the time of bfloat16 attention over that of float32, on
// one thread.
struct Row {
  const char* vendor;
  int family, first_model, last_model;
  Bfloat16Way products, row_scores;
  const char* reason;
};
constexpr Row rows[] = {
    // Model 207 (Emerald Rapids): 4.07 (3.7 to 4.1 in 15 turns). (1, 8, 1024², 128), (1, 12, 1024²,
    // 64, causal), (8, 12, 197², 64): 1.77, 1.67, 1.71 in pairs, 1.00, 0.98, 1.01 widened; decoding
    // (1, 32/8, 1×8192, 128): 0.66 and 0.59.
    {"GenuineIntel", 6, 0, 255, Bfloat16Way::widened, Bfloat16Way::widened,
     "in pairs it is slower than float32 on Intel's processors"},
    // Family 26 (Zen 5): 1.03. (1, 8, 4096², 128): 0.55 in pairs; scores of a row against a long
    // KV cache take 0.8 of the time widened. Of family 25, Zen 4 has AVX512-BF16: not
    // measured.
    {"AuthenticAMD", 25, 0, 255, Bfloat16Way::pairs, Bfloat16Way::pairs,
     "AVX512-BF16 is fast on this processor"},
    {"AuthenticAMD", 26, 0, 255, Bfloat16Way::pairs, Bfloat16Way::pairs,
     "AVX512-BF16 is fast on this processor"},
};

const Row* row_of(const Processor& here) {
  for (const Row& row : rows) {
    if (here.is(row.vendor) && here.family == row.family && here.model >= row.first_model &&
        here.model <= row.last_model) {
      return &row;
    }
  }
  return nullptr;
}

Choice by_table() {
  constexpr Bfloat16Way widened = Bfloat16Way::widened;
  const Row* const row = has_bfloat16_pairs() ? row_of(processor()) : nullptr;
  const Bfloat16Way row_scores = row ? row->row_scores : widened;
  if (has_bfloat16_tiles()) {
    return {{Bfloat16Way::tiles, row_scores}, "this processor multiplies tiles (AMX)"};
  }
  if (row) return {{row->products, row_scores}, row->reason};
  if (has_bfloat16_pairs()) return {{widened, widened}, "no measurement of this processor"};
  return {{widened, widened},
          compiled_bfloat16_pairs ? "this processor has neither AMX nor AVX512-BF16"
                                  : "this level does not use AVX512-BF16"};
}

const Choice& of_table() {
  static const Choice choice = by_table();
  return choice;
}

std::atomic<int> forced{-1};  // an index of names

}  // namespace

Bfloat16Ways bfloat16_ways() {
  const int index = forced.load(std::memory_order_relaxed);
  if (index < 0) return of_table().ways;
  const auto way = static_cast<Bfloat16Way>(index);
  const bool tiles = way == Bfloat16Way::tiles || way == Bfloat16Way::tiles_model;
  return {way, tiles ? of_table().ways.row_scores : way};
}

Bfloat16Description bfloat16_description() {
  const bool chosen = forced.load(std::memory_order_relaxed) < 0;
  return {names[static_cast<int>(bfloat16_ways().products)],
          chosen ? of_table().reason : "forced by HEEDFUL_BFLOAT16"};
}

std::string force_bfloat16(std::string_view way) {
  int index = -1;
  for (int i = 0; i < 4; ++i) {
    if (way == names[i]) index = i;
  }
  if (index < 0 && !way.empty()) return "there is no such way";
  if (index == static_cast<int>(Bfloat16Way::pairs)) {
    if (!compiled_bfloat16_pairs) return "this level does not use AVX512-BF16";
    if (!has_bfloat16_pairs()) return "this processor has no AVX512-BF16";
  }
  if (index == static_cast<int>(Bfloat16Way::tiles)) {
    if (!compiled_tiles) return "this module was compiled without AMX";
    if (!processor().has_bfloat16_tiles) return "this processor has no AMX-BF16";
    if (!has_bfloat16_tiles()) return "the system does not let this process use AMX's tiles";
  }
  forced.store(index, std::memory_order_relaxed);
  return {};
}

}  // namespace heedful::simd
