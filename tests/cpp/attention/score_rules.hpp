// The options that change scores, alone and together, and how near their scores must be.
#pragma once

#include <cmath>
#include <cstddef>
#include <limits>

#include "example.hpp"

namespace heedful {

struct Rules {
  const char* name;
  bool softcap, slopes, bias, mask;
  std::ptrdiff_t left, right, offset;
  bool exclude_self = false;
};

inline constexpr Rules all_rules[] = {
    {"plain", false, false, false, false, -1, -1, 0},
    {"softcap", true, false, false, false, -1, -1, 0},
    {"alibi", false, true, false, false, -1, -1, 3},
    {"bias", false, false, true, false, -1, -1, 0},
    {"mask", false, false, false, true, -1, -1, 0},
    {"causal", false, false, false, false, -1, 0, 0},
    {"window", false, false, false, false, 4, 1, 9},
    {"before all keys", false, false, false, false, -1, 0, -5},
    {"everything", true, true, true, true, 9, 3, 2, true},
    {"self excluded", false, false, false, false, -1, -1, 5, true},
    {"self excluded beside a mask", false, false, false, true, -1, -1, 5, true},
    {"self excluded beside all keys", false, false, false, false, -1, -1, 40, true},
};

template <class T>
Example example_of(const Rules& rules, ElementType type = element_type<T>) {
  Example example({2, 4, 2, 11, 29, 7, 1}, type);
  for (Item& item : example.items) item.offset = rules.offset;
  example.item(1) = {2, 8, 4, 21, rules.offset};
  example.problem.left = rules.left;
  example.problem.right = rules.right;
  example.problem.exclude_self = rules.exclude_self;
  if (rules.softcap) example.problem.softcap = 1.5;
  if (rules.slopes) example.add_slopes();
  if (rules.bias) example.add_bias(ElementType::float32);
  if (rules.mask) example.add_mask();
  return example;
}

template <class T>
bool near(T actual, long double expected) {
  return actual == expected ||
         std::abs(actual - expected) <= 60 * std::numeric_limits<T>::epsilon();
}

}  // namespace heedful
