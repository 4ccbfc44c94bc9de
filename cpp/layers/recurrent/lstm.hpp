// Long short-term memory over all steps, with the products of the inputs given:
//
//   i = σ(x_i + W_hi h + b_hi)
//   f = σ(x_f + W_hf h + b_hf)
//   g = tanh(x_g + W_hg h + b_hg)
//   o = σ(x_o + W_ho h + b_ho)
//   c ← f · c + i · g
//   h ← o · tanh(c)
//
//   gates (rows, 4 H)   in: x_i, x_f, x_g, x_o, with their biases   out: i, f, g, o
//   states, cells       of h and of c, after (rows, H): written; first (B, H)
//   weight (4 H, H), which may be narrow   bias (4 H) or nullptr
//
// and its gradients:
//   gates    in: i, f, g, o   out: those of x_i, x_f, x_g, x_o
//   dy (rows, H)   dstate, dcell (B, H)   in: of the last states   out: of the first ones
// Nothing overlaps. The same bits for any number of threads and sequences, but for linear_forward's
// few rows where there are at most 16 rows, or two steps, in all.
// Hochreiter and Schmidhuber 1997, https://doi.org/10.1162/neco.1997.9.8.1735, with the forget gate
// of Gers et al. 2000.
#pragma once

#include <array>

#include "layers/recurrent/recurrent_layer.hpp"

namespace heedful {

template <class T>
struct Lstm {
  static constexpr int gates = 4, num_parts = 1;

  Steps steps;
  std::ptrdiff_t width;  // H
  Matrix<T> gate_rows;
  StateRows<T> states, cells;
  Matrix<T> y, cells_after;  // forward: states.after, cells.after
  const T* bias;             // forward
  Matrix<const T> dy;        // backward
  Matrix<T> dstate, dcell;

  void forward(std::ptrdiff_t k, std::ptrdiff_t sequence, Units units, const T* const* sums) const;
  void backward(std::ptrdiff_t k, std::ptrdiff_t sequence, Units units) const;
  std::array<SumGradients<T>, num_parts> parts() const {
    return {SumGradients<T>{{gate_rows.data, gate_rows.stride}, 4}};
  }
};

template <class T>
void lstm_forward(const Lstm<T>& layer, const StateWeight<T>& weight, const Team& team);

template <class T>
void lstm_backward(const Lstm<T>& layer, Matrix<const T> weight, const Team& team);

}  // namespace heedful
