# The processor levels: the same core compiled for each of them, and a Python module made of each.
# No binary holds two levels: the linker would merge Eigen's templates and run one level's code on all.

if(CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64|amd64)$" AND CMAKE_SIZEOF_VOID_P EQUAL 8)
  set(HEEDFUL_X86_64 ON)
else()
  set(HEEDFUL_X86_64 OFF)
endif()

# Compiler options of everything except the probe.
function(heedful_options target)
  target_include_directories(${target} PRIVATE ${PROJECT_SOURCE_DIR}/cpp)
  target_link_libraries(${target} PRIVATE OpenMP::OpenMP_CXX Threads::Threads)
  # not -ffast-math: it would hide NaN and set flush-to-zero for the whole process
  target_compile_options(${target} PRIVATE -fno-math-errno -fno-trapping-math)
  if(HEEDFUL_TILES)
    target_compile_definitions(${target} PRIVATE HEEDFUL_TILES)
  endif()
  if(HEEDFUL_VNNI)
    target_compile_definitions(${target} PRIVATE HEEDFUL_VNNI)
  endif()
  heedful_checks(${target})
endfunction()

# Code without arithmetic is compiled once, for the lowest level, and linked into every module. Eigen is not on its
# include path: no module may contain templates of two levels.
function(heedful_shared_options target)
  heedful_options(${target})
  if(HEEDFUL_X86_64)
    target_compile_options(${target} PRIVATE -march=x86-64-v2)
  endif()
endfunction()

# Code with arithmetic is compiled for each level.
function(heedful_level_options target level)
  heedful_options(${target})
  target_include_directories(${target} SYSTEM PRIVATE ${HEEDFUL_EIGEN_HEADERS})
  target_compile_definitions(${target} PRIVATE EIGEN_DONT_PARALLELIZE)
  if(level STREQUAL "native")
    if(HEEDFUL_NATIVE)
      target_compile_options(${target} PRIVATE -march=native)
    endif()
  else()
    target_compile_options(${target} PRIVATE -march=x86-64-${level})
    if(level STREQUAL "v4")
      target_compile_options(${target} PRIVATE -mprefer-vector-width=512)
      if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
        # g++ 12 warns about its own AVX-512 headers; the other levels still check
        target_compile_options(${target} PRIVATE -Wno-uninitialized -Wno-maybe-uninitialized)
      endif()
    endif()
    if(NOT level STREQUAL "v2")
      # Eigen 3.4 does not turn it on by itself under g++: float16 is 13 times slower without
      target_compile_definitions(${target} PRIVATE EIGEN_HAS_FP16_C=)
    endif()
  endif()
endfunction()

# Warnings and sanitizers, where requested.
function(heedful_checks target)
  if(HEEDFUL_WARNINGS)
    # ignored-attributes: a template over a vector type drops the alignment attribute, but the type keeps its alignment
    target_compile_options(${target} PRIVATE -Wall -Wextra -Wshadow -Wconversion -Werror
                                             -Wno-ignored-attributes)
  endif()
  if(HEEDFUL_SANITIZE)
    target_compile_options(${target} PRIVATE -fsanitize=${HEEDFUL_SANITIZE} -fno-omit-frame-pointer -g)
    target_link_options(${target} PRIVATE -fsanitize=${HEEDFUL_SANITIZE})
    if(HEEDFUL_SANITIZE MATCHES "undefined")
      target_compile_options(${target} PRIVATE -fno-sanitize-recover=undefined)
    endif()
  endif()
endfunction()

# Export PyInit_* only, and put the module where Python finds it.
function(heedful_place_module target)
  if(NOT APPLE)
    set(exports ${PROJECT_SOURCE_DIR}/cpp/bindings/exports.map)
    target_link_options(${target} PRIVATE -Wl,--version-script=${exports} -Wl,--as-needed)
    set_target_properties(${target} PROPERTIES LINK_DEPENDS ${exports})
  endif()
  if(HEEDFUL_DEV_PLACE)
    set_target_properties(${target} PROPERTIES LIBRARY_OUTPUT_DIRECTORY
                          ${PROJECT_SOURCE_DIR}/python/heedful/_core)
  endif()
  install(TARGETS ${target} LIBRARY DESTINATION heedful/_core)
endfunction()

# Threads and the Python bindings: no arithmetic, so no levels.
function(heedful_add_shared)
  add_library(heedful_parallel OBJECT ${HEEDFUL_PARALLEL_SOURCES})
  heedful_shared_options(heedful_parallel)
  if(HEEDFUL_MODULES)
    add_library(heedful_bindings OBJECT ${HEEDFUL_BINDING_SOURCES})
    target_include_directories(heedful_bindings SYSTEM PRIVATE ${HEEDFUL_PYBIND11_HEADERS})
    target_link_libraries(heedful_bindings PRIVATE Python::Module)
    # one unit: g++ takes 4 seconds for the pybind11 templates of each file, 8 for all files together
    set_target_properties(heedful_bindings PROPERTIES UNITY_BUILD ON UNITY_BUILD_BATCH_SIZE 0)
    heedful_shared_options(heedful_bindings)
  endif()
endfunction()

function(heedful_add_level level module)
  add_library(heedful_core_${level} OBJECT ${HEEDFUL_CORE_SOURCES})
  heedful_level_options(heedful_core_${level} ${level})
  # not one unit: inlining decides where multiply-adds are contracted, and so changes bits
  target_precompile_headers(heedful_core_${level} PRIVATE <Eigen/Core>)
  if(HEEDFUL_MODULES)
    Python_add_library(${module} MODULE WITH_SOABI ${PROJECT_SOURCE_DIR}/cpp/bindings/entry_point.cpp
                       $<TARGET_OBJECTS:heedful_bindings> $<TARGET_OBJECTS:heedful_parallel>
                       $<TARGET_OBJECTS:heedful_core_${level}>)
    heedful_shared_options(${module})
    target_compile_definitions(${module} PRIVATE HEEDFUL_ENTRY_POINT=PyInit_${module})
    heedful_place_module(${module})
  endif()
endfunction()

# The probe detects which level the processor supports, so it must itself run everywhere.
function(heedful_add_probe)
  Python_add_library(_cpu_probe MODULE WITH_SOABI ${PROJECT_SOURCE_DIR}/cpp/isa/cpu_probe.cpp)
  target_compile_options(_cpu_probe PRIVATE -march=x86-64)
  heedful_checks(_cpu_probe)
  heedful_place_module(_cpu_probe)
  if(NOT APPLE AND NOT HEEDFUL_SANITIZE)
    # It calls no function of the C library, but auditwheel infers the module's C library from this entry. Listed once:
    # a second -lc, which the compiler would add, is unused and would replace the first one.
    target_link_options(_cpu_probe PRIVATE -nodefaultlibs)
    target_link_libraries(_cpu_probe PRIVATE -Wl,--no-as-needed -lc -Wl,--as-needed -lgcc)
  endif()
endfunction()
