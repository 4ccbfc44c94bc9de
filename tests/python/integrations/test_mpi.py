"""Processes that average their gradients train like one process with the whole batch."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mpi_processes import start

from heedful.integrations.mpi import data_parallel, share
from heedful.layers import Layer, Linear
from heedful.training import Adam

pytestmark = pytest.mark.slow

# What one process does alone on whole batches, and each of several on its shard.
PROGRAM = """
import json, sys
import numpy as np
import heedful
from heedful.layers import Encoder, GlobalAveragePooling, Linear, Sequential
from heedful.training import AdamW, SparseCategoricalCrossEntropy

how, together = sys.argv[1], sys.argv[2] == "together"
heedful.set_num_threads(1)
rng = np.random.default_rng(3)
y = rng.integers(0, 3, 128)
x = (rng.standard_normal((128, 5, 4)) + y[:, None, None]).astype(np.float32)
if together:
    from mpi4py import MPI
    from heedful.integrations.mpi import data_parallel, share
    comm = MPI.COMM_WORLD
    rank, size = comm.rank, comm.size
    x, y = x[share(128)], y[share(128)]
else:
    rank, size, data_parallel = 0, 1, lambda optimizer: optimizer

seed = rank if how == "other weights" else 0
model = Sequential(Linear(4, 8, rng=seed), Encoder(1, 8, 2, 16, 0.0, rng=seed),
                   GlobalAveragePooling(), Linear(8, 3, rng=seed))
model[0].freeze("bias")
batch = 32 // size
if how == "fit":
    model.compile(data_parallel(AdamW(lr=1e-2, eps=1e-4)), "sparse_categorical_crossentropy")
    losses = model.fit(x, y, epochs=4, batch_size=batch, shuffle=False, verbose=False)["loss"]
else:
    optimizer = data_parallel(AdamW(model, 1e-2, eps=1e-4, clip_norm=0.5))
    loss_fn = SparseCategoricalCrossEntropy()
    losses = []
    for step in range(16):
        if how == "fails" and step == 3 and rank == size - 1:
            raise ArithmeticError("this process fails")
        rows = slice(step % 4 * batch, (step % 4 + 1) * batch)
        logits, backward = model.forward(x[rows])
        loss, dlogits = loss_fn(y[rows], logits)
        model.zero_grad()
        backward(dlogits)
        optimizer.step()
        losses.append(loss)
weights = np.concatenate([array.ravel() for array in model.parameters().values()])
same = True
if together:
    losses = [comm.allreduce(loss) / size for loss in losses]
    same = all((one == weights).all() for one in comm.allgather(weights))
if rank == 0:
    print(json.dumps({"size": size, "losses": losses, "weights": weights.tolist(), "same": same}))
"""


def run(tmp_path: Path, how: str, processes: int = 0) -> subprocess.CompletedProcess[str]:
    """Several processes by mpiexec, or one without MPI."""
    program = tmp_path / "program.py"
    program.write_text(textwrap.dedent(PROGRAM), encoding="utf-8")
    return start(program, how, "together" if processes else "alone", processes=processes)


@pytest.mark.parametrize("how", ["loop", "fit"])
def test_two_processes_train_as_one(tmp_path: Path, how: str) -> None:
    both, one = run(tmp_path, how, 2), run(tmp_path, how)
    assert both.returncode == 0, both.stderr
    found, wanted = json.loads(both.stdout), json.loads(one.stdout)
    assert found["size"] == 2
    assert found["same"], "both have the same weights, bit for bit"
    np.testing.assert_allclose(found["losses"], wanted["losses"], rtol=1e-5)
    # eps is that large because some gradients are 0 but for rounding, which Adam would blow up
    np.testing.assert_allclose(found["weights"], wanted["weights"], atol=1e-4)
    assert wanted["losses"][-1] < 0.8 * wanted["losses"][0]


def test_other_weights_are_refused(tmp_path: Path) -> None:
    done = run(tmp_path, "other weights", 2)
    assert done.returncode != 0
    assert "the weights must be the same in all processes" in done.stderr


def test_a_process_that_fails_ends_the_others(tmp_path: Path) -> None:
    done = run(tmp_path, "fails", 2)
    assert done.returncode != 0
    assert "this process fails" in done.stderr


class Comm:
    """Of three processes, the one of that rank."""

    size = 3

    def __init__(self, rank: int) -> None:
        self.rank = rank


@pytest.mark.parametrize("count", [1, 2, 9, 10, 11])
def test_shards_have_one_size_and_cover_all(count: int) -> None:
    shards: list[Any] = [share(count, Comm(rank)) for rank in range(3)]
    assert {len(rows) for rows in shards} == {-(-count // 3)}
    dealt = np.stack(shards, 1).ravel()
    np.testing.assert_array_equal(dealt, np.arange(len(dealt)) % count)


def test_what_is_no_count_or_optimizer_is_refused() -> None:
    for wrong in (0, -1, 2.5):
        with pytest.raises(ValueError, match="count must be a positive integer"):
            share(wrong, Comm(0))  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="optimizer must be an optimizer"):
        data_parallel("adam", Comm(0))  # type: ignore[type-var]
    optimizer = Adam()
    assert data_parallel(optimizer, Comm(0)) is optimizer


def test_without_mpi_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mpi4py", None)
    with pytest.raises(ImportError, match="pip install mpi4py mpich"):
        share(3)


class Threads:
    """What mpi4py has of processes, with threads in their place."""

    MAX, IN_PLACE = "max", "in place"

    def __init__(self, size: int) -> None:
        self.size, self.barrier, self.sent = (
            size,
            threading.Barrier(size, timeout=20),
            [None] * size,
        )

    def comm(self, rank: int) -> Any:
        return ThreadComm(self, rank)


class ThreadComm:
    def __init__(self, world: Threads, rank: int) -> None:
        self.world, self.rank, self.size = world, rank, world.size

    def allgather(self, given: Any) -> list[Any]:
        self.world.sent[self.rank] = given
        self.world.barrier.wait()
        found = list(self.world.sent)
        self.world.barrier.wait()
        return found

    def Allreduce(self, send: Any, receive: Any, op: str = "sum") -> None:
        given = receive.copy() if isinstance(send, str) else send.copy()
        found = self.allgather(given)
        assert len({array.shape for array in found}) == 1, "the messages differ in their length"
        receive[...] = np.max(found, 0) if op == "max" else np.sum(found, 0)


class Branches(Layer):
    def __init__(self) -> None:
        for name, seed in (("a", 0), ("b", 1), ("c", 2)):
            setattr(self, name, Linear(3, 1, rng=seed))

    def compute(self, mode: Any, x: Any, name: str) -> Any:
        return getattr(self, name).compute(mode, x)


def in_threads(size: int, work: Any) -> list[Any]:
    with ThreadPoolExecutor(size) as pool:
        return [done.result() for done in [pool.submit(work, rank) for rank in range(size)]]


def test_a_gradient_that_some_processes_lack_is_0_there(monkeypatch: pytest.MonkeyPatch) -> None:
    world = Threads(3)
    monkeypatch.setattr("heedful.integrations.mpi._world.mpi", lambda: world)
    plan = ["aab", "abb", "bbb", "aaa", "aba"]  # what each of the three uses, step by step
    x = np.random.default_rng(0).standard_normal((3, 2, 3)).astype(np.float32)

    def work(rank: int) -> tuple[dict[str, Any], dict[str, int]]:
        model = Branches()
        optimizer = data_parallel(Adam(model, lr=0.1), world.comm(rank))
        for names in plan:
            y, backward = model.forward(x[rank], names[rank])
            model.zero_grad()
            backward(np.ones_like(y))
            optimizer.step()
        return model.state_dict(), optimizer.counts

    alone = Branches()
    optimizer = Adam(alone, lr=0.1)
    for names in plan:
        alone.zero_grad()
        for rank, name in enumerate(names):
            y, backward = alone.forward(x[rank], name)
            backward(np.ones_like(y) / 3)
        optimizer.step()
    found = in_threads(3, work)
    for state, counts in found:
        assert (
            counts == optimizer.counts == {"a.weight": 4, "a.bias": 4, "b.weight": 4, "b.bias": 4}
        )
        for name, array in state.items():
            np.testing.assert_array_equal(array, found[0][0][name])
            np.testing.assert_allclose(array, alone.state_dict()[name], atol=1e-5)


def test_freezing_in_some_processes_only_is_refused_in_all(monkeypatch: pytest.MonkeyPatch) -> None:
    world = Threads(3)
    monkeypatch.setattr("heedful.integrations.mpi._world.mpi", lambda: world)

    def work(rank: int) -> str:
        model = Branches()
        optimizer = data_parallel(Adam(model), world.comm(rank))
        for step in range(2):
            if step and rank == 1:
                model.freeze("b.*")
            y, backward = model.forward(np.ones((2, 3)), "a")
            model.zero_grad()
            backward(np.ones_like(y))
            try:
                optimizer.step()
            except ValueError as error:
                return f"step {step}: {error}"
        return "not refused"

    message = "step 1: the same parameters must be frozen in all processes: b.weight is in some"
    assert all(error.startswith(message) for error in in_threads(3, work))
