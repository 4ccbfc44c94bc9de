// The instruction sets and the Eigen version that this level is compiled for, for display.
#pragma once

namespace heedful::simd {

// Names of the vector extensions that Eigen's packets use, such as "AVX SSE, SSE2".
const char* instruction_sets();

// Such as "3.4.0".
const char* eigen_version();

}  // namespace heedful::simd
