// A recurrent layer over ragged sequences, and each of them in plain loops in long double.
#pragma once

#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "check.hpp"
#include "layers/recurrent/gru.hpp"
#include "layers/recurrent/lstm.hpp"
#include "linear/gapped_matrix.hpp"

namespace heedful {

using Exact = long double;
using Row = std::vector<Exact>;

inline Exact sigmoid(Exact x) { return 1 / (1 + std::exp(-x)); }

struct Lengths {
  std::vector<std::int64_t> counts, begins;
  std::ptrdiff_t sequences, rows = 0;

  // Sequence s has a position at step t where s < counts[t].
  Lengths(std::ptrdiff_t num_sequences, std::ptrdiff_t steps, bool ragged)
      : sequences(num_sequences) {
    for (std::ptrdiff_t t = 0; t < steps; ++t) {
      counts.push_back(ragged ? num_sequences - num_sequences * t / (steps + 1) : num_sequences);
      begins.push_back(rows);
      rows += counts.back();
    }
  }
  Steps steps(bool reverse) const {
    return {sequences, static_cast<std::ptrdiff_t>(counts.size()), counts.data(), begins.data(),
            reverse};
  }
};

// The arrays of a layer, and its results.
template <class T, int gates>
struct Example {
  const Lengths& lengths;
  std::ptrdiff_t width;
  bool reverse;
  GappedMatrix<T> sums, gate_rows, weight, bias, first, first_cell, more, y, dy, dstate, dcell;

  Example(const Lengths& lengths_, std::ptrdiff_t width_, bool reverse_)
      : lengths(lengths_),
        width(width_),
        reverse(reverse_),
        sums(lengths_.rows, gates * width_, 1),
        gate_rows(sums),
        weight(gates * width_, width_, 2, 1),
        bias(1, gates * width_, 3),
        first(lengths_.sequences, width_, 4, 2),
        first_cell(lengths_.sequences, width_, 5),
        more(lengths_.rows, width_, 6, 5),
        y(lengths_.rows, width_, 7, 4),
        dy(lengths_.rows, width_, 8, 1),
        dstate(lengths_.sequences, width_, 9),
        dcell(lengths_.sequences, width_, 10, 1) {
    // as layers begin: gradients neither vanish nor grow with the width
    for (std::ptrdiff_t row = 0; row < weight.rows; ++row) {
      for (std::ptrdiff_t column = 0; column < width; ++column) {
        weight.at(row, column) /= std::sqrt(static_cast<T>(width));
      }
    }
  }

  bool gaps_are_untouched() const {
    return gate_rows.gaps_are_untouched() && more.gaps_are_untouched() && y.gaps_are_untouched() &&
           dstate.gaps_are_untouched() && dcell.gaps_are_untouched();
  }
};

template <class T>
void compute(Example<T, 3>& example, int threads, bool backward,
             const StateWeight<T>* stored = nullptr) {
  Gru<T> layer{};
  layer.steps = example.lengths.steps(example.reverse);
  layer.width = example.width;
  layer.gate_rows = example.gate_rows.view();
  layer.update = example.more.view();
  layer.y = example.y.view();
  const Example<T, 3>& given = example;
  layer.states = {given.y.view(), given.first.view()};
  layer.bias = given.bias.data.data();
  layer.dy = given.dy.view();
  layer.dstate = example.dstate.view();
  if (backward) return gru_backward<T>(layer, given.weight.view(), Team{threads});
  gru_forward<T>(layer, stored ? *stored : StateWeight<T>{given.weight.view()}, Team{threads});
}

template <class T>
void compute(Example<T, 4>& example, int threads, bool backward,
             const StateWeight<T>* stored = nullptr) {
  Lstm<T> layer{};
  layer.steps = example.lengths.steps(example.reverse);
  layer.width = example.width;
  layer.gate_rows = example.gate_rows.view();
  layer.y = example.y.view();
  layer.cells_after = example.more.view();
  const Example<T, 4>& given = example;
  layer.states = {given.y.view(), given.first.view()};
  layer.cells = {given.more.view(), given.first_cell.view()};
  layer.bias = given.bias.data.data();
  layer.dy = given.dy.view();
  layer.dstate = example.dstate.view();
  layer.dcell = example.dcell.view();
  if (backward) return lstm_backward<T>(layer, given.weight.view(), Team{threads});
  lstm_forward<T>(layer, stored ? *stored : StateWeight<T>{given.weight.view()}, Team{threads});
}

// One sequence in plain loops: the states after each step; then from their gradients those of the
// sums over inputs, and of the first states.
template <class T, int gates>
class Sequence {
 public:
  Sequence(const Example<T, gates>& example, std::ptrdiff_t sequence)
      : example_(example), sequence_(sequence) {
    const Steps steps = example.lengths.steps(example.reverse);
    for (std::ptrdiff_t k = 0; k < steps.count; ++k) {
      if (sequence < steps.rows(k)) rows_.push_back(steps.begin(k) + sequence);
    }
  }

  void check_all(const Example<T, gates>& after, const Example<T, gates>& end, double tolerance) {
    const std::ptrdiff_t width = example_.width;
    std::vector<Row> h{row_of(example_.first, sequence_)},
        c{row_of(example_.first_cell, sequence_)};
    std::vector<Row> values;
    for (const std::ptrdiff_t row : rows_) {
      const Row over_state = product(h.back());
      Row value = row_of(example_.sums, row), next(width), cell(width);
      for (std::ptrdiff_t u = 0; u < width; ++u)
        step(value, over_state, h.back(), c.back(), u, next, cell);
      for (std::ptrdiff_t u = 0; u < width; ++u) {
        close(after.y.at(row, u), static_cast<double>(next[u]), tolerance, "y is h after the step");
      }
      values.push_back(value);
      h.push_back(next);
      c.push_back(cell);
    }
    Row dh = row_of(example_.dstate, sequence_), dc = row_of(example_.dcell, sequence_);
    for (std::size_t i = rows_.size(); i-- > 0;) {
      const std::ptrdiff_t row = rows_[i];
      Row dsums(gates * width), dstate_sums(gates * width);
      for (std::ptrdiff_t u = 0; u < width; ++u) {
        dh[u] += example_.dy.at(row, u);
        differentiate(values[i], h[i], c[i], c[i + 1], u, dh[u], dc[u], dsums, dstate_sums);
      }
      for (std::ptrdiff_t j = 0; j < gates * width; ++j) {
        close(end.gate_rows.at(row, j), static_cast<double>(dsums[j]), tolerance,
              "the gates hold the gradients of their sums");
        for (std::ptrdiff_t u = 0; u < width; ++u)
          dh[u] += dstate_sums[j] * example_.weight.at(j, u);
      }
    }
    for (std::ptrdiff_t u = 0; u < width; ++u) {
      close(end.dstate.at(sequence_, u), static_cast<double>(dh[u]), tolerance,
            "dstate is that of the first state");
      if (gates == 4) {
        close(end.dcell.at(sequence_, u), static_cast<double>(dc[u]), tolerance,
              "dcell is that of the first cell");
      }
    }
  }

 private:
  static Row row_of(const GappedMatrix<T>& matrix, std::ptrdiff_t row) {
    Row found;
    for (std::ptrdiff_t column = 0; column < matrix.columns; ++column) {
      found.push_back(matrix.at(row, column));
    }
    return found;
  }
  Row product(const Row& h) const {
    Row sums = row_of(example_.bias, 0);
    for (std::ptrdiff_t j = 0; j < example_.weight.rows; ++j) {
      for (std::ptrdiff_t u = 0; u < example_.width; ++u)
        sums[j] += example_.weight.at(j, u) * h[u];
    }
    return sums;
  }
  // value: in the sums over inputs, out the gates; GRU's sum over the state after them.
  void step(Row& value, const Row& sums, const Row& h, const Row& c, std::ptrdiff_t u, Row& next,
            Row& cell) {
    const std::ptrdiff_t width = example_.width;
    if (gates == 3) {
      value.resize(4 * width);
      const Exact r = sigmoid(value[u] + sums[u]);
      const Exact z = sigmoid(value[width + u] + sums[width + u]);
      const Exact n = std::tanh(value[2 * width + u] + r * sums[2 * width + u]);
      next[u] = (1 - z) * n + z * h[u];
      value[u] = r, value[width + u] = z, value[2 * width + u] = n;
      value[3 * width + u] = sums[2 * width + u];
      return;
    }
    for (int gate = 0; gate < 4; ++gate) {
      Exact& own = value[gate * width + u];
      own += sums[gate * width + u];
      own = gate == 2 ? std::tanh(own) : sigmoid(own);
    }
    cell[u] = value[width + u] * c[u] + value[u] * value[2 * width + u];
    next[u] = value[3 * width + u] * std::tanh(cell[u]);
  }
  void differentiate(const Row& value, const Row& h, const Row& c, const Row& c_after,
                     std::ptrdiff_t u, Exact& dh, Exact& dc, Row& dsums, Row& dstate_sums) const {
    const std::ptrdiff_t width = example_.width;
    const Exact a = value[u], b = value[width + u], n = value[2 * width + u];
    const Exact last = value[3 * width + u];
    if (gates == 3) {
      const Exact dn = dh * (1 - b) * (1 - n * n);
      dsums[u] = dstate_sums[u] = dn * last * a * (1 - a);
      dsums[width + u] = dstate_sums[width + u] = dh * (h[u] - n) * b * (1 - b);
      dsums[2 * width + u] = dn;
      dstate_sums[2 * width + u] = dn * a;
      dh *= b;
      return;
    }
    const Exact read = std::tanh(c_after[u]);
    const Exact whole = dc + dh * last * (1 - read * read);
    dsums[u] = whole * n * a * (1 - a);
    dsums[width + u] = whole * c[u] * b * (1 - b);
    dsums[2 * width + u] = whole * a * (1 - n * n);
    dsums[3 * width + u] = dh * read * last * (1 - last);
    for (int gate = 0; gate < 4; ++gate) {
      dstate_sums[gate * width + u] = dsums[gate * width + u];
    }
    dc = whole * b;
    dh = 0;
  }

  const Example<T, gates>& example_;
  std::ptrdiff_t sequence_;
  std::vector<std::ptrdiff_t> rows_;
};

template <class T>
bool same(const GappedMatrix<T>& one, const GappedMatrix<T>& other) {
  for (std::ptrdiff_t row = 0; row < one.rows; ++row) {
    for (std::ptrdiff_t column = 0; column < one.columns; ++column) {
      if (one.at(row, column) != other.at(row, column)) return false;
    }
  }
  return true;
}

// Of results after so many steps.
template <class T>
double tolerance_of(const Lengths& lengths, std::ptrdiff_t width) {
  const double steps = static_cast<double>(lengths.counts.size());
  return 40 * std::numeric_limits<T>::epsilon() * (steps + 1) *
         std::sqrt(static_cast<double>(width));
}

// check(lengths, width, reverse) for few and many sequences, steps and units, ragged and not.
template <class Check>
void for_each_size(const Check& check) {
  struct Size {
    std::ptrdiff_t sequences, steps, width;
  };
  const Size sizes[] = {{1, 1, 1},  {8, 1, 17}, {9, 1, 12},  {2, 3, 5},  {1, 19, 8},
                        {5, 4, 25}, {70, 3, 9}, {40, 2, 17}, {3, 7, 230}};
  for (const Size& size : sizes) {
    for (const bool ragged : {false, true}) {
      const Lengths lengths(size.sequences, size.steps, ragged);
      for (const bool reverse : {false, true}) check(lengths, size.width, reverse);
    }
  }
}

}  // namespace heedful
