# A C++ compiler that supports the x86-64 levels, or the command that installs one.
set(heedful_compiler_help
    "heedful is compiled by g++ 11 or newer, or by clang++ 14 or newer. "
    "Debian, Ubuntu: apt install g++. Fedora: dnf install gcc-c++. conda: conda install gxx.")

include(CheckLanguage)
check_language(CXX)
if(NOT CMAKE_CXX_COMPILER)
  message(FATAL_ERROR "No C++ compiler was found. " ${heedful_compiler_help})
endif()
enable_language(CXX)

if(NOT CMAKE_CXX_COMPILER_ID MATCHES "^(GNU|Clang|AppleClang|IntelLLVM)$"
   OR (CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 11)
   OR (CMAKE_CXX_COMPILER_ID STREQUAL "Clang" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 14))
  message(FATAL_ERROR "${CMAKE_CXX_COMPILER} is ${CMAKE_CXX_COMPILER_ID} "
                      "${CMAKE_CXX_COMPILER_VERSION}. " ${heedful_compiler_help})
endif()

if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release)
endif()

# Whether the assembler knows the tiles of AMX (binutils 2.35, clang 12) and AVX-VNNI (2.36, 12).
include(CheckCXXSourceCompiles)
check_cxx_source_compiles("int main() { __asm__ volatile(\"tdpbf16ps %tmm2, %tmm1, %tmm0\"); }" HEEDFUL_TILES)
check_cxx_source_compiles("int main() { __asm__ volatile(\"%{vex%} vpdpbusd %%ymm2, %%ymm1, %%ymm0\" : :); }"
                          HEEDFUL_VNNI)
