// Attention and its gradients by plain loops in long double, directly from their definitions: the
// oracle of the tests. All grids are (items, heads, queries, …) with queries and keys relative to
// their item.
#pragma once

#include <cmath>
#include <cstddef>
#include <limits>
#include <vector>

#include "attention/problem/minus_infinity.hpp"
#include "attention/problem/problem.hpp"
#include "philox_words.hpp"
#include "tensor.hpp"
#include "visibility.hpp"

namespace heedful {

class Grid {
 public:
  Grid(std::ptrdiff_t items, std::ptrdiff_t heads, std::ptrdiff_t rows, std::ptrdiff_t columns)
      : heads_(heads),
        rows_(rows),
        columns_(columns),
        elements_(static_cast<std::size_t>(items * heads * rows * columns), 0.0L) {}
  long double& operator()(std::ptrdiff_t item, std::ptrdiff_t head, std::ptrdiff_t row,
                          std::ptrdiff_t column = 0) {
    return elements_[static_cast<std::size_t>(((item * heads_ + head) * rows_ + row) * columns_ +
                                              column)];
  }

 private:
  std::ptrdiff_t heads_, rows_, columns_;
  std::vector<long double> elements_;
};

// The score of one pair, in natural units; −∞ if the key is hidden from the query.
inline long double score_of(const Problem& problem, const TensorView& query, const TensorView& key,
                            std::ptrdiff_t item, std::ptrdiff_t head, std::ptrdiff_t i,
                            std::ptrdiff_t j, long double* cap_derivative = nullptr) {
  if (!is_visible(problem, item, head, i, j)) return minus_infinity<long double>;
  const Item& place = problem.items[item];
  const std::ptrdiff_t kv_head = head / (problem.num_heads / problem.num_kv_heads);
  long double score = 0;
  for (std::ptrdiff_t d = 0; d < problem.depth; ++d) {
    score += static_cast<long double>(element(query, item, head, place.query_begin + i, d)) *
             element(key, item, kv_head, place.key_begin + j, d);
  }
  score *= problem.scale;
  if (problem.softcap > 0) {
    const long double bounded = std::tanh(score / problem.softcap);
    if (cap_derivative) *cap_derivative = 1 - bounded * bounded;
    score = problem.softcap * bounded;
  }
  if (problem.alibi_slopes) {
    const Wide distance = static_cast<Wide>(i) + place.offset - j;
    score -=
        static_cast<long double>(problem.alibi_slopes[item * problem.alibi_item_stride + head]) *
        static_cast<long double>(distance < 0 ? -distance : distance);
  }
  if (problem.bias) score += element(problem.bias, item, head, i, j);
  return score;
}

struct Dense {
  Grid scores, cap_derivatives, probabilities,
      keep_factors;  // (items, heads, queries, keys); probabilities before dropout, keep_factors 0
                     // or 1/(1 − p)
  Grid out;          // (items, heads, queries, Dv)
  Grid lse;          // (items, heads, queries, 1)

  Dense(const Problem& problem, const TensorView& query, const TensorView& key,
        const TensorView& value)
      : Dense(problem, max_count(problem, &Item::queries), max_count(problem, &Item::keys)) {
    for (std::ptrdiff_t item = 0; item < problem.num_items; ++item) {
      for (std::ptrdiff_t head = 0; head < problem.num_heads; ++head) {
        for (std::ptrdiff_t i = 0; i < problem.items[item].queries; ++i) {
          attend(problem, query, key, value, item, head, i);
        }
      }
    }
  }

  // The probability after dropout.
  long double applied(std::ptrdiff_t item, std::ptrdiff_t head, std::ptrdiff_t i,
                      std::ptrdiff_t j) {
    return probabilities(item, head, i, j) * keep_factors(item, head, i, j);
  }

  static std::ptrdiff_t max_count(const Problem& problem, std::ptrdiff_t Item::* count) {
    std::ptrdiff_t maximum = 0;
    for (std::ptrdiff_t i = 0; i < problem.num_items; ++i) {
      maximum = std::max(maximum, problem.items[i].*count);
    }
    return maximum;
  }

 private:
  Dense(const Problem& problem, std::ptrdiff_t queries, std::ptrdiff_t keys)
      : scores(problem.num_items, problem.num_heads, queries, keys),
        cap_derivatives(scores),
        probabilities(scores),
        keep_factors(scores),
        out(problem.num_items, problem.num_heads, queries, problem.value_depth),
        lse(problem.num_items, problem.num_heads, queries, 1) {}

  void attend(const Problem& problem, const TensorView& query, const TensorView& key,
              const TensorView& value, std::ptrdiff_t item, std::ptrdiff_t head, std::ptrdiff_t i) {
    const std::ptrdiff_t keys = problem.items[item].keys;
    const long double sink =
        problem.sink ? static_cast<long double>(problem.sink[head]) : minus_infinity<long double>;
    long double maximum = sink;
    for (std::ptrdiff_t j = 0; j < keys; ++j) {
      cap_derivatives(item, head, i, j) = 1;
      scores(item, head, i, j) =
          score_of(problem, query, key, item, head, i, j, &cap_derivatives(item, head, i, j));
      maximum = std::fmax(maximum, scores(item, head, i, j));
    }
    if (maximum == minus_infinity<long double>) {
      lse(item, head, i) = minus_infinity<long double>;
      return;
    }
    long double sum = std::exp(sink - maximum);
    for (std::ptrdiff_t j = 0; j < keys; ++j) sum += std::exp(scores(item, head, i, j) - maximum);
    lse(item, head, i) = maximum + std::log(sum);
    const std::ptrdiff_t kv_head = head / (problem.num_heads / problem.num_kv_heads);
    for (std::ptrdiff_t j = 0; j < keys; ++j) {
      probabilities(item, head, i, j) = std::exp(scores(item, head, i, j) - lse(item, head, i));
      keep_factors(item, head, i, j) = 1;
      if (problem.dropout_p > 0) {
        keep_factors(item, head, i, j) = keeps(problem.dropout_p, problem.seed, item, head, i, j)
                                             ? 1 / (1 - static_cast<long double>(problem.dropout_p))
                                             : 0;
      }
      if (!is_visible(problem, item, head, i, j)) continue;  // 0 · NaN would be NaN
      for (std::ptrdiff_t d = 0; d < problem.value_depth; ++d) {
        out(item, head, i, d) +=
            applied(item, head, i, j) *
            element(value, item, kv_head, problem.items[item].key_begin + j, d);
      }
    }
  }
};

// Gradients of Σ dout ∘ out + Σ dlse ∘ lse + Σ dweights ∘ probabilities. Absent tensors are zeros.
struct DenseGradients {
  Grid query, key, value;  // (items, H or Hkv, rows of the arrays, D or Dv)
  Grid bias;               // (items, heads, queries, keys): of each pair
  Grid delta;              // (items, heads, queries, 1)

  DenseGradients(const Problem& problem, Dense& dense, const Tensor& query_array,
                 const Tensor& key_array, const Tensor& value_array, const TensorView& dout,
                 const TensorView& dlse, const TensorView& dweights)
      : query(grid_like(query_array)),
        key(grid_like(key_array)),
        value(grid_like(value_array)),
        bias(dense.scores),
        delta(dense.lse) {
    const auto value_or_zero = [](const TensorView& view, auto... index) {
      return view ? static_cast<long double>(element(view, index...)) : 0.0L;
    };
    for (std::ptrdiff_t item = 0; item < problem.num_items; ++item) {
      const Item& place = problem.items[item];
      for (std::ptrdiff_t head = 0; head < problem.num_heads; ++head) {
        const std::ptrdiff_t kv_head = head / (problem.num_heads / problem.num_kv_heads);
        for (std::ptrdiff_t i = 0; i < place.queries; ++i) {
          const std::ptrdiff_t row = place.query_begin + i;
          std::vector<long double> dprobability(static_cast<std::size_t>(place.keys), 0.0L);
          long double sum = -value_or_zero(dlse, item, head, row, 0);
          for (std::ptrdiff_t j = 0; j < place.keys; ++j) {
            bias(item, head, i, j) = 0;
            if (!is_visible(problem, item, head, i, j)) continue;
            long double& dprob = dprobability[static_cast<std::size_t>(j)];
            dprob = value_or_zero(dweights, item, head, i, j);
            for (std::ptrdiff_t d = 0; d < problem.value_depth; ++d) {
              const long double dout_element = element(dout, item, head, row, d);
              dprob += dout_element * value_array.get(item, kv_head, place.key_begin + j, d);
              value(item, kv_head, place.key_begin + j, d) +=
                  dense.applied(item, head, i, j) * dout_element;
            }
            dprob *= dense.keep_factors(item, head, i, j);
            sum += dense.probabilities(item, head, i, j) * dprob;
          }
          delta(item, head, i) = sum;
          for (std::ptrdiff_t j = 0; j < place.keys; ++j) {
            if (!is_visible(problem, item, head, i, j)) continue;
            const long double dscore = dense.probabilities(item, head, i, j) *
                                       (dprobability[static_cast<std::size_t>(j)] - sum);
            bias(item, head, i, j) = dscore;
            const long double dproduct =
                dscore * dense.cap_derivatives(item, head, i, j) * problem.scale;
            for (std::ptrdiff_t d = 0; d < problem.depth; ++d) {
              query(item, head, row, d) +=
                  dproduct * key_array.get(item, kv_head, place.key_begin + j, d);
              key(item, kv_head, place.key_begin + j, d) +=
                  dproduct * query_array.get(item, head, row, d);
            }
          }
        }
      }
    }
  }

  static Grid grid_like(const Tensor& tensor) {
    const Shape shape = tensor.shape();
    return {shape.items, shape.heads, shape.rows, shape.columns};
  }
};

}  // namespace heedful
