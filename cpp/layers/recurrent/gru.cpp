#include "layers/recurrent/gru.hpp"

#include "arrays/prefetch.hpp"
#include "layers/recurrent/vector_part.hpp"
#include "simd/tanh.hpp"

namespace heedful {

using simd::add;
using simd::multiply;
using simd::multiply_add;
using simd::Packet;
using simd::subtract;

template <class T>
void Gru<T>::forward(std::ptrdiff_t k, std::ptrdiff_t sequence, Units units,
                     const T* const* sums) const {
  const std::ptrdiff_t row = steps.begin(k) + sequence;
  T* own[gates];
  const T* biases[gates];
  for (int gate = 0; gate < gates; ++gate) {
    own[gate] = gate_rows.row(row) + gate * width + units.first;
    // parts of rows far apart: the hardware does not prefetch them
    prefetch_row(own[gate] + 2 * gate_rows.stride, units.count * std::ptrdiff_t{sizeof(T)});
    biases[gate] = bias ? bias + gate * width + units.first : nullptr;
  }
  const T* const before = states.before(steps, k, sequence) + units.first;
  T* const after = y.row(row) + units.first;
  T* const updates = update.row(row) + units.first;
  // two loops: n waits for r, and vectors one after another do not wait for each other
  for_each_part<T>(units.count, [&](const auto& part) {
    const auto sum = [&](int gate) {
      const Packet<T> found = simd::load(sums[gate] + part.index);
      return bias ? add(found, part.load(biases[gate])) : found;
    };
    part.store(own[0], simd::sigmoid<T>(add(part.load(own[0]), sum(0))));
    part.store(own[1], simd::sigmoid<T>(add(part.load(own[1]), sum(1))));
    part.store(updates, sum(2));
  });
  for_each_part<T>(units.count, [&](const auto& part) {
    const Packet<T> r = part.load(own[0]), z = part.load(own[1]), u = part.load(updates);
    const Packet<T> n = simd::exact_tanh<T>(multiply_add(r, u, part.load(own[2])));
    part.store(own[2], n);
    part.store(after, multiply_add(z, subtract(part.load(before), n), n));
  });
}

template <class T>
void Gru<T>::backward(std::ptrdiff_t k, std::ptrdiff_t sequence, Units units) const {
  const std::ptrdiff_t row = steps.begin(k) + sequence;
  T* own[gates];
  for (int gate = 0; gate < gates; ++gate) {
    own[gate] = gate_rows.row(row) + gate * width + units.first;
  }
  const T* const before = states.before(steps, k, sequence) + units.first;
  const T* const given = dy.row(row) + units.first;
  T* const dh_row = dstate.row(sequence) + units.first;
  T* const updates = update.row(row) + units.first;
  const Packet<T> one = simd::broadcast(T{1});
  for_each_part<T>(units.count, [&](const auto& part) {
    const Packet<T> r = part.load(own[0]), z = part.load(own[1]), n = part.load(own[2]);
    const Packet<T> dh = add(part.load(dh_row), part.load(given));
    const Packet<T> keep = multiply(dh, z), renew = subtract(dh, keep);
    const Packet<T> dn = multiply(renew, subtract(one, multiply(n, n)));
    const Packet<T> dz = multiply(multiply(keep, subtract(one, z)), subtract(part.load(before), n));
    const Packet<T> du = multiply(dn, r);
    const Packet<T> dr = multiply(multiply(du, subtract(one, r)), part.load(updates));
    part.store(own[0], dr);
    part.store(own[1], dz);
    part.store(own[2], dn);
    part.store(updates, du);
    part.store(dh_row, keep);
  });
}

template <class T>
void gru_forward(const Gru<T>& layer, const StateWeight<T>& weight, const Team& team) {
  recurrent_forward<T>(layer, weight, team);
}

template <class T>
void gru_backward(const Gru<T>& layer, Matrix<const T> weight, const Team& team) {
  recurrent_backward<T>(layer, weight, team);
}

template struct Gru<float>;
template struct Gru<double>;
template void gru_forward(const Gru<float>&, const StateWeight<float>&, const Team&);
template void gru_forward(const Gru<double>&, const StateWeight<double>&, const Team&);
template void gru_backward(const Gru<float>&, Matrix<const float>, const Team&);
template void gru_backward(const Gru<double>&, Matrix<const double>, const Team&);

}  // namespace heedful
