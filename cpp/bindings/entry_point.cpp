// The function that Python looks for in the module of one level, HEEDFUL_ENTRY_POINT. It names
// neither Python.h nor pybind11, which take longer to read than all of it.
struct _object;

extern "C" _object* PyInit_native_body();
extern "C" __attribute__((visibility("default"))) _object* HEEDFUL_ENTRY_POINT() {
  return PyInit_native_body();
}
