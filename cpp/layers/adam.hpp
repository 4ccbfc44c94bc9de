// One step of Adam or AdamW over contiguous elements:
//   g = gradient + coupled_decay · p         p ← p · keep
//   m ← β₁ m + (1 − β₁) g                    v ← β₂ v + (1 − β₂) g²
//   p ← p − step · m / (√v · root + ε)
// In step t: step = rate / (1 − β₁ᵗ), root = 1 / √(1 − β₂ᵗ). Adam adds the weight decay to the
// gradient and has keep = 1; AdamW has keep = 1 − rate · decay instead.
#pragma once

#include <cstddef>

#include "parallel/parallel_for.hpp"

namespace heedful {

struct AdamStep {
  double step, root, beta1, beta2, epsilon, coupled_decay, keep;
};

template <class T>
void adam_step(const AdamStep& options, std::ptrdiff_t count, T* parameter, const T* gradient,
               T* first, T* second, const Team& team);

}  // namespace heedful
