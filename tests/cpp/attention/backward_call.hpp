// One call of the backward pass: a case with the results of its forward pass, and its gradients.
#pragma once

#include <cmath>
#include <cstddef>
#include <limits>

#include "attention/backward/backward.hpp"
#include "cases.hpp"
#include "dense.hpp"

namespace heedful {

// The options of a call besides its case.
struct Extras {
  bool dlse = false, dweights = false, dbias = false;
  OwnAxes bias;  // the axes of dbias that are not broadcast
};

inline Dense dense_of(const Case& test_case, ElementType type) {
  const Example example = example_of(test_case, type);
  return {example.problem, example.query.view(), example.key.view(), example.value.view()};
}

// Inputs of the backward pass: those of the forward pass, its results by the oracle, and gradients
// of them.
template <class T>
struct BackwardInputs {
  Example example;
  Dense& dense;  // of the case, for any layout
  Tensor dout, out, lse, dlse, dweights, row_term;

  BackwardInputs(const Case& test_case, Dense& truth, const Extras& extras, ElementType type,
                 Layout layout)
      : example(example_of(test_case, type, layout)), dense(truth) {
    const Sizes& sizes = test_case.sizes;
    const Shape rows{sizes.items, sizes.heads, sizes.queries, 1};
    dout = Tensor(type, {sizes.items, sizes.heads, sizes.queries, sizes.value_depth}, layout);
    out = Tensor(type, dout.shape(), layout);
    lse = Tensor(element_type<T>, rows, layout);
    dout.fill([&] { return example.random.exact(); });
    if (extras.dlse) {
      dlse = Tensor(element_type<T>, rows, layout);
      dlse.fill([&] { return example.random.exact(); });
    }
    if (extras.dweights) {
      dweights =
          Tensor(element_type<T>, {sizes.items, sizes.heads, sizes.queries, sizes.keys}, layout);
      dweights.fill([&] { return example.random.exact(); });
    }
    if (extras.dlse || extras.dweights) row_term = Tensor(element_type<T>, rows, layout);
    out.for_each([&](auto item, auto head, auto row, auto column) {
      const std::ptrdiff_t i = query_at(item, row);
      out.set(item, head, row, column,
              i < 0 ? 0 : static_cast<double>(dense.out(item, head, i, column)));
    });
    lse.for_each([&](auto item, auto head, auto row, auto) {
      const std::ptrdiff_t i = query_at(item, row);
      lse.set(item, head, row, 0,
              i < 0 ? -std::numeric_limits<double>::infinity()
                    : static_cast<double>(dense.lse(item, head, i)));
      if (!extras.dlse && !extras.dweights) return;
      long double term = extras.dlse ? static_cast<long double>(dlse.get(item, head, row)) : 0.0L;
      for (std::ptrdiff_t j = 0; j < example.problem.items[item].keys && i >= 0 && extras.dweights;
           ++j) {
        term -= dense.applied(item, head, i, j) * dweights.get(item, head, i, j);
      }
      row_term.set(item, head, row, 0, static_cast<double>(term));
    });
  }

  // The query of the item at a row of the arrays; −1: none.
  std::ptrdiff_t query_at(std::ptrdiff_t item, std::ptrdiff_t row) const {
    const Item& place = example.problem.items[item];
    return row >= place.query_begin && row < place.query_begin + place.queries
               ? row - place.query_begin
               : -1;
  }
};

template <class T>
struct Gradients {
  Tensor delta, dquery, dkey, dvalue, dbias;

  Gradients(const BackwardInputs<T>& inputs, const Extras& extras, int threads, Layout layout)
      : Gradients(inputs, extras, layout, [&](Problem& problem, const BackwardTensors& tensors) {
          attention_backward<T>(problem, tensors, Team{threads, nullptr});
        }) {}

  // run(problem, tensors) computes them.
  template <class Run>
  Gradients(const BackwardInputs<T>& inputs, const Extras& extras, Layout layout, const Run& run) {
    const Example& example = inputs.example;
    const ElementType type = element_type<T>;
    delta = Tensor(type, inputs.lse.shape(), layout);
    dquery = Tensor(type, example.query.shape(), layout);
    dkey = Tensor(type, example.key.shape(), layout);
    dvalue = Tensor(type, example.value.shape(), layout);
    if (extras.dbias) dbias = Tensor(type, example.shape_of(extras.bias), layout);
    Problem problem = example.problem;
    problem.sink = nullptr;  // it is included in lse
    const TensorView none;
    BackwardTensors tensors{inputs.dout.view(),
                            example.query.view(),
                            example.key.view(),
                            example.value.view(),
                            inputs.out.view(),
                            inputs.lse.view(),
                            inputs.row_term.view(),
                            inputs.dweights.view(),
                            delta.view(),
                            dquery.view(),
                            dkey.view(),
                            dvalue.view(),
                            extras.dbias ? dbias.broadcast_view() : none};
    tensors.shared_dbias = extras.dbias && extras.bias.rows && extras.bias.columns &&
                           ((!extras.bias.items && example.sizes.items > 1) ||
                            (!extras.bias.heads && example.sizes.heads > 1));
    run(problem, tensors);
  }

  bool equals(const Gradients& other) const {
    bool same = true;
    const auto compare = [&](const Tensor& a, const Tensor& b) {
      a.for_each([&](auto... index) {
        const double x = a.get(index...), y = b.get(index...);
        same &= x == y || (std::isnan(x) && std::isnan(y));
      });
    };
    compare(dquery, other.dquery);
    compare(dkey, other.dkey);
    compare(dvalue, other.dvalue);
    compare(dbias, other.dbias);
    return same;
  }
};

}  // namespace heedful
