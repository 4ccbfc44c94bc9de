// The split of a product's columns into blocks of vectors.
#pragma once

#include <algorithm>
#include <cstddef>

namespace heedful {

// Blocks of at most `max_block` vectors, as even as possible. Where the columns do not fill their
// last vector, the last block begins earlier and overlaps the one before: the columns in both are
// computed twice, with the same bits. columns ≥ width.
class ColumnBlocks {
 public:
  ColumnBlocks(std::ptrdiff_t columns, std::ptrdiff_t width, std::ptrdiff_t max_block)
      : columns_(columns), width_(width), vectors_((columns + width - 1) / width) {
    count_ = (vectors_ + max_block - 1) / max_block;
    // one block alone has nothing to overlap
    if (count_ == 1 && columns % width != 0) count_ = 2;
  }

  std::ptrdiff_t count() const { return count_; }
  int vectors(std::ptrdiff_t block) const {
    return static_cast<int>(boundary(block + 1) - boundary(block));
  }
  // First column.
  std::ptrdiff_t begin(std::ptrdiff_t block) const {
    return std::min(boundary(block) * width_, columns_ - vectors(block) * width_);
  }

 private:
  std::ptrdiff_t boundary(std::ptrdiff_t block) const { return vectors_ * block / count_; }

  std::ptrdiff_t columns_, width_, vectors_, count_;
};

}  // namespace heedful
