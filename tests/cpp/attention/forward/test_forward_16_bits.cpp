// The weighted sum in 16-bit types over the whole table of cases: widened, and in pairs where the
// processor can multiply pairs.
#include "forward_checks.hpp"
#include "simd/bfloat16_pairs.hpp"

namespace heedful {
namespace {

// The two modes round differently, so their results differ somewhere, unless both are widened.
bool modes_differ() {
  const Case test_case{"long rows", {1, 1, 1, 67, 523, 16, 16}, [](Example&) {}};
  const Result<float> widened(
      example_of(test_case, Kind{ElementType::bfloat16, Bfloat16Mode::widened}));
  const Result<float> paired(
      example_of(test_case, Kind{ElementType::bfloat16, Bfloat16Mode::paired}));
  return !widened.equals(paired);
}

}  // namespace
}  // namespace heedful

int main() {
  using namespace heedful;
  const bool pairs = simd::compiled_bfloat16_pairs && simd::has_bfloat16_pairs();
  check(modes_differ() == pairs, "pairs are multiplied where the processor can");
  for (const Case& test_case : cases) {
    forward_is_right<float>(test_case, {ElementType::float16});
    forward_is_right<float>(test_case, {ElementType::bfloat16, Bfloat16Mode::widened});
    if (pairs) forward_is_right<float>(test_case, {ElementType::bfloat16, Bfloat16Mode::paired});
  }
  return summary();
}
