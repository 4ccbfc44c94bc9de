// One table of calls drives the tests of forward, backward and probabilities: a new option is
// tested everywhere by adding a row.
#pragma once

#include <cstddef>
#include <limits>

#include "example.hpp"

namespace heedful {

struct Case {
  const char* name;
  Sizes sizes;
  void (*change)(Example& example);  // adds the options of the case
};

inline void set_offset(Example& example, std::ptrdiff_t offset) {
  for (Item& item : example.items) item.offset = offset;
}

// Sizes are items, heads, kv_heads, queries, keys, depth, value_depth: primes and off-by-ones, some
// long enough for each partition into tasks (key splits, row blocks, chunks of queries, key tiles),
// and most of more than 500,000 multiplications, because less work stays on one thread.
inline constexpr Case cases[] = {
    {"one element", {1, 1, 1, 1, 1, 1, 1}, [](Example&) {}},
    {"plain", {2, 4, 2, 7, 11, 5, 3}, [](Example&) {}},
    {"one query", {2, 6, 2, 1, 97, 17, 19}, [](Example&) {}},
    {"one query, split keys", {3, 4, 1, 1, 3301, 8, 5}, [](Example&) {}},
    {"a panel, split keys", {2, 1, 1, 17, 1601, 7, 3}, [](Example&) {}},
    {"many tiles", {1, 2, 1, 211, 601, 9, 4}, [](Example&) {}},
    {"many queries, few keys", {1, 2, 2, 1999, 33, 3, 2}, [](Example&) {}},
    {"large depths", {1, 2, 1, 5, 71, 301, 130}, [](Example&) {}},
    {"no scale", {1, 2, 1, 7, 11, 5, 3}, [](Example& example) { example.problem.scale = 0; }},
    {"negative scale",
     {1, 2, 1, 7, 11, 5, 3},
     [](Example& example) { example.problem.scale = -1.5; }},
    {"causal",
     {2, 4, 2, 37, 53, 23, 13},
     [](Example& example) {
       example.problem.right = 0;
       set_offset(example, 16);
     }},
    {"causal, the first queries see no key",
     {2, 4, 2, 37, 23, 5, 3},
     [](Example& example) {
       example.problem.right = 0;
       set_offset(example, -14);
     }},
    {"causal, far after all keys",
     {2, 4, 2, 7, 11, 5, 3},
     [](Example& example) {
       example.problem.right = 0;
       set_offset(example, std::ptrdiff_t{1} << 60);
     }},
    {"causal, far before all keys",
     {2, 4, 2, 7, 11, 5, 3},
     [](Example& example) {
       example.problem.right = 0;
       set_offset(example, -(std::ptrdiff_t{1} << 60));
     }},
    {"window",
     {1, 2, 1, 211, 907, 5, 3},
     [](Example& example) {
       example.problem.left = 20;
       example.problem.right = 3;
       set_offset(example, 570);
     }},
    {"window, one query",
     {1, 3, 1, 1, 1301, 5, 3},
     [](Example& example) {
       example.problem.left = 20;
       set_offset(example, 700);
     }},
    {"self excluded",
     {2, 4, 2, 67, 523, 23, 13},
     [](Example& example) {
       example.problem.exclude_self = true;
       set_offset(example, 255);
     }},
    {"self excluded, one query, split keys",
     {2, 4, 2, 1, 3301, 5, 3},
     [](Example& example) {
       example.problem.exclude_self = true;
       set_offset(example, 1650);
     }},
    {"self excluded, nothing else visible",
     {2, 4, 2, 37, 53, 5, 3},
     [](Example& example) {
       example.problem.exclude_self = true;
       example.problem.left = example.problem.right = 0;
       example.add_sinks();
       set_offset(example, 16);
     }},
    {"self excluded, block mask, mask and bias",
     {2, 4, 2, 67, 453, 23, 13},
     [](Example& example) {
       example.problem.exclude_self = true;
       example.add_block_mask(32, 64, {false, true}, 4);
       example.add_mask({true, false, false, true});
       example.add_bias(ElementType::float32, {false, false, false, true});
       set_offset(example, 190);
     }},
    {"mask", {2, 4, 2, 37, 53, 23, 13}, [](Example& example) { example.add_mask(); }},
    {"mask, one query", {2, 4, 2, 1, 601, 5, 3}, [](Example& example) { example.add_mask(); }},
    {"fully masked rows",
     {2, 4, 2, 37, 53, 23, 13},
     [](Example& example) { example.add_mask({true, true, true, false}, Layout::columns_out); }},
    {"key padding",
     {2, 4, 2, 37, 601, 5, 3},
     [](Example& example) {
       example.add_mask({true, false, false, true}, Layout::reversed);
       for (std::ptrdiff_t key = 100; key < 601; ++key) example.mask.set(1, 0, 0, key, 0);
     }},
    {"bias",
     {2, 4, 2, 37, 53, 23, 13},
     [](Example& example) { example.add_bias(ElementType::float16); }},
    {"bias over several key tiles",
     {2, 3, 1, 67, 523, 5, 3},
     [](Example& example) { example.add_bias(ElementType::float32); }},
    {"bias per key",
     {2, 4, 2, 37, 53, 23, 13},
     [](Example& example) {
       example.add_bias(ElementType::float64, {false, true, false, true}, Layout::spread);
     }},
    {"mask and bias",
     {2, 4, 2, 37, 53, 23, 13},
     [](Example& example) {
       example.add_mask({true, false, true, true}, Layout::spread);
       example.add_bias(ElementType::bfloat16, {false, true, true, true}, Layout::columns_out);
     }},
    {"block mask",
     {2, 4, 2, 37, 53, 23, 13},
     [](Example& example) { example.add_block_mask(16, 16); }},
    {"block mask, many tiles",
     {1, 2, 1, 211, 907, 9, 4},
     [](Example& example) { example.add_block_mask(128, 128, {false, true}, 2); }},
    {"block mask, long blocks",
     {1, 2, 1, 311, 701, 9, 4},
     [](Example& example) { example.add_block_mask(256, 200, {false, false}); }},
    {"block mask, small blocks",
     {1, 3, 1, 67, 523, 5, 3},
     [](Example& example) { example.add_block_mask(5, 7, {false, true}, 2); }},
    {"block mask, one query, split keys",
     {2, 4, 2, 1, 3301, 5, 3},
     [](Example& example) { example.add_block_mask(64, 64, {}, 2); }},
    {"block mask, empty",
     {1, 2, 1, 37, 53, 5, 3},
     [](Example& example) {
       example.add_block_mask(16, 16, {}, 0);
       example.add_sinks();
     }},
    {"block mask, mask and bias",
     {2, 4, 2, 67, 453, 23, 13},
     [](Example& example) {
       example.add_block_mask(32, 64, {false, true}, 4);
       example.add_mask({true, false, false, true});
       example.add_bias(ElementType::float32, {false, false, false, true});
     }},
    {"block mask, causal, packed sequences",
     {4, 4, 2, 43, 61, 5, 3},
     [](Example& example) {
       example.add_block_mask(8, 16, {true, false}, 4);
       example.item(0) = {0, 5, 0, 7, 0};
       example.item(1) = {5, 0, 7, 20, 0};
       example.item(2) = {5, 7, 27, 0, 0};
       example.item(3) = {20, 23, 30, 31, 8};
       example.problem.right = 0;
     }},
    {"softcap", {2, 4, 2, 37, 53, 23, 13}, [](Example& example) { example.problem.softcap = 2.5; }},
    {"slopes",
     {2, 4, 2, 37, 53, 23, 13},
     [](Example& example) {
       example.add_slopes();
       set_offset(example, 16);
     }},
    {"slopes, one query",
     {2, 4, 2, 1, 601, 5, 3},
     [](Example& example) {
       example.add_slopes();
       set_offset(example, 600);
     }},
    {"sinks", {2, 4, 2, 37, 53, 23, 13}, [](Example& example) { example.add_sinks(); }},
    {"sinks, one query, split keys",
     {1, 2, 1, 1, 1301, 5, 3},
     [](Example& example) { example.add_sinks(); }},
    {"sinks of rows without visible keys",
     {2, 4, 2, 37, 23, 5, 3},
     [](Example& example) {
       example.add_sinks();
       example.problem.right = 0;
       set_offset(example, -14);
     }},
    {"dropout",
     {2, 4, 2, 37, 53, 23, 13},
     [](Example& example) {
       example.problem.dropout_p = 0.3;
       example.problem.seed = 0x123456789ABCDEF0;
     }},
    {"dropout, one query, split keys",
     {1, 2, 1, 1, 1301, 5, 3},
     [](Example& example) {
       example.problem.dropout_p = 0.5;
       example.problem.seed = 5;
     }},
    {"everything dropped",
     {1, 2, 1, 7, 11, 5, 3},
     [](Example& example) { example.problem.dropout_p = 1; }},
    {"packed sequences",
     {4, 4, 2, 43, 61, 5, 3},
     [](Example& example) {
       example.item(0) = {0, 5, 0, 7, 0};
       example.item(1) = {5, 0, 7, 20, 0};  // no queries
       example.item(2) = {5, 7, 27, 0, 0};  // no keys
       example.item(3) = {20, 23, 30, 31, 8};
       example.problem.right = 0;
     }},
    {"all together",
     {2, 4, 2, 37, 53, 23, 13},
     [](Example& example) {
       example.add_mask({true, false, true, true}, Layout::reversed);
       example.add_bias(ElementType::float32);
       example.add_slopes();
       example.add_sinks();
       example.problem.softcap = 2.5;
       example.problem.left = 30;
       example.problem.right = 2;
       example.problem.dropout_p = 0.2;
       example.problem.seed = 77;
       example.item(0) = {0, 37, 0, 53, 16};
       example.item(1) = {3, 29, 11, 40, -5};
     }},
    {"all together, one query",
     {2, 4, 2, 1, 1301, 5, 3},
     [](Example& example) {
       example.add_mask({true, false, true, true}, Layout::reversed);
       example.add_bias(ElementType::float32);
       example.add_slopes();
       example.add_sinks();
       example.problem.softcap = 2.5;
       example.problem.left = 1200;
       example.problem.dropout_p = 0.2;
       set_offset(example, 1300);
     }},
    {"no depth", {1, 2, 1, 7, 11, 0, 3}, [](Example&) {}},
    {"no value depth", {1, 2, 1, 7, 11, 5, 0}, [](Example&) {}},
    {"no queries", {1, 2, 1, 0, 11, 5, 3}, [](Example&) {}},
    {"no keys", {1, 2, 1, 7, 0, 5, 3}, [](Example&) {}},
    {"no keys, one query", {1, 2, 1, 1, 0, 5, 3}, [](Example&) {}},
    {"no items", {0, 2, 1, 7, 11, 5, 3}, [](Example&) {}},
    {"no heads", {2, 0, 0, 7, 11, 5, 3}, [](Example&) {}},
};

inline Example example_of(const Case& test_case, ElementType type, Layout layout = Layout::plain) {
  Example example(test_case.sizes, type, layout);
  test_case.change(example);
  return example;
}

// Memory layouts and numbers of threads that must produce the bits of (plain, 1).
struct Variant {
  Layout layout;
  int threads;
};
inline constexpr Variant variants[] = {{Layout::plain, 2},        {Layout::plain, 3},
                                       {Layout::heads_inside, 1}, {Layout::spread, 2},
                                       {Layout::columns_out, 3},  {Layout::reversed, 1}};

// The tolerance of a result of magnitude 1, for inputs of this type.
inline double tolerance(ElementType type) {
  switch (type) {
    case ElementType::float64:
      return 200 * std::numeric_limits<double>::epsilon();
    case ElementType::float16:
      return 0x1p-10;
    case ElementType::bfloat16:
      return 0x1p-7;
    default:
      return 200 * static_cast<double>(std::numeric_limits<float>::epsilon());
  }
}

}  // namespace heedful
