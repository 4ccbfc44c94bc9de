// Scratch memory of a computation: tables of one call, and a piece for each thread.
#pragma once

#include <cstddef>
#include <cstdlib>
#include <memory>
#include <new>
#include <type_traits>

namespace heedful {

// Makes the nth allocation from now on fail with std::bad_alloc, counted from 1 over all threads; 0
// disarms. Reusing the scratch of an earlier call counts as well. For tests.
void fail_allocation(std::ptrdiff_t nth) noexcept;

// count · size bytes; std::bad_alloc where that is negative or larger than an object may be.
std::size_t checked_bytes(std::ptrdiff_t count, std::size_t size);

// Memory aligned to 64 bytes; to 2 MB where it is that large, so that it may get huge pages.
// nullptr for 0 bytes. Release with std::free.
std::byte* allocate_aligned(std::size_t bytes);

struct Zeroed {};
inline constexpr Zeroed zeroed{};

// A table of `count` elements, aligned to 64 bytes and freed at the end of its scope.
//   Buffer<float> sums(count);                                  contents undefined
//   Buffer<std::atomic<std::ptrdiff_t>> done(count, zeroed);    every element is T()
template <class T>
class Buffer {
  static_assert(std::is_trivially_destructible_v<T> && alignof(T) <= 64);

 public:
  Buffer() = default;
  explicit Buffer(std::ptrdiff_t count)
      : size_(count),
        data_(reinterpret_cast<T*>(allocate_aligned(checked_bytes(count, sizeof(T))))) {
    std::uninitialized_default_construct_n(data_.get(), count);
  }
  Buffer(std::ptrdiff_t count, Zeroed)
      : size_(count),
        data_(reinterpret_cast<T*>(allocate_aligned(checked_bytes(count, sizeof(T))))) {
    std::uninitialized_value_construct_n(data_.get(), count);
  }

  T* data() noexcept { return data_.get(); }
  const T* data() const noexcept { return data_.get(); }
  std::ptrdiff_t size() const noexcept { return size_; }
  T& operator[](std::ptrdiff_t index) noexcept { return data_.get()[index]; }
  const T& operator[](std::ptrdiff_t index) const noexcept { return data_.get()[index]; }
  T* begin() noexcept { return data(); }
  T* end() noexcept { return data() + size_; }
  const T* begin() const noexcept { return data(); }
  const T* end() const noexcept { return data() + size_; }

 private:
  struct Release {
    void operator()(T* data) const noexcept { std::free(data); }
  };
  std::ptrdiff_t size_ = 0;
  std::unique_ptr<T, Release> data_;
};

// `bytes` of scratch for each of `threads` threads, aligned to 64 bytes, with no cache line
// shared. The calling thread caches the memory block for its next call, unless it is larger than 64
// MB. A thread caches two: memory that all threads of a computation share may be allocated like
// this, too.
class ThreadScratch {
 public:
  ThreadScratch(int threads, std::size_t bytes);
  ~ThreadScratch();
  ThreadScratch(const ThreadScratch&) = delete;
  ThreadScratch& operator=(const ThreadScratch&) = delete;

  std::byte* of(int thread) const noexcept;

 private:
  std::size_t stride_ = 0;
  std::size_t capacity_ = 0;
  std::byte* block_ = nullptr;
};

}  // namespace heedful
