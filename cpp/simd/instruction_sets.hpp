// What the level is compiled for and with, to be shown.
#pragma once

namespace heedful::simd {

// Names of the vector extensions that Eigen's packets use, such as "AVX SSE, SSE2".
const char* instruction_sets();

// Such as "3.4.0".
const char* eigen_version();

// "pairs" where the processor multiplies them and the level uses it, "widened" elsewhere.
const char* bfloat16_products();

}  // namespace heedful::simd
