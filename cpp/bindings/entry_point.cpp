// The function that Python calls to load the module of one level, HEEDFUL_ENTRY_POINT. It includes
// neither Python.h nor pybind11, which would dominate its compile time.
struct _object;

extern "C" _object* PyInit_native_body();
extern "C" __attribute__((visibility("default"))) _object* HEEDFUL_ENTRY_POINT() {
  return PyInit_native_body();
}
