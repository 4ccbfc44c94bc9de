#include "attention/forward/probabilities/row_scale.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "arrays/work_area.hpp"
#include "attention/forward/prefill/prefill.hpp"
#include "attention/forward/probabilities/call_without_values.hpp"
#include "attention/problem/minus_infinity.hpp"
#include "attention/softmax/online_softmax.hpp"

namespace heedful {
namespace {

// Below, rounding lse changes a probability by less than rounding the scores does.
template <class T>
const T large_lse = std::ldexp(T{1}, std::numeric_limits<T>::digits - 12);

// Whether lse itself may have overflowed although the probabilities are finite.
template <class T>
bool lse_may_overflow(const ScoreRule<T>& rule) {
  return rule.natural > T(1 << 20);
}

}  // namespace

template <class T>
bool needs_own_maximum(const ScoreRule<T>& rule, T lse) {
  if (!std::isfinite(lse)) return lse_may_overflow(rule) && !std::isnan(lse);
  return std::abs(lse) > large_lse<T> || !std::isfinite(lse / rule.natural);
}

template <class T>
T factor_of(const ScoreRule<T>& rule, T maximum, T sum, T lse) {
  if (sum == 0) return 0;
  const T own = log_sum_exp(rule, maximum, sum);
  // The given lse may include other keys than these; a difference within rounding is ignored. Where
  // the rounding of lse exceeds 1, cancellation may have left a larger error in the scores.
  constexpr T epsilon = std::numeric_limits<T>::epsilon();
  const bool coarse = std::abs(lse) * epsilon > 1;
  const T rounding = (coarse ? T(1024) : T(8)) * epsilon * std::abs(lse);
  const T difference = own - lse;
  const T excess = own == lse || std::abs(difference) <= rounding ? T{0}
                   : coarse                                       ? std::min(difference, T{0})
                                                                  : difference;
  return std::exp(excess) / sum;
}

template <class T>
void RowScales<T>::set(std::ptrdiff_t row, T lse, const ScoreRule<T>& rule) {
  with_normalizer(rule, [&](const auto& normalizer) {
    const auto scale = normalizer.row_scale(lse);
    bases_[row] = scale.base;
    factors_[row] = scale.factor;
  });
}

template <class T>
void RowScales<T>::set_thresholds(const Problem& problem, const TensorView& thresholds) {
  const ScoreRule<T> rule = score_rule<T>(problem);
  for (std::ptrdiff_t i = 0; i < problem.num_items; ++i) {
    const Item& item = problem.items[i];
    for (std::ptrdiff_t head = 0; head < problem.num_heads; ++head) {
      with_entmax(problem.alphas[head], rule.natural, [&](const auto& normalizer) {
        for (std::ptrdiff_t query = 0; query < item.queries; ++query) {
          const auto scale = normalizer.row_scale(*reinterpret_cast<const RowThreshold*>(
              thresholds.row(i, head, item.query_begin + query)));
          bases_[rows_.begin(i, head) + query] = scale.base;
          factors_[rows_.begin(i, head) + query] = scale.factor;
        }
      });
    }
  }
}

template <class T>
RowScales<T>::RowScales(const Problem& problem, const TensorView& query, const TensorView& key,
                        const TensorView& lse, const Team& team, simd::Bfloat16Way way)
    : rows_(problem.num_items, problem.num_heads,
            [&](std::ptrdiff_t i) { return problem.items[i].queries; }),
      bases_(rows_.size()),
      factors_(rows_.size()) {
  if (problem.alphas) {
    set_thresholds(problem, lse);
    return;
  }
  const CallWithoutValues<T> without_values(problem, query, key, way);
  const ForwardCall<T>& call = without_values.call;
  const std::ptrdiff_t group = problem.group();
  const RaggedRange tasks(problem.num_items, problem.num_kv_heads, [&](std::ptrdiff_t i) {
    return (group * problem.items[i].queries + prefill_rows<T> - 1) / prefill_rows<T>;
  });

  const auto run = [&](std::ptrdiff_t index, Worker& worker) {
    const RaggedRange::Place place = tasks[index];
    const std::ptrdiff_t i = place.item, kv_head = place.head;
    const Item& item = problem.items[i];
    const std::ptrdiff_t first = place.index * prefill_rows<T>;
    const std::ptrdiff_t count = std::min(prefill_rows<T>, group * item.queries - first);
    const std::ptrdiff_t begin = rows_.begin(i, kv_head * group) + first;
    const RowTask task{i, kv_head, first, count, {0, item.keys}, 0};
    const auto lse_of = [&](std::ptrdiff_t r) {
      const Row row = row_of(problem, task, r);
      return *reinterpret_cast<const T*>(lse.row(i, row.head, item.query_begin + row.query));
    };

    const auto recomputes = [&](std::ptrdiff_t r) {
      return needs_own_maximum(call.rule, lse_of(r));
    };
    bool any_recomputed = false;
    for (std::ptrdiff_t r = 0; r < count; ++r) {
      set(begin + r, lse_of(r), call.rule);
      any_recomputed |= recomputes(r);
    }
    if (!any_recomputed) return;
    T maxima[prefill_rows<T>], sums[prefill_rows<T>];
    RowPrefetch nothing;
    prefill(call, task, KeySplit<T>{nullptr, maxima, sums}, nothing, worker);
    for (std::ptrdiff_t r = 0; r < count; ++r) {
      const T value = lse_of(r);
      if (!recomputes(r) || std::isinf(maxima[r]) != (sums[r] == 0)) continue;
      bases_[begin + r] = sums[r] == 0 ? std::numeric_limits<T>::infinity() : maxima[r];
      factors_[begin + r] = factor_of(call.rule, maxima[r], sums[r], value);
    }
  };
  parallel_for(tasks.size(), team, prefill_scratch(call), run);
}

template bool needs_own_maximum(const ScoreRule<float>&, float);
template bool needs_own_maximum(const ScoreRule<double>&, double);
template float factor_of(const ScoreRule<float>&, float, float, float);
template double factor_of(const ScoreRule<double>&, double, double, double);
template class RowScales<float>;
template class RowScales<double>;

}  // namespace heedful
