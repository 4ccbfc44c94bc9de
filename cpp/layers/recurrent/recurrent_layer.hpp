// The steps of a recurrent layer in one direction, whatever its cell:
//
//   forward    sums = h W_hhᵀ, h the states before the step; the cell computes the states after it
//   backward   the cell computes the gradients of the sums from dh; dh ← dh + dsums W_hh
//
// A Cell knows the gates and the states of its kind; a struct with
//   steps, width (H), states (the rows of h), dstate (B, H)
//   gates          how many there are
//   forward(k, sequence, units, sums)   sums[gate] + bias → the states after the k-th step
//   backward(k, sequence, units)        dstate, which then lacks what comes by the sums, and dsums
//   parts()        dsums as num_parts matrices side by side
#pragma once

#include <array>
#include <cstddef>

#include "arrays/row_loop.hpp"
#include "layers/recurrent/packed_weight.hpp"
#include "layers/recurrent/state_weight.hpp"
#include "layers/recurrent/step_loop.hpp"
#include "layers/recurrent/steps.hpp"
#include "linear/linear_forward.hpp"
#include "linear/linear_gradients.hpp"

namespace heedful {

// [first, first + count) of H.
struct Units {
  std::ptrdiff_t first, count;
};

// Gradients of the sums of some gates, the next ones: (rows, gates · H).
template <class T>
struct SumGradients {
  Matrix<const T> rows;
  std::ptrdiff_t gates;
};

// Of the steps of a layer, forward or backward.
template <class Cell>
Cost cost_of_steps(const Cell& cell) {
  const double rows = static_cast<double>(cell.steps.all_rows());
  const double width = static_cast<double>(cell.width), gates = Cell::gates;
  return {rows * gates * width * width, gates * width * width, rows * gates * width};
}

namespace detail {

// Packing the weight takes as long as multiplying it by about this many rows.
inline constexpr std::ptrdiff_t rows_worth_packing = 16;

inline bool packs(const Steps& steps) {
  return steps.count > 2 && steps.all_rows() > rows_worth_packing;
}

template <class Cell>
double step_work(const Cell& cell) {
  const auto width = static_cast<double>(cell.width);
  return static_cast<double>(cell.steps.count ? cell.steps.rows(0) : 0) * Cell::gates * width *
         width;
}

template <class T>
Matrix<const T> rows_below(Matrix<const T> matrix, std::ptrdiff_t row) {
  return {matrix.row(row), matrix.stride};
}

// Whether the weight is read as it is stored, at every step.
template <class T, class Cell>
bool reads_narrow(const Cell& cell) {
  const Steps& steps = cell.steps;
  const std::ptrdiff_t most = steps.count ? steps.counts[0] : 0;  // rows of a step
  return !packs(steps) && are_few_rows<T>({most, cell.width, Cell::gates * cell.width});
}

// Few rows: dense products of the whole weight, read in place.
template <class T, class Cell>
void forward_unpacked(const Cell& cell, const StateWeight<T>& weight, const Team& team) {
  const Steps& steps = cell.steps;
  const std::ptrdiff_t width = cell.width, columns = Cell::gates * width;
  Buffer<T> sums(steps.sequences * columns + simd::lanes<T>);  // read in full vectors
  for (std::ptrdiff_t k = 0; k < steps.count; ++k) {
    const std::ptrdiff_t continued = steps.continued(k), rows = steps.rows(k);
    const auto multiply = [&](std::ptrdiff_t begin, std::ptrdiff_t end) {
      const Matrix<const T> before{cell.states.before(steps, k, begin),
                                   cell.states.stride(steps, k, begin)};
      weight.multiply({end - begin, width, columns}, before,
                      {sums.data() + begin * columns, columns}, team);
    };
    if (continued > 0) multiply(0, continued);
    if (continued < rows) multiply(continued, rows);
    const Cost cost = Cost::of_elements(static_cast<double>(rows * columns));
    parallel_for(rows, threads_for(cost, team), 0, [&](std::ptrdiff_t sequence, Worker&) {
      const T* gate_sums[Cell::gates];
      for (int gate = 0; gate < Cell::gates; ++gate) {
        gate_sums[gate] = sums.data() + sequence * columns + gate * width;
      }
      cell.forward(k, sequence, Units{0, width}, gate_sums);
    });
  }
}

template <class T, class Cell>
void backward_unpacked(const Cell& cell, Matrix<const T> weight, const Team& team) {
  const Steps& steps = cell.steps;
  for (std::ptrdiff_t k = steps.count - 1; k >= 0; --k) {
    const std::ptrdiff_t rows = steps.rows(k);
    const Cost cost = Cost::of_elements(static_cast<double>(rows * Cell::gates * cell.width));
    parallel_for(rows, threads_for(cost, team), 0, [&](std::ptrdiff_t sequence, Worker&) {
      cell.backward(k, sequence, Units{0, cell.width});
    });
    std::ptrdiff_t gate = 0;
    for (const SumGradients<T>& part : cell.parts()) {
      linear_gradient_input<T>({rows, cell.width, part.gates * cell.width},
                               rows_below(part.rows, steps.begin(k)),
                               rows_below(weight, gate * cell.width), cell.dstate, true, team);
      gate += part.gates;
    }
  }
}

}  // namespace detail

template <class T, class Cell>
void recurrent_forward(const Cell& cell, const StateWeight<T>& stored, const Team& given) {
  const Steps& steps = cell.steps;
  const Team team = threads_for(cost_of_steps(cell), given);
  if (stored.is_narrow() && !detail::reads_narrow<T>(cell)) {
    const std::ptrdiff_t outputs = Cell::gates * cell.width;
    Buffer<T> widened(outputs * cell.width);
    stored.widen(outputs, cell.width, {widened.data(), cell.width}, team);
    const StateWeight<T> wide{{widened.data(), cell.width}};
    return recurrent_forward<T>(cell, wide, given);
  }
  if (!detail::packs(steps)) return detail::forward_unpacked(cell, stored, team);
  const Matrix<const T> weight = stored.rows;
  const std::ptrdiff_t width = cell.width, size = PackedWeight<T>::size(width, width);
  const PackedPanels<T> memory(Cell::gates * size);
  std::array<PackedWeight<T>, Cell::gates> packed;
  for (int gate = 0; gate < Cell::gates; ++gate) {
    packed[gate] = PackedWeight<T>::pack(detail::rows_below(weight, gate * width), true, width,
                                         width, team, memory.data + gate * size);
  }
  const Panels<T> strips(width);
  const StepLoop loop(steps, steps.count, strips.count,
                      Cell::gates * size * static_cast<std::ptrdiff_t>(sizeof(T)),
                      detail::step_work(cell), team);
  const std::ptrdiff_t gate_size = loop.max_group() * max_vectors * simd::lanes<T>;
  const std::size_t scratch = checked_bytes(Cell::gates * gate_size, sizeof(T));
  loop.run(team, scratch, [&](std::ptrdiff_t k, StepRange group, StepRange some, Worker& worker) {
    const std::ptrdiff_t end = std::min(group.end, steps.rows(k));
    if (end <= group.begin) return;
    // the sequences that continue, then those that begin
    const std::ptrdiff_t middle = std::clamp(steps.continued(k), group.begin, end);
    T* const sums = reinterpret_cast<T*>(worker.scratch);
    for (std::ptrdiff_t strip = some.begin; strip < some.end; ++strip) {
      const std::ptrdiff_t lanes = strips.lanes(strip);
      for (int gate = 0; gate < Cell::gates; ++gate) {
        const auto multiply = [&](std::ptrdiff_t first, std::ptrdiff_t last) {
          if (first == last) return;
          const Matrix<const T> before{cell.states.before(steps, k, first),
                                       cell.states.stride(steps, k, first)};
          packed[gate].multiply(strip, before, last - first, false,
                                sums + gate * gate_size + (first - group.begin) * lanes);
        };
        multiply(group.begin, middle);
        multiply(middle, end);
      }
      for (std::ptrdiff_t sequence = group.begin; sequence < end; ++sequence) {
        const T* gate_sums[Cell::gates];
        for (int gate = 0; gate < Cell::gates; ++gate) {
          gate_sums[gate] = sums + gate * gate_size + (sequence - group.begin) * lanes;
        }
        cell.forward(k, sequence, Units{strips.begin(strip), strips.used(strip)}, gate_sums);
      }
    }
  });
}

// dstate: the gradients of the states after the last steps, and in the end of those before the
// first ones.
template <class T, class Cell>
void recurrent_backward(const Cell& cell, Matrix<const T> weight, const Team& given) {
  const Steps& steps = cell.steps;
  const Team team = threads_for(cost_of_steps(cell), given);
  if (!detail::packs(steps)) return detail::backward_unpacked(cell, weight, team);
  const std::ptrdiff_t width = cell.width, columns = width;
  const auto parts = cell.parts();
  const PackedPanels<T> memory(PackedWeight<T>::size(Cell::gates * width, columns));
  std::array<PackedWeight<T>, Cell::num_parts> packed;
  std::ptrdiff_t gate = 0;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    packed[i] = PackedWeight<T>::pack(detail::rows_below(weight, gate * width), false,
                                      parts[i].gates * width, columns, team,
                                      memory.data + PackedWeight<T>::size(gate * width, columns));
    gate += parts[i].gates;
  }
  const Panels<T> strips(columns);
  // region j: the sums' gradients of step count − j are multiplied, then those of the step before
  // it computed: of the units whose dstate the same task has completed
  const StepLoop loop(steps, steps.count + 1, strips.count,
                      Cell::gates * width * width * static_cast<std::ptrdiff_t>(sizeof(T)),
                      detail::step_work(cell), team);
  const std::ptrdiff_t most_lanes = max_vectors * simd::lanes<T>;
  const std::size_t scratch = checked_bytes(loop.max_group() * most_lanes, sizeof(T));
  loop.run(team, scratch, [&](std::ptrdiff_t j, StepRange group, StepRange some, Worker& worker) {
    const std::ptrdiff_t after = steps.count - j, k = after - 1;
    T* const sums = reinterpret_cast<T*>(worker.scratch);
    for (std::ptrdiff_t strip = some.begin; strip < some.end; ++strip) {
      const Units units{strips.begin(strip), strips.used(strip)};
      const std::ptrdiff_t lanes = strips.lanes(strip);
      if (after < steps.count) {
        const std::ptrdiff_t end = std::min(group.end, steps.rows(after));
        for (std::size_t i = 0; i < parts.size() && end > group.begin; ++i) {
          const auto rows = detail::rows_below(parts[i].rows, steps.begin(after) + group.begin);
          packed[i].multiply(strip, rows, end - group.begin, i > 0, sums);
        }
        for (std::ptrdiff_t sequence = group.begin; sequence < end; ++sequence) {
          const T* const from = sums + (sequence - group.begin) * lanes;
          T* const to = cell.dstate.row(sequence) + units.first;
          for_each_element<T>(
              units.count, [&](auto at) { at.store(to, simd::add(at.load(to), at.load(from))); });
        }
      }
      if (k < 0) continue;
      const std::ptrdiff_t end = std::min(group.end, steps.rows(k));
      for (std::ptrdiff_t sequence = group.begin; sequence < end; ++sequence) {
        cell.backward(k, sequence, units);
      }
    }
  });
}

}  // namespace heedful
