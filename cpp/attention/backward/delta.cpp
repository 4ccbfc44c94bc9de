#include "attention/backward/delta.hpp"

#include "arrays/rows.hpp"

namespace heedful {

template <class T>
void write_delta(const BackwardTensors& tensors, std::ptrdiff_t value_depth, std::ptrdiff_t item,
                 std::ptrdiff_t head, std::ptrdiff_t first, std::ptrdiff_t count, T* buffer) {
  for (std::ptrdiff_t row = first; row < first + count; ++row) {
    const Rows<T> out = load_rows(tensors.out, item, head, row, 1, value_depth, false, buffer);
    const Rows<T> dout = load_rows(tensors.dout, item, head, row, 1, value_depth, false,
                                   buffer + padded<T>(value_depth));
    T delta = dot(out.data, dout.data, value_depth);
    if (tensors.row_term)
      delta -= *reinterpret_cast<const T*>(tensors.row_term.row(item, head, row));
    *reinterpret_cast<T*>(tensors.delta.row(item, head, row)) = delta;
  }
}

template void write_delta(const BackwardTensors&, std::ptrdiff_t, std::ptrdiff_t, std::ptrdiff_t,
                          std::ptrdiff_t, std::ptrdiff_t, float*);
template void write_delta(const BackwardTensors&, std::ptrdiff_t, std::ptrdiff_t, std::ptrdiff_t,
                          std::ptrdiff_t, std::ptrdiff_t, double*);

}  // namespace heedful
