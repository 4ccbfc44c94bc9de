# OpenMP of the compiler, or the line that installs it. g++ brings its own. Nothing runs on its threads: it is asked
# how many threads a call may use and where, because the environment, threadpoolctl and other libraries tell it that.
find_package(OpenMP COMPONENTS CXX)
if(NOT OpenMP_CXX_FOUND)
  message(FATAL_ERROR "${CMAKE_CXX_COMPILER} cannot compile OpenMP. g++ brings it along; for clang++: "
                      "apt install libomp-dev, or brew install libomp.")
endif()
