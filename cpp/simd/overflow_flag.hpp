// Whether a computation of this thread overflows. The processor keeps a flag for that anyway, so no
// result has to be checked. Products of bfloat16 in pairs and tiles do not set the flag, nor do
// operands that were infinite before.
#pragma once

#ifdef __SSE__
#include <xmmintrin.h>
#else
#include <cfenv>
#endif

namespace heedful::simd {

// From its construction on; the destructor restores a flag that was set before. The computation
// must be a call into another translation unit: the compiler may move arithmetic of the same
// function past the access to the flag.
class OverflowFlag {
 public:
#ifdef __SSE__
  OverflowFlag() : before_(_mm_getcsr()) { _mm_setcsr(before_ & ~mask); }
  ~OverflowFlag() { _mm_setcsr(_mm_getcsr() | (before_ & mask)); }
  bool raised() const { return (_mm_getcsr() & mask) != 0; }

 private:
  static constexpr unsigned mask = _MM_EXCEPT_OVERFLOW;
  unsigned before_;
#else
  OverflowFlag() : before_(std::fetestexcept(FE_OVERFLOW)) { std::feclearexcept(FE_OVERFLOW); }
  ~OverflowFlag() {
    if (before_ != 0) std::feraiseexcept(FE_OVERFLOW);
  }
  bool raised() const { return std::fetestexcept(FE_OVERFLOW) != 0; }

 private:
  int before_;
#endif

 public:
  OverflowFlag(const OverflowFlag&) = delete;
  OverflowFlag& operator=(const OverflowFlag&) = delete;
};

}  // namespace heedful::simd
