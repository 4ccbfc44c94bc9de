"""heedful on PyTorch's threads, and on no more of them than PyTorch uses."""

from __future__ import annotations

import ctypes
from pathlib import Path
from types import TracebackType

import torch

from heedful._core import native


class on_torch_threads:
    """Within it calls of this thread compute in the OpenMP team that PyTorch's operations use.

    At most ``torch.get_num_threads()`` threads; fewer, and then heedful's own, where heedful was
    told so: a team that is called with another number starts its threads anew.
    """

    __slots__ = ("_openmp", "_threads")

    def __enter__(self) -> None:
        theirs, ours = torch.get_num_threads(), native.num_threads()
        self._threads = native.exchange_threads_here(min(theirs, ours))
        self._openmp = native.exchange_openmp_here(_HAS_TEAM and theirs <= ours)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        native.exchange_openmp_here(self._openmp)
        native.exchange_threads_here(self._threads)


def _find_team() -> bool:
    """Whether PyTorch computes on OpenMP threads that others can use; then heedful knows how."""
    if "ATen parallel backend: OpenMP" not in torch.__config__.parallel_info():
        return False
    # where PyTorch's own calls end: what the whole process sees goes before its own libraries
    for name in (None, str(Path(torch.__file__).parent / "lib" / "libtorch_cpu.so")):
        try:
            library = ctypes.CDLL(name)
            start, end = (
                ctypes.cast(getattr(library, function), ctypes.c_void_p).value
                for function in ("GOMP_parallel_start", "GOMP_parallel_end")
            )
        except (AttributeError, OSError, TypeError):
            continue
        if start and end:
            native.set_openmp_library(start, end)
            return True
    return False


_HAS_TEAM = _find_team()
