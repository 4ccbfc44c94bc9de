"""Attention on several machines: processor time and bytes sent of 1, 2 and 4 processes; and Dask.

    python benchmarks/machines.py

starts mpiexec by itself. Processes share the processors of this machine: no wall times.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import heedful

LENGTH, HEADS, KV_HEADS, DEPTH = 8192, 8, 2, 64  # float32, causal, forward and backward
KEYS, QUERIES, CHUNK = 200_000, 64, 25_000  # of Dask, one head
RINGS = ((1, "zig-zag"), (2, "in order"), (2, "zig-zag"), (4, "in order"), (4, "zig-zag"))
ROUNDS = 3
Array = NDArray[Any]


class Counted:
    """A communicator that counts what it sends."""

    def __init__(self, comm: Any) -> None:
        self.comm, self.bytes = comm, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.comm, name)

    def Isend(self, array: Array, *where: int) -> Any:
        self.bytes += array.nbytes
        return self.comm.Isend(array, *where)


def timed(function: Callable[..., Any], spent: list[float]) -> Callable[..., Any]:
    def run(*arrays: Any, **options: Any) -> Any:
        start = time.thread_time()
        result = function(*arrays, **options)
        spent[0] += time.thread_time() - start
        return result

    return run


def one_process(shares: str) -> None:
    """What one of the processes does; the first prints what all of them spent and sent."""
    from mpi4py import MPI

    from heedful.integrations.mpi import ring_attention_vjp, ring_share

    comm = Counted(MPI.COMM_WORLD)
    heedful.set_num_threads(1)
    bounds = [LENGTH * n // comm.size for n in range(comm.size + 1)]
    mine = np.arange(bounds[comm.rank], bounds[comm.rank + 1])
    mine = ring_share(LENGTH) if shares == "zig-zag" else mine
    rng = np.random.default_rng(0)
    query, dout = rng.standard_normal((2, 1, HEADS, LENGTH, DEPTH), np.float32)[..., mine, :]
    key, value = rng.standard_normal((2, 1, KV_HEADS, LENGTH, DEPTH), np.float32)[..., mine, :]
    spent = [0.0]
    heedful.attention = timed(heedful.attention, spent)
    heedful.attention_backward = timed(heedful.attention_backward, spent)
    found = {}
    for direction in ("forward", "backward"):
        spent[0], comm.bytes = 0.0, 0
        if direction == "forward":
            _, pullback = ring_attention_vjp(
                query, key, value, positions=mine, causal=True, comm=comm
            )
        else:
            pullback(dout)
        times = comm.allgather(spent[0])
        found[direction] = sum(times), max(times), max(comm.allgather(comm.bytes)) / 2**20
    if comm.rank == 0:
        print(json.dumps(found))


def ring() -> None:
    print("processes, shares: processor seconds of all, of the busiest; MiB that one sends")
    for processes, shares in RINGS:
        rounds = []
        for _ in range(ROUNDS):
            done = subprocess.run(
                ["mpiexec", "-n", str(processes), sys.executable, "-m", "mpi4py", __file__, shares],
                stdout=subprocess.PIPE, text=True, check=True, env=dict(os.environ),
            )  # fmt: skip
            rounds.append(json.loads(done.stdout))
        for direction in ("forward", "backward"):
            total, busiest, sent = (
                statistics.median(row[direction][n] for row in rounds) for n in range(3)
            )
            what = f"{processes} {shares:9} {direction:9}"
            print(f"{what} {total:6.2f} s {busiest:6.2f} s {sent:6.2f} MiB")


def chunks() -> None:
    import dask.array as da
    import zarr

    from heedful.integrations.dask import attention

    rng = np.random.default_rng(0)
    query = rng.standard_normal((QUERIES, DEPTH), np.float32)
    with tempfile.TemporaryDirectory() as folder, heedful.num_threads(1):
        arrays, stored = [], []
        for name in ("key", "value"):
            drawn = rng.standard_normal((KEYS, DEPTH), np.float32)
            drawn.tofile(Path(folder, name))
            arrays.append(np.memmap(Path(folder, name), np.float32, "r", shape=drawn.shape))
            stored.append(zarr.create_array(Path(folder, name + ".zarr"), data=drawn,
                                            chunks=(CHUNK, DEPTH)))  # fmt: skip
        mapped = [da.from_array(array, (CHUNK, DEPTH), name=False) for array in arrays]
        lazy = [da.from_zarr(array) for array in stored]
        ways: dict[str, Callable[[], Array]] = {
            "one call": lambda: heedful.attention(query, *arrays),
            "Dask": lambda: attention(query, *mapped).compute(scheduler="synchronous"),
            "Dask, zarr": lambda: attention(query, *lazy).compute(scheduler="synchronous"),
        }
        times: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(ROUNDS):
            for name, way in ways.items():
                start = time.process_time()
                out = way()
                times[name].append(time.process_time() - start)
                np.testing.assert_allclose(out, ways["one call"](), rtol=1e-4, atol=1e-5)
    for name, spent in times.items():
        ratio = statistics.median(a / b for a, b in zip(spent, times["one call"], strict=True))
        print(f"{name:11} {1000 * statistics.median(spent):6.0f} ms of processors  {ratio:5.2f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("order", nargs="?", help="of the positions: what a process is started with")
    order = parser.parse_args().order
    if order:
        one_process(order)
    else:
        ring()
        chunks()
