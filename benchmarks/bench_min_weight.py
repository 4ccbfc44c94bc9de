"""What min_weight=1e-4 drops in real models, and how far the results are from exact attention.

MiniLM reads pages of Python's documentation, and a language model of its characters, trained here
for some hundred steps, reads on. Queries, keys and values are those of each layer.
"""

from __future__ import annotations

from collections.abc import Iterator
from pydoc_data.topics import topics
from typing import Any

import numpy as np

import heedful
from heedful.benchmark.goal import Line
from heedful.benchmark.harness import Harness
from heedful.benchmark.topic import Topic, main
from heedful.layers import LanguageModel
from heedful.layers.attention import _heads
from heedful.training import AdamW, SparseCategoricalCrossEntropy, WarmupCosine

MIN_WEIGHT, LENGTH = 1e-4, 512
STEPS, TRAINED_LENGTH, BATCH = 400, 128, 16


class Calls:
    """While it is entered, what every layer passes to attention."""

    def __enter__(self) -> list[tuple[tuple[Any, ...], dict[str, Any]]]:
        calls: list[tuple[tuple[Any, ...], dict[str, Any]]] = []
        self._attention = heedful.attention

        def attention(*arrays: Any, **options: Any) -> Any:
            calls.append((arrays, options))
            return self._attention(*arrays, **options)

        setattr(_heads, "attention", attention)  # noqa: B010 - a name that is imported there
        return calls

    def __exit__(self, *_: object) -> None:
        setattr(_heads, "attention", self._attention)  # noqa: B010


def of_minilm(text: str) -> list[Any]:
    from heedful.integrations.sentences import SentenceEncoder, find_minilm

    encoder = SentenceEncoder(find_minilm(), max_length=LENGTH)
    pages = [text[first : first + 6 * LENGTH] for first in range(0, 8 * 6 * LENGTH, 6 * LENGTH)]
    with Calls() as calls:
        encoder.encode(pages)
    return calls


def of_characters(text: str, steps: int) -> list[Any]:
    letters = sorted(set(text))
    tokens = np.searchsorted(letters, list(text))
    rng = np.random.default_rng(0)
    model = LanguageModel(len(letters), d_model=128, num_heads=4, num_layers=2, max_length=1024,
                          positions="rotary", rng=rng)  # fmt: skip
    optimizer = AdamW(model, WarmupCosine(5e-3, steps // 20 + 1, steps), clip_norm=1.0)
    loss_fn = SparseCategoricalCrossEntropy()
    for _ in range(steps):
        first = rng.integers(0, len(tokens) - TRAINED_LENGTH, BATCH)
        window = tokens[first[:, None] + np.arange(TRAINED_LENGTH + 1)]
        logits, backward = model.forward(window[:, :-1], rng=rng)
        _, dlogits = loss_fn(window[:, 1:], logits)
        model.zero_grad()
        backward(dlogits)
        optimizer.step()
    with Calls() as calls:
        model(tokens[: 8 * LENGTH].reshape(8, LENGTH))
    return calls


def lines_of(name: str, calls: list[Any]) -> Iterator[Line]:
    for layer, (arrays, options) in enumerate(calls):
        exact = heedful.attention(*arrays, **options)
        found, skipped = heedful.attention(
            *arrays, **options, min_weight=MIN_WEIGHT, return_skipped=True
        )
        error = float(np.abs(found - exact).max() / np.abs(exact).max())
        bound = 2 * MIN_WEIGHT * arrays[1].shape[1] * float(np.abs(arrays[2]).max())
        yield Line(
            f"{name}, attention {layer + 1} of {len(calls)}, {arrays[0].shape[1]} tokens",
            "within the bound",
            f"{skipped:.1%} skipped, off by {error:.1e} of the largest output",
            bool(np.abs(found - exact).max() <= bound),
        )


def min_weight_lines(harness: Harness) -> Iterator[Line]:
    heedful.set_num_threads(harness.threads)
    text = "\n".join(topics[name] for name in sorted(topics))
    steps = STEPS if harness.rounds > 2 else 20  # --quick
    yield from lines_of("character model", of_characters(text, steps))
    try:
        calls = of_minilm(text)
    except ImportError as error:
        yield Line("MiniLM", "within the bound", "–", None, reason=str(error))
        return
    yield from lines_of("MiniLM", calls)


TOPIC = Topic("min_weight", __doc__, other=min_weight_lines)

if __name__ == "__main__":
    main(TOPIC)
