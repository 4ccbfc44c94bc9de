"""Memory does not grow with the number of calls, and what is dropped is freed."""

from __future__ import annotations

import pytest
from process import run

pytestmark = [pytest.mark.once, pytest.mark.slow]

CALLS = {
    "attention": "heedful.attention(q, k, v)",
    "attention causal with lse": "heedful.attention(q, k, v, causal=True, return_lse=True)",
    "attention of one query": "heedful.attention(q[..., :1, :], k, v)",
    "attention in float16": "heedful.attention(*(x.astype('f2') for x in (q, k, v)))",
    "attention on lists": "heedful.attention(q[0, 0].tolist(), k[0, 0].tolist(), v[0, 0].tolist())",
    "attention with an error": "refused(heedful.attention, q, k, v[..., :-1, :])",
    "attention_vjp": "gradients(heedful.attention_vjp(q, k, v, bias=bias))",
    "attention_vjp with dropout": "gradients(heedful.attention_vjp(q, k, v, dropout_p=0.3))",
    "attention_vjp with top_k": "gradients(heedful.attention_vjp(q, k, v, top_k=2))",
    "attention_vjp with α": "gradients(heedful.attention_vjp(q, k, v, normalizer=1.3))",
    "attention_vjp with a block mask": "gradients(heedful.attention_vjp(q, k, v, "
    "block_mask=blocks))",
    "attention_vjp with min_weight": "gradients(heedful.attention_vjp(q, k, v, min_weight=0.2))",
    "building block masks": "blocks_of(q.shape[2]) & heedful.BlockMask.causal(q.shape[2], "
    "block_size=16)",
    "caches": "cached(q, k, v)",
    "paged caches of int8": "cached(q, k, v, dtype='int8', kind='paged')",
    "caches with sinks": "cached(q, k, v, policy=heedful.SinksAndWindow(2, 30))",
    "caches with Quest": "cached(q, k, v, policy=heedful.QuestPages(3))",
    "merged tokens": "shortened(q[:, 0], 'MergedEncoder', 1) if i % 10 == 0 else None",
    "attention_vjp without its pullback": "heedful.attention_vjp(q, k, v)",
    "attention_backward": "heedful.attention_backward(out, q, k, v, out, lse)",
    "attention_scores": "heedful.attention_scores(q, k)",
    "attention_weights": "heedful.attention_weights(q, k, average_heads=True)",
    "attention_varlen": "heedful.attention_varlen(*packed)",
    "attention_varlen_vjp": "gradients(heedful.attention_varlen_vjp(*packed))",
    "merge_attention": "heedful.merge_attention([out, out], [lse, lse])",
    "additive_attention_vjp": "gradients(heedful.additive_attention_vjp(q, k, v, k[0, 0, 0]))",
    "linear attention": "linear_attention(q, k, v)",
    "dense layer": "layer((3, 41, 203)[i % 3])",
    "scaled_dot_product_attention": "heedful.scaled_dot_product_attention(q, k, v)",
}

GROWTH = """
heedful.set_num_threads(2)

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE")

def growth(call, calls=2000):
    # Both numbers are peaks over the same mixture of shapes, the second over many more calls.
    for i in range(calls // 10):
        call(i)
    before = resident()
    for i in range(calls):
        call(i)
    return resident() - before
"""


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_memory_does_not_grow_over_2000_calls_of_mixed_shapes(call: str) -> None:
    printed = run(
        GROWTH
        + f"""
def gradients(returned):
    out, pullback = returned
    return pullback(out)

def refused(function, *arguments):
    try:
        function(*arguments)
    except ValueError:
        return
    raise AssertionError("not refused")

cases = []
for batch, heads, length, depth in [(1, 1, 3, 5), (2, 3, 61, 8), (1, 2, 211, 16), (3, 1, 130, 40),
                                    (1, 4, 17, 64), (2, 2, 97, 11)]:
    q, k, v = arrays(batch, heads, length, depth)
    starts = np.array([0, length // 2, length])
    packed = [np.ascontiguousarray(x[0].swapaxes(0, 1)) for x in (q, k, v)] + [starts, starts]
    out, lse = heedful.attention(q, k, v, return_lse=True)
    bias = rng.standard_normal((length, length)).astype("f")
    cases.append((q, k, v, out, lse, bias, packed, blocks_of(length)))

def call(i):
    q, k, v, out, lse, bias, packed, blocks = cases[i % len(cases)]
    {call}

print(growth(call))
""",
    )
    assert int(printed) < 4 * 2**20  # a leak of 4 KB a call would show as 8 MB


def test_the_memory_of_threads_that_end_is_freed() -> None:
    printed = run(
        GROWTH
        + """
import threading
x = arrays(1, 4, 301, 64)
def call(_):
    thread = threading.Thread(target=heedful.attention, args=x)
    thread.start()
    thread.join()
print(growth(call, 500))
"""
    )
    assert int(printed) < 8 * 2**20  # the scratch of 500 threads would be 100 MB and more


def test_the_memory_of_failed_calls_is_freed() -> None:
    printed = run(
        GROWTH
        + """
from heedful._core import native
x = arrays(1, 4, 301, 64)
out, pullback = heedful.attention_vjp(*x)
def call(i):
    native.fail_allocation(1 + i % 6)
    try:
        pullback(out)
    except MemoryError:
        pass
    native.fail_allocation(0)
print(growth(call))
"""
    )
    assert int(printed) < 4 * 2**20


def test_large_scratch_is_not_kept() -> None:
    # a depth so large that query panels and key tiles take more than 64 MB
    printed = run(
        GROWTH
        + """
def call(_):
    x = np.broadcast_to(np.float32(0.5), (1, 1, 301, 2**19))
    heedful.attention_scores(x, x[:, :, :1])
call(0)
before = resident()
call(0)
print(before - resident(), before)
"""
    )
    assert int(printed.split()[1]) < 256 * 2**20


@pytest.mark.parametrize("used", [False, True], ids=["never called", "called"])
def test_a_pullback_that_is_dropped_frees_its_arrays(used: bool) -> None:
    run(
        f"""
import gc, weakref
gc.disable()  # at once, not at the next collection
q, k, v = arrays()
bias = rng.standard_normal((97, 97)).astype("f")
kept = [weakref.ref(x) for x in (q, k, v, bias)]
out, pullback = heedful.attention_vjp(q, k, v, bias=bias)
kept.append(weakref.ref(out))
gradients = pullback(out) if {used} else None
del q, k, v, bias, out
assert all(x() is not None for x in kept[:3]), "the pullback needs them"
del pullback
assert all(x() is None for x in kept), [x() is None for x in kept]
"""
    )


def test_a_result_keeps_no_input_alive() -> None:
    run(
        """
import gc, weakref
gc.disable()
for function in (heedful.attention, lambda q, k, v: heedful.attention_weights(q, k),
                 lambda q, k, v: heedful.attention_scores(q, k)):
    q, k, v = arrays()
    kept = [weakref.ref(x) for x in (q, k, v)]
    out = function(q, k, v)
    del q, k, v
    assert all(x() is None for x in kept)
    assert out.base is None or out.base.nbytes <= 2 * out.nbytes
"""
    )
