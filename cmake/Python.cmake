# Python with its headers, or the command that installs them, and pybind11.
find_package(Python 3.10 COMPONENTS Interpreter Development.Module)
if(NOT Python_FOUND)
  message(FATAL_ERROR "Python 3.10 or newer with its headers is needed. "
                      "Debian, Ubuntu: apt install python3-dev. Fedora: dnf install python3-devel.")
endif()
find_package(pybind11 3 CONFIG REQUIRED)
heedful_copy_headers(${pybind11_INCLUDE_DIR} pybind11 HEEDFUL_PYBIND11_HEADERS)
