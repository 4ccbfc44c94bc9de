// The flag is raised by overflow, and by nothing else.
#include <limits>

#include "check.hpp"
#include "simd/overflow_flag.hpp"

namespace heedful {
namespace {

using simd::OverflowFlag;

constexpr float largest = std::numeric_limits<float>::max();
constexpr float infinity = std::numeric_limits<float>::infinity();

// Not inlined, so that the compiler does not know the arguments.
[[gnu::noinline]] float product(float one, float other) { return one * other; }

bool raised_by(volatile float one, volatile float other) {
  const OverflowFlag flag;
  volatile float result = product(one, other);
  (void)result;
  return flag.raised();
}

void test_a_finite_product_beyond_the_range_raises_it() {
  check(raised_by(largest, 2), "a product beyond the range raises it");
  check(raised_by(-largest, largest), "also a negative one");
}

void test_nothing_else_does() {
  check(!raised_by(3, 2), "a finite product does not");
  check(!raised_by(infinity, 2), "nor an infinite operand");
  check(!raised_by(infinity, 0), "nor NaN");  // NaN
  check(!raised_by(1e-30F, 1e-30F), "nor underflow");
}

void test_a_flag_raised_before_is_raised_afterwards() {
  const OverflowFlag outer;
  check(!outer.raised(), "it is not raised at first");
  volatile float big = largest;
  volatile float result = product(big, 2);
  (void)result;
  check(outer.raised(), "it is raised");
  check(!raised_by(3, 2), "an inner flag starts cleared");
  check(outer.raised(), "and leaves the outer one raised");
}

}  // namespace
}  // namespace heedful

int main() {
  using namespace heedful;
  test_a_finite_product_beyond_the_range_raises_it();
  test_nothing_else_does();
  test_a_flag_raised_before_is_raised_afterwards();
  return summary();
}
