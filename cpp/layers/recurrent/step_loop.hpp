// The order in which the steps of a recurrent layer are computed, and on which threads.
//
// Sequences do not depend on one another, the units of a step do on all units of the step before.
// So where there are sequences enough, each thread takes some of them through all steps without
// waiting for anyone; a few wide ones are computed together, the units of each step divided among
// the threads. Every sum has one order in both, so the division may depend on the number of threads
// and results do not.
#pragma once

#include <algorithm>
#include <cstddef>

#include "arrays/even_ranges.hpp"
#include "layers/recurrent/steps.hpp"
#include "linear/task_grid.hpp"
#include "parallel/cost.hpp"

namespace heedful {

// [begin, end) of sequences, or of strips of units.
struct StepRange {
  std::ptrdiff_t begin, end;

  static StepRange of(const EvenRanges& ranges, std::ptrdiff_t index) {
    return {ranges.begin(index), ranges.begin(index + 1)};
  }
};

struct StepLoop {
  // More sequences at a time would not keep their sums in L1; fewer read the weight as often for
  // less, unless it stays in L2 anyway.
  static constexpr std::ptrdiff_t max_sequences = 64, min_sequences = 16, min_where_cached = 4;
  static constexpr std::ptrdiff_t cached_bytes = 256 << 10;

  std::ptrdiff_t regions;  // steps, or one more
  std::ptrdiff_t strips;
  EvenRanges groups;  // of sequences
  bool together;      // all groups in each region, instead of a group in all regions

  // `weight_bytes` are read at every step, which takes `step_work` multiply-adds.
  StepLoop(const Steps& steps, std::ptrdiff_t num_regions, std::ptrdiff_t num_strips,
           std::ptrdiff_t weight_bytes, double step_work, const Team& team)
      : regions(num_regions), strips(num_strips) {
    const std::ptrdiff_t sequences = steps.sequences, threads = team.threads;
    const bool equal = steps.count == 0 || steps.rows(0) == steps.rows(steps.count - 1);
    const std::ptrdiff_t least = weight_bytes <= cached_bytes ? min_where_cached : min_sequences;
    // long sequences are the first ones: more groups than threads, where lengths differ
    const std::ptrdiff_t wanted =
        std::max(ceil_div(sequences, max_sequences), threads == 1 ? 1 : threads * (equal ? 1 : 4));
    const std::ptrdiff_t possible = std::max(ceil_div(sequences, max_sequences),
                                             std::max<std::ptrdiff_t>(sequences / least, 1));
    groups = {sequences, std::min(wanted, possible)};
    together = threads > 1 && groups.count < threads && step_work >= threads_work;
    if (together) groups.count = ceil_div(sequences, max_sequences);
  }

  std::ptrdiff_t max_group() const { return ceil_div(groups.size, groups.count); }

  // region(k, sequences, strips, worker) for k = 0, 1, … on all sequences and strips; a sequence's
  // region k after all strips of its region k − 1.
  template <class Region>
  void run(const Team& team, std::size_t scratch_bytes, const Region& region) const {
    if (!together) {
      return parallel_for(groups.count, team, scratch_bytes,
                          [&](std::ptrdiff_t group, Worker& worker) {
                            const auto sequences = StepRange::of(groups, group);
                            for (std::ptrdiff_t k = 0; k < regions; ++k) {
                              worker.check();
                              region(k, sequences, StepRange{0, strips}, worker);
                            }
                          });
    }
    for (std::ptrdiff_t k = 0; k < regions; ++k) {
      parallel_for(strips * groups.count, team, scratch_bytes,
                   [&](std::ptrdiff_t task, Worker& worker) {
                     const std::ptrdiff_t strip = task / groups.count;
                     region(k, StepRange::of(groups, task % groups.count),
                            StepRange{strip, strip + 1}, worker);
                   });
    }
  }
};

}  // namespace heedful
