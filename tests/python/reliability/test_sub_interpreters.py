"""Sub-interpreters, as of mod_wsgi: an ImportError before Python 3.12, right results after."""

from __future__ import annotations

import sys
import threading

import pytest
from process import run

from heedful import _interpreter

pytestmark = [pytest.mark.once, pytest.mark.slow]

# in one that shares the lock of the main interpreter, as all did before 3.12, or has its own
PREAMBLE = """
import sys
try:
    import _xxsubinterpreters as interpreters
except ImportError:
    import _interpreters as interpreters

def in_another(code, own=False):
    if sys.version_info >= (3, 13):
        number = interpreters.create("isolated" if own else "legacy")
    elif sys.version_info >= (3, 12):
        number = interpreters.create(isolated=own)
    else:
        number = interpreters.create()
    failure = interpreters.run_string(number, code)
    assert failure is None, failure
    interpreters.destroy(number)

IMPORT = '''
import warnings
warnings.simplefilter("ignore")  # NumPy gives one
try:
    import heedful
except ImportError as error:
    print("ImportError:", error, flush=True)
else:
    import numpy as np
    from heedful import layers, training
    x = np.eye(3)
    print(heedful.attention(x, x, x).round(3)[0].tolist())
    print(heedful.attention_vjp(x, x, x)[1](x).value.sum().round(6))
    model = layers.Sequential(layers.Linear(3, 1, rng=0))
    model.compile("sgd", "mse")
    model.fit(x, x[:, 0], verbose=0)
    print("trained", flush=True)
'''
"""

REFUSED = (
    "ImportError: heedful cannot be imported in a sub-interpreter on Python "
    f"{sys.version_info[0]}.{sys.version_info[1]}: use the main interpreter (mod_wsgi: "
    "WSGIApplicationGroup %{GLOBAL}), or Python 3.12 or later\n"
)
RIGHT = "[0.471, 0.264, 0.264]\n3.0\ntrained\n"
ONCE = "ImportError: cannot load module more than once per process\n"
before_3_12 = sys.version_info < (3, 12)

pytest.importorskip("_xxsubinterpreters" if sys.version_info < (3, 13) else "_interpreters")


def test_one_that_shares_the_lock() -> None:
    printed = run(PREAMBLE + "in_another(IMPORT)", preamble=False)
    assert printed == (REFUSED if before_3_12 else RIGHT)


def test_the_main_one_beside_it_and_two_after_one_another() -> None:
    program = "import heedful\nin_another(IMPORT)\nin_another(IMPORT)\nexec(IMPORT)"
    printed = run(PREAMBLE + program, preamble=False)
    others = (REFUSED,) if before_3_12 else (ONCE, RIGHT)  # by NumPy's version
    assert printed in [2 * other + RIGHT for other in others]


@pytest.mark.skipif(before_3_12, reason="all share one lock")
def test_one_with_a_lock_of_its_own_is_refused_by_numpy() -> None:
    printed = run(PREAMBLE + "in_another(IMPORT, own=True)", preamble=False)
    assert printed.startswith("ImportError: ")


def test_another_thread_of_the_main_interpreter_is_no_other_interpreter() -> None:
    found = []
    thread = threading.Thread(target=lambda: found.append(_interpreter._is_main()))
    thread.start()
    thread.join()
    assert found == [True]


@pytest.mark.skipif(not before_3_12, reason="it is not asked")
def test_it_is_detected_without_ctypes_too() -> None:
    hidden = IMPORT_WITHOUT_CTYPES + "in_another(WITHOUT)"
    assert run(PREAMBLE + hidden, preamble=False) == "True\nFalse\n"


IMPORT_WITHOUT_CTYPES = """
import importlib.util
spec = importlib.util.find_spec("heedful")
WITHOUT = f'''
import sys, importlib.util
sys.modules["ctypes"] = None
sys.version_info = (3, 12)  # so that it does not refuse
path = {spec.submodule_search_locations[0] + "/_interpreter.py"!r}
spec = importlib.util.spec_from_file_location("interpreter", path)
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
print(module._is_main(), flush=True)
'''
exec(WITHOUT)
"""
