// Waiting for another thread: spinning at first, because most waits are short; then yielding the
// processor.
#pragma once

#include <chrono>
#include <thread>

namespace heedful {

inline void spin_once() noexcept {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// The pause after the round-th unsuccessful check, counted from 0.
inline void pause(int round) {
  if (round < 100) {
    for (int i = 0; i < 16; ++i) spin_once();
  } else if (round < 200) {
    std::this_thread::yield();
  } else {
    std::this_thread::sleep_for(std::chrono::microseconds(50));
  }
}

}  // namespace heedful
