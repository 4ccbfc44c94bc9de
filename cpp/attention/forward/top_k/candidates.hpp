// The keys that may be among the k highest-scoring ones of each lane of a query panel. Key tiles
// are added in the order of their keys, scores [key][lane]:
//
//   add       scores above the lane's threshold are appended to the lane's list; if the list
//   becomes
//             full, it is cut to little more than k, and the threshold rises. A threshold is a
//             score that k earlier keys reach: a later key must exceed it, because the lower index
//             wins a tie. Until the lists are full for the first time, there is no threshold, and
//             tiles are copied as they are.
//   append    a list that was finished elsewhere, of later keys, is added to that of a lane
//   finish    the lists are cut to exactly k
//
// The k keys are those that a stable sort of all scores would put first: NaN first, then from high
// to low; −∞ is the score of a hidden key, which is never kept. They depend on the scores alone,
// not on the tiles, and remain in the order of the keys. Of random scores about k · ln(keys / k)
// are appended.
#pragma once

#include <cstddef>
#include <cstdint>

#include "arrays/work_area.hpp"
#include "attention/problem/key_index.hpp"
#include "attention/problem/panel.hpp"
#include "attention/problem/problem.hpp"

namespace heedful {

template <class T>
class Candidates {
 public:
  Candidates(std::ptrdiff_t k, WorkArea& area);

  // Bytes of the lists.
  static std::ptrdiff_t bytes(std::ptrdiff_t k);

  void start(const Panel<T>& panel);
  void add(const T* scores, KeyRange keys);
  void append(int lane, const T* scores, const KeyIndex* keys, std::ptrdiff_t count);
  void finish();

  // After finish(): the lists of a lane. The scores have room for a whole vector past the end.
  T* scores(int lane) const { return scores_ + lane * stride_; }
  KeyIndex* keys(int lane) const { return keys_ + lane * stride_; }
  std::ptrdiff_t count(int lane) const { return counts_[lane]; }

 private:
  static constexpr int width = simd::lanes<T>;
  static constexpr int max_lanes = Panel<T>::max_lanes;

  std::ptrdiff_t copy(const T* scores, KeyRange keys);
  void add_square(int first, const T* scores, KeyRange keys);
  void cut(int lane, std::ptrdiff_t max_count);

  std::ptrdiff_t k_, stride_;  // from list to list
  T* scores_;                  // (lanes, stride)
  KeyIndex* keys_;             // (lanes, stride)
  T* thresholds_;              // (lanes)
  std::int32_t* counts_;       // (lanes)
  int lanes_ = 0, rows_ = 0;   // of the panel; the lanes past `rows_` are padding
  bool copies_ = true;         // no list has been full yet
};

}  // namespace heedful
