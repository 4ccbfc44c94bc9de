// Two algorithms, as in linear_forward.cpp, with the same bits:
//
//   few rows    y = q wᵀ with the lanes over In: the weight is read once, in place, at memory
//               bandwidth
//   many rows   Yᵀ = w Qᵀ: x is quantised and packed once for all tasks, the weight is broadcast in
//               place, or where it was split once for all calls, from there; or widened for all
//               panels of a task. Yᵀ is transposed when it is scaled
#include "linear/int8_forward.hpp"

#include <algorithm>

#include "arrays/even_ranges.hpp"
#include "arrays/work_area.hpp"
#include "kernels/int8_dot.hpp"
#include "kernels/int8_kernel.hpp"
#include "kernels/quantised_row.hpp"
#include "linear/int8_panels.hpp"
#include "linear/task_grid.hpp"
#include "parallel/interrupt_check.hpp"
#include "parallel/scratch.hpp"
#include "simd/int8_ways.hpp"
#include "simd/integer_dots.hpp"

namespace heedful {
namespace {

constexpr std::ptrdiff_t width = simd::lanes<float>;

struct Call {
  const LinearSizes& sizes;
  Matrix<const float> x;
  const Int8Weight& weight;
  const Epilogue<float>& epilogue;
  simd::Int8Ways ways;
  Team team;
};

// ---- few rows

constexpr std::ptrdiff_t max_few_rows = width / 2;

// Rows of the weight that are multiplied by all rows of x before the next ones, and how many rows
// ahead they are prefetched.
constexpr std::ptrdiff_t weight_chunk = 16, prefetch_distance = 8;

// A quantised row as the vectors of int8_dot.hpp.
template <class Q>
void spread(const Q* row, const DotVectors& vectors, Q* to) {
  const std::ptrdiff_t whole = vectors.size() - vectors.elements;
  std::copy_n(row, whole, to);
  std::fill_n(to + whole, vectors.repeated(), Q{0});
  std::copy(row + whole, row + vectors.last + vectors.elements, to + whole + vectors.repeated());
}

template <class Q>
void few(const Call& call, void (*dot)(const Int8Dots<Q>&)) {
  const std::ptrdiff_t rows = call.sizes.rows, inputs = call.sizes.inputs;
  const std::ptrdiff_t outputs = call.sizes.outputs;
  const DotVectors vectors(inputs, dot_elements(sizeof(Q)));
  Buffer<Q> row(inputs);
  Buffer<Q> q(ceil_div(rows, dot_block_rows) * dot_block_rows * vectors.size(), zeroed);
  Buffer<RowRange> ranges(rows);
  for (std::ptrdiff_t n = 0; n < rows; ++n) {
    ranges[n] = RowRange::of(call.x.row(n), inputs);
    quantise(call.x.row(n), inputs, ranges[n], row.data());
    spread(row.data(), vectors, q.data() + n * vectors.size());
  }
  constexpr std::ptrdiff_t task_bytes = 128 << 10;  // of the weight
  const EvenRanges tasks{outputs,
                         std::min(ceil_div(outputs, 16), ceil_div(outputs * inputs, task_bytes))};
  const std::ptrdiff_t max_count = ceil_div(outputs, tasks.count);
  const auto run = [&](std::ptrdiff_t task, Worker& worker) {
    const std::ptrdiff_t first = tasks.begin(task), count = tasks.length(task);
    WorkArea area(worker.scratch);
    auto* const sums = area.take<std::int32_t>(rows * max_count);
    auto* const values = area.take<float>(max_count);
    for (std::ptrdiff_t begin = 0; begin < count; begin += weight_chunk) {
      dot({q.data(),
           rows,
           vectors,
           {call.weight.rows.row(first + begin), call.weight.rows.stride},
           std::min(weight_chunk, count - begin),
           prefetch_distance,
           sums + begin,
           max_count});
    }
    for (std::ptrdiff_t n = 0; n < rows; ++n) {
      scale_row(sums + n * max_count, count, call.weight.outputs.from(first), ranges[n].zero,
                ranges[n].scale, values);
      call.epilogue.finish(values, n, first, count);
    }
  };
  WorkArea area(nullptr);
  area.take<std::int32_t>(rows * max_count);
  area.take<float>(max_count);
  parallel_for(tasks.count, call.team, area.size(), run);
}

// ---- many rows

// The rows of the weight that a task multiplies, as the way reads them: in place, or as words that
// end in zeros.
struct WeightRows {
  const std::byte* data;
  std::ptrdiff_t stride;                 // in bytes
  const std::int64_t* begins = nullptr;  // of Int8Split::extra
};

bool reads_in_place(simd::Int8Way way, std::ptrdiff_t inputs) {
  return way == simd::Int8Way::bytes     ? true  // what was split
         : way == simd::Int8Way::vnni    ? inputs % 4 == 0
         : way == simd::Int8Way::widened ? false
                                         : inputs % 64 == 0;
}

// Scratch of a task: some outputs, for all rows of a slab.
struct ManyScratch {
  std::size_t size;
  std::byte* weight;
  std::int32_t* sums;  // (outputs, lanes of a panel)
  float* rows;         // (lanes of a panel, outputs)

  ManyScratch(std::ptrdiff_t weight_words, std::ptrdiff_t outputs, std::byte* scratch) {
    constexpr std::ptrdiff_t lanes = max_vectors * width;
    WorkArea area(scratch);
    weight = area.take<std::byte>(4 * weight_words);
    sums = area.take<std::int32_t>(lanes * outputs);
    rows = area.take<float>(lanes * outputs);
    size = area.size();
  }
};

WeightRows load_weight(const Call& call, std::ptrdiff_t first, std::ptrdiff_t count,
                       std::ptrdiff_t words, const ManyScratch& scratch) {
  const Matrix<const std::int8_t> weight = call.weight.rows;
  const std::ptrdiff_t inputs = call.sizes.inputs, row_bytes = 4 * words;
  if (call.ways.products == simd::Int8Way::bytes) {
    const Int8Split& split = call.weight.split;
    return {split.main.row(first), split.main.stride, split.begins + first};
  }
  if (reads_in_place(call.ways.products, inputs)) {
    return {reinterpret_cast<const std::byte*>(weight.row(first)), weight.stride};
  }
  std::byte* const to = scratch.weight;
  for (std::ptrdiff_t row = 0; row < count; ++row) {
    const std::int8_t* const from = weight.row(first + row);
    if (call.ways.products == simd::Int8Way::widened) {
      auto* const wide = reinterpret_cast<std::int16_t*>(to + row * row_bytes);
      std::copy_n(from, inputs, wide);
      std::fill(wide + inputs, wide + 2 * words, std::int16_t{0});
    } else {
      auto* const bytes = reinterpret_cast<std::int8_t*>(to + row * row_bytes);
      std::copy_n(from, inputs, bytes);
      std::fill(bytes + inputs, bytes + 4 * words, std::int8_t{0});
    }
  }
  return {to, row_bytes};
}

// A panel of Yᵀ: rows of y in lanes, some of which are padding, and some outputs.
struct PanelOutput {
  std::ptrdiff_t row, rows, lanes, first, count;
};

void finish_panel(const Call& call, const PanelOutput& panel, const std::int32_t* zeros,
                  const float* x_scales, const ManyScratch& scratch) {
  const Epilogue<float>& epilogue = call.epilogue;
  // at once, if nothing but a bias is added
  const bool direct =
      epilogue.activation == Activation::none && !epilogue.residual && panel.count >= width;
  float* rows[max_vectors * width];
  for (std::ptrdiff_t lane = 0; lane < panel.lanes; ++lane) {
    rows[lane] = direct && lane < panel.rows ? epilogue.y.row(panel.row + lane) + panel.first
                                             : scratch.rows + lane * panel.count;
  }
  const float* const bias = direct && epilogue.bias ? epilogue.bias + panel.first : nullptr;
  scale_panel(scratch.sums, panel.lanes, panel.count, call.weight.outputs.from(panel.first), zeros,
              x_scales, bias, rows);
  for (std::ptrdiff_t lane = 0; !direct && lane < panel.rows; ++lane) {
    epilogue.finish(rows[lane], panel.row + lane, panel.first, panel.count);
  }
}

// The rows [first_row, …) of x in the panels, all outputs.
void multiply_panels(const Call& call, const Int8Panels& panels, std::ptrdiff_t first_row) {
  constexpr std::ptrdiff_t max_outputs = 192, max_weight_bytes = 128 << 10, min_outputs = 16;
  const bool in_place = reads_in_place(call.ways.products, call.sizes.inputs);
  const std::ptrdiff_t outputs = call.sizes.outputs;
  const std::ptrdiff_t fitting =
      in_place ? max_outputs
               : std::clamp(max_weight_bytes / std::max<std::ptrdiff_t>(4 * panels.words, 1),
                            min_outputs, max_outputs);
  const EvenRanges tasks{outputs,
                         std::max(ceil_div(outputs, fitting),
                                  std::min<std::ptrdiff_t>(TaskGrid<float>::min_tasks,
                                                           ceil_div(outputs, min_outputs)))};
  const std::ptrdiff_t max_count = ceil_div(outputs, tasks.count);
  const std::ptrdiff_t weight_words = in_place ? 0 : max_count * panels.words;
  const ManyScratch largest(weight_words, max_count, nullptr);
  parallel_for(tasks.count, call.team, largest.size, [&](std::ptrdiff_t task, Worker& worker) {
    const ManyScratch scratch(weight_words, max_count, worker.scratch);
    const std::ptrdiff_t first = tasks.begin(task), count = tasks.length(task);
    const WeightRows weight = load_weight(call, first, count, panels.words, scratch);
    for (std::ptrdiff_t index = 0; index < panels.layout.count; ++index) {
      worker.check();
      const std::ptrdiff_t begin = panels.layout.begin(index), lanes = panels.layout.lanes(index);
      multiply(call.ways.products,
               {count, panels.words, static_cast<int>(lanes / width), weight.data, weight.stride,
                panels.panel(index), scratch.sums, call.weight.split.extra, weight.begins});
      finish_panel(call, {first_row + begin, panels.layout.used(index), lanes, first, count},
                   panels.zeros + begin, panels.scales + begin, scratch);
    }
  });
}

void many(const Call& call) {
  constexpr std::ptrdiff_t max_words = 4 << 20;  // of the panels at a time
  const std::ptrdiff_t words = words_of(call.ways.products, call.sizes.inputs);
  const std::ptrdiff_t vectors = (call.sizes.rows + width - 1) / width;
  const EvenRanges slabs{vectors, ceil_div(words * vectors * width, max_words)};
  const std::ptrdiff_t lanes = ceil_div(vectors, slabs.count) * width;
  const PackedPanels<std::uint32_t> memory((words + 2) * lanes);
  InterruptCheck interrupt(call.team);
  for (std::ptrdiff_t slab = 0; slab < slabs.count; ++slab) {
    interrupt.check();
    const std::ptrdiff_t first = slabs.begin(slab) * width;
    const std::ptrdiff_t rows = std::min(slabs.begin(slab + 1) * width, call.sizes.rows) - first;
    const Int8Panels panels{Panels<float>(rows), words, memory.data,
                            reinterpret_cast<float*>(memory.data + words * lanes),
                            reinterpret_cast<std::int32_t*>(memory.data + (words + 1) * lanes)};
    pack_int8({call.x.row(first), call.x.stride}, call.sizes.inputs, call.ways.products, call.team,
              panels);
    multiply_panels(call, panels, first);
  }
}

}  // namespace

bool int8_reads_split(std::ptrdiff_t rows) {
  return simd::int8_ways().products == simd::Int8Way::bytes && rows > max_few_rows;
}

void int8_forward(const LinearSizes& sizes, Matrix<const float> x, const Int8Weight& weight,
                  const Epilogue<float>& epilogue, const Team& team) {
  if (sizes.rows == 0 || sizes.outputs == 0) return;
  simd::Int8Ways ways = simd::int8_ways();
  if (ways.products == simd::Int8Way::bytes && !weight.split) {
    ways.products = simd::Int8Way::widened;
  }
  const Call call{sizes, x, weight, epilogue, ways, threads_for(int8_cost(sizes), team)};
  const bool bytes = call.ways.rows == simd::Int8Way::vnni;
  if (sizes.rows <= max_few_rows && sizes.inputs >= dot_elements(bytes ? 1 : 2)) {
    return bytes ? few<std::uint8_t>(call, dot_bytes) : few<std::int16_t>(call, dot_int16);
  }
  many(call);
}

}  // namespace heedful
