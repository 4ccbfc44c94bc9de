# OpenMP of the compiler, or the command that installs it. g++ includes it. Nothing runs on its threads: heedful only
# queries how many threads a call may use and where, because the environment, threadpoolctl and other libraries
# configure that there. (Calls from PyTorch run on the threads of PyTorch's library: parallel/openmp_team.hpp.)
find_package(OpenMP COMPONENTS CXX)
if(NOT OpenMP_CXX_FOUND)
  message(FATAL_ERROR "${CMAKE_CXX_COMPILER} cannot compile OpenMP. g++ brings it along; for clang++: "
                      "apt install libomp-dev, or brew install libomp.")
endif()
