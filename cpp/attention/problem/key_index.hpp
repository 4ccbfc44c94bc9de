// A key of a list, relative to its item.
#pragma once

#include <cstdint>
#include <limits>

namespace heedful {

using KeyIndex = std::int32_t;

// Past the last key of a list in ascending order.
inline constexpr KeyIndex no_key = std::numeric_limits<KeyIndex>::max();

}  // namespace heedful
