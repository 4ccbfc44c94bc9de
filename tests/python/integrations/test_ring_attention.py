"""Processes that share a sequence find what the reference finds for all of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from case import Case
from mpi_processes import start
from pieced_cases import CASES

import reference
from heedful.integrations.mpi import ring_attention, ring_attention_vjp, ring_share

pytestmark = pytest.mark.once

# Each process computes its share of every case, and compares it with the reference.
PROGRAM = """
import sys
import numpy as np
from mpi4py import MPI
import heedful, reference
from pieced_cases import CASES
from heedful.integrations.mpi import ring_attention, ring_attention_vjp, ring_share

comm = MPI.COMM_WORLD
heedful.set_num_threads(1)

def shares(length):
    # zig-zag, consecutive and of very unequal length, in parts that are dealt at random
    yield ring_share(length)
    bounds = [0] + [length * (rank + 2) ** 2 // (comm.size + 1) ** 2 for rank in range(comm.size)]
    yield np.arange(bounds[comm.rank], bounds[comm.rank + 1])
    owners = np.random.default_rng(length).integers(0, comm.size, -(-length // 3)).repeat(3)
    yield np.flatnonzero(owners[:length] == comm.rank)

def cut(array, axis, positions):
    return np.take(array, positions, axis) if array.shape[axis] > 1 else array

def close(found, wanted, what):
    assert found.shape == wanted.shape, (what, found.shape, wanted.shape)
    np.testing.assert_allclose(found, wanted, rtol=1e-12, atol=1e-12, err_msg=what)

def compare(case, rows, keys, given):
    call = case.draw()
    out, lse = call.run(reference.attention)[:2]
    wanted = reference.attention_backward(call.dout, *call.inputs, dlse=call.dlse, **call.options)
    options = dict(call.options)
    for name in ("mask", "bias"):
        if name in options and options[name].ndim > 1:
            options[name] = cut(options[name], -2, rows)
    (found, found_lse), pullback = ring_attention_vjp(
        call.query[..., rows, :], call.key[..., keys, :], call.value[..., keys, :],
        return_lse=True, **given, **options,
    )
    close(found, out[..., rows, :], f"{case}: out")
    close(found_lse, lse[..., rows], f"{case}: lse")
    gradients = pullback(call.dout[..., rows, :], call.dlse[..., rows])
    close(gradients.query, wanted.query[..., rows, :], f"{case}: query")
    close(gradients.key, wanted.key[..., keys, :], f"{case}: key")
    close(gradients.value, wanted.value[..., keys, :], f"{case}: value")
    if wanted.bias is not None:
        bias = cut(wanted.bias, -2, rows) if wanted.bias.ndim > 1 else wanted.bias
        close(gradients.bias, bias, f"{case}: bias")
    if wanted.sink is not None:
        close(gradients.sink, wanted.sink, f"{case}: sink")

for number, case in enumerate(CASES):
    how = (number + comm.size) % 3
    rows, keys = list(shares(case.Lq))[how], list(shares(case.Lk))[how]
    compare(case, rows, keys, {} if how == 1 else {"positions": keys, "query_positions": rows})

# the layout of length first, and 16 bits
rng = np.random.default_rng(0)
query, key, value = rng.standard_normal((3, 2, 30, 4, 5)).astype(np.float16)
key, value = key[:, :, :2], value[:, :, :2]
whole, whole_pullback = heedful.attention_vjp(query, key, value, causal=True, layout="blhd")
mine = ring_share(30)
out, pullback = ring_attention_vjp(*(array[:, mine] for array in (query, key, value)),
                                   positions=mine, causal=True, layout="blhd")
assert out.dtype == np.float16
np.testing.assert_allclose(out, whole[:, mine], rtol=2e-3, atol=2e-3)
for found, wanted in zip(pullback(out)[:3], whole_pullback(whole)[:3]):
    assert found.dtype == np.float16
    np.testing.assert_allclose(found, wanted[:, mine], rtol=4e-3, atol=4e-3)

# an error of one process is raised in all
for wrong in ({"positions": mine[:-1]}, {"bias": np.ones((3, 3))}, {"layout": "x"}):
    try:
        ring_attention(query[:, mine], key[:, mine], value[:, mine],
                       **({"layout": "blhd"} | wrong if comm.rank == 1 else {"layout": "blhd"}))
    except ValueError as error:
        name = list(wrong)[0]
        assert str(error).startswith(name if comm.rank == 1
                                     else f"process 1 was given wrong arguments: {name}"), error
    else:
        raise AssertionError("not refused")
print(f"process {comm.rank} agrees")
"""


@pytest.mark.peer
@pytest.mark.slow
@pytest.mark.parametrize("processes", [2, 4])
def test_processes_find_what_one_finds(tmp_path: Path, processes: int) -> None:
    program = tmp_path / "program.py"
    program.write_text(PROGRAM, encoding="utf-8")
    done = start(program, processes=processes)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("agrees") == processes


class Alone:
    """What mpi4py has of processes, of one."""

    def __init__(self, rank: int = 0, size: int = 1) -> None:
        self.rank, self.size = rank, size

    def allgather(self, given: Any) -> list[Any]:
        return [given]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_one_process_computes_its_runs_of_positions(case: Case) -> None:
    call = case.draw()
    order = np.random.default_rng(1).permutation(-(-case.Lk // 4))
    keys = np.concatenate([np.arange(case.Lk)[4 * n : 4 * n + 4] for n in order])
    shuffled = call.key[..., keys, :], call.value[..., keys, :]
    options: dict[str, Any] = {"positions": keys, "query_positions": np.arange(case.Lq)}
    if not case.sink:  # what all processes share needs MPI to be summed
        wanted = reference.attention_backward(call.dout, *call.inputs, **call.options)
        _, pullback = ring_attention_vjp(
            call.query, *shuffled, comm=Alone(), **options, **call.options
        )
        if not case.bias or case.bias[-2:] == "QK":
            found = pullback(call.dout)
            np.testing.assert_allclose(found.key, wanted.key[..., keys, :], 1e-12, 1e-12)
    found, lse = ring_attention(
        call.query, *shuffled, comm=Alone(), return_lse=True, **options, **call.options
    )
    exact = call.run(reference.attention)
    np.testing.assert_allclose(found, exact.out, 1e-12, 1e-12)
    np.testing.assert_allclose(lse, exact.lse, 1e-12, 1e-12)


@pytest.mark.parametrize("size", [1, 2, 3, 5])
@pytest.mark.parametrize("length", [0, 1, 7, 60, 61])
def test_shares_of_a_ring_are_the_whole_and_balanced(length: int, size: int) -> None:
    found = [ring_share(length, Alone(rank, size)) for rank in range(size)]
    np.testing.assert_array_equal(np.sort(np.concatenate(found)), np.arange(length))
    seen = [int((positions + 1).sum()) for positions in found]  # keys that causal leaves
    assert max(seen) - min(seen) <= 2 * length


@pytest.mark.parametrize(
    ("wrong", "kind", "message"),
    [
        ({"positions": [0, 1]}, ValueError, r"positions must have shape \(3,\)"),
        ({"positions": [0, 1, 3]}, ValueError, "positions must be those of .*: 2 is missing"),
        ({"positions": [0, 1, 1]}, ValueError, "positions must be those of .*: 1 is in two"),
        ({"positions": [0.0, 1.0, 2.0]}, TypeError, "positions must be integers"),
        ({"query": np.ones((2, 2)), "positions": [0, 1, 2]}, ValueError, "query_positions must"),
        ({"key": np.ones(3)}, ValueError, "key must have two axes at least"),
        ({"layout": "x"}, ValueError, "layout must be 'bhld' or 'blhd'"),
    ],
)
def test_wrong_arguments_are_refused(
    wrong: dict[str, Any], kind: type[Exception], message: str
) -> None:
    given: dict[str, Any] = dict.fromkeys(("query", "key", "value"), np.ones((3, 2)))
    with pytest.raises(kind, match=message):
        ring_attention(**(given | wrong), comm=Alone())
    with pytest.raises(ValueError, match="length must be an integer, 0 or more: got -1"):
        ring_share(-1, Alone())
