// The weighted sum in 16-bit types over the whole table of cases, bfloat16 in every way that the
// processor has; tiles also by their model, and with the same bits.
#include "forward_checks.hpp"
#include "simd/bfloat16_pairs.hpp"
#include "simd/tiles.hpp"

namespace heedful {
namespace {

using simd::Bfloat16Way;

Result<float> result_of(const Case& test_case, Bfloat16Way way) {
  return Result<float>(example_of(test_case, Kind{ElementType::bfloat16, way}));
}

// The ways round differently, so their results differ somewhere.
void the_way_is_the_one_of_the_problem(Bfloat16Way way) {
  const Case test_case{"long rows", {1, 1, 1, 67, 523, 16, 16}, [](Example&) {}};
  const Result<float> widened = result_of(test_case, Bfloat16Way::widened);
  check(!widened.equals(result_of(test_case, way)), "another way, other bits");
}

void tiles_are_those_of_the_model(const Case& test_case) {
  const Result<float> model = result_of(test_case, Bfloat16Way::tiles_model);
  if (!check(model.equals(result_of(test_case, Bfloat16Way::tiles)), "tiles have the model's bits"))
    std::printf("in \"%s\"\n", test_case.name);
}

}  // namespace
}  // namespace heedful

int main() {
  using namespace heedful;
  const bool pairs = simd::compiled_bfloat16_pairs && simd::has_bfloat16_pairs();
  const bool tiles = simd::has_bfloat16_tiles();
  if (!pairs) std::puts("no pairs of bfloat16 at this level or on this processor");
  if (!tiles) std::puts("no tiles of bfloat16 on this processor: only their model");
  the_way_is_the_one_of_the_problem(Bfloat16Way::tiles_model);
  if (pairs) the_way_is_the_one_of_the_problem(Bfloat16Way::pairs);
  if (tiles) the_way_is_the_one_of_the_problem(Bfloat16Way::tiles);
  for (const Case& test_case : cases) {
    forward_is_right<float>(test_case, {ElementType::float16});
    forward_is_right<float>(test_case, {ElementType::bfloat16, Bfloat16Way::widened});
    forward_is_right<float>(test_case, {ElementType::bfloat16, Bfloat16Way::tiles_model});
    if (pairs) forward_is_right<float>(test_case, {ElementType::bfloat16, Bfloat16Way::pairs});
    if (tiles) forward_is_right<float>(test_case, {ElementType::bfloat16, Bfloat16Way::tiles});
    if (tiles) tiles_are_those_of_the_model(test_case);
  }
  return summary();
}
