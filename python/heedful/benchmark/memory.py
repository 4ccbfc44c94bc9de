"""Memory that a call takes beyond its inputs and outputs."""

import ctypes
import dataclasses
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from heedful.benchmark.peers import Library
from heedful.benchmark.shapes import Case, make_inputs


def measure(library: Library, case: Case) -> dict[str, Any]:
    """Peak resident size during a call, minus that before it and the outputs.

    A call with short sequences first excludes the memory of starting threads and loading code.
    """
    if not sys.platform.startswith("linux"):
        return {"failed": "peak memory is read from /proc, which this system does not have"}
    short = dataclasses.replace(case.shape, Lq=64, Lk=64)
    first = dataclasses.replace(case, shape=short)
    for way in library.ways(first, make_inputs(first)):
        way.run()
    inputs = make_inputs(case)
    way = library.ways(case, inputs)[0]
    results: list[Any] = []
    extra = highest(lambda: results.extend(way.read(way.run())))
    outputs = sum(array.nbytes for array in results)
    return {"way": way.name, "extra": extra - outputs, "outputs": outputs}


def highest(call: Callable[[], object]) -> int:
    """The peak resident size during a call, minus that before it, in bytes."""
    _trim()
    before = _status("VmRSS")
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # resets VmHWM
    call()
    return _status("VmHWM") - before


def _status(name: str) -> int:
    """A size in bytes from /proc/self/status."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith(name + ":"):
            return int(line.split()[1]) * 1024
    raise OSError(f"/proc/self/status has no {name}")


def _trim() -> None:
    """Return freed memory to the system, so that it does not count as used before."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
