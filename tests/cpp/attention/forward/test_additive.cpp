// Additive scores and their parts: e^x with its remainder, tanh from two exponentials, and the
// gradients of a tile, all against long double.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>
#include <vector>

#include "attention/backward/key_tile/additive_gradients.hpp"
#include "attention/scores/additive_tanh.hpp"
#include "check.hpp"
#include "random_numbers.hpp"

namespace heedful {
namespace {

// The error of power · (1 + rest) against e^x, in ulps of 1.
template <class T>
void the_remainder_compensates_the_rounding_of_the_power() {
  RandomNumbers random(5);
  double alone = 0, together = 0;
  T x[simd::lanes<T>], power[simd::lanes<T>], rest[simd::lanes<T>];
  for (int n = 0; n < 20000; ++n) {
    for (T& number : x) number = static_cast<T>(random.between(-80, 80));
    const simd::ExpParts<T> parts = simd::exp_parts<T>(simd::load(x));
    simd::store(power, parts.power);
    simd::store(rest, parts.rest);
    for (int lane = 0; lane < simd::lanes<T>; ++lane) {
      const long double truth = std::exp(static_cast<long double>(x[lane]));
      const auto off = [&](long double factor) {
        return std::abs(static_cast<double>((power[lane] * factor - truth) / truth)) /
               static_cast<double>(std::numeric_limits<T>::epsilon());
      };
      alone = std::max(alone, off(1));
      together = std::max(together, off(1 + static_cast<long double>(rest[lane])));
    }
  }
  std::printf("e^x of %zu bytes: off by %.3f ulp, with its remainder by %.3f\n", sizeof(T), alone,
              together);
  check(alone > 0.4, "the power is rounded");
  check(together < 0.12, "with its remainder it is ten times as accurate");
}

struct Sizes {
  std::ptrdiff_t keys, columns;
  int count;  // rows of the panel
};

// One panel and one tile, and their results by the definition.
template <class T>
struct Example {
  Sizes sizes;
  Problem problem;
  Panel<T> panel;
  std::vector<T> query, key, score_vector, dscores;
  std::ptrdiff_t stride;  // between keys, which are not contiguous

  Example(const Sizes& requested, double size) : sizes(requested), stride(requested.columns + 3) {
    RandomNumbers random(static_cast<std::uint64_t>(requested.keys * 1000 + requested.count));
    problem.num_heads = problem.num_kv_heads = 1;
    problem.depth = sizes.columns;
    const Item item{0, sizes.count, 0, sizes.keys, 0};
    fill_panel(panel, problem, item, 0, 0, sizes.count);
    const auto draw = [&](std::ptrdiff_t count, double limit) {
      std::vector<T> numbers(static_cast<std::size_t>(count));
      for (T& number : numbers) number = static_cast<T>(random.between(-limit, limit));
      return numbers;
    };
    query = draw(sizes.columns * panel.lanes(), size);
    key = draw(sizes.keys * stride, size);
    score_vector = draw(sizes.columns, 1);
    dscores = draw(sizes.keys * panel.lanes(), 1);
  }

  AdditiveTile<T> tile() const {
    return {sizes.keys, sizes.columns, Rows<T>{key.data(), stride}, query.data(),
            score_vector.data()};
  }
  // The argument of tanh for a key, a lane and a column.
  long double sum(std::ptrdiff_t k, int lane, std::ptrdiff_t e) const {
    return static_cast<long double>(query[static_cast<std::size_t>(e * panel.lanes() + lane)]) +
           static_cast<long double>(key[static_cast<std::size_t>(k * stride + e)]);
  }
  long double score(std::ptrdiff_t k, int lane) const {
    long double total = 0;
    for (std::ptrdiff_t e = 0; e < sizes.columns; ++e) {
      total += score_vector[static_cast<std::size_t>(e)] * std::tanh(sum(k, lane, e));
    }
    return total;
  }
};

// The tolerance of a sum of `terms` terms of magnitude `size`.
template <class T>
double allowed(std::ptrdiff_t terms, double size) {
  return 6 * std::sqrt(static_cast<double>(terms) + 16) * std::min(size, 1.0) *
         static_cast<double>(std::numeric_limits<T>::epsilon());
}

template <class T>
void scores_are_sums_of_tanh(const Sizes& sizes, double size) {
  const Example<T> example(sizes, size);
  const int lanes = example.panel.lanes();
  std::vector<T> scores(static_cast<std::size_t>(sizes.keys * lanes), T(7));
  std::vector<T> maximum(static_cast<std::size_t>(lanes), T(-1000));
  additive_scores(example.tile(), example.panel, scores.data(), maximum.data());
  for (int lane = 0; lane < sizes.count; ++lane) {
    T maximum_score = -1000;
    for (std::ptrdiff_t k = 0; k < sizes.keys; ++k) {
      const T score = scores[static_cast<std::size_t>(k * lanes + lane)];
      close(score, static_cast<double>(example.score(k, lane)), allowed<T>(sizes.columns, size),
            "a score is the sum of score_vector · tanh(query + key)");
      maximum_score = std::max(maximum_score, score);
    }
    check(maximum[static_cast<std::size_t>(lane)] == maximum_score,
          "the maximum is that of the lane");
  }
}

template <class T>
void gradients_are_those_of_the_sums(const Sizes& sizes, double size) {
  Example<T> example(sizes, size);
  const int lanes = example.panel.lanes();
  const std::ptrdiff_t width = padded<T>(sizes.columns);
  std::vector<T> dquery(static_cast<std::size_t>(sizes.columns * lanes), T(7));
  std::vector<T> dkey(static_cast<std::size_t>(sizes.keys * width), T(1));
  std::vector<double> dscore_vector(static_cast<std::size_t>(sizes.columns), 1.0);
  const std::vector<T> dscores = example.dscores;
  additive_gradients(example.tile(), example.panel,
                     {example.dscores.data(), dquery.data(), dkey.data(), dscore_vector.data(),
                      sizes.keys % 2 == 0});
  const auto at = [&](std::ptrdiff_t k, int lane) {
    return static_cast<long double>(dscores[static_cast<std::size_t>(k * lanes + lane)]);
  };
  for (std::ptrdiff_t e = 0; e < sizes.columns; ++e) {
    std::vector<long double> of_key(static_cast<std::size_t>(sizes.keys), 0);
    const long double score_vector = example.score_vector[static_cast<std::size_t>(e)];
    long double of_score_vector = 0;
    for (int lane = 0; lane < sizes.count; ++lane) {
      long double of_query = 0;
      for (std::ptrdiff_t k = 0; k < sizes.keys; ++k) {
        const long double t = std::tanh(example.sum(k, lane, e));
        of_query += at(k, lane) * score_vector * (1 - t * t);
        of_key[static_cast<std::size_t>(k)] += at(k, lane) * score_vector * (1 - t * t);
        of_score_vector += at(k, lane) * t;
      }
      close(dquery[static_cast<std::size_t>(e * lanes + lane)], static_cast<double>(of_query),
            allowed<T>(sizes.keys, 1), "dquery is written");
    }
    for (std::ptrdiff_t k = 0; k < sizes.keys; ++k) {
      close(dkey[static_cast<std::size_t>(k * width + e)],
            static_cast<double>(1 + of_key[static_cast<std::size_t>(k)]),
            allowed<T>(sizes.count, 1), "dkey is accumulated");
    }
    close(dscore_vector[static_cast<std::size_t>(e)], static_cast<double>(1 + of_score_vector),
          allowed<T>(sizes.count * sizes.keys, size) + 1e-15, "dscore_vector is accumulated");
  }
}

template <class T>
void everything() {
  the_remainder_compensates_the_rounding_of_the_power<T>();
  constexpr int width = simd::lanes<T>;
  for (const int count : {1, 2, width / 2 + 1, width, width + 1, 3 * width - 1}) {
    for (const std::ptrdiff_t columns : {1, 2, 7, 31, 32, 33, 67, 300}) {
      for (const double size : {1e-4, 1.0, 8.0, 12.0, 60.0}) {
        const std::ptrdiff_t keys = count == width ? 4 : 5;
        scores_are_sums_of_tanh<T>({keys, columns, count}, size);
        gradients_are_those_of_the_sums<T>({keys, columns, count}, size);
      }
    }
  }
}

}  // namespace
}  // namespace heedful

int main() {
  heedful::everything<float>();
  heedful::everything<double>();
  return heedful::summary();
}
