"""A forked child computes: it neither hangs nor gives another result than its parent."""

from __future__ import annotations

import pytest
from process import run

pytestmark = [pytest.mark.once, pytest.mark.slow]

# Runs child() in a forked process; True when it returned True and did not hang.
HOLDS_IN_CHILD = """
import signal, warnings

def holds_in_child(child):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 warns of threads
        pid = os.fork()
    if pid == 0:
        try:
            os._exit(0 if child() else 1)
        finally:
            os._exit(2)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return status == 0
        time.sleep(0.005)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return False

x = arrays()
def computes():
    return is_right(heedful.attention(*x), x)
heedful.set_num_threads(2)
"""


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_a_forked_child_computes_after_its_parent_has(threads: int) -> None:
    run(
        f"{HOLDS_IN_CHILD}\n"
        f"heedful.set_num_threads({threads})\n"
        "assert computes()\n"
        "assert holds_in_child(lambda: computes() and computes())\n"
        "assert computes()\n"
    )


def test_a_forked_child_computes_where_its_parent_has_not() -> None:
    run(f"{HOLDS_IN_CHILD}\nassert holds_in_child(computes)\nassert computes()\n")


def test_a_forked_child_gives_gradients() -> None:
    run(
        HOLDS_IN_CHILD
        + """
def gradients():
    out, pullback = heedful.attention_vjp(*x)
    return [out, *pullback(out)[:3]]
ours = gradients()
def same():
    return all(np.array_equal(a, b) for a, b in zip(ours, gradients()))
assert holds_in_child(same)
"""
    )


FEATURES = {
    "block mask": "gradients(block_mask=blocks_of(97))",
    "top_k": "gradients(top_k=5)",
    "min_weight": "gradients(min_weight=0.2)",
    "int8 cache": "cached(*x, dtype='int8')",
    "paged cache": "cached(*x, kind='paged')",
    "a policy": "cached(*x, policy=heedful.HeavyHitters(20, 20))",
    "cache before the fork": "before.attend(x[0])",
    "pruned tokens": "shortened(x[0][:, 0], 'PrunedEncoder', [60, 30])",
    "int8 weights": "layer(41)",
    "linear attention": "linear_attention(*x)",
}


@pytest.mark.parametrize("feature", FEATURES.values(), ids=FEATURES)
def test_a_forked_child_gives_what_its_parent_gives(feature: str) -> None:
    run(
        f"""{HOLDS_IN_CHILD}
before = heedful.KVCache(kind="paged")
before.append(*x[1:])
def gradients(**options):
    out, pullback = heedful.attention_vjp(*x, **options)
    return np.concatenate([array.ravel() for array in (out, *pullback(out)[:3])])
ours = {feature}
assert holds_in_child(lambda: np.array_equal(ours, {feature}))
assert np.array_equal(ours, {feature})
"""
    )


def test_a_pullback_made_before_the_fork_works_in_the_child() -> None:
    run(
        HOLDS_IN_CHILD
        + """
out, pullback = heedful.attention_vjp(*x)
ours = pullback(out)
def same():
    return all(np.array_equal(a, b) for a, b in zip(ours[:3], pullback(out)[:3]))
assert holds_in_child(same)
"""
    )


def test_a_child_can_fork_again() -> None:
    run(
        HOLDS_IN_CHILD
        + """
assert computes()
def child():
    return computes() and holds_in_child(computes) and computes()
assert holds_in_child(child)
assert holds_in_child(lambda: holds_in_child(computes))
""",
    )


def test_a_child_forked_while_two_threads_are_inside_the_kernel_computes() -> None:
    run(
        HOLDS_IN_CHILD
        + """
import threading
enough = False
long = arrays(1, 2, 1021, 64)
def work():
    while not enough:
        heedful.attention(*long)
threads = [threading.Thread(target=work) for _ in range(2)]
for thread in threads:
    thread.start()
time.sleep(0.2)
right = [holds_in_child(computes) for _ in range(10)]
enough = True
for thread in threads:
    thread.join()
assert all(right), right
""",
    )


def test_threads_of_a_child_compute() -> None:
    run(
        HOLDS_IN_CHILD
        + """
from concurrent.futures import ThreadPoolExecutor
assert computes()
def child():
    with ThreadPoolExecutor(3) as pool:
        return all(pool.map(lambda _: computes(), range(12))) and computes()
assert holds_in_child(child)
"""
    )


@pytest.mark.parametrize("flags", [(), ("-W", "error")], ids=["warnings", "warnings as errors"])
def test_a_pool_of_forked_processes_computes(flags: tuple[str, ...]) -> None:
    run(
        """
import multiprocessing
if sys.version_info >= (3, 12):
    import warnings  # Python's own, about any fork of a process with threads
    warnings.filterwarnings("ignore", message=".*use of fork.*", category=DeprecationWarning)

def compute(seed):
    x = [np.random.default_rng(seed + i).standard_normal((2, 3, 97, 32)) for i in range(3)]
    return heedful.attention(*x)

if __name__ == "__main__":
    heedful.set_num_threads(2)
    ours = [compute(seed) for seed in range(4)]
    with multiprocessing.get_context("fork").Pool(2) as pool:
        theirs = pool.map_async(compute, range(4)).get(timeout=300)
        again = pool.map_async(compute, range(4)).get(timeout=300)
    assert np.array_equal(ours, theirs) and np.array_equal(ours, again)
""",
        flags=flags,
    )


def test_a_forked_child_leaves_no_process_behind_and_ends_with_0() -> None:
    run(
        """
heedful.set_num_threads(2)
x = arrays()
assert is_right(heedful.attention(*x), x)
pid = os.fork()
right = is_right(heedful.attention(*x), x)
if pid == 0:
    sys.exit(0 if right else 1)  # the way out through the interpreter's end
assert os.waitpid(pid, 0)[1] == 0 and right
""",
    )
