"""How many threads a call uses: what was set, else what OpenMP and the container allow."""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from process import run

import heedful

pytestmark = [pytest.mark.once, pytest.mark.slow]


@pytest.fixture(autouse=True)
def default_afterwards() -> Iterator[None]:
    yield
    heedful.set_num_threads(None)


def on_another_thread(function: Any) -> Any:
    results: list[Any] = []
    thread = threading.Thread(target=lambda: results.append(function()))
    thread.start()
    thread.join()
    return results[0]


def test_a_number_holds_for_the_process_until_it_is_taken_back() -> None:
    default = heedful.get_num_threads()
    heedful.set_num_threads(7)
    assert heedful.get_num_threads() == 7
    assert on_another_thread(heedful.get_num_threads) == 7
    heedful.set_num_threads(np.int64(3))
    assert heedful.get_num_threads() == 3
    heedful.set_num_threads(None)
    assert heedful.get_num_threads() == default


def test_a_block_holds_for_its_thread_and_goes_before_the_process() -> None:
    heedful.set_num_threads(7)
    with heedful.num_threads(2) as number:
        assert number == 2
        assert heedful.get_num_threads() == 2
        assert on_another_thread(heedful.get_num_threads) == 7
        with heedful.num_threads(5):
            assert heedful.get_num_threads() == 5
        assert heedful.get_num_threads() == 2
        heedful.set_num_threads(3)
        assert heedful.get_num_threads() == 2
    assert heedful.get_num_threads() == 3


def test_a_block_ends_with_an_exception_too() -> None:
    default = heedful.get_num_threads()

    def fail() -> None:
        with heedful.num_threads(default + 1):
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert heedful.get_num_threads() == default


def test_a_block_is_a_decorator_too() -> None:
    @heedful.num_threads(5)  # type: ignore[operator]
    def number() -> int:
        return heedful.get_num_threads()

    assert number() == number() == 5


@pytest.mark.parametrize("set_threads", [heedful.set_num_threads, heedful.num_threads])
@pytest.mark.parametrize("n", [0, -1, 10**6, 2**70])
def test_a_number_out_of_range_is_refused(set_threads: Any, n: int) -> None:
    with pytest.raises(
        ValueError, match=rf"^n must be a number of threads between 1 and .*got {n}"
    ):
        set_threads(n)


@pytest.mark.parametrize("set_threads", [heedful.set_num_threads, heedful.num_threads])
@pytest.mark.parametrize("n", [2.0, "2", True, [2]])
def test_what_is_no_integer_is_refused(set_threads: Any, n: Any) -> None:
    with pytest.raises(TypeError, match=r"^n must be a number of threads, an integer: got "):
        set_threads(n)


def test_a_number_is_honoured_as_given_even_above_the_number_of_cores() -> None:
    run(
        """
def tasks():
    return len(os.listdir("/proc/self/task"))
before = tasks()
for number in (1, 5, 9):
    with heedful.num_threads(number):
        heedful.attention(*arrays(4, 4, 301))
    assert tasks() == before + number - 1, (number, tasks(), before)
"""
    )


def test_processes_of_joblib_share_the_cores() -> None:
    pytest.importorskip("joblib")
    printed = run(
        """
from joblib import Parallel, cpu_count, delayed

def number():
    import heedful
    return heedful.get_num_threads()

numbers = Parallel(n_jobs=2, backend="loky")(delayed(number)() for _ in range(4))
print(cpu_count(), *numbers)
""",
        env={"OMP_NUM_THREADS": None},
    )
    cores, *numbers = map(int, printed.split())
    assert all(number <= max(1, cores // 2) for number in numbers)


def test_threads_of_joblib_compute_right() -> None:
    pytest.importorskip("joblib")
    run(
        """
from joblib import Parallel, delayed
x = arrays()
outs = Parallel(n_jobs=3, backend="threading")(delayed(heedful.attention)(*x) for _ in range(9))
assert all(is_right(out, x) for out in outs)
"""
    )


@pytest.mark.peer
def test_workers_of_dask_keep_to_their_share() -> None:
    pytest.importorskip("distributed", reason="Dask is not installed")
    printed = run(
        """
def number():
    import heedful
    return heedful.get_num_threads()

if __name__ == "__main__":
    from dask.distributed import Client
    with Client(n_workers=2, threads_per_worker=1, dashboard_address=None) as client:
        print("threads", *client.run(number).values())
"""
    )
    assert printed.split("threads")[-1].split() == ["1", "1"]


@pytest.mark.parametrize("method", ["spawn", "forkserver", "fork"])
def test_processes_of_a_pool_honour_their_setting(method: str, tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        f"""
import multiprocessing
import numpy as np
import heedful

def compute(seed):
    x = [np.random.default_rng(seed + i).standard_normal((2, 3, 97, 32)) for i in range(3)]
    return heedful.get_num_threads(), heedful.attention(*x)

if __name__ == "__main__":
    import warnings
    warnings.simplefilter("ignore", DeprecationWarning)
    ours = [compute(seed) for seed in range(4)]
    context = multiprocessing.get_context({method!r})
    with context.Pool(2, initializer=heedful.set_num_threads, initargs=[1]) as pool:
        theirs = pool.map_async(compute, range(4)).get(timeout=300)
    assert [number for number, _ in theirs] == [1] * 4
    assert all(np.array_equal(a, b) for (_, a), (_, b) in zip(ours, theirs))
"""
    )
    run(f"import runpy; runpy.run_path({str(program)!r}, run_name='__main__')", preamble=False)


def test_workers_sleep_between_calls_that_are_far_apart() -> None:
    """Beside the threads of another library they would take the processors from them."""
    x = np.random.default_rng(0).standard_normal((12, 256, 64), dtype=np.float32)
    spent = []
    with heedful.num_threads(2):
        for _ in range(40):
            heedful.attention(x, x, x)
            start = time.process_time()
            time.sleep(0.005)
            spent.append(time.process_time() - start)
    assert statistics.mean(spent[5:]) < 0.6e-3  # they would spin for up to 2 ms
