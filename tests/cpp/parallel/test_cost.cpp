// Small calls stay on the calling thread, large ones of any kind take the team.
#include "check.hpp"
#include "parallel/cost.hpp"

namespace heedful {
namespace {

bool stop() { return false; }

void large_calls_of_any_kind_take_the_team() {
  const Team team{7, &stop};
  check(threads_for({}, team).threads == 1, "nothing to do");
  check(threads_for({299e3}, team).threads == 1, "few multiply-adds");
  check(threads_for({301e3}, team).threads == 7, "many multiply-adds");
  check(threads_for({0, 301e3}, team).threads == 7, "many elements to read");
  check(threads_for(Cost::of_elements(29e3), team).threads == 1, "few elements");
  check(threads_for(Cost::of_elements(31e3), team).threads == 7, "many elements");
  check(threads_for({100e3, 100e3, 11e3}, team).threads == 7, "some of each");
  check(threads_for({}, team).interrupted == &stop, "the caller may interrupt one thread too");
}

void sizes_do_not_overflow() {
  const double far = 9e18;
  check(Cost{far * far, far, far}.work() > far, "more than any array has");
}

}  // namespace
}  // namespace heedful

int main() {
  heedful::large_calls_of_any_kind_take_the_team();
  heedful::sizes_do_not_overflow();
  return heedful::summary();
}
