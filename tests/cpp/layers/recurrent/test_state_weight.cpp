// Narrow weights of GRU and LSTM, read as they are stored or widened, against plain loops in long
// double.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>

#include "layers/recurrent/recurrent_example.hpp"

namespace heedful {
namespace {

// A narrow weight in memory, which holds what `weight` does after rounding it.
struct Narrow {
  std::vector<simd::Bfloat16> bfloat16;
  std::vector<simd::Int8> int8;
  std::vector<float> scales;
  StateWeight<float> stored;

  Narrow(GappedMatrix<float>& weight, bool bytes) {
    for (std::ptrdiff_t row = 0; row < weight.rows; ++row) {
      scales.push_back(0.01f + 0.001f * static_cast<float>(row % 7));
      for (std::ptrdiff_t column = 0; column < weight.columns; ++column) {
        float& element = weight.at(row, column);
        if (bytes) {
          const float value = std::clamp(std::round(element / scales.back()), -127.0f, 127.0f);
          int8.push_back({static_cast<std::int8_t>(value)});
          element = value * scales.back();
        } else {
          std::uint32_t bits;
          std::memcpy(&bits, &element, sizeof(bits));
          bits &= 0xFFFF0000u;
          std::memcpy(&element, &bits, sizeof(bits));
          bfloat16.push_back({static_cast<std::uint16_t>(bits >> 16)});
        }
      }
    }
    if (bytes) {
      stored.int8 = {int8.data(), weight.columns};
      stored.scales = scales.data();
    } else {
      stored.bfloat16 = {bfloat16.data(), weight.columns};
    }
  }
};

template <int gates>
void check_narrow(const Lengths& lengths, std::ptrdiff_t width, bool reverse, bool bytes) {
  Example<float, gates> example(lengths, width, reverse);
  const Narrow narrow(example.weight, bytes);
  Example<float, gates> after = example;
  compute(after, 1, false, &narrow.stored);
  Example<float, gates> end = after;
  compute(end, 1, true);
  const double tolerance = tolerance_of<float>(lengths, width);
  for (std::ptrdiff_t sequence = 0; sequence < lengths.sequences; ++sequence) {
    Sequence<float, gates>(example, sequence).check_all(after, end, tolerance);
  }
  if (!bytes) {
    Example<float, gates> wide = example;
    compute(wide, 1, false);
    check(same(wide.y, after.y), "bfloat16 has the bits of the widened weight");
  }
  Example<float, gates> again = example;
  compute(again, 3, false, &narrow.stored);
  check(same(again.y, after.y), "any number of threads gives the same bits");
}

}  // namespace
}  // namespace heedful

int main() {
  using namespace heedful;
  for_each_size([](const Lengths& lengths, std::ptrdiff_t width, bool reverse) {
    for (const bool bytes : {false, true}) {
      check_narrow<3>(lengths, width, reverse, bytes);
      check_narrow<4>(lengths, width, reverse, bytes);
    }
  });
  return summary();
}
