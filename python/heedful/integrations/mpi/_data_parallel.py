"""Data-parallel training: each process averages its gradients with those of all others."""

from __future__ import annotations

import zlib
from typing import Any, TypeVar

import numpy as np

from heedful._checks import is_integer, named
from heedful.integrations.mpi import _world
from heedful.layers import Layer, Parameter
from heedful.training import Optimizer

Array = np.ndarray[Any, Any]
AnyOptimizer = TypeVar("AnyOptimizer", bound=Optimizer)


def data_parallel(optimizer: AnyOptimizer, comm: Any = None) -> AnyOptimizer:
    """Make an optimizer average the gradients of all processes before each step.

    Parameters
    ----------
    optimizer : Optimizer
        With the same settings in every process, and a model with the same weights: made with the
        same `rng`, or loaded. The first step checks the weights.
    comm : mpi4py.MPI.Comm, optional
        The processes that train together; None is all of them.

    Returns
    -------
    optimizer
        The argument itself, for a training loop or for `compile`.

    Raises
    ------
    ImportError
        mpi4py is not installed.
    ValueError
        At the first step: weights that differ between processes. At any step: a parameter that is
        frozen in some processes only.

    Notes
    -----
    A parameter that only some processes used has a gradient in all: the mean, with 0 for the
    others. If all shards have the same size, the mean of their gradients is the gradient of the
    whole batch: n processes with batches of b examples train like one with batches of n · b.
    Every process must take the same number of steps, so give each the same number of examples (as
    `share` does), and all the same validation data. By default a process uses all processors: on
    one machine divide them with :func:`heedful.set_num_threads`.

    Examples
    --------
    ::

        from heedful.integrations.mpi import data_parallel, share

        heedful.set_num_threads(2)
        rows = share(len(x))
        model.compile(data_parallel(AdamW(lr=1e-3)), "sparse_categorical_crossentropy")
        model.fit(x[rows], y[rows], epochs=5, batch_size=16)
    """
    if not isinstance(optimizer, Optimizer):
        raise TypeError(f"optimizer must be an optimizer: got {named(optimizer)}")
    optimizer.exchange = _Exchange(_world.world() if comm is None else comm)
    return optimizer


def share(count: int, comm: Any = None) -> Array:
    """Indices of this process's shard of `count` examples, of the same length in each process.

    They are distributed round-robin. If they cannot be divided evenly, the last processes get some
    of the first examples again.

    Parameters
    ----------
    count : int
    comm : mpi4py.MPI.Comm, optional
        None is all processes.
    """
    if not is_integer(count) or count < 1:
        raise ValueError(f"count must be a positive integer: got {named(count)}")
    comm = _world.world() if comm is None else comm
    each = -(-int(count) // comm.size)
    rows: Array = (comm.rank + comm.size * np.arange(each)) % int(count)
    return rows


class _Exchange:
    """Averages gradients; called by an optimizer before each step."""

    def __init__(self, comm: Any) -> None:
        self.comm = comm
        self.checked = False

    def __call__(self, model: Layer) -> None:
        found = list(model.distinct_parameters().items())
        if not self.checked:
            self._check(found)
            self.checked = True
        # one reduction over all processes, so that either all continue or none does
        present = [own.grad is not None for _, own in found]
        trainable = [own.trainable for _, own in found]
        here = np.array([present, trainable, np.logical_not(trainable)], np.uint8)
        anywhere = np.empty_like(here)
        self.comm.Allreduce(here, anywhere, op=_world.mpi().MAX)
        used, some_trainable, some_frozen = anywhere.astype(bool)
        differs = np.flatnonzero(some_trainable & some_frozen)
        if len(differs):
            raise ValueError(
                "the same parameters must be frozen in all processes: "
                f"{found[differs[0]][0]} is in some only"
            )
        # a parameter that only some processes used has a gradient in all, which is 0 elsewhere
        buffers = [own.buffer() for (_, own), some in zip(found, used, strict=True) if some]
        gradients = [gradient for gradient in buffers if gradient is not None]
        for dtype in sorted({gradient.dtype for gradient in gradients}):
            self._average([gradient for gradient in gradients if gradient.dtype == dtype])

    def _average(self, gradients: list[Array]) -> None:
        """One message for all: many small ones would add up their latencies."""
        sums = np.concatenate([gradient.ravel() for gradient in gradients])
        self.comm.Allreduce(_world.mpi().IN_PLACE, sums)
        sums /= self.comm.size
        first = 0
        for gradient in gradients:
            gradient[...] = sums[first : first + gradient.size].reshape(gradient.shape)
            first += gradient.size

    def _check(self, found: list[tuple[str, Parameter]]) -> None:
        own = [(name, p.value.shape, zlib.crc32(p.value.tobytes())) for name, p in found]
        for rank, theirs in enumerate(self.comm.allgather(own)):
            if theirs != own:
                pairs = zip(own, theirs, strict=False)
                differs = next((a[0] for a, b in pairs if a != b), "their number")
                raise ValueError(
                    "the weights must be the same in all processes, made with the same rng or "
                    f"loaded: processes {self.comm.rank} and {rank} differ in {differs}"
                )
