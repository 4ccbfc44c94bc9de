// The key or value rows of one tile, loaded on first use: a tile that no query sees is never read.
#pragma once

#include <cmath>
#include <cstddef>

#include "arrays/kept_rows.hpp"
#include "arrays/rows.hpp"
#include "attention/problem/problem.hpp"
#include "kernels/nonfinite.hpp"

namespace heedful {

template <class T>
class TileRows {
 public:
  // `buffer` has room for (keys, padded columns) elements, used only for rows that are neither read
  // in place nor kept.
  TileRows(const TensorView& view, std::ptrdiff_t item, std::ptrdiff_t head,
           std::ptrdiff_t first_row, KeyRange keys, std::ptrdiff_t columns, InPlace condition,
           T* buffer, const KeptRows<T>* kept = nullptr)
      : view_(view),
        item_(item),
        head_(head),
        first_row_(first_row),
        keys_(keys),
        columns_(columns),
        condition_(condition),
        buffer_(buffer),
        kept_(kept) {}

  // The rows from `key` (relative to the item).
  Rows<T> from(std::ptrdiff_t key) {
    if (!loaded_) {
      rows_ = kept_ && !reads_in_place<T>(view_, columns_, condition_)
                  ? kept_->load(view_, item_, head_, first_row_, keys_.begin, keys_.end, columns_)
                  : load_rows(view_, item_, head_, first_row_ + keys_.begin, keys_.size(), columns_,
                              condition_, buffer_);
      loaded_ = true;
    }
    return {rows_.data + (key - keys_.begin) * rows_.stride, rows_.stride};
  }

  bool finite() {
    if (finite_ == Finite::unknown) {
      finite_ = compute_finite() ? Finite::yes : Finite::no;
    }
    return finite_ == Finite::yes;
  }

 private:
  // 16-bit rows that are not loaded yet are checked as stored, without widening them.
  bool compute_finite() {
    if (view_.scales && !loaded_) {  // the elements of int8 are
      for (std::ptrdiff_t key = keys_.begin; key < keys_.end; ++key) {
        if (!std::isfinite(view_.scale(item_, head_, first_row_ + key))) return false;
      }
      return true;
    }
    const bool half = view_.type == ElementType::float16 || view_.type == ElementType::bfloat16;
    if (loaded_ || !half || view_.pages || view_.column_stride != 2 || view_.row_stride % 2 != 0) {
      return all_finite(from(keys_.begin), keys_.size(), columns_);
    }
    const char* const rows = view_.row(item_, head_, first_row_ + keys_.begin);
    const std::uint16_t exponent = view_.type == ElementType::float16 ? 0x7C00 : 0x7F80;
    return all_finite({reinterpret_cast<const std::uint16_t*>(rows), view_.row_stride / 2},
                      keys_.size(), columns_, exponent);
  }

  enum class Finite : unsigned char { unknown, yes, no };

  const TensorView& view_;
  std::ptrdiff_t item_, head_, first_row_;
  KeyRange keys_;
  std::ptrdiff_t columns_;
  InPlace condition_;
  T* buffer_;
  const KeptRows<T>* kept_;
  Rows<T> rows_{nullptr, 0};
  bool loaded_ = false;
  Finite finite_ = Finite::unknown;
};

}  // namespace heedful
