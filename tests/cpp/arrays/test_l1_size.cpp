// The size of L1: that of a processor that exists.
#include "arrays/l1_size.hpp"
#include "check.hpp"

int main() {
  using namespace heedful;
  check(l1_size() >= 8 << 10 && l1_size() <= 1 << 20, "L1 holds some ten KB");
  check(l1_size() % 1024 == 0, "in bytes");
  return summary();
}
