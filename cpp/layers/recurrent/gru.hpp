// Gated recurrent units over all steps, with the products of the inputs given:
//
//   r = σ(x_r + W_hr h + b_hr)
//   z = σ(x_z + W_hz h + b_hz)
//   u = W_hn h + b_hn
//   n = tanh(x_n + r · u)
//   h ← n + z · (h − n)
//
//   gates (rows, 3 H)   in: x_r, x_z, x_n, with their biases   out: r, z, n
//   update (rows, H)    out: u
//   states              after (rows, H): written; first (B, H)
//   weight (3 H, H), which may be narrow   bias (3 H) or nullptr
//
// and its gradients:
//   gates    in: r, z, n   out: those of x_r, x_z, x_n
//   update   in: u         out: its gradient
//   dy (rows, H)   dstate (B, H)   in: of the last states   out: of the first ones
// Nothing overlaps. The same bits for any number of threads and sequences, but for linear_forward's
// few rows where there are at most 16 rows, or two steps, in all.
// Cho et al. 2014, https://arxiv.org/abs/1406.1078, with the reset gate after the product.
#pragma once

#include <array>

#include "layers/recurrent/recurrent_layer.hpp"
#include "parallel/cost.hpp"

namespace heedful {

template <class T>
struct Gru {
  static constexpr int gates = 3, num_parts = 2;

  Steps steps;
  std::ptrdiff_t width;  // H
  Matrix<T> gate_rows, update;
  StateRows<T> states;
  Matrix<T> y;         // forward: states.after
  const T* bias;       // forward
  Matrix<const T> dy;  // backward
  Matrix<T> dstate;

  void forward(std::ptrdiff_t k, std::ptrdiff_t sequence, Units units, const T* const* sums) const;
  void backward(std::ptrdiff_t k, std::ptrdiff_t sequence, Units units) const;
  std::array<SumGradients<T>, num_parts> parts() const {
    return {SumGradients<T>{{gate_rows.data, gate_rows.stride}, 2},
            SumGradients<T>{{update.data, update.stride}, 1}};
  }
};

template <class T>
void gru_forward(const Gru<T>& layer, const StateWeight<T>& weight, const Team& team);

template <class T>
void gru_backward(const Gru<T>& layer, Matrix<const T> weight, const Team& team);

}  // namespace heedful
