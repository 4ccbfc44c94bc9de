#include "attention/backward/key_tile/score_gradients.hpp"

#include <algorithm>
#include <type_traits>

#include "arrays/panel_transposes.hpp"
#include "attention/backward/penalty/coefficients.hpp"
#include "attention/backward/penalty/target_tile.hpp"
#include "attention/problem/minus_infinity.hpp"
#include "attention/softmax/dropout.hpp"
#include "attention/softmax/normalizer.hpp"
#include "kernels/micro_kernel.hpp"
#include "kernels/nonfinite.hpp"
#include "simd/lane_mask.hpp"
#include "simd/packet.hpp"

namespace heedful {
namespace {

// Rows padded to whole vectors: read in place, or copied with zeros past the last column.
template <class T>
Rows<T> whole_rows(const TensorView& view, std::ptrdiff_t item, std::ptrdiff_t head,
                   std::ptrdiff_t first, std::ptrdiff_t count, std::ptrdiff_t columns,
                   InPlace condition, T* buffer) {
  const std::ptrdiff_t stride = padded<T>(columns);
  if (columns == stride) {
    return load_rows(view, item, head, first, count, columns, condition, buffer);
  }
  for (std::ptrdiff_t row = 0; row < count; ++row) {
    T* const to = buffer + row * stride;
    read_row(view.row(item, head, first + row), view.type, view.column_stride, to, columns);
    std::fill(to + columns, to + stride, T{0});
  }
  return {buffer, stride};
}

// Rows of query or dout, also transposed into a panel.
template <class T>
Rows<T> rows_and_panel(const BackwardCall<T>& call, const TensorView& view, std::ptrdiff_t item,
                       const Panel<T>& panel, std::ptrdiff_t columns, T factor, T* buffer,
                       T* transposed) {
  const Item& own = call.problem.items[item];
  const std::ptrdiff_t first_row = own.query_begin;
  // few keys do not pay for a copy
  constexpr std::ptrdiff_t few_keys = 128;
  const bool copies = own.keys > few_keys || view.rows_on_pages();
  const InPlace condition = copies ? InPlace::close : InPlace::any_stride;
  const Rows<T> rows = whole_rows(view, item, panel.head[0], first_row + panel.query[0],
                                  panel.count, columns, condition, buffer);
  const T* from[Panel<T>::max_lanes];
  for (int lane = 0; lane < panel.lanes(); ++lane) {
    from[lane] = rows.data + std::min(lane, panel.count - 1) * rows.stride;
  }
  rows_to_panel(from, panel.lanes(), columns, factor, transposed);
  return rows;
}

// dprobabilities[key][lane] += dweights[lane][key]
template <class T>
void add_dweights(const TensorView& dweights, std::ptrdiff_t item, const Panel<T>& panel,
                  KeyRange keys, T* dprobabilities) {
  for (int lane = 0; lane < panel.count; ++lane) {
    const char* const row = dweights.row(item, panel.head[lane], panel.query[lane]);
    for (std::ptrdiff_t key = 0; key < keys.size(); ++key) {
      dprobabilities[key * panel.lanes() + lane] +=
          *reinterpret_cast<const T*>(row + (keys.begin + key) * dweights.column_stride);
    }
  }
}

// `partial`: some of the scores are −∞. `natural` is the ScoreRule's. The scratch is passed by
// value, so that stores to buffers cannot alias its pointers.
template <class T, class Normalizer>
void write_dscores(const Normalizer& normalizer, std::ptrdiff_t keys, int lanes, bool partial,
                   T natural, const BackwardScratch<T> scratch) {
  const auto minus_infinities = simd::broadcast(minus_infinity<T>);
  const auto zero = simd::broadcast(T{0});
  for (std::ptrdiff_t key = 0; key < keys; ++key) {
    for (int lane = 0; lane < lanes; lane += simd::lanes<T>) {
      const std::ptrdiff_t at = key * lanes + lane;
      const auto score = simd::load(scratch.scores + at);
      const auto base = simd::load(scratch.base + lane), factor = simd::load(scratch.factor + lane);
      auto probability = normalizer.probability(score, base, factor);
      auto dprobability = simd::load(scratch.dprobabilities + at);
      if (scratch.keep_factors)
        dprobability = simd::multiply(dprobability, simd::load(scratch.keep_factors + at));
      auto dscore = normalizer.dscore(score, base, factor, probability, dprobability,
                                      simd::load(scratch.delta + lane));
      if (scratch.penalty) {
        const auto own = penalty_dscore<T>(
            probability, simd::multiply(score, simd::broadcast(natural)), scratch.penalty + lane,
            lanes, scratch.target ? scratch.target + at : nullptr);
        dscore = simd::add(dscore, own);
      }
      if (partial) {  // a hidden key has none, whatever base and dweights are
        const auto hidden = simd::equal(score, minus_infinities);
        probability = simd::select(hidden, zero, probability);
        dscore = simd::select(hidden, zero, dscore);
      }
      if (scratch.keep_factors)
        probability = simd::multiply(probability, simd::load(scratch.keep_factors + at));
      simd::store(scratch.probabilities + at, probability);
      simd::store(scratch.dscores + at, dscore);
    }
  }
}

// The same for softmax without dropout and penalty, the exponentials of four keys side by side.
template <class T>
void write_plain_dscores(const Softmax<T> softmax, std::ptrdiff_t keys, int lanes, bool partial,
                         const BackwardScratch<T> scratch) {
  using P = simd::Packet<T>;
  const P minus_infinities = simd::broadcast(minus_infinity<T>), zero = simd::broadcast(T{0});
  for (int lane = 0; lane < lanes; lane += simd::lanes<T>) {
    const P base = simd::load(scratch.base + lane), factor = simd::load(scratch.factor + lane);
    const P delta = simd::load(scratch.delta + lane);
    const auto differentiate = [&](auto together, std::ptrdiff_t key) {
      constexpr int count = decltype(together)::value;
      const std::ptrdiff_t first = key * lanes + lane;
      P probabilities[count];
      softmax.probabilities(scratch.scores + first, lanes, base, factor, probabilities);
#pragma GCC unroll 4
      for (int i = 0; i < count; ++i) {
        const std::ptrdiff_t at = first + i * lanes;
        P probability = probabilities[i];
        P dscore = softmax.dscore(probability, simd::load(scratch.dprobabilities + at), delta);
        if (partial) {  // a hidden key has none, whatever base and dweights are
          const P hidden = simd::equal(simd::load(scratch.scores + at), minus_infinities);
          probability = simd::select(hidden, zero, probability);
          dscore = simd::select(hidden, zero, dscore);
        }
        simd::store(scratch.probabilities + at, probability);
        simd::store(scratch.dscores + at, dscore);
      }
    };
    std::ptrdiff_t key = 0;
    for (; key + 4 <= keys; key += 4) differentiate(std::integral_constant<int, 4>(), key);
    for (; key < keys; ++key) differentiate(std::integral_constant<int, 1>(), key);
  }
}

}  // namespace

template <class T>
PanelRows<T> load_panel(const BackwardCall<T>& call, std::ptrdiff_t item,
                        const BackwardScratch<T>& scratch) {
  const Problem& problem = call.problem;
  const BackwardTensors& tensors = call.tensors;
  const Panel<T>& panel = *scratch.panel;
  const std::ptrdiff_t first = problem.items[item].query_begin;
  const Rows<T> query =
      rows_and_panel(call, tensors.query, item, panel, problem.depth, call.rule.query_factor,
                     scratch.query_rows, scratch.query_panel);
  const Rows<T> dout = rows_and_panel(call, tensors.dout, item, panel, problem.value_depth, T{1},
                                      scratch.dout_rows, scratch.dout_panel);
  for (int lane = 0; lane < panel.lanes(); ++lane) {
    const std::ptrdiff_t head = panel.head[lane], row = panel.query[lane];
    scratch.base[lane] = call.scales.base(item, head, row);
    scratch.factor[lane] = call.scales.factor(item, head, row);
    scratch.delta[lane] = *reinterpret_cast<const T*>(tensors.delta.row(item, head, first + row));
    if (!scratch.penalty) continue;
    const auto* const coefficients =
        reinterpret_cast<const T*>(tensors.penalty.coefficients.row(item, head, first + row));
    for (int index = 0; index < penalty_coefficients; ++index) {
      scratch.penalty[index * panel.lanes() + lane] = coefficients[index];
    }
  }
  return {query, dout};
}

template <class T>
ScoreTile<T> write_scores(const BackwardCall<T>& call, std::ptrdiff_t item, KeyTile<T>& tile,
                          const BackwardScratch<T>& scratch) {
  return score_tile(
      call.problem, item, *scratch.panel, tile.keys, call.rule, scratch.query_panel, tile.key_rows,
      ScoreBuffers<T>{scratch.scores, scratch.mask_buffer, nullptr, scratch.cap_derivative});
}

template <class T>
bool hide_zeros(const BackwardCall<T>& call, ScoreTile<T>& scored,
                const BackwardScratch<T>& scratch) {
  if (!call.rule.alphas) return true;
  const Panel<T>& panel = *scratch.panel;
  const auto zero = simd::broadcast(T{0}), minus_infinities = simd::broadcast(minus_infinity<T>);
  auto total = zero;
  const double alpha = call.rule.alphas[panel.head[0]];
  with_entmax(alpha, call.rule.natural, [&](const auto& normalizer) {
    T* score = scratch.scores;
    for (std::ptrdiff_t key = 0; key < scored.keys.size(); ++key) {
      for (int lane = 0; lane < panel.lanes(); lane += simd::lanes<T>, score += simd::lanes<T>) {
        const auto value = simd::load(score);
        const auto excess = normalizer.excess(value, simd::load(scratch.base + lane),
                                              simd::load(scratch.factor + lane));
        total = simd::add(total, excess);
        simd::store(score, simd::select(simd::equal(excess, zero), minus_infinities, value));
      }
    }
  });
  scored.partial = true;
  return simd::above_or_nan(total, zero) != 0;
}

template <class T>
const T* copy_scores(const ScoreTile<T>& scored, KeyTile<T>& tile, const PanelRows<T>& rows,
                     const BackwardScratch<T>& scratch) {
  const Panel<T>& panel = *scratch.panel;
  if (!scored.partial || (tile.key_rows.finite() && tile.value_rows.finite() &&
                          all_finite(rows.query, panel.count, scratch.depth) &&
                          all_finite(rows.dout, panel.count, scratch.value_depth))) {
    return nullptr;
  }
  std::copy_n(scratch.scores, scored.keys.size() * panel.lanes(), scratch.score_copy);
  return scratch.score_copy;
}

template <class T>
void write_dprobabilities(const BackwardCall<T>& call, std::ptrdiff_t item, KeyRange keys,
                          KeyTile<T>& tile, const BackwardScratch<T>& scratch,
                          RowPrefetch& prefetch) {
  const Panel<T>& panel = *scratch.panel;
  const int lanes = panel.lanes();
  const Rows<T> rows = tile.value_rows.from(keys.begin);
  Product<T> product{keys.size(),
                     call.problem.value_depth,
                     panel.vectors,
                     rows.data,
                     rows.stride,
                     1,
                     scratch.dout_panel,
                     lanes,
                     scratch.dprobabilities,
                     lanes};
  product.prefetch = &prefetch;
  multiply(product);
  if (!call.tensors.dweights) return;
  add_dweights(call.tensors.dweights, item, panel, keys, scratch.dprobabilities);
}

template <class T>
void write_dscores(const BackwardCall<T>& call, std::ptrdiff_t item, const ScoreTile<T>& scored,
                   const BackwardScratch<T>& scratch) {
  const Panel<T>& panel = *scratch.panel;
  if (scratch.keep_factors)
    write_keep_factors(call.problem, item, panel, scored.keys, call.dropout_factor,
                       scratch.keep_factors);
  if (scratch.target)
    write_target(call.tensors.penalty.target, item, panel, scored.keys, scratch.target);
  if (!call.rule.alphas && !scratch.keep_factors && !scratch.penalty) {
    return with_normalizer(call.rule, [&](const Softmax<T>& softmax) {
      write_plain_dscores(softmax, scored.keys.size(), panel.lanes(), scored.partial, scratch);
    });
  }
  with_normalizer(call.rule, panel.head[0], [&](const auto& normalizer) {
    write_dscores<T>(normalizer, scored.keys.size(), panel.lanes(), scored.partial,
                     call.rule.natural, scratch);
  });
}

template <class T>
void write_dproducts(KeyRange keys, const BackwardScratch<T>& scratch) {
  if (!scratch.cap_derivative) return;
  const std::ptrdiff_t count = keys.size() * scratch.panel->lanes();
  for (std::ptrdiff_t i = 0; i < count; ++i) {
    scratch.dproducts[i] = scratch.dscores[i] * scratch.cap_derivative[i];
  }
}

template PanelRows<float> load_panel(const BackwardCall<float>&, std::ptrdiff_t,
                                     const BackwardScratch<float>&);
template ScoreTile<float> write_scores(const BackwardCall<float>&, std::ptrdiff_t, KeyTile<float>&,
                                       const BackwardScratch<float>&);
template bool hide_zeros(const BackwardCall<float>&, ScoreTile<float>&,
                         const BackwardScratch<float>&);
template const float* copy_scores(const ScoreTile<float>&, KeyTile<float>&, const PanelRows<float>&,
                                  const BackwardScratch<float>&);
template void write_dprobabilities(const BackwardCall<float>&, std::ptrdiff_t, KeyRange,
                                   KeyTile<float>&, const BackwardScratch<float>&, RowPrefetch&);
template void write_dscores(const BackwardCall<float>&, std::ptrdiff_t, const ScoreTile<float>&,
                            const BackwardScratch<float>&);
template void write_dproducts(KeyRange, const BackwardScratch<float>&);

template PanelRows<double> load_panel(const BackwardCall<double>&, std::ptrdiff_t,
                                      const BackwardScratch<double>&);
template ScoreTile<double> write_scores(const BackwardCall<double>&, std::ptrdiff_t,
                                        KeyTile<double>&, const BackwardScratch<double>&);
template bool hide_zeros(const BackwardCall<double>&, ScoreTile<double>&,
                         const BackwardScratch<double>&);
template const double* copy_scores(const ScoreTile<double>&, KeyTile<double>&,
                                   const PanelRows<double>&, const BackwardScratch<double>&);
template void write_dprobabilities(const BackwardCall<double>&, std::ptrdiff_t, KeyRange,
                                   KeyTile<double>&, const BackwardScratch<double>&, RowPrefetch&);
template void write_dscores(const BackwardCall<double>&, std::ptrdiff_t, const ScoreTile<double>&,
                            const BackwardScratch<double>&);
template void write_dproducts(KeyRange, const BackwardScratch<double>&);

}  // namespace heedful
