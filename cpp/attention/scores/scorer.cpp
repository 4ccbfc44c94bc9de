#include "attention/scores/scorer.hpp"

#include "attention/scores/additive_scores.hpp"
#include "kernels/micro_kernel.hpp"

namespace heedful {

template <class T>
void raw_scores(const Problem& problem, const Panel<T>& panel, std::ptrdiff_t keys,
                Rows<T> key_rows, const T* query_panel, T* scores, T* maximum,
                RowPrefetch* prefetch) {
  switch (problem.score_kind) {
    case ScoreKind::dot:
      return multiply(Product<T>{keys, problem.depth, panel.vectors, key_rows.data, key_rows.stride,
                                 1, query_panel, panel.lanes(), scores, panel.lanes(), false,
                                 maximum, nullptr, prefetch});
    case ScoreKind::additive:
      return additive_scores(additive_tile(problem, panel, keys, key_rows, query_panel), panel,
                             scores, maximum);
  }
}

template void raw_scores(const Problem&, const Panel<float>&, std::ptrdiff_t, Rows<float>,
                         const float*, float*, float*, RowPrefetch*);
template void raw_scores(const Problem&, const Panel<double>&, std::ptrdiff_t, Rows<double>,
                         const double*, double*, double*, RowPrefetch*);

}  // namespace heedful
