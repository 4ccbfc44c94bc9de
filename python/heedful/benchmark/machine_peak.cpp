// What this processor can do at most:  machine_peak fma|read|state THREADS SECONDS
//   fma    prints GFLOP/s of independent float32 multiply-adds in registers
//   read   prints GB/s of summing an array that no cache holds
//   state  prints independent instructions in the time of one step of a dependent chain, on the
//          thread that reaches least: 4 to 8, and less where another program uses the same core;
//          0 on processors whose instructions are not known here
// The benchmarks compile it with -O3 for the processor level that heedful runs at, run it between
// their turns and state every speed as a share of it.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <thread>
#include <vector>

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace {

#if defined(__AVX512F__)
constexpr int vector_bytes = 64;
#elif defined(__AVX__)
constexpr int vector_bytes = 32;
#else
constexpr int vector_bytes = 16;
#endif
typedef float Vector __attribute__((vector_size(vector_bytes)));
constexpr int lanes = vector_bytes / int(sizeof(float));
constexpr int accumulators =
    12;  // covers a latency of 5 at two a cycle, and leaves registers for the operands

double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

float sum(const Vector& vector) {
  float total = 0;
  for (int lane = 0; lane < lanes; ++lane) total += vector[lane];
  return total;
}

// Returns the float operations done in a second, measured for `seconds`.
double multiply_add(double seconds, std::atomic<float>& sink) {
  Vector total[accumulators], factor, term;
  for (int lane = 0; lane < lanes; ++lane) factor[lane] = 0.999f, term[lane] = 0.001f * float(lane);
  for (auto& one : total) one = term;
  double operations = 0;
  const double start = now();
  while (now() < start + seconds) {
    for (int step = 0; step < 4096; ++step) {
#pragma GCC unroll 16
      for (int index = 0; index < accumulators; ++index)
        total[index] = total[index] * factor + term;
    }
    operations += 4096.0 * accumulators * lanes * 2;
  }
  const double elapsed = now() - start;
  float all = 0;
  for (const auto& one : total) all += sum(one);
  sink.store(all);
  return operations / elapsed;
}

// Returns the bytes read in a second, measured for `seconds`.
double read(double seconds, std::atomic<float>& sink) {
  constexpr std::ptrdiff_t bytes = 128 << 20;  // a thread
  constexpr std::ptrdiff_t count = bytes / vector_bytes;
  constexpr std::ptrdiff_t page = 2 << 20;
  Vector* const memory = static_cast<Vector*>(std::aligned_alloc(page, bytes));
  if (memory == nullptr) return 0;
#if defined(__linux__)
  // NumPy asks the same for its arrays; without, address translation costs a tenth of the rate
  madvise(memory, bytes, MADV_HUGEPAGE);
#endif
  std::fill(memory, memory + count, Vector{} + 1.0f);
  Vector total[8] = {};
  double done = 0;
  const double start = now();
  while (now() < start + seconds) {
    for (std::ptrdiff_t index = 0; index < count; index += 8) {
#pragma GCC unroll 8
      for (int part = 0; part < 8; ++part) total[part] += memory[index + part];
    }
    done += bytes;
  }
  const double elapsed = now() - start;
  float all = 0;
  for (const auto& one : total) all += sum(one);
  sink.store(all);
  std::free(memory);
  return done / elapsed;
}

// A dependent chain of additions takes one step a cycle, whoever else runs on the core, and at any
// frequency; nops take what the core has left. Register and register: some processors add a
// constant without time. The instructions change no memory and no register but `value`.
#if defined(__x86_64__) || defined(__aarch64__)
#if defined(__x86_64__)
#define HEEDFUL_CHAIN_STEP "add %1, %0\n"
#else
#define HEEDFUL_CHAIN_STEP "add %0, %0, %1\n"
#endif

void run_nops() { asm volatile(".rept 256\nnop\n.endr\n"); }

void run_chain(std::uint64_t& value, std::uint64_t term) {
  asm volatile(".rept 256\n" HEEDFUL_CHAIN_STEP ".endr\n" : "+r"(value) : "r"(term));
}

// Seconds that this thread ran, without those in which another one had its processor.
double ran() {
#if defined(CLOCK_THREAD_CPUTIME_ID)
  timespec time;
  if (clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time) == 0)
    return double(time.tv_sec) + 1e-9 * double(time.tv_nsec);
#endif
  return now();
}

// Returns nops a step of the chain, the median over pairs of slices of some microseconds, times the
// share of the time in which the thread ran at all.
double nops_per_step(double seconds) {
  constexpr int loops = 400;
  std::vector<double> ratios;
  std::uint64_t value = 1;
  const double first = now(), ran_before = ran();
  double start = first;
  while (ratios.empty() || start < first + seconds) {
    for (int loop = 0; loop < loops; ++loop) run_nops();
    const double middle = now();
    for (int loop = 0; loop < loops; ++loop) run_chain(value, 3);
    const double stop = now();
    ratios.push_back((stop - middle) / (middle - start));
    start = now();
  }
  const double share = (ran() - ran_before) / (now() - first);
  const auto median = ratios.begin() + std::ptrdiff_t(ratios.size() / 2);
  std::nth_element(ratios.begin(), median, ratios.end());
  return *median * std::min(share, 1.0);
}
#else
double nops_per_step(double) { return 0; }
#endif

double measure(const char* mode, double seconds, std::atomic<float>& sink) {
  if (std::strcmp(mode, "fma") == 0) return multiply_add(seconds, sink);
  if (std::strcmp(mode, "read") == 0) return read(seconds, sink);
  return nops_per_step(seconds);
}

}  // namespace

int main(int count, char** words) {
  if (count != 4)
    return std::fprintf(stderr, "usage: machine_peak fma|read|state THREADS SECONDS\n"), 2;
  const char* const mode = words[1];
  const int threads = std::atoi(words[2]);
  const double seconds = std::atof(words[3]);
  std::vector<double> rates(threads);
  std::atomic<float> sink;
  std::vector<std::thread> team;
  for (int thread = 0; thread < threads; ++thread)
    team.emplace_back([&, thread] { rates[thread] = measure(mode, seconds, sink); });
  for (auto& one : team) one.join();
  if (std::strcmp(mode, "state") == 0) {
    std::printf("%.3f\n", *std::min_element(rates.begin(), rates.end()));
    return 0;
  }
  double total = 0;
  for (double rate : rates) total += rate;
  std::printf("%.3f\n", total * 1e-9);
}
