// The way in which bfloat16 is multiplied: chosen, forced and refused.
#include <cstring>

#include "check.hpp"
#include "simd/bfloat16_pairs.hpp"
#include "simd/bfloat16_ways.hpp"
#include "simd/tiles.hpp"

namespace heedful::simd {
namespace {

bool is(const char* text, const char* other) { return std::strcmp(text, other) == 0; }

// An empty reason, and the way is taken; else it is refused, and nothing changes.
void a_way_is_forced_where_it_exists(const char* name, Bfloat16Way way, bool exists) {
  const Bfloat16Way before = bfloat16_ways().products;
  const std::string refusal = force_bfloat16(name);
  check(refusal.empty() == exists, "it is refused exactly where it does not exist");
  check(bfloat16_ways().products == (exists ? way : before), "taken, or as it was");
  if (exists) {
    check(is(bfloat16_description().way, name), "its name is shown");
    check(bfloat16_description().reason == "forced by HEEDFUL_BFLOAT16", "and that it was forced");
  }
}

}  // namespace
}  // namespace heedful::simd

int main() {
  using namespace heedful;
  using namespace heedful::simd;
  const Bfloat16Ways chosen = bfloat16_ways();
  check(chosen.products != Bfloat16Way::tiles_model, "the model is for tests alone");
  check((chosen.products == Bfloat16Way::tiles) == has_bfloat16_tiles(), "tiles where they exist");
  check(has_bfloat16_pairs() || chosen.row_scores == Bfloat16Way::widened,
        "pairs where they exist");
  check(!bfloat16_description().reason.empty(), "there is a reason");
  a_way_is_forced_where_it_exists("pairs", Bfloat16Way::pairs, has_bfloat16_pairs());
  a_way_is_forced_where_it_exists("tiles", Bfloat16Way::tiles, has_bfloat16_tiles());
  a_way_is_forced_where_it_exists("tiles-model", Bfloat16Way::tiles_model, true);
  check(bfloat16_ways().row_scores == chosen.row_scores, "tiles leave rows to the table");
  a_way_is_forced_where_it_exists("widened", Bfloat16Way::widened, true);
  check(bfloat16_ways().row_scores == Bfloat16Way::widened, "rows are widened, too");
  check(!force_bfloat16("Pairs").empty(), "other words are refused");
  check(force_bfloat16("").empty() && bfloat16_ways().products == chosen.products,
        "an empty word is the processor's own way");
  return summary();
}
