#include "attention/score_tile.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "attention/additive_scores.hpp"
#include "attention/score_mask.hpp"
#include "attention/score_maximum.hpp"
#include "simd/packet.hpp"

namespace heedful {
namespace {

template <class T>
inline constexpr T hidden = -std::numeric_limits<T>::infinity();

// Each step below passes once over scores [key][lane], which lie in the nearest caches.

template <class T>
void cap(T* scores, std::ptrdiff_t count, T cap, T* slope) {
  const auto factor = simd::broadcast(cap);
  const auto one = simd::broadcast(T{1});
  for (std::ptrdiff_t i = 0; i < count; i += simd::lanes<T>) {
    const auto bent = simd::tanh<T>(simd::load(scores + i));
    simd::store(scores + i, simd::multiply(bent, factor));
    if (slope) simd::store(slope + i, simd::subtract(one, simd::multiply(bent, bent)));
  }
}

template <class T>
T slope_of(const Problem& problem, std::ptrdiff_t item, std::ptrdiff_t head) {
  return static_cast<T>(problem.alibi_slopes[item * problem.alibi_item_stride + head]);
}

template <class T>
void subtract_slopes(const Problem& problem, std::ptrdiff_t item, const Panel<T>& panel,
                     KeyRange keys, T* scores) {
  alignas(64) T slopes[Panel<T>::max_lanes];
  // relative to the tile, so that small numbers stay exact
  alignas(64) T positions[Panel<T>::max_lanes];
  for (int lane = 0; lane < panel.lanes(); ++lane) {
    slopes[lane] = slope_of<T>(problem, item, panel.head[lane]);
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

// −∞ outside each lane's own range. Keys that every lane sees are passed over.
template <class T>
void hide_outside(const Panel<T>& panel, KeyRange keys, T* scores) {
  alignas(64) T begins[Panel<T>::max_lanes];
  alignas(64) T ends[Panel<T>::max_lanes];
  for (int lane = 0; lane < panel.lanes(); ++lane) {
    begins[lane] =
        static_cast<T>(std::clamp(panel.sees[lane].begin, keys.begin, keys.end) - keys.begin);
    ends[lane] =
        static_cast<T>(std::clamp(panel.sees[lane].end, keys.begin, keys.end) - keys.begin);
  }
  const auto minus_infinity = simd::broadcast(hidden<T>);
  for (std::ptrdiff_t key = 0; key < keys.size(); ++key, scores += panel.lanes()) {
    if (key + keys.begin >= panel.all.begin && key + keys.begin < panel.all.end) continue;
    const auto here = simd::broadcast(static_cast<T>(key));
    for (int lane = 0; lane < panel.lanes(); lane += simd::lanes<T>) {
      const auto seen = simd::both(simd::less_equal(simd::load(begins + lane), here),
                                   simd::less(here, simd::load(ends + lane)));
      simd::store(scores + lane, simd::select(seen, simd::load(scores + lane), minus_infinity));
    }
  }
}

}  // namespace

template <class T>
ScoreRule<T> score_rule(const Problem& problem) {
  if (problem.softcap > 0) {
    return {static_cast<T>(problem.scale / problem.softcap), static_cast<T>(problem.softcap), T{1},
            T(log2_e)};
  }
  const T natural = static_cast<T>(std::abs(problem.scale));
  const T exponent = static_cast<T>(std::abs(problem.scale) * log2_e);
  const bool adds = problem.alibi_slopes || problem.bias || problem.sink;
  if (adds || !(natural > 0) || !(exponent > 0)) {
    return {static_cast<T>(problem.scale), T{0}, T{1}, T(log2_e)};
  }
  return {problem.scale < 0 ? T{-1} : T{1}, T{0}, natural, exponent};
}

template <class T>
TilePlan<T> plan_tile(const Problem& problem, std::ptrdiff_t item, const Panel<T>& panel,
                      KeyRange keys, const ScoreRule<T>& rule, T* mask_buffer) {
  TilePlan<T> plan;
  keys = {std::max(keys.begin, panel.some.begin), std::min(keys.end, panel.some.end)};
  if (keys.empty()) return plan;
  plan.mask = mask_tile(problem, item, panel, keys, mask_buffer);
  plan.keys = plan.mask.keys;
  plan.outside = plan.keys.begin < panel.all.begin || plan.keys.end > panel.all.end;
  plan.changes = rule.cap > 0 || problem.alibi_slopes || plan.mask.changes() || plan.outside;
  return plan;
}

template <class T>
ScoreTile<T> finish_tile(const Problem& problem, std::ptrdiff_t item, const Panel<T>& panel,
                         const TilePlan<T>& plan, const ScoreRule<T>& rule,
                         const ScoreAreas<T>& areas) {
  const KeyRange keys = plan.keys;
  bool partial = plan.outside || plan.mask.hides;
  if (plan.changes) {
    const int lanes = panel.lanes();
    // the mask takes the maximum in its pass, where nothing is hidden behind it
    const bool raised = plan.mask.changes() && !plan.outside;
    if (rule.cap > 0) cap(areas.scores, keys.size() * lanes, rule.cap, areas.cap_slope);
    if (problem.alibi_slopes) subtract_slopes(problem, item, panel, keys, areas.scores);
    if (plan.mask.changes()) {
      partial |=
          add_mask(problem, item, panel, plan.mask, areas.scores, raised ? areas.maximum : nullptr);
    }
    if (plan.outside) hide_outside(panel, keys, areas.scores);
    if (areas.maximum && !raised) raise_maximum(areas.scores, lanes, keys.size(), areas.maximum);
  }
  return {keys, partial};
}

template <class T>
ScoreTile<T> score_tile(const Problem& problem, std::ptrdiff_t item, const Panel<T>& panel,
                        KeyRange keys, const ScoreRule<T>& rule, const T* query_panel,
                        TileRows<T>& key_rows, const ScoreAreas<T>& areas) {
  const TilePlan<T> plan = plan_tile(problem, item, panel, keys, rule, areas.mask_buffer);
  if (plan.keys.empty()) return {};
  const Rows<T> rows = key_rows.from(plan.keys.begin);
  raw_scores(problem, panel, plan.keys.size(), rows, query_panel, areas.scores,
             plan.changes ? nullptr : areas.maximum);
  return finish_tile(problem, item, panel, plan, rule, areas);
}

template <class T>
void score_row(const Problem& problem, std::ptrdiff_t item, std::ptrdiff_t head,
               std::ptrdiff_t query, KeyRange keys, KeyRange sees, const ScoreRule<T>& rule,
               const T* values, T* scores) {
  const std::ptrdiff_t count = keys.size();
  if (rule.cap > 0) cap(scores, count, rule.cap, static_cast<T*>(nullptr));
  if (problem.alibi_slopes) {
    const T slope = slope_of<T>(problem, item, head);
    const T position = static_cast<T>(query + problem.items[item].offset - keys.begin);
    for (std::ptrdiff_t i = 0; i < count; ++i) {
      const T distance = position - static_cast<T>(i);
      scores[i] -= slope * (distance < 0 ? -distance : distance);
    }
  }
  if (values) {
    for (std::ptrdiff_t i = 0; i < count; ++i) {
      scores[i] = values[i] == hidden<T> ? hidden<T> : scores[i] + values[i];
    }
  }
  const std::ptrdiff_t begin = std::clamp(sees.begin, keys.begin, keys.end) - keys.begin;
  const std::ptrdiff_t end = std::clamp(sees.end, keys.begin, keys.end) - keys.begin;
  std::fill(scores, scores + begin, hidden<T>);
  std::fill(scores + std::max(begin, end), scores + count, hidden<T>);
}

template ScoreRule<float> score_rule(const Problem&);
template ScoreRule<double> score_rule(const Problem&);
template TilePlan<float> plan_tile(const Problem&, std::ptrdiff_t, const Panel<float>&, KeyRange,
                                   const ScoreRule<float>&, float*);
template TilePlan<double> plan_tile(const Problem&, std::ptrdiff_t, const Panel<double>&, KeyRange,
                                    const ScoreRule<double>&, double*);
template ScoreTile<float> finish_tile(const Problem&, std::ptrdiff_t, const Panel<float>&,
                                      const TilePlan<float>&, const ScoreRule<float>&,
                                      const ScoreAreas<float>&);
template ScoreTile<double> finish_tile(const Problem&, std::ptrdiff_t, const Panel<double>&,
                                       const TilePlan<double>&, const ScoreRule<double>&,
                                       const ScoreAreas<double>&);
template ScoreTile<float> score_tile(const Problem&, std::ptrdiff_t, const Panel<float>&, KeyRange,
                                     const ScoreRule<float>&, const float*, TileRows<float>&,
                                     const ScoreAreas<float>&);
template ScoreTile<double> score_tile(const Problem&, std::ptrdiff_t, const Panel<double>&,
                                      KeyRange, const ScoreRule<double>&, const double*,
                                      TileRows<double>&, const ScoreAreas<double>&);
template void score_row(const Problem&, std::ptrdiff_t, std::ptrdiff_t, std::ptrdiff_t, KeyRange,
                        KeyRange, const ScoreRule<float>&, const float*, float*);
template void score_row(const Problem&, std::ptrdiff_t, std::ptrdiff_t, std::ptrdiff_t, KeyRange,
                        KeyRange, const ScoreRule<double>&, const double*, double*);

}  // namespace heedful
