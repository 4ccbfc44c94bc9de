// A row is cut into chunks that stay in L1 between the activation and the product.
#include "layers/gated_activation.hpp"

#include <algorithm>

#include "arrays/row_loop.hpp"
#include "parallel/cost.hpp"

namespace heedful {
namespace {

constexpr std::ptrdiff_t chunk = 1024;

// compute(row, first, count) for all chunks of all rows.
template <class T, class Compute>
void for_each_chunk(const GatedSizes& sizes, const Team& team, const Compute& compute) {
  const std::ptrdiff_t chunks = (sizes.width + chunk - 1) / chunk;
  const double elements = static_cast<double>(sizes.rows) * static_cast<double>(sizes.width);
  // as many chunks in a task as a row of usual width has, so that short rows are not tasks
  const std::ptrdiff_t total = sizes.rows * chunks, in_task = 8;
  parallel_for((total + in_task - 1) / in_task, threads_for(Cost::of_elements(3 * elements), team),
               0, [&](std::ptrdiff_t task, Worker&) {
                 const std::ptrdiff_t end = std::min(total, (task + 1) * in_task);
                 for (std::ptrdiff_t index = task * in_task; index < end; ++index) {
                   const std::ptrdiff_t first = index % chunks * chunk;
                   compute(index / chunks, first, std::min(chunk, sizes.width - first));
                 }
               });
}

}  // namespace

template <class T>
void gated_activation_forward(Activation kind, const GatedSizes& sizes, const T* x, T* y,
                              const Team& team) {
  for_each_chunk<T>(
      sizes, team, [&](std::ptrdiff_t row, std::ptrdiff_t first, std::ptrdiff_t count) {
        const T* const gate = x + 2 * row * sizes.width + first;
        const T* const through = gate + sizes.width;
        T* const to = y + row * sizes.width + first;
        activate(kind, gate, to, count);
        for_each_element<T>(
            count, [&](auto at) { at.store(to, simd::multiply(at.load(to), at.load(through))); });
      });
}

template <class T>
void gated_activation_backward(Activation kind, const GatedSizes& sizes, const T* x, const T* dy,
                               T* dx, const Team& team) {
  for_each_chunk<T>(sizes, team,
                    [&](std::ptrdiff_t row, std::ptrdiff_t first, std::ptrdiff_t count) {
                      const std::ptrdiff_t begin = 2 * row * sizes.width + first;
                      const T *const gate = x + begin, *const through = gate + sizes.width;
                      const T* const from = dy + row * sizes.width + first;
                      T *const dgate = dx + begin, *const dthrough = dgate + sizes.width;
                      T opened[chunk], slope[chunk];  // dx may be x
                      activate(kind, gate, opened, count);
                      for_each_element<T>(count, [&](auto at) {
                        at.store(slope, simd::multiply(at.load(from), at.load(through)));
                        at.store(opened, simd::multiply(at.load(from), at.load(opened)));
                      });
                      activation_gradient(kind, gate, slope, dgate, count);
                      std::copy_n(opened, count, dthrough);
                    });
}

template void gated_activation_forward(Activation, const GatedSizes&, const float*, float*,
                                       const Team&);
template void gated_activation_forward(Activation, const GatedSizes&, const double*, double*,
                                       const Team&);
template void gated_activation_backward(Activation, const GatedSizes&, const float*, const float*,
                                        float*, const Team&);
template void gated_activation_backward(Activation, const GatedSizes&, const double*, const double*,
                                        double*, const Team&);

}  // namespace heedful
