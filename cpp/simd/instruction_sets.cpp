#include "simd/instruction_sets.hpp"

#include <Eigen/Core>

#define HEEDFUL_TEXT(number) #number
#define HEEDFUL_VERSION(world, major, minor) \
  HEEDFUL_TEXT(world) "." HEEDFUL_TEXT(major) "." HEEDFUL_TEXT(minor)

namespace heedful::simd {

const char* instruction_sets() { return Eigen::SimdInstructionSetsInUse(); }

const char* eigen_version() {
  return HEEDFUL_VERSION(EIGEN_WORLD_VERSION, EIGEN_MAJOR_VERSION, EIGEN_MINOR_VERSION);
}

}  // namespace heedful::simd
