#include "linear/int8_split.hpp"

#include <algorithm>

#include "arrays/even_ranges.hpp"
#include "linear/int8_panels.hpp"
#include "parallel/scratch.hpp"
#include "simd/int8_ways.hpp"

namespace heedful {

std::ptrdiff_t split_row_bytes(std::ptrdiff_t inputs) {
  return 4 * words_of(simd::Int8Way::bytes, inputs);
}

bool gains_by_split(Matrix<const std::int8_t> weight, std::ptrdiff_t outputs,
                    std::ptrdiff_t inputs) {
  if (simd::int8_ways().forced) return true;
  constexpr std::ptrdiff_t max_sampled = 16, max_share = 10;
  const std::ptrdiff_t words = words_of(simd::Int8Way::bytes, inputs);
  const EvenRanges sample{outputs, std::min(outputs, max_sampled)};
  Buffer<std::byte> main(4 * words);
  Buffer<ExtraWord> extra(words);
  std::ptrdiff_t apart = 0;
  for (std::ptrdiff_t i = 0; i < sample.count; ++i) {
    apart += split_words(weight.row(sample.begin(i)), inputs, words, main.data(), extra.data()) -
             extra.data();
  }
  return apart * max_share <= words * sample.count;
}

std::vector<ExtraWord> split_weight(Matrix<const std::int8_t> weight, std::ptrdiff_t outputs,
                                    std::ptrdiff_t inputs, Matrix<std::byte> main,
                                    std::int64_t* begins) {
  const std::ptrdiff_t words = words_of(simd::Int8Way::bytes, inputs);
  Buffer<ExtraWord> of_row(words);
  std::vector<ExtraWord> extra;
  for (std::ptrdiff_t row = 0; row < outputs; ++row) {
    begins[row] = static_cast<std::int64_t>(extra.size());
    const ExtraWord* const end =
        split_words(weight.row(row), inputs, words, main.row(row), of_row.data());
    extra.insert(extra.end(), static_cast<const ExtraWord*>(of_row.data()), end);
  }
  begins[outputs] = static_cast<std::int64_t>(extra.size());
  return extra;
}

}  // namespace heedful
