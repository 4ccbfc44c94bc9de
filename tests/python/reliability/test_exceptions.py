"""A lack of memory is a MemoryError, wherever it occurs, and the next call is right."""

from __future__ import annotations

import pytest
from process import run

pytestmark = pytest.mark.slow

ENTRY_POINTS = {
    "attention": "heedful.attention(q, k, v, return_lse=True)[0]",
    "attention with weights": "heedful.attention(q, k, v, causal=True, return_weights=True)[1]",
    "attention of one query": "heedful.attention(q[..., :1, :], k, v)",
    "attention_vjp": "gradients(heedful.attention_vjp(q, k, v, dropout_p=0.1, rng=7))",
    "attention_vjp with a bias": "gradients(heedful.attention_vjp(q, k, v, bias=bias))",
    "attention_vjp with top_k": "gradients(heedful.attention_vjp(q, k, v, top_k=20))",
    "attention with entmax15": "heedful.attention(q, k, v, normalizer='entmax15')",
    "attention_vjp with α": "gradients(heedful.attention_vjp(q, k, v, normalizer=1.3))",
    "attention_weights with sparsemax": "heedful.attention_weights(q, k, normalizer='sparsemax')",
    "attention_backward": "heedful.attention_backward(out, q, k, v, out, lse).key",
    "attention_backward with top_k": "heedful.attention_backward(out, q, k, v, out, lse, "
    "top_k=20).key",
    "attention with a block mask": "heedful.attention(q, k, v, block_mask=blocks_of(301))",
    "attention of one query with a block mask": "heedful.attention(q[..., :1, :], k, v, "
    "block_mask=blocks_of(1, 301))",
    "attention_vjp with a block mask": "gradients(heedful.attention_vjp(q, k, v, "
    "block_mask=blocks_of(301)))",
    "attention_vjp with a block mask and top_k": "gradients(heedful.attention_vjp(q, k, v, "
    "block_mask=blocks_of(301), top_k=20))",
    "attention_vjp with min_weight": "gradients(heedful.attention_vjp(q, k, v, min_weight=0.3))",
    "attention_backward with min_weight": "heedful.attention_backward(out, q, k, v, out, lse, "
    "min_weight=0.3).key",
    "attention_weights with min_weight": "heedful.attention_weights(q, k, min_weight=0.3)",
    "from_weights": "heedful.BlockMask.from_weights(q, k, mass=0.5, block_size=32).blocks",
    "attention_paged": "heedful.attention_paged(q, *pages, [range(7), range(7, 14)], [301, 97])",
    "a cache": "cached(q, k, v)",
    "a paged cache": "cached(q, k, v, kind='paged')",
    "a cache in int8": "cached(q, k, v, dtype='int8')",
    "a paged cache in int8": "cached(q, k, v, dtype='int8', kind='paged')",
    "a cache with sinks and a window": "cached(q, k, v, policy=heedful.SinksAndWindow(4, 60))",
    "a cache with heavy hitters": "cached(q, k, v, policy=heedful.HeavyHitters(30, 30))",
    "a cache with Quest": "cached(q, k, v, policy=heedful.QuestPages(4))",
    "an encoder of pruned tokens": "shortened(q[:, 0], 'PrunedEncoder', [200, 100])",
    "an encoder of merged tokens": "shortened(q[:, 0], 'MergedEncoder', 70)",
    "attention_scores": "heedful.attention_scores(q, k)",
    "attention_weights": "heedful.attention_weights(q, k)",
    "attention_weights averaged": "heedful.attention_weights(q, k, average_heads=True)",
    "attention_weights with top_k": "heedful.attention_weights(q, k, top_k=20)",
    "attention_varlen": "heedful.attention_varlen(*packed)",
    "attention_varlen_vjp": "gradients(heedful.attention_varlen_vjp(*packed))",
    "merge_attention": "heedful.merge_attention([out, out], [lse, lse])[0]",
    "scaled_dot_product_attention": "heedful.scaled_dot_product_attention(q, k, v)",
    "additive_attention": "heedful.additive_attention(q, k, v, w)",
    "additive_attention_vjp": "gradients(heedful.additive_attention_vjp(q, k, v, w))",
    "linear attention": "linear_attention(q, k, v)",
    "linear attention of two ranges": "linear_attention(*long)",
    "dense layer of few rows": "layer(3)",
    "dense layer of some rows": "layer(41)",
    "dense layer of many rows": "layer(403)",
    "strided and 16-bit": "heedful.attention(*(x.astype('f2')[..., ::2] for x in (q, k, v)))",
}


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("call", ENTRY_POINTS.values(), ids=ENTRY_POINTS)
def test_an_allocation_that_fails_is_a_memory_error_and_nothing_else(
    call: str, threads: int
) -> None:
    run(
        f"""
heedful.set_num_threads({threads})
from heedful._core import native

q, k, v = arrays(2, 3, 301, 16)
long = arrays(1, 2, 1100, 16)
bias = rng.standard_normal((2, 3, 301, 301)).astype("f")
w = k[0, 0, 0]
starts = np.array([0, 97, 301])
packed = [np.ascontiguousarray(x[0].swapaxes(0, 1)) for x in (q, k, v)] + [starts, starts]
pages = [pages_of(x, 43) for x in (k, v)]
out, lse = heedful.attention(q, k, v, return_lse=True)

def gradients(returned):
    out, pullback = returned
    return np.concatenate([x.ravel() for x in pullback(out)[:3]])

def call():
    return {call}

expected = call()
failures = 0
while True:
    native.fail_allocation(failures + 1)
    try:
        result = call()
    except MemoryError as error:
        assert "memory" in str(error), error
        failures += 1
        assert failures < 1000
    else:
        break
    finally:
        native.fail_allocation(0)
    assert np.array_equal(call(), expected), "the call after a failure"
assert np.array_equal(result, expected)
print(failures)
"""
    )


def test_the_injected_failure_reaches_the_kernels() -> None:
    """Without it, the test above would prove nothing."""
    printed = run(
        """
from heedful._core import native
q, k, v = arrays(2, 3, 301, 16)
for call in (lambda: heedful.attention(q, k, v), lambda: heedful.attention_weights(q, k),
             lambda: heedful.attention_vjp(q, k, v)[1](q)):
    native.fail_allocation(1)
    try:
        call()
    except MemoryError:
        print("failed")
    native.fail_allocation(0)
"""
    )
    assert printed.split() == ["failed"] * 3


def test_results_too_large_for_memory_are_a_memory_error() -> None:
    run(
        """
x = np.broadcast_to(np.float32(1), (1, 1, 2**24, 1))  # costs nothing; its scores take 2**50 bytes
try:
    heedful.attention_scores(x, x)
except MemoryError:
    pass
else:
    raise AssertionError("no MemoryError")
y = arrays()
assert is_right(heedful.attention(*y), y)
"""
    )


def test_an_error_in_one_thread_leaves_the_others_alone() -> None:
    run(
        """
import threading
from heedful._core import native
heedful.set_num_threads(2)
x = arrays(2, 3, 301, 16)
expected = heedful.attention(*x)
counts = {"right": 0, "failed": 0}
lock = threading.Lock()
def work():
    for call in range(100):
        if call % 2:  # an armed failure strikes one call, this one or a neighbour's
            native.fail_allocation(3)
        try:
            name = "right" if np.array_equal(heedful.attention(*x), expected) else "wrong"
        except MemoryError:
            name = "failed"
        with lock:
            counts[name] += 1
threads = [threading.Thread(target=work) for _ in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
native.fail_allocation(0)
assert counts["right"] > 0 and counts["failed"] > 0, counts
"""
    )
