#include "parallel/scratch.hpp"

#include <atomic>
#include <limits>
#include <utility>

namespace heedful {
namespace {

constexpr std::size_t kAlignment = 64;
constexpr std::size_t kPage = 4096;
constexpr std::size_t kHugePage = std::size_t{2} << 20;
constexpr std::size_t kMaxCachedBlock = std::size_t{64} << 20;
constexpr std::size_t kMaxBytes = std::numeric_limits<std::ptrdiff_t>::max();

std::atomic<std::ptrdiff_t> allocations_until_failure{0};

struct Block {
  std::byte* data = nullptr;
  std::size_t capacity = 0;
};

// The memory blocks that a thread keeps between calls: one for the scratch of threads, one for
// memory that they share. A block in use is not in the cache: a call inside a call takes another
// one.
struct BlockCache {
  Block blocks[2];

  // The smallest block that is large enough, else the smallest.
  Block take(std::size_t needed) {
    Block &first = blocks[0], &second = blocks[1];
    const bool in_order = first.capacity <= second.capacity;
    Block &smaller = in_order ? first : second, &larger = in_order ? second : first;
    const bool take_smaller = smaller.capacity >= needed || larger.capacity < needed;
    return std::exchange(take_smaller ? smaller : larger, Block{});
  }
  // Keeps the larger of `block` and the smaller cached one, and returns the other.
  Block put(Block block) {
    Block& smaller = blocks[0].capacity <= blocks[1].capacity ? blocks[0] : blocks[1];
    return block.capacity > smaller.capacity ? std::exchange(smaller, block) : block;
  }
  // also correct if this thread computes once more after its thread-local variables are destroyed
  ~BlockCache() {
    for (Block& block : blocks) std::free(std::exchange(block, Block{}).data);
  }
};
thread_local BlockCache block_cache;

void count_allocation() {
  if (allocations_until_failure.load(std::memory_order_relaxed) <= 0) return;
  if (allocations_until_failure.fetch_sub(1) == 1) throw std::bad_alloc();
}

std::size_t round_up(std::size_t bytes, std::size_t multiple) {
  return (bytes + multiple - 1) / multiple * multiple;
}

std::byte* allocate_uncounted(std::size_t bytes) {
  if (bytes == 0) return nullptr;
  if (bytes > kMaxBytes - kHugePage) throw std::bad_alloc();
  const std::size_t alignment = bytes >= kHugePage ? kHugePage : kAlignment;
  void* memory = std::aligned_alloc(alignment, round_up(bytes, alignment));
  if (memory == nullptr) throw std::bad_alloc();
  return static_cast<std::byte*>(memory);
}

}  // namespace

void fail_allocation(std::ptrdiff_t nth) noexcept { allocations_until_failure = nth; }

std::size_t checked_bytes(std::ptrdiff_t count, std::size_t size) {
  if (count < 0 || static_cast<std::size_t>(count) > kMaxBytes / size) throw std::bad_alloc();
  return static_cast<std::size_t>(count) * size;
}

std::byte* allocate_aligned(std::size_t bytes) {
  if (bytes > 0) count_allocation();
  return allocate_uncounted(bytes);
}

ThreadScratch::ThreadScratch(int threads, std::size_t bytes) {
  if (bytes == 0) return;
  count_allocation();
  if (bytes > kMaxBytes / 2) throw std::bad_alloc();
  // Threads start on separate pages and at different offsets in them, so that equal positions of
  // two threads map to different cache sets.
  stride_ =
      threads == 1 ? round_up(bytes, kAlignment) : round_up(bytes, kPage) + 5 * 2 * kAlignment;
  const std::size_t needed = checked_bytes(threads, stride_);
  const Block block = block_cache.take(needed);
  block_ = block.data;
  capacity_ = block.capacity;
  if (capacity_ < needed) {
    std::free(std::exchange(
        block_, nullptr));  // before allocating the new one: they need not exist together
    block_ = allocate_uncounted(needed);
    capacity_ = needed;
  }
}

ThreadScratch::~ThreadScratch() {
  const Block block{block_, capacity_};
  std::free(capacity_ <= kMaxCachedBlock ? block_cache.put(block).data : block_);
}

std::byte* ThreadScratch::of(int thread) const noexcept {
  return block_ == nullptr ? nullptr : block_ + static_cast<std::size_t>(thread) * stride_;
}

}  // namespace heedful
