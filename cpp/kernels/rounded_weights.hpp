// Softmax weights rounded to bfloat16, as operands of products: words of two keys for each lane.
#pragma once

#include <cstddef>
#include <cstdint>

namespace heedful {

// words[pair][lane] of weights [key][lane], rounded to nearest even, and sums[lane] += the rounded
// weights. The first pair lacks its even key where `begins_odd`, the last may lack its odd one: a
// missing key has weight 0. words may be the memory of weights, or begin before it. Returns the
// number of pairs. Runs everywhere; with AVX512-BF16 by its conversion, whose sums may differ in
// their last bits.
std::ptrdiff_t pair_weights(const float* weights, std::ptrdiff_t keys, int lanes, bool begins_odd,
                            std::uint32_t* words, float* sums);

// values[row][lane] *= factors[lane]
void scale_columns(float* values, std::ptrdiff_t rows, int lanes, const float* factors);

}  // namespace heedful
