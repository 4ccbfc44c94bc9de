// GRU and LSTM over ragged sequences, forward and backward, against plain loops in long double: few
// rows and packed weights, groups of sequences and units divided among threads.
#include "layers/recurrent/recurrent_example.hpp"

namespace heedful {
namespace {

template <class T, int gates>
void check_layer(const Lengths& lengths, std::ptrdiff_t width, bool reverse) {
  const Example<T, gates> example(lengths, width, reverse);
  Example<T, gates> after = example;
  compute(after, 1, false);
  Example<T, gates> end = after;
  compute(end, 1, true);
  check(after.gaps_are_untouched() && end.gaps_are_untouched(), "gaps between rows are untouched");
  const double tolerance = tolerance_of<T>(lengths, width);
  for (std::ptrdiff_t sequence = 0; sequence < lengths.sequences; ++sequence) {
    Sequence<T, gates>(example, sequence).check_all(after, end, tolerance);
  }
  for (const int threads : {2, 3}) {
    Example<T, gates> again = example;
    compute(again, threads, false);
    bool equal = same(again.y, after.y) && same(again.more, after.more);
    compute(again, threads, true);
    equal = equal && same(again.gate_rows, end.gate_rows) && same(again.dstate, end.dstate);
    check(equal, "any number of threads gives the same bits");
  }
}

}  // namespace
}  // namespace heedful

int main() {
  using namespace heedful;
  for_each_size([](const Lengths& lengths, std::ptrdiff_t width, bool reverse) {
    check_layer<double, 3>(lengths, width, reverse);
    check_layer<double, 4>(lengths, width, reverse);
    check_layer<float, 3>(lengths, width, reverse);
    check_layer<float, 4>(lengths, width, reverse);
  });
  return summary();
}
