// Few rows read the weight as it is. For more, parts of it are widened one after the other into the
// same memory, which stays in L2 and L3, and multiplied: every element is widened once, for all
// rows.
#include "linear/bfloat16_forward.hpp"

#include <algorithm>

#include "linear/few_rows.hpp"
#include "parallel/parallel_for.hpp"

namespace heedful {
namespace {

constexpr std::ptrdiff_t part_elements = 1 << 20;  // 4 MiB of float
constexpr std::ptrdiff_t min_outputs = 128;        // of a part: as linear_forward splits them

void widen(const simd::Bfloat16* from, std::ptrdiff_t count, float* to) {
  constexpr std::ptrdiff_t width = simd::lanes<float>;
  std::ptrdiff_t i = 0;
  for (; i + width <= count; i += width) simd::store(to + i, simd::load(from + i));
  if (i == count) return;
  simd::Bfloat16 tail[width] = {};
  alignas(64) float widened[width];
  std::copy_n(from + i, count - i, tail);
  simd::store(widened, simd::load(tail));
  std::copy_n(widened, count - i, to + i);
}

// The columns of y from `first` on.
Epilogue<float> from_column(const Epilogue<float>& all, std::ptrdiff_t first) {
  Epilogue<float> part = all;
  if (part.bias != nullptr) part.bias += first;
  if (part.residual) part.residual.data += first;
  part.y.data += first;
  return part;
}

}  // namespace

void bfloat16_forward(const LinearSizes& sizes, Matrix<const float> x, Rows<simd::Bfloat16> weight,
                      const Epilogue<float>& epilogue, const Team& team) {
  if (sizes.rows == 0 || sizes.outputs == 0) return;
  const Team size = threads_for(cost_of(sizes), team);
  if (are_few_rows<float>(sizes)) return multiply_few_rows(sizes, x, weight, epilogue, size);
  const std::ptrdiff_t inputs = sizes.inputs;
  const std::ptrdiff_t outputs = std::min(
      sizes.outputs, std::max(min_outputs, part_elements / std::max<std::ptrdiff_t>(inputs, 1)));
  Buffer<float> widened(outputs * inputs);
  for (std::ptrdiff_t first = 0; first < sizes.outputs; first += outputs) {
    const std::ptrdiff_t count = std::min(outputs, sizes.outputs - first);
    parallel_for(ceil_div(count, 8), size, 0, [&](std::ptrdiff_t task, Worker&) {
      for (std::ptrdiff_t row = 8 * task; row < std::min(count, 8 * (task + 1)); ++row) {
        widen(weight[first + row], inputs, widened.data() + row * inputs);
      }
    });
    linear_forward<float>({sizes.rows, inputs, count}, x, {widened.data(), inputs},
                          from_column(epilogue, first), team);
  }
}

}  // namespace heedful
