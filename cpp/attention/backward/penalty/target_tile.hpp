// The target probabilities of a query panel and a key tile.
#pragma once

#include <algorithm>
#include <cstddef>

#include "arrays/tensor_view.hpp"
#include "attention/problem/panel.hpp"
#include "attention/problem/problem.hpp"

namespace heedful {

// to[key][lane], from a target (B, H, Lq, Lk) of T whose axes broadcast.
template <class T>
void write_target(const TensorView& target, std::ptrdiff_t item, const Panel<T>& panel,
                  KeyRange keys, T* to) {
  for (int lane = 0; lane < panel.lanes(); ++lane) {
    const char* from =
        target.row(item, panel.head[lane], panel.query[lane]) + keys.begin * target.column_stride;
    for (std::ptrdiff_t key = 0; key < keys.size(); ++key, from += target.column_stride) {
      to[key * panel.lanes() + lane] = *reinterpret_cast<const T*>(from);
    }
  }
}

}  // namespace heedful
