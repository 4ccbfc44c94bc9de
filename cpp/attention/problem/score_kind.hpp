// What a score is computed of before scale, cap, slopes, bias and masks are laid on it: the kinds,
// and what the rest has to know of each. scorer.hpp computes them, backward/ differentiates them.
#pragma once

#include <cstddef>
#include <cstdint>

namespace heedful {

enum class ScoreKind : std::uint8_t {
  dot,       // query · key
  additive,  // Σ_e weight[e] · tanh(query[e] + key[e])
};

struct ScoreTraits {
  std::ptrdiff_t work;  // multiply-adds that a column of a query and a key costs
  bool in_rows;         // decoding computes it row by row; else few rows are a panel too
  bool panel_is_task;   // one panel of queries is work enough for a task
};

constexpr ScoreTraits traits_of(ScoreKind kind) {
  switch (kind) {
    case ScoreKind::additive:
      return {8, false, true};  // a tanh costs as much as some multiply-adds
    case ScoreKind::dot:
      break;
  }
  return {1, true, false};
}

}  // namespace heedful
