"""Importing and calling heedful changes nothing in the process around it."""

from __future__ import annotations

import pytest
from process import run

pytestmark = pytest.mark.slow

# What a process is, apart from its memory. Gathered before, between and after.
STATE = """
import ctypes, locale, os, platform, random, signal, sys, threading, time, warnings
import numpy as np

libm = ctypes.CDLL("libm.so.6")

def floating_point():
    environment = (ctypes.c_uint32 * 16)()
    libm.fegetenv(environment)
    x86 = platform.machine() in ("x86_64", "AMD64")
    # the control bits of MXCSR: rounding, masks, flush-to-zero (0x8000), denormals-are-zero (0x40)
    control = environment[7] & 0xFFC0 if x86 else None
    tiny = np.float32(1e-40)
    return libm.fegetround(), control, bool(tiny * np.float32(0.5) > 0)

def in_thread(function):
    result = []
    thread = threading.Thread(target=lambda: result.append(function()))
    thread.start()
    thread.join()
    return result[0]

def of_the_kernel():
    wanted = ("SigBlk", "SigIgn", "SigCgt", "Umask", "NoNewPrivs", "Seccomp", "Cpus_allowed")
    with open("/proc/self/status") as status:
        return [line for line in status if line.split(":")[0] in wanted]

def state():
    return {
        "environment": dict(os.environ),
        "signal handlers": [str(signal.getsignal(s)) for s in signal.valid_signals()],
        "signals, umask and processors of the kernel's list": of_the_kernel(),
        "affinity": os.sched_getaffinity(0),
        "priority": (os.getpriority(os.PRIO_PROCESS, 0), os.sched_getscheduler(0)),
        "floating point": floating_point(),
        "floating point of a new thread": in_thread(floating_point),
        "folder": os.getcwd(),
        "numpy's error state": np.geterr(),
        "numpy's print options": np.get_printoptions(),
        "numpy's random state": str(np.random.get_state()),
        "random state": hash(random.getstate()),
        "locale": locale.setlocale(locale.LC_ALL),
        "warning filters": list(warnings.filters),
        "recursion limit": sys.getrecursionlimit(),
        "switch interval": sys.getswitchinterval(),
        "search path": list(sys.path),
        "exception hook": sys.excepthook is sys.__excepthook__,
        "start of threads": threading.stack_size(),
    }

def differences(before, after):
    return [name for name in before if before[name] != after[name]]
"""


def test_the_import_changes_nothing_and_starts_no_thread() -> None:
    run(
        STATE
        + """
def threads_now():
    time.sleep(0.2)  # a thread that has ended is in the kernel's list for a moment
    return os.listdir("/proc/self/task")
before, threads = state(), len(threads_now())
import heedful
assert not differences(before, state()), differences(before, state())
assert len(threads_now()) == threads
""",
        preamble=False,
    )


def test_calls_change_nothing() -> None:
    run(
        STATE
        + """
import heedful
heedful.set_num_threads(3)
rng = np.random.default_rng(1)
q, k, v = (rng.standard_normal((2, 3, 301, 32)).astype("f") for _ in range(3))
large, subnormal = q * 1e4, v * 1e-42
before = state()
with np.errstate(all="raise"):
    out, pullback = heedful.attention_vjp(q, k, v, causal=True, dropout_p=0.5, rng=3)
    pullback(out)
    heedful.attention_weights(q, k, mask=np.zeros((301, 301), bool))
    heedful.attention(large, k, subnormal)
    heedful.attention(q, k, v, bias=np.full((301, 301), -np.inf, "f"))
assert not differences(before, state()), differences(before, state())
inputs = [q, k, v]
expected = [x.copy() for x in inputs]
heedful.attention(*inputs)
assert all(np.array_equal(a, b) for a, b in zip(inputs, expected))
""",
        preamble=False,
    )


def test_the_affinity_of_all_threads_stays() -> None:
    run(
        """
before = os.sched_getaffinity(0)
heedful.set_num_threads(3)
for _ in range(100):
    heedful.attention(*arrays(2, 3, 101))
assert os.sched_getaffinity(0) == before
# a worker that yields to the caller is bound to other processors for a moment
deadline = time.monotonic() + 10
tasks = [int(task) for task in os.listdir("/proc/self/task")]
while any(os.sched_getaffinity(task) != before for task in tasks):
    assert time.monotonic() < deadline
    time.sleep(0.001)
"""
    )


def test_subnormal_numbers_survive_in_the_threads_that_compute() -> None:
    run(
        """
heedful.set_num_threads(3)
x = arrays(8, 8, 301, 16)
x[2][:] = 1e-40  # all values are one, so that is every output, on whichever thread
tiny = float(np.float32(1e-40))
for _ in range(5):
    out = heedful.attention(*x)
    assert np.all(np.abs(out.astype(float) - tiny) < 1e-4 * tiny), (out.min(), out.max())
"""
    )


def test_threads_compute_with_the_caller_s_floating_point_settings() -> None:
    # The pool exists when the caller's rounding changes; results must not depend on the thread.
    run(
        """
import ctypes
libm = ctypes.CDLL("libm.so.6")
upward = {"x86_64": 0x800, "aarch64": 0x400000}[os.uname().machine]
x = arrays(8, 8, 301, 16)
heedful.set_num_threads(3)
nearest = heedful.attention(*x)
libm.fesetround(upward)
with heedful.num_threads(1):
    expected = heedful.attention(*x)
assert not np.array_equal(nearest, expected)
for _ in range(5):
    assert np.array_equal(heedful.attention(*x), expected)
libm.fesetround(0)
assert np.array_equal(heedful.attention(*x), nearest)
"""
    )
