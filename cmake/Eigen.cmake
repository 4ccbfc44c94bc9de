# The system's Eigen where CMake finds one, otherwise the cmeel-eigen package of the build environment.
find_package(Eigen3 3.4 CONFIG QUIET)
if(NOT Eigen3_FOUND)
  list(TRANSFORM CMAKE_PREFIX_PATH APPEND "/cmeel.prefix" OUTPUT_VARIABLE heedful_eigen_prefixes)
  find_package(Eigen3 3.4 CONFIG QUIET PATHS ${heedful_eigen_prefixes} ${CMAKE_PREFIX_PATH})
endif()
if(NOT Eigen3_FOUND)
  message(FATAL_ERROR "Eigen 3.4 was not found: install it (apt install libeigen3-dev, or "
                      "pip install 'cmeel-eigen>=3.4,<4' with its prefix in CMAKE_PREFIX_PATH)")
endif()
get_target_property(heedful_eigen_includes Eigen3::Eigen INTERFACE_INCLUDE_DIRECTORIES)
list(GET heedful_eigen_includes 0 heedful_eigen_includes)
heedful_copy_headers(${heedful_eigen_includes} Eigen HEEDFUL_EIGEN_HEADERS)
message(STATUS "Eigen ${Eigen3_VERSION}: ${Eigen3_DIR}")
