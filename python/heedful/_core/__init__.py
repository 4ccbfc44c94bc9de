"""The loader: the compiled module for the best level that this processor runs, as `native`.

HEEDFUL_ISA=v2|v3|v4 in the environment forces a level, HEEDFUL_BFLOAT16 how bfloat16 is multiplied,
HEEDFUL_INT8 how int8 is; one that is not available is an ImportError.
"""

import importlib
import os
import platform
import sys
from collections.abc import Callable
from importlib.util import find_spec
from types import ModuleType
from typing import TYPE_CHECKING

from heedful._core._explain import explain

__all__ = ["available_levels", "features", "level", "native"]

_LEVELS = ("v2", "v3", "v4")
_WAYS = {
    "BFLOAT16": ("tiles", "tiles-model", "pairs", "widened"),
    "INT8": ("tiles", "tiles-model", "vnni", "bytes", "widened"),
}
_ON_X86_64 = platform.machine().lower() in ("x86_64", "amd64") and sys.maxsize > 2**32


def _load(name: str) -> ModuleType:
    try:
        return importlib.import_module(f"{__name__}.{name}")
    except ImportError as error:
        raise ImportError(explain(f"{__name__}.{name}", list(__path__), error)) from error


def available_levels() -> tuple[str, ...]:
    """The levels that are installed and that this processor runs, worst first."""
    if not _ON_X86_64:
        return ("native",)
    return tuple(name for name in _runnable() if find_spec(f"{__name__}._native_{name}"))


def features() -> tuple[str, ...]:
    """The processor's vector extensions that the probe tests for; empty except on x86-64."""
    return tuple(_load("_cpu_probe").features()) if _ON_X86_64 else ()


def _runnable() -> tuple[str, ...]:
    best: str = _load("_cpu_probe").best_level()
    return tuple(name for name in _LEVELS if name <= best)


def _choose(forced: str) -> str:
    """The level to load; `forced` is the value of HEEDFUL_ISA, empty if not set."""
    if not _ON_X86_64:
        if forced:
            raise ImportError(
                f"HEEDFUL_ISA chooses among the levels of x86-64: "
                f"got {forced!r} on {platform.machine()}"
            )
        return "native"
    runnable = _runnable()
    if not runnable:
        raise ImportError("heedful needs a processor of level x86-64-v2 (SSE4.2) or better")
    available = available_levels()
    if not forced:
        return available[-1] if available else runnable[-1]
    if forced not in _LEVELS:
        raise ImportError(f"HEEDFUL_ISA must be one of v2, v3, v4: got {forced!r}")
    if forced not in runnable:
        raise ImportError(
            f"HEEDFUL_ISA={forced} is more than this processor runs: "
            f"its best level is {runnable[-1]}"
        )
    if forced not in available:
        raise ImportError(
            f"HEEDFUL_ISA={forced} is not installed: "
            f"installed are {', '.join(available) or 'no levels'}"
        )
    return forced


level: str = _choose(os.environ.get("HEEDFUL_ISA", ""))

if TYPE_CHECKING:
    from heedful._core import _native as native
else:
    native = _load("_native" if level == "native" else f"_native_{level}")


def _force(what: str, force: Callable[[str], str]) -> None:
    """Take the way of multiplying that the environment names, or the processor's own."""
    name = f"HEEDFUL_{what}"
    forced = os.environ.get(name, "")
    if forced and forced not in _WAYS[what]:
        raise ImportError(f"{name} must be one of {', '.join(_WAYS[what])}: got {forced!r}")
    reason = force(forced)
    if reason:
        raise ImportError(f"{name}={forced} is not possible here: {reason}")


_force("BFLOAT16", native.force_bfloat16)
_force("INT8", native.force_int8)
