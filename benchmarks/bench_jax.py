"""Attention within a compiled function of JAX: heedful's against jax.nn.dot_product_attention.

Both take turns in one process, each checked first against float64; a ratio is the median over the
rounds. XLA computes on all processors available: for --threads 1, with which they are of processor
time, give it one, as `taskset -c 0` does.
"""

from collections.abc import Callable, Iterator
from importlib.util import find_spec
from typing import Any

import numpy as np

import heedful
from heedful.benchmark.goal import Line
from heedful.benchmark.harness import Harness
from heedful.benchmark.topic import Topic, main
from heedful.benchmark.turns import clock_of, table, take_turns, times_as_fast

# (B, L, H, D), causal, and how many times as fast as JAX at least, forward and with gradients
CASES = {
    "(1, 512, 8, 64)": ((1, 512, 8, 64), False, 1.5, 1.0),
    "(1, 1024, 12, 64) causal": ((1, 1024, 12, 64), True, 2.0, 1.0),
    "(1, 4, 1, 8)": ((1, 4, 1, 8), False, None, None),
}
ALLOWED = 1e-5  # error relative to the largest element
JAX, OWN = "jax.nn", "heedful"


def functions(causal: bool) -> dict[str, Callable[..., Any]]:
    import jax

    from heedful.integrations.jax import attention

    def own(*arrays: Any) -> Any:
        return attention(*arrays, causal=causal, layout="blhd")

    def theirs(*arrays: Any) -> Any:
        return jax.nn.dot_product_attention(*arrays, is_causal=causal)

    return {JAX: theirs, OWN: own}


def compiled(function: Callable[..., Any], gradients: bool) -> Callable[..., Any]:
    import jax

    differentiated = jax.grad(lambda *arrays: (function(*arrays) ** 2).sum(), (0, 1, 2))
    run = jax.jit(differentiated if gradients else function)
    return lambda *arrays: jax.block_until_ready(run(*arrays))


def jax_lines(harness: Harness) -> Iterator[Line]:
    if find_spec("jax") is None:
        yield Line("attention within JAX", "faster", "", None, reason="jax is not installed")
        return
    import jax

    rng = np.random.default_rng(0)
    for name, (shape, causal, *goals) in CASES.items():
        arrays = [rng.standard_normal(shape, dtype=np.float32) for _ in range(3)]
        exact = heedful.attention(
            *(array.astype(np.float64) for array in arrays), causal=causal, layout="blhd"
        )
        arrays = [jax.device_put(array) for array in arrays]
        for gradients, goal in zip((False, True), goals, strict=True):
            calls: dict[str, Callable[[], Any]] = {}
            for one, function in functions(causal).items():
                error = float(np.abs(function(*arrays) - exact).max() / np.abs(exact).max())
                if not error < ALLOWED:
                    yield Line(f"{name}, {one}", f"error < {ALLOWED:g}", f"{error:.1e}", False)
                    return
                run = compiled(function, gradients)
                calls[one] = lambda run=run, arrays=arrays: run(*arrays)
            times = take_turns(calls, harness.rounds, harness.seconds, clock_of(harness.threads))
            what = f"{name}, gradients" if gradients else name
            print(f"  {what}\n{table(times)}")
            if goal is not None:
                yield times_as_fast(what, times, OWN, JAX, goal)


TOPIC = Topic("jax", __doc__, other=jax_lines)

if __name__ == "__main__":
    main(TOPIC)
