#include "arrays/rows.hpp"

#include <cstdint>
#include <cstdlib>
#include <cstring>

#include "arrays/prefetch.hpp"
#include "simd/half.hpp"
#include "simd/int8.hpp"

namespace heedful {
namespace {

using Widen = void (*)(const std::uint16_t*, float*, std::ptrdiff_t);
using Narrow = void (*)(const float*, std::uint16_t*, std::ptrdiff_t);
constexpr std::ptrdiff_t chunk = 64;

template <class From, class To>
void convert(const char* from, std::ptrdiff_t from_stride, char* to, std::ptrdiff_t to_stride,
             std::ptrdiff_t count) {
  for (std::ptrdiff_t i = 0; i < count; ++i) {
    *reinterpret_cast<To*>(to + i * to_stride) =
        static_cast<To>(*reinterpret_cast<const From*>(from + i * from_stride));
  }
}

template <class T>
void read_half(Widen widen, const char* from, std::ptrdiff_t stride, T* to, std::ptrdiff_t count) {
  if (sizeof(T) == sizeof(float) && stride == 2) {
    widen(reinterpret_cast<const std::uint16_t*>(from), reinterpret_cast<float*>(to), count);
    return;
  }
  std::uint16_t narrow[chunk];
  float wide[chunk];
  for (std::ptrdiff_t begin = 0; begin < count; begin += chunk) {
    const std::ptrdiff_t size = count - begin < chunk ? count - begin : chunk;
    convert<std::uint16_t, std::uint16_t>(from + begin * stride, stride,
                                          reinterpret_cast<char*>(narrow), 2, size);
    widen(narrow, wide, size);
    for (std::ptrdiff_t i = 0; i < size; ++i) to[begin + i] = static_cast<T>(wide[i]);
  }
}

template <class T>
void read_int8(const char* from, std::ptrdiff_t stride, T* to, std::ptrdiff_t count) {
  if constexpr (sizeof(T) == sizeof(float)) {
    if (stride == 1) return simd::convert_row(reinterpret_cast<const simd::Int8*>(from), to, count);
  }
  convert<std::int8_t, T>(from, stride, reinterpret_cast<char*>(to), sizeof(T), count);
}

template <class T>
void write_half(Narrow narrow, const T* from, char* to, std::ptrdiff_t stride,
                std::ptrdiff_t count) {
  if (sizeof(T) == sizeof(float) && stride == 2) {
    narrow(reinterpret_cast<const float*>(from), reinterpret_cast<std::uint16_t*>(to), count);
    return;
  }
  std::uint16_t narrowed[chunk];
  float wide[chunk];
  for (std::ptrdiff_t begin = 0; begin < count; begin += chunk) {
    const std::ptrdiff_t size = count - begin < chunk ? count - begin : chunk;
    for (std::ptrdiff_t i = 0; i < size; ++i) wide[i] = static_cast<float>(from[begin + i]);
    narrow(wide, narrowed, size);
    convert<std::uint16_t, std::uint16_t>(reinterpret_cast<const char*>(narrowed), 2,
                                          to + begin * stride, stride, size);
  }
}

}  // namespace

template <class T>
void read_row(const char* from, ElementType type, std::ptrdiff_t stride, T* to,
              std::ptrdiff_t count) {
  if (count == 0) return;  // memcpy requires valid addresses even then
  if (type == element_type<T> && stride == sizeof(T)) {
    std::memcpy(to, from, static_cast<std::size_t>(count) * sizeof(T));
    return;
  }
  char* const target = reinterpret_cast<char*>(to);
  switch (type) {
    case ElementType::float32:
      return convert<float, T>(from, stride, target, sizeof(T), count);
    case ElementType::float64:
      return convert<double, T>(from, stride, target, sizeof(T), count);
    case ElementType::float16:
      return read_half(simd::widen_float16, from, stride, to, count);
    case ElementType::bfloat16:
      return read_half(simd::widen_bfloat16, from, stride, to, count);
    case ElementType::boolean:
      return convert<std::uint8_t, T>(from, stride, target, sizeof(T), count);
    case ElementType::int8:
      return read_int8(from, stride, to, count);
  }
}

template <class T>
void read_row(const TensorView& view, std::ptrdiff_t item, std::ptrdiff_t head, std::ptrdiff_t row,
              T* to, std::ptrdiff_t columns) {
  read_row(view.row(item, head, row), view.type, view.column_stride, to, columns);
  if (!view.scales) return;
  const T scale = static_cast<T>(view.scale(item, head, row));
  for (std::ptrdiff_t column = 0; column < columns; ++column) to[column] *= scale;
}

template <class T>
void write_row(const T* from, char* to, ElementType type, std::ptrdiff_t stride,
               std::ptrdiff_t count) {
  const char* const source = reinterpret_cast<const char*>(from);
  if (type == element_type<T> && stride == sizeof(T) && count > 0) {
    std::memcpy(to, from, static_cast<std::size_t>(count) * sizeof(T));
    return;
  }
  switch (type) {
    case ElementType::float32:
      return convert<T, float>(source, sizeof(T), to, stride, count);
    case ElementType::float64:
      return convert<T, double>(source, sizeof(T), to, stride, count);
    case ElementType::float16:
      return write_half(simd::narrow_float16, from, to, stride, count);
    case ElementType::bfloat16:
      return write_half(simd::narrow_bfloat16, from, to, stride, count);
    case ElementType::boolean:
    case ElementType::int8:
      return;  // no result is of these types
  }
}

namespace {

template <class T>
bool is_readable(const TensorView& view, std::ptrdiff_t columns, InPlace condition) {
  if (!view.in_place<T>()) return false;
  switch (condition) {
    case InPlace::any_stride:
      return true;
    case InPlace::full_vector:
      return columns >= simd::lanes<T>;
    case InPlace::close:
      return std::abs(view.row_stride) <= 2 * columns * static_cast<std::ptrdiff_t>(sizeof(T));
  }
  return false;
}

// Rows one stride apart.
template <class T>
void copy_run(const TensorView& view, std::ptrdiff_t item, std::ptrdiff_t head,
              std::ptrdiff_t first, std::ptrdiff_t count, std::ptrdiff_t columns, T* buffer) {
  const std::ptrdiff_t stride = padded<T>(columns);
  const char* from = view.row(item, head, first);
  if (columns == stride && view.row_stride == columns * view.column_stride && !view.scales) {
    // rows without gaps are one long row
    read_row(from, view.type, view.column_stride, buffer, count * columns);
    return;
  }
  RowRun ahead = RowRun::of(view, item, head, first, count, columns);
  ahead.next(8);
  for (std::ptrdiff_t row = 0; row < count; ++row, from += view.row_stride) {
    T* const to = buffer + row * stride;
    ahead.next(1);
    read_row(from, view.type, view.column_stride, to, columns);
    if (view.scales) {
      const T scale = static_cast<T>(view.scale(item, head, first + row));
      for (std::ptrdiff_t column = 0; column < columns; ++column) to[column] *= scale;
    }
    for (std::ptrdiff_t column = columns; column < stride; ++column) to[column] = 0;
  }
}

}  // namespace

template <class T>
bool reads_in_place(const TensorView& view, std::ptrdiff_t columns, InPlace condition) {
  return !view.pages && is_readable<T>(view, columns, condition);
}

template <class T>
Rows<T> load_rows(const TensorView& view, std::ptrdiff_t item, std::ptrdiff_t head,
                  std::ptrdiff_t first, std::ptrdiff_t count, std::ptrdiff_t columns,
                  InPlace condition, T* buffer) {
  if (is_readable<T>(view, columns, condition) && view.run(first, count) == count) {
    return {reinterpret_cast<const T*>(view.row(item, head, first)),
            view.row_stride / static_cast<std::ptrdiff_t>(sizeof(T))};
  }
  copy_rows(view, item, head, first, count, columns, buffer);
  return {buffer, padded<T>(columns)};
}

template <class T>
void copy_rows(const TensorView& view, std::ptrdiff_t item, std::ptrdiff_t head,
               std::ptrdiff_t first, std::ptrdiff_t count, std::ptrdiff_t columns, T* buffer) {
  while (count > 0) {
    const std::ptrdiff_t here = view.run(first, count);
    copy_run(view, item, head, first, here, columns, buffer);
    first += here, count -= here, buffer += here * padded<T>(columns);
  }
}

template <class T>
T dot(const T* a, const T* b, std::ptrdiff_t count) {
  auto sums = simd::broadcast(T{0});
  std::ptrdiff_t i = 0;
  for (; i + simd::lanes<T> <= count; i += simd::lanes<T>) {
    sums = simd::multiply_add(simd::load(a + i), simd::load(b + i), sums);
  }
  T remainder = 0;
  for (; i < count; ++i) remainder += a[i] * b[i];
  return simd::sum(sums) + remainder;
}

template void read_row(const char*, ElementType, std::ptrdiff_t, float*, std::ptrdiff_t);
template void read_row(const char*, ElementType, std::ptrdiff_t, double*, std::ptrdiff_t);
template void read_row(const TensorView&, std::ptrdiff_t, std::ptrdiff_t, std::ptrdiff_t, float*,
                       std::ptrdiff_t);
template void read_row(const TensorView&, std::ptrdiff_t, std::ptrdiff_t, std::ptrdiff_t, double*,
                       std::ptrdiff_t);
template void write_row(const float*, char*, ElementType, std::ptrdiff_t, std::ptrdiff_t);
template void write_row(const double*, char*, ElementType, std::ptrdiff_t, std::ptrdiff_t);
template bool reads_in_place<float>(const TensorView&, std::ptrdiff_t, InPlace);
template bool reads_in_place<double>(const TensorView&, std::ptrdiff_t, InPlace);
template Rows<float> load_rows(const TensorView&, std::ptrdiff_t, std::ptrdiff_t, std::ptrdiff_t,
                               std::ptrdiff_t, std::ptrdiff_t, InPlace, float*);
template Rows<double> load_rows(const TensorView&, std::ptrdiff_t, std::ptrdiff_t, std::ptrdiff_t,
                                std::ptrdiff_t, std::ptrdiff_t, InPlace, double*);
template void copy_rows(const TensorView&, std::ptrdiff_t, std::ptrdiff_t, std::ptrdiff_t,
                        std::ptrdiff_t, std::ptrdiff_t, float*);
template void copy_rows(const TensorView&, std::ptrdiff_t, std::ptrdiff_t, std::ptrdiff_t,
                        std::ptrdiff_t, std::ptrdiff_t, double*);
template float dot(const float*, const float*, std::ptrdiff_t);
template double dot(const double*, const double*, std::ptrdiff_t);

}  // namespace heedful
