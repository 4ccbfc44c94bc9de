// The kinds of raw scores, before scale, cap, slopes, bias and masks are applied, and the
// properties of each that other files need. scorer.hpp computes them, backward/ differentiates
// them.
#pragma once

#include <cstddef>
#include <cstdint>

namespace heedful {

enum class ScoreKind : std::uint8_t {
  dot,       // query · key
  additive,  // Σ_e score_vector[e] · tanh(query[e] + key[e])
};

struct ScoreTraits {
  std::ptrdiff_t work;  // multiply-adds per column of a query and a key
  bool in_rows;         // decoding computes it row by row; otherwise few rows are a panel too
  bool panel_is_task;   // one query panel is enough work for a task
};

constexpr ScoreTraits traits_of(ScoreKind kind) {
  switch (kind) {
    case ScoreKind::additive:
      return {8, false, true};  // a tanh costs as much as several multiply-adds
    case ScoreKind::dot:
      break;
  }
  return {1, true, false};
}

}  // namespace heedful
