#include "layers/recurrent/lstm.hpp"

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
void Lstm<T>::forward(std::ptrdiff_t k, std::ptrdiff_t sequence, Units units,
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
  const T* const before = cells.before(steps, k, sequence) + units.first;
  T* const cell = cells_after.row(row) + units.first;
  T* const after = y.row(row) + units.first;
  // two loops: tanh(c) waits for c, and vectors one after another do not wait for each other
  for_each_part<T>(units.count, [&](const auto& part) {
    const auto sum = [&](int gate) {
      const Packet<T> found = add(part.load(own[gate]), simd::load(sums[gate] + part.index));
      return bias ? add(found, part.load(biases[gate])) : found;
    };
    const Packet<T> i = simd::sigmoid<T>(sum(0)), f = simd::sigmoid<T>(sum(1));
    const Packet<T> g = simd::exact_tanh<T>(sum(2)), o = simd::sigmoid<T>(sum(3));
    const Packet<T> c = multiply_add(f, part.load(before), multiply(i, g));
    part.store(own[0], i);
    part.store(own[1], f);
    part.store(own[2], g);
    part.store(own[3], o);
    part.store(cell, c);
  });
  for_each_part<T>(units.count, [&](const auto& part) {
    part.store(after, multiply(part.load(own[3]), simd::exact_tanh<T>(part.load(cell))));
  });
}

template <class T>
void Lstm<T>::backward(std::ptrdiff_t k, std::ptrdiff_t sequence, Units units) const {
  const std::ptrdiff_t row = steps.begin(k) + sequence;
  T* own[gates];
  for (int gate = 0; gate < gates; ++gate) {
    own[gate] = gate_rows.row(row) + gate * width + units.first;
  }
  const T* const before = cells.before(steps, k, sequence) + units.first;
  const T* const cell = cells.after.row(row) + units.first;
  const T* const given = dy.row(row) + units.first;
  T* const dh_row = dstate.row(sequence) + units.first;
  T* const dc_row = dcell.row(sequence) + units.first;
  const Packet<T> one = simd::broadcast(T{1}), zero = simd::broadcast(T{0});
  for_each_part<T>(units.count, [&](const auto& part) {
    const Packet<T> i = part.load(own[0]), f = part.load(own[1]);
    const Packet<T> g = part.load(own[2]), o = part.load(own[3]);
    const Packet<T> read = simd::exact_tanh<T>(part.load(cell));
    const Packet<T> dh = add(part.load(dh_row), part.load(given));
    const Packet<T> dread = multiply(dh, o);
    const Packet<T> dc =
        multiply_add(dread, subtract(one, multiply(read, read)), part.load(dc_row));
    const Packet<T> df = multiply(multiply(dc, f), subtract(one, f));
    const Packet<T> di = multiply(multiply(dc, i), subtract(one, i));
    part.store(own[0], multiply(di, g));
    part.store(own[1], multiply(df, part.load(before)));
    part.store(own[2], multiply(multiply(dc, i), subtract(one, multiply(g, g))));
    part.store(own[3], multiply(multiply(dread, read), subtract(one, o)));
    part.store(dc_row, multiply(dc, f));
    part.store(dh_row, zero);  // h is passed on by the sums alone
  });
}

template <class T>
void lstm_forward(const Lstm<T>& layer, const StateWeight<T>& weight, const Team& team) {
  recurrent_forward<T>(layer, weight, team);
}

template <class T>
void lstm_backward(const Lstm<T>& layer, Matrix<const T> weight, const Team& team) {
  recurrent_backward<T>(layer, weight, team);
}

template struct Lstm<float>;
template struct Lstm<double>;
template void lstm_forward(const Lstm<float>&, const StateWeight<float>&, const Team&);
template void lstm_forward(const Lstm<double>&, const StateWeight<double>&, const Team&);
template void lstm_backward(const Lstm<float>&, Matrix<const float>, const Team&);
template void lstm_backward(const Lstm<double>&, Matrix<const double>, const Team&);

}  // namespace heedful
