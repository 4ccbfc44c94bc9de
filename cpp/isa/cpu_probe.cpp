// The instruction sets that this processor and its operating system support. Baseline code: it must
// itself run everywhere, so it is the only module without any library templates.
#define PY_SSIZE_T_CLEAN
#include <Python.h>

namespace {

// The levels of the x86-64 psABI. __builtin_cpu_supports also checks that the operating system
// saves the wide registers (XGETBV).
bool runs_v2() {
  return __builtin_cpu_supports("cmpxchg16b") && __builtin_cpu_supports("lahf_lm") &&
         __builtin_cpu_supports("popcnt") && __builtin_cpu_supports("sse3") &&
         __builtin_cpu_supports("ssse3") && __builtin_cpu_supports("sse4.1") &&
         __builtin_cpu_supports("sse4.2");
}

bool runs_v3() {
  return runs_v2() && __builtin_cpu_supports("avx") && __builtin_cpu_supports("avx2") &&
         __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2") &&
         __builtin_cpu_supports("f16c") && __builtin_cpu_supports("fma") &&
         __builtin_cpu_supports("lzcnt") && __builtin_cpu_supports("movbe");
}

bool runs_v4() {
  return runs_v3() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
         __builtin_cpu_supports("avx512vl");
}

PyObject* best_level(PyObject*, PyObject*) {
  const char* level = runs_v4() ? "v4" : runs_v3() ? "v3" : runs_v2() ? "v2" : "v1";
  return PyUnicode_FromString(level);
}

PyObject* features(PyObject*, PyObject*) {
  const struct {
    const char* name;
    bool present;
  } table[] = {
      {"sse4_2", __builtin_cpu_supports("sse4.2") != 0},
      {"avx", __builtin_cpu_supports("avx") != 0},
      {"avx2", __builtin_cpu_supports("avx2") != 0},
      {"fma", __builtin_cpu_supports("fma") != 0},
      {"f16c", __builtin_cpu_supports("f16c") != 0},
      {"avx512f", __builtin_cpu_supports("avx512f") != 0},
      {"avx512bw", __builtin_cpu_supports("avx512bw") != 0},
      {"avx512dq", __builtin_cpu_supports("avx512dq") != 0},
      {"avx512vl", __builtin_cpu_supports("avx512vl") != 0},
      {"avx512_vnni", __builtin_cpu_supports("avx512vnni") != 0},
      {"avx512_bf16", __builtin_cpu_supports("avx512bf16") != 0},
  };
  PyObject* names = PyList_New(0);
  if (names == nullptr) return nullptr;
  for (const auto& feature : table) {
    if (!feature.present) continue;
    PyObject* name = PyUnicode_FromString(feature.name);
    if (name == nullptr || PyList_Append(names, name) != 0) {
      Py_XDECREF(name);
      Py_DECREF(names);
      return nullptr;
    }
    Py_DECREF(name);
  }
  return names;
}

PyMethodDef methods[] = {
    {"best_level", best_level, METH_NOARGS,
     "The best x86-64 level that runs here: v1, v2, v3 or v4."},
    {"features", features, METH_NOARGS, "The names of the vector extensions that run here."},
    {nullptr, nullptr, 0, nullptr},
};

PyModuleDef_Slot slots[] = {
#ifdef Py_mod_multiple_interpreters
    {Py_mod_multiple_interpreters, Py_MOD_PER_INTERPRETER_GIL_SUPPORTED},
#endif
#ifdef Py_mod_gil
    {Py_mod_gil, Py_MOD_GIL_NOT_USED},
#endif
    {0, nullptr},
};

PyModuleDef definition = {PyModuleDef_HEAD_INIT,
                          "_cpu_probe",
                          "What this processor runs.",
                          0,
                          methods,
                          slots,
                          nullptr,
                          nullptr,
                          nullptr};

}  // namespace

PyMODINIT_FUNC PyInit__cpu_probe() {
  __builtin_cpu_init();
  return PyModuleDef_Init(&definition);
}
