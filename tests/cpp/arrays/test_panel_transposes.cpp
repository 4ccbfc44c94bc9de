// Rows transposed into panels, and back.
#include <vector>

#include "arrays/panel_transposes.hpp"
#include "check.hpp"
#include "half_bits.hpp"
#include "random_numbers.hpp"
#include "simd/half.hpp"
#include "simd/packet.hpp"

namespace heedful {
namespace {

template <class T>
std::vector<T> filled(std::ptrdiff_t count, T value = T{0}) {
  return std::vector<T>(static_cast<std::size_t>(count), value);
}

template <class T>
struct Lines {
  std::vector<std::vector<T>> lines;
  std::vector<T*> pointers;

  Lines(std::ptrdiff_t count, std::ptrdiff_t columns)
      : lines(static_cast<std::size_t>(count), filled<T>(columns)) {
    for (auto& line : lines) pointers.push_back(line.data());
  }
  T& at(std::ptrdiff_t line, std::ptrdiff_t column) {
    return lines[static_cast<std::size_t>(line)][static_cast<std::size_t>(column)];
  }
};

template <class T>
void rows_are_transposed_into_a_panel_and_back() {
  constexpr std::ptrdiff_t width = simd::lanes<T>;
  RandomNumbers random(9);
  for (const std::ptrdiff_t lanes : {width, 2 * width, 3 * width}) {
    for (const std::ptrdiff_t columns : {std::ptrdiff_t{0}, std::ptrdiff_t{1}, width - 1, width,
                                         width + 1, 2 * width - 1, 2 * width, 5 * width + 3}) {
      Lines<T> rows(lanes, columns);
      for (std::ptrdiff_t lane = 0; lane < lanes; ++lane) {
        for (std::ptrdiff_t column = 0; column < columns; ++column) {
          rows.at(lane, column) = static_cast<T>(random.between(-1, 1));
        }
      }
      auto panel = filled<T>(columns * lanes + 1, T(-77));
      rows_to_panel<T>(rows.pointers.data(), lanes, columns, T(0.3), panel.data());
      bool right = panel.back() == T(-77);
      for (std::ptrdiff_t i = 0; i < columns * lanes; ++i) {
        right &= panel[static_cast<std::size_t>(i)] == rows.at(i % lanes, i / lanes) * T(0.3);
      }
      check(right, "panel[column][lane] = factor · rows[lane][column]");

      panel.pop_back();
      auto factors = filled<T>(lanes);
      for (T& factor : factors) factor = static_cast<T>(random.between(-1, 1));
      Lines<T> back(lanes, columns);
      panel_to_rows<T>(panel.data(), lanes, columns, factors.data(), back.pointers.data());
      right = true;
      for (std::ptrdiff_t lane = 0; lane < lanes; ++lane) {
        for (std::ptrdiff_t column = 0; column < columns; ++column) {
          right &= back.at(lane, column) == panel[static_cast<std::size_t>(column * lanes + lane)] *
                                                factors[static_cast<std::size_t>(lane)];
        }
      }
      check(right, "rows[lane][column] = panel[column][lane] · factors[lane]");

      // of the same product, so that the sum is exact
      add_panel_to_rows<T>(panel.data(), lanes, columns, factors.data(), back.pointers.data());
      right = true;
      for (std::ptrdiff_t lane = 0; lane < lanes; ++lane) {
        for (std::ptrdiff_t column = 0; column < columns; ++column) {
          right &=
              back.at(lane, column) == 2 * panel[static_cast<std::size_t>(column * lanes + lane)] *
                                           factors[static_cast<std::size_t>(lane)];
        }
      }
      check(right, "rows[lane][column] += panel[column][lane] · factors[lane]");
    }
  }
}

void rows_of_bfloat16_are_widened_into_a_panel() {
  constexpr std::ptrdiff_t width = simd::lanes<float>, lanes = 2 * width;
  RandomNumbers random(10);
  for (const std::ptrdiff_t columns : {width, width + 1, 2 * width - 1, 5 * width + 3}) {
    Lines<simd::Bfloat16> rows(lanes, columns);
    for (auto& line : rows.lines) {
      for (simd::Bfloat16& element : line)
        element.bits = HalfFormat<8>::nearest(random.between(-1, 1));
    }
    auto panel = filled<float>(columns * lanes + 1, -77);
    rows_to_panel(rows.pointers.data(), lanes, columns, 0.3f, panel.data());
    bool right = panel.back() == -77;
    for (std::ptrdiff_t i = 0; i < columns * lanes; ++i) {
      const auto wide =
          static_cast<float>(HalfFormat<8>::value(rows.at(i % lanes, i / lanes).bits));
      right &= panel[static_cast<std::size_t>(i)] == wide * 0.3f;
    }
    check(right, "panel[column][lane] = factor · rows[lane][column], widened");
  }
}

}  // namespace
}  // namespace heedful

int main() {
  heedful::rows_are_transposed_into_a_panel_and_back<float>();
  heedful::rows_are_transposed_into_a_panel_and_back<double>();
  heedful::rows_of_bfloat16_are_widened_into_a_panel();
  return heedful::summary();
}
