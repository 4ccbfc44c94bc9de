"""Sub-interpreters: pybind11 supports them from Python 3.12 on.

Imported before NumPy, whose own error message names no remedy.
"""

import sys

__all__ = ["check_interpreter"]


def check_interpreter() -> None:
    """An ImportError where the compiled modules would never return from their import."""
    if sys.version_info >= (3, 12) or _is_main():
        return
    raise ImportError(
        "heedful cannot be imported in a sub-interpreter on Python "
        f"{sys.version_info[0]}.{sys.version_info[1]}: use the main interpreter (mod_wsgi: "
        "WSGIApplicationGroup %{GLOBAL}), or Python 3.12 or later"
    )


def _is_main() -> bool:
    """Whether this is the main interpreter; True also where that is unknown."""
    if sys.implementation.name != "cpython":  # the others have no sub-interpreters
        return True
    try:
        import ctypes  # NumPy imports it in any case
    except ImportError:
        return _is_main_by_number()
    # own prototypes: those of ctypes.pythonapi are shared by the whole process
    state = ctypes.PYFUNCTYPE(ctypes.c_void_p)
    here = state(("PyInterpreterState_Get", ctypes.pythonapi))
    main = state(("PyInterpreterState_Main", ctypes.pythonapi))
    return bool(here() == main())


def _is_main_by_number() -> bool:
    try:
        import _xxsubinterpreters as interpreters  # type: ignore[import-not-found,unused-ignore]
    except ImportError:
        return True
    return bool(interpreters.get_current() == interpreters.get_main())


check_interpreter()
