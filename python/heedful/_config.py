"""What heedful runs on: `show_config`."""

import os
import platform
from typing import Any, Literal, overload

import numpy as np

from heedful import _core
from heedful._checks import one_of
from heedful._printable import printable
from heedful._version import __version__

__all__ = ["Config", "show_config"]

_RUNTIMES = ("libgomp", "libomp", "libiomp")


class Config(dict[str, Any]):
    """A dictionary that prints one line per entry."""

    def __str__(self) -> str:
        width = max(map(len, self), default=0)
        return "\n".join(f"{name:<{width}}  {_as_text(self[name])}" for name in self)

    __repr__ = __str__


@overload
def show_config(mode: Literal["stdout"] = "stdout") -> None: ...
@overload
def show_config(mode: Literal["dicts"]) -> Config: ...
def show_config(mode: str = "stdout") -> Config | None:
    """Print this installation's versions, build and hardware, one line per entry.

    Parameters
    ----------
    mode : {"stdout", "dicts"}
        "stdout" prints, "dicts" returns a dictionary instead, as in :func:`numpy.show_config`.

    Returns
    -------
    Config or None
        With "dicts" a dictionary whose text, ``str(config)``, is what would have been printed.

        heedful, numpy, python, platform
            versions
        level, levels
            the processor level in use, and all that are installed and supported here;
            the environment variable HEEDFUL_ISA chooses among them before the import
        features
            the processor's vector extensions that heedful recognises
        threads, cores, quota
            threads that a call uses by default; the cores that this process may run on; and the
            CPU quota of its container in processors, 0 for no limit
        openmp_runtimes
            the OpenMP libraries that are loaded in this process
        bfloat16, bfloat16_reason
            how attention multiplies bfloat16, and why: in "tiles" (AMX), in "pairs" (AVX512-BF16,
            at level v4), or "widened" to float32 first, whichever is fastest on this processor;
            the environment variable HEEDFUL_BFLOAT16 forces one before the import
        int8
            how quantised layers multiply: in "tiles" (AMX), with "vnni", in "bytes" whose sums
            fit into 16 bits (where most do), or "widened" to 16 bits first, whichever is
            fastest on this processor; all give the same bits. HEEDFUL_INT8 forces one before the
            import
        module
            the file of the compiled module, if there is one

        All other entries say how that file was compiled.

    Examples
    --------
    >>> import heedful
    >>> config = heedful.show_config(mode="dicts")
    >>> config["level"] in config["levels"]
    True
    """
    as_text = one_of("mode", mode, ("stdout", "dicts")) == "stdout"
    config = Config(
        heedful=__version__,
        level=_core.level,
        levels=list(_core.available_levels()),
        features=list(_core.features()),
        threads=_core.native.default_num_threads(),
        cores=_cores(),
        quota=_core.native.cpu_quota(),
    )
    config.update(_core.native.show_build())
    config.update(
        openmp_runtimes=_openmp_runtimes(),
        module=getattr(_core.native, "__file__", "linked into the application"),
        numpy=np.__version__,
        python=f"{platform.python_implementation()} {platform.python_version()}",
        platform=platform.platform(),
    )
    if not as_text:
        return config
    print(config)
    return None


def _as_text(entry: object) -> str:
    return printable(", ".join(map(str, entry)) if isinstance(entry, list) else str(entry))


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _openmp_runtimes() -> list[str]:
    """The OpenMP libraries mapped into this process; empty where that is unknown."""
    try:
        with open("/proc/self/maps") as maps:
            files = {line.split()[-1] for line in maps if "/" in line}
    except OSError:
        return []
    return sorted(file for file in files if os.path.basename(file).startswith(_RUNTIMES))
