"""Memory that is reused: never that of an array in use, never more than the peak in use."""

from __future__ import annotations

import gc
import os
import pickle
import threading
from collections.abc import Iterator

import numpy as np
import pytest

from heedful._core._memory import ALIGNMENT, SMALLEST, Keeper, Memory, memory

pytestmark = pytest.mark.once
NUMBERS = SMALLEST // 4  # of float32


@pytest.fixture
def kept() -> Iterator[Memory]:
    own = Memory()
    own.keep(1)
    yield own
    own.keep(-1)


def address(array: np.ndarray) -> int:  # type: ignore[type-arg]
    return int(array.__array_interface__["data"][0])


def test_the_block_of_a_dropped_array_is_reused(kept: Memory) -> None:
    array = kept.empty((2, NUMBERS), np.float32)
    assert (array.shape, array.dtype) == ((2, NUMBERS), np.float32)
    assert array.flags.c_contiguous
    assert array.flags.writeable
    first = address(array)
    assert first % ALIGNMENT == 0
    del array
    assert kept.free_bytes() >= 8 * NUMBERS
    assert address(kept.empty((NUMBERS,), np.float64)) == first


@pytest.mark.parametrize(
    "view",
    [
        lambda array: array.reshape(-1)[5:],
        lambda array: array.T,
        lambda array: array.view(np.int8),
        lambda array: memoryview(array),
        lambda array: np.broadcast_to(array, (3, *array.shape)),
    ],
)
def test_a_view_holds_the_block(kept: Memory, view) -> None:  # type: ignore[no-untyped-def]
    array = kept.empty((4, NUMBERS), np.float32)
    first, held = address(array), view(array)
    del array
    assert kept.free_bytes() == 0
    assert address(kept.empty((4, NUMBERS), np.float32)) != first
    del held
    assert kept.free_bytes() > 0


def test_arrays_that_live_never_share_memory(kept: Memory) -> None:
    rng = np.random.default_rng(0)
    alive: list[tuple[float, np.ndarray]] = []  # type: ignore[type-arg]
    for number in range(300):
        array = kept.empty((int(rng.integers(1, 6)) * NUMBERS,), np.float32)
        array[:] = number
        alive.append((number, array))
        if len(alive) > 5:
            alive.pop(int(rng.integers(len(alive))))
        assert all((array == number).all() for number, array in alive)


def test_no_more_is_held_than_the_peak_in_use(kept: Memory) -> None:
    arrays = [kept.empty((NUMBERS,), np.float32) for _ in range(8)]
    peak = 8 * (4 * NUMBERS + ALIGNMENT)
    del arrays
    assert kept.free_bytes() == peak
    # too large for the free blocks: those make room
    large = kept.empty((5 * NUMBERS,), np.float32)
    assert kept.free_bytes() <= peak - large.nbytes
    # much too small for the large block
    del large
    small = kept.empty((NUMBERS,), np.float32)
    assert small.base is not None
    assert kept.free_bytes() + small.nbytes <= peak


def test_small_and_unkept_arrays_are_plain(kept: Memory) -> None:
    assert kept.empty((3, 4), np.float32).base is None
    assert Memory().empty((NUMBERS,), np.float32).base is None
    with pytest.raises((ValueError, MemoryError)):
        kept.empty((1 << 62, 1 << 20), np.float64)


def test_bfloat16_stays_bfloat16(kept: Memory) -> None:
    bfloat16 = pytest.importorskip("ml_dtypes").bfloat16
    assert kept.empty((NUMBERS, 2), bfloat16).dtype == bfloat16


def test_release_returns_free_blocks_and_keeps_arrays(kept: Memory) -> None:
    array, other = (kept.empty((NUMBERS,), np.float32) for _ in range(2))
    array[:] = 3
    del other
    kept.release()
    assert kept.free_bytes() == 0
    assert (array == 3).all()
    del array
    assert kept.free_bytes() > 0


def test_blocks_are_freed_with_the_last_keeper() -> None:
    before = memory.keepers
    first, second = Keeper(), Keeper()
    array = memory.empty((NUMBERS,), np.float32)
    del first, array
    assert memory.free_bytes() > 0
    late = memory.empty((NUMBERS,), np.float32)
    copied = pickle.loads(pickle.dumps(second))
    assert memory.keepers == before + 2
    del second, copied
    assert memory.keepers == before
    if not before:
        assert memory.free_bytes() == 0
        del late  # of an earlier generation: it is freed, not kept
        assert memory.free_bytes() == 0


def test_arrays_in_cycles_are_returned_by_the_collector(kept: Memory) -> None:
    cycle: list[object] = [kept.empty((NUMBERS,), np.float32)]
    cycle.append(cycle)
    del cycle
    gc.collect()
    assert kept.free_bytes() > 0


def test_threads_allocate_and_free_blocks(kept: Memory) -> None:
    wrong = []

    def work(number: int) -> None:
        for _ in range(50):
            array = kept.empty((NUMBERS,), np.float32)
            array[:] = number
            if not (array == number).all():
                wrong.append(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    # a thread takes its next array before it drops the last one
    assert kept.free_bytes() <= 8 * (4 * NUMBERS + ALIGNMENT)


def test_a_forked_child_waits_for_no_lock(kept: Memory) -> None:
    with kept._lock:
        child = os.fork()
        if not child:
            done = threading.Thread(target=kept.empty, args=((NUMBERS,), np.float32), daemon=True)
            done.start()
            done.join(10)
            os._exit(int(done.is_alive()))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
