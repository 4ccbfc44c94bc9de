#include "attention/forward/probabilities/with_probabilities.hpp"

#include "arrays/small_buffer.hpp"
#include "attention/forward/forward.hpp"
#include "attention/forward/panels/bfloat16/rounded_sums.hpp"
#include "attention/forward/partition/partition.hpp"
#include "attention/forward/probabilities/one_pass.hpp"
#include "attention/forward/probabilities/probabilities.hpp"
#include "attention/softmax/dropout.hpp"

namespace heedful {
namespace {

// Which of the two computes an item. The choice depends on types, options and the item's own shape
// alone, so that an item has the same bits alone and in a batch.
//
//               scores and exponentials   memory of a thread
//   one pass    once                      the weights of a row block and all keys
//   two passes  twice                     the scores of a panel and a key tile
//
// Products of bfloat16 overwrite the weights by rounded ones, and dropped blocks have weights that
// are not computed.
template <class T>
bool keeps_weights(const ForwardCall<T>& call) {
  if (call.problem.min_weight > 0) return false;
  if constexpr (sizeof(T) == sizeof(float)) {
    return way_of(call) == simd::Bfloat16Way::widened;
  }
  return true;
}

// The call with only some of its items: the others have no queries.
class SomeItems {
 public:
  template <class Chosen>
  SomeItems(const Problem& problem, const Chosen& chosen)
      : items_(problem.num_items), problem_(problem) {
    for (std::ptrdiff_t i = 0; i < problem.num_items; ++i) {
      items_[i] = problem.items[i];
      if (!chosen(i)) items_[i].queries = 0;
      any_ |= items_[i].queries > 0;
    }
    problem_.items = items_.begin();
  }
  SomeItems(const SomeItems&) = delete;
  SomeItems& operator=(const SomeItems&) = delete;

  bool any() const { return any_; }
  const Problem& problem() const { return problem_; }

 private:
  SmallBuffer<Item, 4> items_;
  Problem problem_;
  bool any_ = false;
};

}  // namespace

template <class T>
void attention_with_probabilities(const Problem& problem, const TensorView& query,
                                  const TensorView& key, const TensorView& value,
                                  const TensorView& out, const TensorView& lse,
                                  const TensorView& probabilities, const SelectedRows& rows,
                                  bool average_heads, const Team& team) {
  const auto call_of = [&](const Problem& own) {
    return ForwardCall<T>{
        own, query, key, value, out, lse, score_rule<T>(own), static_cast<T>(dropout_factor(own))};
  };
  const bool keeps = keeps_weights(call_of(problem));
  const ForwardPartition<T> partition(problem, false, team.threads);
  const auto once = [&](std::ptrdiff_t i) {
    return keeps && takes_one_pass<T>(problem, problem.items[i], partition[i], average_heads);
  };
  const SomeItems in_one(problem, once),
      in_two(problem, [&](std::ptrdiff_t i) { return !once(i); });
  if (in_one.any()) one_pass(call_of(in_one.problem()), probabilities, average_heads, team);
  if (!in_two.any()) return;
  attention_forward<T>(in_two.problem(), query, key, value, out, lse, team);
  attention_probabilities<T>(in_two.problem(), query, key, lse, probabilities, rows, average_heads,
                             team);
}

template void attention_with_probabilities<float>(const Problem&, const TensorView&,
                                                  const TensorView&, const TensorView&,
                                                  const TensorView&, const TensorView&,
                                                  const TensorView&, const SelectedRows&, bool,
                                                  const Team&);
template void attention_with_probabilities<double>(const Problem&, const TensorView&,
                                                   const TensorView&, const TensorView&,
                                                   const TensorView&, const TensorView&,
                                                   const TensorView&, const SelectedRows&, bool,
                                                   const Team&);

}  // namespace heedful
