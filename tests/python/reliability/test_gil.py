"""Other Python threads run during a call, and calls from many threads do not mix."""

from __future__ import annotations

import pytest
from process import run

pytestmark = [pytest.mark.once, pytest.mark.slow]

CALLS = {
    "attention": "heedful.attention(*x)",
    "attention_weights": "heedful.attention_weights(*x[:2], average_heads=True)",
    "attention_scores": "heedful.attention_scores(*x[:2])",
    "pullback": "pullback(out)",
    "block mask": "heedful.attention(*x, block_mask=blocks)",
    "top_k": "heedful.attention(*x, top_k=9)",
    "min_weight": "heedful.attention(*x, min_weight=1e-6)",
    "attention_paged": "heedful.attention_paged(x[0], *pages, [range(length // 64)], [length])",
    "int8 cache": "cache.attend(x[0])",
    "attention_varlen": "heedful.attention_varlen(*packed, starts, starts)",
    "merge_attention": "heedful.merge_attention([out] * 200, [lse] * 200)",
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_a_heartbeat_continues_during_a_call(call: str) -> None:
    # If the lock is not released, nothing ticks from the beginning of a call to its end. If it is,
    # no pause is longer than the operating system makes it, whatever the length of the call.
    printed = run(
        f"""
import threading
heedful.set_num_threads(2)
beats = []
enough = threading.Event()
def beat():
    while not enough.wait(0.002):
        beats.append(time.monotonic())

for length in (1024, 2048, 4096, 8192):
    x = [array[:, :, :length] for array in arrays(1, 4, 8192, 64)]
    packed = [np.ascontiguousarray(array[0].swapaxes(0, 1)) for array in x]
    starts = np.array([0, length])
    blocks = heedful.BlockMask.causal(length)
    pages = [pages_of(array, 64) for array in x[1:]]
    cache = heedful.KVCache(dtype="int8")
    cache.append(*x[1:])
    out, pullback = heedful.attention_vjp(*x)
    lse = np.zeros(out.shape[:-1], out.dtype)
    thread = threading.Thread(target=beat)
    enough.clear()
    beats.clear()
    thread.start()
    start = time.monotonic()
    {call}
    end = time.monotonic()
    enough.set()
    thread.join()
    if end - start > 0.3:
        break
during = [start, *(beat for beat in beats if start < beat < end), end]
print(end - start, max(np.diff(during)), len(during))
"""
    )
    seconds, longest_pause, beats = map(float, printed.split())
    assert beats > 10
    assert longest_pause < 0.6 * seconds


SIXTEEN = """
import threading
heedful.set_num_threads(2)
inputs = [arrays(2, 3, 97 + 10 * i, 32) for i in range({different})]
def gradients(x):
    out, pullback = heedful.attention_vjp(*x{options})
    return [out, *pullback(out)[:3]]
expected = [gradients(x) for x in inputs]
assert {selects} or all(is_right(result[0], x) for result, x in zip(expected, inputs))
wrong = []
begin = threading.Barrier(16)
def work(number):
    i = number % {different}
    begin.wait()
    for _ in range(20):
        if not all(np.array_equal(a, b) for a, b in zip(gradients(inputs[i]), expected[i])):
            wrong.append(number)
threads = [threading.Thread(target=work, args=(number,)) for number in range(16)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
assert not wrong, wrong
"""


@pytest.mark.parametrize("different", [1, 16], ids=["the same arrays", "different arrays"])
def test_sixteen_threads_get_what_one_gets(different: int) -> None:
    run(SIXTEEN.format(different=different, options="", selects=False))


@pytest.mark.parametrize(
    "options",
    ["block_mask=masks[x[0].shape[2]]", "top_k=7", "min_weight=0.2"],
)
def test_sixteen_threads_select_what_one_selects(options: str) -> None:
    """One block mask is read by all threads that have its length."""
    before = "masks = {97 + 10 * i: blocks_of(97 + 10 * i) for i in range(16)}\n"
    program = SIXTEEN.format(different=16, options=", " + options, selects=True)
    run(before + program)


@pytest.mark.parametrize("options", ["", "dtype='int8'", "kind='paged'"])
def test_sixteen_threads_read_one_cache(options: str) -> None:
    run(
        f"""
from concurrent.futures import ThreadPoolExecutor
heedful.set_num_threads(2)
q, k, v = arrays(2, 3, 301, 32)
cache = heedful.KVCache({options})
before = cache.append(k, v)
def attend(i):
    return cache.attend(q[:, :, i : i + 20], causal=True, align=i)
expected = [attend(i) for i in range(16)]
with ThreadPoolExecutor(16) as pool:
    for found in (list(pool.map(attend, range(16))) for _ in range(10)):
        assert all(map(np.array_equal, found, expected))
"""
    )


def test_threads_of_different_team_sizes_do_not_disturb_each_other() -> None:
    run(
        """
import threading
x = arrays(2, 3, 211, 32)
expected = heedful.attention(*x)
assert is_right(expected, x)
wrong = []
def work(number):
    with heedful.num_threads(number):
        for _ in range(50):
            assert heedful.get_num_threads() == number
            if not np.array_equal(heedful.attention(*x), expected):
                wrong.append(number)
threads = [threading.Thread(target=work, args=(number,)) for number in range(1, 6)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
assert not wrong, wrong
"""
    )
