// Gumbel noise and the logarithm: their errors against long double, for words at both ends and
// between, and the distribution of the noise.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <limits>
#include <vector>

#include "check.hpp"
#include "random_numbers.hpp"
#include "simd/gumbel.hpp"
#include "ulps.hpp"

namespace heedful {
namespace {

// From the definition; 1 − u is exact.
long double true_noise(std::uint32_t word) {
  const long double n = static_cast<long double>(word >> 1);
  const long double distance = (0x1p31L - n - 0.5L) * 0x1p-31L;
  return -std::log(-std::log1p(-distance));
}

std::vector<std::uint32_t> many_words() {
  std::vector<std::uint32_t> words;
  for (std::uint32_t i = 0; i < 4096; ++i) {
    words.push_back(i);
    words.push_back(~i);
    words.push_back(0x5E2D58D8u + i);  // u = 1 / e, where the noise is 0
    words.push_back(0xB504F333u + i);  // u = √½
  }
  for (int bit = 0; bit < 32; ++bit) {
    for (std::uint32_t i = 0; i < 64; ++i) words.push_back((1u << bit) + i - 32);
  }
  RandomNumbers random(5);
  for (int n = 0; n < 500000; ++n) words.push_back(static_cast<std::uint32_t>(random.bits()));
  return words;
}

template <class T>
std::vector<T> noise_of(const std::vector<std::uint32_t>& words) {
  std::vector<T> noise(words.size());
  simd::gumbel<T>(words.data(), static_cast<int>(words.size()), noise.data());
  return noise;
}

template <class T>
void every_word_gives_accurate_noise() {
  const std::vector<std::uint32_t> words = many_words();
  const std::vector<T> noise = noise_of<T>(words);
  double worst = 0;
  bool finite = true;
  for (std::size_t i = 0; i < words.size(); ++i) {
    const long double truth = true_noise(words[i]);
    finite &= std::isfinite(noise[i]);
    // where the noise is near 0, units of 1: nothing cancels in a score
    const long double unit = std::max(std::abs(truth), 1.0L);
    worst = std::max(worst, static_cast<double>(std::abs(noise[i] - truth) / unit /
                                                std::numeric_limits<T>::epsilon()));
  }
  std::printf("noise of %zu bytes: at most %.3f ulp\n", sizeof(T), worst);
  check(finite, "the noise of every word is finite");
  check(worst < 3, "the noise is accurate to 3 ulp");
  check(worst > 0.3, "the worst error is that of a rounded result, so it was measured");
}

template <class T>
void the_ends_are_those_of_31_bits() {
  const std::vector<T> noise = noise_of<T>({0, 1, 0xFFFFFFFF, 0xFFFFFFFE});
  close(static_cast<double>(noise[0]), -std::log(32 * std::log(2.0)), 1e-6, "u = 2^−32");
  close(static_cast<double>(noise[2]), 32 * std::log(2.0), 1e-5, "u = 1 − 2^−32");
  check(noise[0] == noise[1] && noise[2] == noise[3], "the last bit of a word is not used");
}

void vectors_and_arrays_agree() {
  std::vector<std::uint32_t> words = many_words();
  words.resize(words.size() / simd::lanes<float> * simd::lanes<float>);
  const std::vector<float> noise = noise_of<float>(words);
  bool same = true;
  for (std::size_t i = 0; i < words.size(); i += simd::lanes<float>) {
    float found[simd::lanes<float>];
    simd::store(found, simd::gumbel(simd::load_words(words.data() + i)));
    same &= std::equal(found, found + simd::lanes<float>, noise.begin() + static_cast<long>(i));
  }
  check(same, "words in a vector have the bits that words in an array have");
}

template <class T>
void logarithms_are_accurate() {
  RandomNumbers random(7);
  double worst = 0;
  for (int n = 0; n < 100000; ++n) {
    T x[simd::lanes<T>], found[simd::lanes<T>];
    for (T& one : x) {
      one = static_cast<T>(
          std::ldexp(random.between(1, 2), static_cast<int>(random.bits() % 61) - 30));
    }
    simd::store(found, simd::minus_log(simd::LogParts<T>(simd::load(x))));
    for (int i = 0; i < simd::lanes<T>; ++i) {
      const double error = ulps(found[i], -std::log(static_cast<long double>(x[i])));
      if (!(error <= worst)) worst = error;
    }
  }
  std::printf("logarithm of %zu bytes: at most %.3f ulp\n", sizeof(T), worst);
  check(worst < 3, "the logarithm is accurate to 3 ulp, also near 1");
  check(worst > 0.4, "the worst error is that of a rounded result, so it was measured");
}

// Kolmogorov's distance of 524,288 numbers from e^(−e^(−g)): above 1.95 / √n once in a thousand
// times, and for these words always the same.
void the_distribution_is_gumbels() {
  RandomNumbers random(11);
  std::vector<std::uint32_t> words(1 << 19);
  for (std::uint32_t& word : words) word = static_cast<std::uint32_t>(random.bits());
  std::vector<float> noise = noise_of<float>(words);
  std::sort(noise.begin(), noise.end());
  const double count = static_cast<double>(noise.size());
  double distance = 0;
  for (std::size_t i = 0; i < noise.size(); ++i) {
    const double share = std::exp(-std::exp(-static_cast<double>(noise[i])));
    distance = std::max({distance, std::abs(share - static_cast<double>(i) / count),
                         std::abs(share - static_cast<double>(i + 1) / count)});
  }
  check(distance < 1.95 / std::sqrt(count), "the noise is distributed as e^(−e^(−g))");
}

}  // namespace
}  // namespace heedful

int main() {
  using namespace heedful;
  every_word_gives_accurate_noise<float>();
  every_word_gives_accurate_noise<double>();
  the_ends_are_those_of_31_bits<float>();
  the_ends_are_those_of_31_bits<double>();
  vectors_and_arrays_agree();
  logarithms_are_accurate<float>();
  logarithms_are_accurate<double>();
  the_distribution_is_gumbels();
  return summary();
}
