# One processor level: the core as objects, and the Python module made of it.
# Levels never meet in one binary: the linker would merge Eigen's templates and run one level's code on all.

if(CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64|amd64)$" AND CMAKE_SIZEOF_VOID_P EQUAL 8)
  set(HEEDFUL_X86_64 ON)
else()
  set(HEEDFUL_X86_64 OFF)
endif()

# Compiler options that every target of a level shares.
function(heedful_level_options target level)
  target_include_directories(${target} PRIVATE ${PROJECT_SOURCE_DIR}/cpp)
  target_link_libraries(${target} PRIVATE Eigen3::Eigen OpenMP::OpenMP_CXX Threads::Threads)
  target_compile_definitions(${target} PRIVATE EIGEN_DONT_PARALLELIZE)
  # not -ffast-math: it would hide NaN and set flush-to-zero for the whole process
  target_compile_options(${target} PRIVATE -fno-math-errno -fno-trapping-math)
  if(level STREQUAL "native")
    if(HEEDFUL_NATIVE)
      target_compile_options(${target} PRIVATE -march=native)
    endif()
  else()
    target_compile_options(${target} PRIVATE -march=x86-64-${level})
    if(level STREQUAL "v4")
      target_compile_options(${target} PRIVATE -mprefer-vector-width=512)
    endif()
    if(NOT level STREQUAL "v2")
      # Eigen 3.4 does not turn it on by itself under g++: float16 is 13 times slower without
      target_compile_definitions(${target} PRIVATE EIGEN_HAS_FP16_C=)
    endif()
  endif()
  heedful_checks(${target})
endfunction()

# Warnings and sanitizers, where asked for.
function(heedful_checks target)
  if(HEEDFUL_WARNINGS)
    # ignored-attributes: every template over a vector type drops its alignment, which the type keeps itself
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

# Export PyInit_* alone, and put the module where Python looks for it.
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

function(heedful_add_level level module)
  if(HEEDFUL_CORE_SOURCES)
    add_library(heedful_core_${level} OBJECT ${HEEDFUL_CORE_SOURCES})
    heedful_level_options(heedful_core_${level} ${level})
    set(objects $<TARGET_OBJECTS:heedful_core_${level}>)
  endif()
  if(HEEDFUL_MODULES)
    pybind11_add_module(${module} MODULE NO_EXTRAS ${HEEDFUL_BINDING_SOURCES} ${objects})
    heedful_level_options(${module} ${level})
    target_compile_definitions(${module} PRIVATE HEEDFUL_MODULE=${module})
    heedful_place_module(${module})
  endif()
endfunction()

# The probe says which level the processor runs, so it must run everywhere itself.
function(heedful_add_probe)
  Python_add_library(_cpu_probe MODULE WITH_SOABI cpp/isa/cpu_probe.cpp)
  target_compile_options(_cpu_probe PRIVATE -march=x86-64)
  heedful_checks(_cpu_probe)
  heedful_place_module(_cpu_probe)
endfunction()
