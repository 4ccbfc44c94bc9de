#include "attention/scores/score_tile.hpp"

#include <algorithm>
#include <cmath>
#include <cstdlib>

#include "arrays/finite_cast.hpp"
#include "attention/problem/minus_infinity.hpp"
#include "attention/problem/score_unit.hpp"
#include "attention/scores/bias_row.hpp"
#include "attention/scores/gumbel_noise.hpp"
#include "attention/scores/key_dropout.hpp"
#include "attention/scores/score_mask.hpp"
#include "attention/scores/score_maximum.hpp"
#include "attention/scores/scorer.hpp"
#include "simd/packet.hpp"

namespace heedful {
namespace {

// Each step below is one pass over scores [key][lane], which are in L1 or L2.

template <class T>
void apply_cap(T* scores, std::ptrdiff_t count, T cap, T* derivative) {
  const auto factor = simd::broadcast(cap);
  const auto one = simd::broadcast(T{1});
  for (std::ptrdiff_t i = 0; i < count; i += simd::lanes<T>) {
    const auto bounded = simd::tanh<T>(simd::load(scores + i));
    simd::store(scores + i, simd::multiply(bounded, factor));
    if (derivative)
      simd::store(derivative + i, simd::subtract(one, simd::multiply(bounded, bounded)));
  }
}

// The same for scales and caps at the ends of the range, in double and without vectors.
template <class T>
void apply_cap_in_double(T* scores, std::ptrdiff_t count, double factor, double cap,
                         T* derivative) {
  for (std::ptrdiff_t i = 0; i < count; ++i) {
    const double score = static_cast<double>(scores[i]) * factor, quotient = score / cap;
    const double bounded = std::tanh(quotient);
    // the quotient may underflow; tanh x is x there
    scores[i] = finite_cast<T>(std::abs(quotient) < 1e-8 ? score : cap * bounded);
    if (derivative) derivative[i] = static_cast<T>(1 - bounded * bounded);
  }
}

template <class T>
void apply_cap(const Problem& problem, const ScoreRule<T>& rule, T* scores, std::ptrdiff_t count,
               T* derivative) {
  if (rule.product_factor == 0) return apply_cap(scores, count, rule.cap, derivative);
  apply_cap_in_double(scores, count, rule.product_factor, problem.softcap, derivative);
}

template <class T>
T slope_of(const Problem& problem, std::ptrdiff_t item, std::ptrdiff_t head,
           const ScoreRule<T>& rule) {
  const double slope = problem.alibi_slopes[item * problem.alibi_item_stride + head];
  return finite_cast<T>(slope * static_cast<double>(rule.unit),
                        static_cast<double>(rule.slope_limit));
}

template <class T>
void subtract_slopes(const Problem& problem, std::ptrdiff_t item, const Panel<T>& panel,
                     KeyRange keys, const ScoreRule<T>& rule, T* scores) {
  alignas(64) T slopes[Panel<T>::max_lanes];
  // relative to the tile, so that positions stay small and exact
  alignas(64) T positions[Panel<T>::max_lanes];
  for (int lane = 0; lane < panel.lanes(); ++lane) {
    slopes[lane] = slope_of(problem, item, panel.head[lane], rule);
    positions[lane] = static_cast<T>(panel.query[lane] + problem.items[item].offset - keys.begin);
  }
  for (std::ptrdiff_t key = 0; key < keys.size(); ++key) {
    const auto here = simd::broadcast(static_cast<T>(key));
    for (int lane = 0; lane < panel.lanes(); lane += simd::lanes<T>, scores += simd::lanes<T>) {
      const auto distance = simd::absolute(simd::subtract(simd::load(positions + lane), here));
      simd::store(scores, simd::subtract(simd::load(scores),
                                         simd::multiply(simd::load(slopes + lane), distance)));
    }
  }
}

// −∞ outside each lane's own range. Keys visible to every lane are skipped.
template <class T>
void hide_outside(const Panel<T>& panel, KeyRange keys, T* scores) {
  alignas(64) T begins[Panel<T>::max_lanes];
  alignas(64) T ends[Panel<T>::max_lanes];
  for (int lane = 0; lane < panel.lanes(); ++lane) {
    begins[lane] =
        static_cast<T>(std::clamp(panel.visible[lane].begin, keys.begin, keys.end) - keys.begin);
    ends[lane] =
        static_cast<T>(std::clamp(panel.visible[lane].end, keys.begin, keys.end) - keys.begin);
  }
  const auto minus_infinities = simd::broadcast(minus_infinity<T>);
  for (std::ptrdiff_t key = 0; key < keys.size(); ++key, scores += panel.lanes()) {
    if (key + keys.begin >= panel.all.begin && key + keys.begin < panel.all.end) continue;
    const auto here = simd::broadcast(static_cast<T>(key));
    for (int lane = 0; lane < panel.lanes(); lane += simd::lanes<T>) {
      const auto visible = simd::both(simd::less_equal(simd::load(begins + lane), here),
                                      simd::less(here, simd::load(ends + lane)));
      simd::store(scores + lane,
                  simd::select(visible, simd::load(scores + lane), minus_infinities));
    }
  }
}

// Whether some lane's own position is among the keys, and hidden from it.
template <class T>
bool excludes_self(const Problem& problem, const Item& item, const Panel<T>& panel, KeyRange keys) {
  if (!problem.exclude_self) return false;
  for (int lane = 0; lane < panel.count; ++lane) {
    if (excluded_key(problem, item, panel.query[lane], keys) >= 0) return true;
  }
  return false;
}

template <class T>
void hide_self(const Problem& problem, const Item& item, const Panel<T>& panel, KeyRange keys,
               T* scores) {
  for (int lane = 0; lane < panel.lanes(); ++lane) {
    const std::ptrdiff_t key = excluded_key(problem, item, panel.query[lane], keys);
    if (key >= 0) scores[(key - keys.begin) * panel.lanes() + lane] = minus_infinity<T>;
  }
}

}  // namespace

template <class T>
TilePlan<T> plan_tile(const Problem& problem, std::ptrdiff_t item, const Panel<T>& panel,
                      KeyRange keys, const ScoreRule<T>& rule, T* mask_buffer) {
  TilePlan<T> plan;
  keys = {std::max(keys.begin, panel.any.begin), std::min(keys.end, panel.any.end)};
  if (keys.empty()) return plan;
  plan.mask = mask_tile(problem, item, panel, keys, mask_buffer);
  plan.keys = plan.mask.keys;
  plan.outside = plan.keys.begin < panel.all.begin || plan.keys.end > panel.all.end;
  plan.excludes_self = excludes_self(problem, problem.items[item], panel, plan.keys);
  plan.changes = rule.caps() || problem.alibi_slopes || problem.gumbel_temperature > 0 ||
                 plan.mask.changes() || plan.outside || plan.excludes_self ||
                 problem.key_dropout_p > 0;
  return plan;
}

template <class T>
ScoreTile<T> finish_tile(const Problem& problem, std::ptrdiff_t item, const Panel<T>& panel,
                         const TilePlan<T>& plan, const ScoreRule<T>& rule,
                         const ScoreBuffers<T>& buffers) {
  const KeyRange keys = plan.keys;
  const bool drops_keys = problem.key_dropout_p > 0;
  const bool hides_later = plan.outside || plan.excludes_self || drops_keys;
  bool partial = hides_later || plan.mask.any_hidden;
  if (plan.changes) {
    const int lanes = panel.lanes();
    // add_mask computes the maximum in its pass, if nothing is hidden after it
    const bool maximum_updated = plan.mask.changes() && !hides_later;
    if (rule.caps())
      apply_cap(problem, rule, buffers.scores, keys.size() * lanes, buffers.cap_derivative);
    if (problem.alibi_slopes) subtract_slopes(problem, item, panel, keys, rule, buffers.scores);
    if (problem.gumbel_temperature > 0)
      add_gumbel_noise(problem, item, panel, keys, rule.unit, buffers.scores);
    if (plan.mask.changes()) {
      partial |= add_mask(problem, item, panel, plan.mask, buffers.scores,
                          maximum_updated ? buffers.maximum : nullptr);
    }
    if (plan.outside) hide_outside(panel, keys, buffers.scores);
    if (plan.excludes_self) hide_self(problem, problem.items[item], panel, keys, buffers.scores);
    if (drops_keys) drop_keys(problem, item, panel, keys, buffers.scores);
    if (buffers.maximum && !maximum_updated)
      update_maximum(buffers.scores, lanes, keys.size(), buffers.maximum);
  }
  return {keys, partial};
}

template <class T>
ScoreTile<T> score_tile(const Problem& problem, std::ptrdiff_t item, const Panel<T>& panel,
                        KeyRange keys, const ScoreRule<T>& rule, const T* query_panel,
                        TileRows<T>& key_rows, const ScoreBuffers<T>& buffers) {
  const TilePlan<T> plan = plan_tile(problem, item, panel, keys, rule, buffers.mask_buffer);
  if (plan.keys.empty()) return {};
  const Rows<T> rows = key_rows.from(plan.keys.begin);
  raw_scores(problem, panel, plan.keys.size(), rows, query_panel, buffers.scores,
             plan.changes ? nullptr : buffers.maximum);
  return finish_tile(problem, item, panel, plan, rule, buffers);
}

template <class T>
void score_row(const Problem& problem, std::ptrdiff_t item, std::ptrdiff_t head,
               std::ptrdiff_t query, KeyRange keys, KeyRange visible, const ScoreRule<T>& rule,
               const T* values, T* scores) {
  const std::ptrdiff_t count = keys.size();
  if (rule.caps()) apply_cap(problem, rule, scores, count, static_cast<T*>(nullptr));
  if (problem.alibi_slopes) {
    const T slope = slope_of(problem, item, head, rule);
    const T position = static_cast<T>(query + problem.items[item].offset - keys.begin);
    for (std::ptrdiff_t i = 0; i < count; ++i) {
      const T distance = position - static_cast<T>(i);
      scores[i] -= slope * (distance < 0 ? -distance : distance);
    }
  }
  if (problem.gumbel_temperature > 0)
    add_gumbel_noise(problem, item, head, query, keys, rule.unit, scores);
  if (values) {
    for (std::ptrdiff_t i = 0; i < count; ++i) {
      scores[i] = values[i] == minus_infinity<T> ? minus_infinity<T> : scores[i] + values[i];
    }
  }
  const std::ptrdiff_t begin = std::clamp(visible.begin, keys.begin, keys.end) - keys.begin;
  const std::ptrdiff_t end = std::clamp(visible.end, keys.begin, keys.end) - keys.begin;
  std::fill(scores, scores + begin, minus_infinity<T>);
  std::fill(scores + std::max(begin, end), scores + count, minus_infinity<T>);
  const std::ptrdiff_t own = excluded_key(problem, problem.items[item], query, keys);
  if (own >= 0) scores[own - keys.begin] = minus_infinity<T>;
  if (problem.key_dropout_p > 0) drop_keys(problem, item, head, query, keys, scores);
}

template <class T>
void score_keys(const Problem& problem, std::ptrdiff_t item, std::ptrdiff_t head,
                std::ptrdiff_t query, const KeyIndex* keys, std::ptrdiff_t count,
                const ScoreRule<T>& rule, T* scores, T* cap_derivative) {
  if (rule.caps()) apply_cap(problem, rule, scores, count, cap_derivative);
  if (problem.alibi_slopes) {
    const T slope = slope_of(problem, item, head, rule);
    const std::ptrdiff_t position = query + problem.items[item].offset;
    for (std::ptrdiff_t i = 0; i < count; ++i) {
      scores[i] -= slope * static_cast<T>(std::abs(position - keys[i]));
    }
  }
  if (problem.gumbel_temperature > 0)
    add_gumbel_noise(problem, item, head, query, keys, count, rule.unit, scores);
  if (problem.bias) {
    const char* const row = problem.bias.row(item, head, query);
    const double unit = score_unit<T>(problem);
    for (std::ptrdiff_t i = 0; i < count; ++i) {
      T value;
      read_bias(problem.bias, row + keys[i] * problem.bias.column_stride, unit, &value, 1);
      scores[i] += value;
    }
  }
}

template TilePlan<float> plan_tile(const Problem&, std::ptrdiff_t, const Panel<float>&, KeyRange,
                                   const ScoreRule<float>&, float*);
template TilePlan<double> plan_tile(const Problem&, std::ptrdiff_t, const Panel<double>&, KeyRange,
                                    const ScoreRule<double>&, double*);
template ScoreTile<float> finish_tile(const Problem&, std::ptrdiff_t, const Panel<float>&,
                                      const TilePlan<float>&, const ScoreRule<float>&,
                                      const ScoreBuffers<float>&);
template ScoreTile<double> finish_tile(const Problem&, std::ptrdiff_t, const Panel<double>&,
                                       const TilePlan<double>&, const ScoreRule<double>&,
                                       const ScoreBuffers<double>&);
template ScoreTile<float> score_tile(const Problem&, std::ptrdiff_t, const Panel<float>&, KeyRange,
                                     const ScoreRule<float>&, const float*, TileRows<float>&,
                                     const ScoreBuffers<float>&);
template ScoreTile<double> score_tile(const Problem&, std::ptrdiff_t, const Panel<double>&,
                                      KeyRange, const ScoreRule<double>&, const double*,
                                      TileRows<double>&, const ScoreBuffers<double>&);
template void score_row(const Problem&, std::ptrdiff_t, std::ptrdiff_t, std::ptrdiff_t, KeyRange,
                        KeyRange, const ScoreRule<float>&, const float*, float*);
template void score_row(const Problem&, std::ptrdiff_t, std::ptrdiff_t, std::ptrdiff_t, KeyRange,
                        KeyRange, const ScoreRule<double>&, const double*, double*);
template void score_keys(const Problem&, std::ptrdiff_t, std::ptrdiff_t, std::ptrdiff_t,
                         const KeyIndex*, std::ptrdiff_t, const ScoreRule<float>&, float*, float*);
template void score_keys(const Problem&, std::ptrdiff_t, std::ptrdiff_t, std::ptrdiff_t,
                         const KeyIndex*, std::ptrdiff_t, const ScoreRule<double>&, double*,
                         double*);

}  // namespace heedful
