// A call of which only the scores are computed, or their maxima and sums: there are no values, no
// results and no sink.
#pragma once

#include "attention/problem/row_task.hpp"

namespace heedful {

template <class T>
struct CallWithoutValues {
  Problem problem;
  TensorView none;
  ForwardCall<T> call;

  // Products of bfloat16 as `way` says.
  CallWithoutValues(const Problem& given, const TensorView& query, const TensorView& key,
                    simd::Bfloat16Way way)
      : problem(given), call{problem, query, key, none, none, none, score_rule<T>(given), T{1}} {
    problem.value_depth = 0;
    problem.sink = nullptr;
    problem.min_weight = 0;
    problem.bfloat16.products = way;
  }
  CallWithoutValues(const CallWithoutValues&) = delete;
  CallWithoutValues& operator=(const CallWithoutValues&) = delete;
};

}  // namespace heedful
