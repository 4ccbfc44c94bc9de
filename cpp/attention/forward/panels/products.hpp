// Which class computes the two products of a call, on query panels: FloatProducts, PairProducts or
// TileProducts. They have the same functions.
#pragma once

#include "attention/forward/panels/bfloat16/pair_products.hpp"
#include "attention/forward/panels/bfloat16/tile_products.hpp"
#include "attention/forward/panels/float_products.hpp"
#include "simd/bfloat16_pairs.hpp"

namespace heedful {

// Calls visit(products) with a null pointer to the class.
template <class T, class Visit>
auto with_products(const ForwardCall<T>& call, const Visit& visit) {
  if constexpr (sizeof(T) == sizeof(float)) {
    switch (way_of(call)) {
      case simd::Bfloat16Way::widened:
        break;
      case simd::Bfloat16Way::pairs:
        if constexpr (simd::compiled_bfloat16_pairs) {
          return visit(static_cast<PairProducts*>(nullptr));
        }
        break;
      case simd::Bfloat16Way::tiles:
#ifdef HEEDFUL_TILES
        return visit(static_cast<TileProducts<simd::TileRegisters>*>(nullptr));
#endif
      case simd::Bfloat16Way::tiles_model:
        return visit(static_cast<TileProducts<simd::TileModel>*>(nullptr));
    }
  }
  return visit(static_cast<FloatProducts<T>*>(nullptr));
}

}  // namespace heedful
