// W_hh as it is stored, (Out, H): of T, or narrow for a layer in float: of bfloat16, or of int8
// with a scale for each row, w[o, k] = scale[o] · value[o, k]. A narrow one is read as it is where
// a step multiplies few rows, which takes about as long as reading the weight; otherwise it is
// widened for the call.
#pragma once

#include <cstdint>

#include "arrays/matrix.hpp"
#include "arrays/rows.hpp"
#include "linear/few_rows.hpp"
#include "linear/linear_forward.hpp"
#include "parallel/scratch.hpp"
#include "simd/half.hpp"
#include "simd/int8.hpp"

namespace heedful {

template <class T>
struct StateWeight {
  Matrix<const T> rows{};  // or, with T = float,
  Rows<simd::Bfloat16> bfloat16{};
  Rows<simd::Int8> int8{};
  const float* scales = nullptr;  // (Out) of int8

  bool is_narrow() const { return rows.data == nullptr; }

  // sums (N, Out) = states (N, H) · W_hhᵀ; a narrow one if are_few_rows(sizes).
  void multiply(const LinearSizes& sizes, Matrix<const T> states, Matrix<T> sums,
                const Team& team) const;

  // (Out, H), with the elements of the narrow one.
  void widen(std::ptrdiff_t outputs, std::ptrdiff_t inputs, Matrix<T> to, const Team& team) const;
};

}  // namespace heedful
