"""Adaptive spans: a layer whose heads look some tokens back, beside one that sees all of them.

The layers take turns in one process, forward and backward; a ratio is the median over the rounds.
Memory is the peak of such a step beyond its input, and that of query-key normalisation, too.
"""

import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

import heedful
from heedful.benchmark.goal import Line
from heedful.benchmark.harness import Harness
from heedful.benchmark.memory import highest
from heedful.benchmark.topic import Topic, main
from heedful.layers import MultiHeadAttention

WIDTH, HEADS, LENGTH, RAMP = 256, 4, 16_384, 32
SPANS = {64: 0.25, 256: 0.4, 1024: 0.8}  # at most so many times the layer without
ALLOWED = 1e-5  # error relative to the largest element
SHORT, LINEAR = 4_096, 1.25  # times as many bytes a token at the full length as at this one
Array = NDArray[Any]


def layer_of(span: int | None, length: int, **options: Any) -> MultiHeadAttention:
    if span is None:
        return MultiHeadAttention(WIDTH, HEADS, causal=True, rng=0, **options)
    layer = MultiHeadAttention(
        WIDTH, HEADS, causal=True, adaptive_span=length, span_ramp=RAMP, rng=0
    )
    layer.span[...] = span / length
    return layer


def error(span: int) -> float:
    """Of a short sequence, against all weights in NumPy, from the parameters of the layer."""
    length = 512
    layer, x = layer_of(span, length), draw(length)[:, :length]
    projected = x[0].astype(float) @ layer.in_proj_weight.astype(float).T + layer.in_proj_bias
    q, k, v = projected.reshape(length, 3, HEADS, -1).transpose(1, 2, 0, 3)
    distance = np.arange(length)[:, None] - np.arange(length)
    m = np.where(distance < 0, 0, np.clip((RAMP + span - distance) / RAMP, 0, 1))
    weights = m * np.exp(q @ k.swapaxes(1, 2) / q.shape[-1] ** 0.5)
    weights /= weights.sum(-1, keepdims=True)
    heads = (weights @ v).swapaxes(0, 1).reshape(length, -1)
    exact = heads @ layer.out_proj.weight.astype(float).T + layer.out_proj.bias
    return float(abs(layer(x)[0] - exact).max() / abs(exact).max())


def draw(length: int) -> Array:
    return np.random.default_rng(0).standard_normal((1, length, WIDTH), dtype=np.float32)


def step_of(span: int | None, length: int = LENGTH, **options: Any) -> Callable[[], None]:
    layer, x = layer_of(span, length, **options), draw(length)

    def step() -> None:
        y, backward = layer.forward(x, rng=0)
        backward(y)

    return step


def span_lines(harness: Harness) -> Iterator[Line]:
    for span in SPANS:
        found = error(span)
        if not found < ALLOWED:
            yield Line(f"span {span}", f"error < {ALLOWED:g}", f"{found:.1e}", False)
            return
    steps = {span: step_of(span) for span in (None, *SPANS)}
    times: dict[int | None, list[float]] = {span: [] for span in steps}
    with heedful.num_threads(harness.threads):
        for _ in range(harness.rounds):
            for span, step in steps.items():
                start = time.perf_counter()
                step()
                times[span].append(time.perf_counter() - start)
    for span, most in SPANS.items():
        ratio = statistics.median(a / b for a, b in zip(times[span], times[None], strict=True))
        name = f"(1, {LENGTH}, {WIDTH}), {HEADS} heads, span {span}, with gradients"
        figure = f"{ratio:.2f} x ({1e3 * statistics.median(times[span]):.0f} ms)"
        yield Line(name, f"≤ {most} x without", figure, ratio <= most)
    yield memory_line("span 1024", 1024)
    yield memory_line('qk_norm="l2"', None, qk_norm="l2")


def memory_line(name: str, span: int | None, **options: Any) -> Line:
    """The growth of the memory with the length; a short step first starts the threads."""
    step_of(span, 64, **options)()
    short, long = (highest(step_of(span, length, **options)) for length in (SHORT, LENGTH))
    growth = long / max(short, 1) * SHORT / LENGTH
    return Line(
        f"memory of {name}, (1, {LENGTH}, {WIDTH}), with gradients, beside {SHORT} tokens",
        f"≤ {LINEAR:g} x as much a token",
        f"{growth:.2f} x, {long / 1e6:.0f} MB",
        growth <= LINEAR,
    )


TOPIC = Topic("span", __doc__, other=span_lines)

if __name__ == "__main__":
    main(TOPIC)
