"""Training steps of the character model with penalties of attention, beside steps without."""

from collections.abc import Callable, Iterator
from pydoc_data.topics import topics
from typing import Any

import numpy as np
from numpy.typing import NDArray

import heedful
from heedful.benchmark.channel import Answer
from heedful.benchmark.goal import Line, at_least, forced_level
from heedful.benchmark.harness import Harness
from heedful.benchmark.memory import highest
from heedful.benchmark.script import ScriptProcess, ScriptWorker, script_processes, take_turns
from heedful.benchmark.topic import Topic, main
from heedful.layers import LanguageModel
from heedful.training import AdamW, SparseCategoricalCrossEntropy

# of every layer
PENALTIES: dict[str, dict[str, float]] = {
    "none": {},
    "entropy": {"entropy": 0.01},
    "l2": {"l2": 0.01},
    "z": {"z": 1e-4},
    "entropy, l2 and z": {"entropy": 0.01, "l2": 0.01, "z": 1e-4},
}
COST = 1.3  # times a step without
# examples/character_language_model.py
WIDTH, HEADS, LAYERS, LENGTH, BATCH = 128, 4, 2, 128, 16
ALLOWED = 1e-5  # error relative to the largest element
LENGTHS = (4_096, 16_384)
LINEAR = 1.25  # times as many bytes a token at the longest as at the shortest
Array = NDArray[Any]


def step_of(penalties: dict[str, float]) -> Callable[[], float]:
    """One step of training on a batch of the text."""
    text = "\n".join(topics[name] for name in sorted(topics))
    letters = {letter: index for index, letter in enumerate(sorted(set(text)))}
    tokens = np.array([letters[letter] for letter in text])
    model = LanguageModel(
        len(letters), WIDTH, HEADS, LAYERS, max_length=1024, rate=0.0, positions="rotary",
        penalties=penalties or None, rng=0,
    )  # fmt: skip
    optimizer, loss_fn = AdamW(model, lr=1e-3, clip_norm=1.0), SparseCategoricalCrossEntropy()
    rng = np.random.default_rng(0)

    def step() -> float:
        first = rng.integers(0, len(tokens) - LENGTH, BATCH)
        window = tokens[first[:, None] + np.arange(LENGTH + 1)]
        logits, backward = model.forward(window[:, :-1], rng=rng)
        loss, dlogits = loss_fn(window[:, 1:], logits)
        model.zero_grad()
        backward(dlogits)
        optimizer.step()
        return loss + model.attention_penalty

    return step


def error() -> float:
    """Of each penalty and its gradient of query, against NumPy in float64 with all weights."""
    rng = np.random.default_rng(7)
    query, key = rng.standard_normal((2, 2, HEADS, LENGTH, 32), dtype=np.float32)
    scores = query.astype(float) @ key.astype(float).swapaxes(-1, -2) / 32**0.5
    scores = np.where(np.tri(LENGTH, dtype=bool), scores, -np.inf)
    lse = np.log(np.exp(scores).sum(-1, keepdims=True))
    p = np.exp(scores - lse)
    log_p = np.where(p > 0, scores - lse, 0)
    entropy, squares = (-(p * log_p).sum(-1, keepdims=True), (p * p).sum(-1, keepdims=True))
    exact = {
        "entropy": (entropy, -p * (log_p + entropy)),
        "l2": (squares, 2 * p * (p - squares)),
        "z": (lse**2, 2 * lse * p),
    }
    worst = 0.0
    for kind, (value, dscores) in exact.items():
        found, pullback = heedful.attention_penalty(query, key, kind, causal=True, align=0)
        dquery = dscores @ key / 32**0.5 / value.size
        worst = max(
            worst,
            abs(found / value.mean() - 1),
            float(abs(pullback()[0] - dquery).max() / abs(dquery).max()),
        )
    return worst


class Worker(ScriptWorker):
    """Takes steps, with each penalty on a model of its own."""

    def prepare(self) -> Answer:
        self.calls = {name: step_of(penalties) for name, penalties in PENALTIES.items()}
        return {"error": error()}

    def memory(self, length: int) -> Answer:
        """Beyond inputs and outputs; a short call first starts the threads."""

        def call_of(tokens: int) -> Callable[[], object]:
            query, key = np.random.default_rng(0).standard_normal((2, 1, tokens, 64), np.float32)
            return lambda: heedful.attention_penalty(query, key, "entropy")[1]()

        call_of(64)()
        return {"extra": highest(call_of(length)) - 2 * 4 * 64 * length}


def penalty_lines(harness: Harness) -> Iterator[Line]:
    if "heedful" not in harness.libraries:
        return
    with script_processes(__file__, harness, ("heedful",)) as processes:
        yield from speed_lines(harness, processes["heedful"])
    yield memory_line(harness)


def speed_lines(harness: Harness, process: ScriptProcess) -> Iterator[Line]:
    """Check the penalties, time steps with and without in turns, judge."""
    wrong = process.ask("prepare")["error"]
    if wrong > ALLOWED:
        yield Line("penalties", f"error ≤ {ALLOWED}", f"{wrong:.1e}", False)
        return

    def turn(name: str) -> Callable[[float], list[float]]:
        return lambda seconds: process.turn(seconds, name)

    taken = take_turns(harness, {name: turn(name) for name in PENALTIES})
    for name in list(PENALTIES)[1:]:
        ratio = taken.ratio(name, "none")
        line = at_least(
            f"training step with {name}", 1 / COST, ratio, "x without", str(taken), forced_level()
        )
        yield line.seen_in(taken.state)


def memory_line(harness: Harness) -> Line:
    """The growth of the memory with the length, each in a fresh process."""
    own = {}
    for length in LENGTHS:
        with script_processes(__file__, harness, ("heedful",)) as processes:
            own[length] = max(processes["heedful"].ask("memory", length=length)["extra"], 1)
    short, long = LENGTHS
    growth = own[long] / own[short]
    return Line(
        f"memory of the entropy of {long}² weights, with gradients, beside {short}²",
        f"≤ {LINEAR:g} x as much a token",
        f"{growth * short / long:.2f} x, {own[long] / 1e6:.1f} MB",
        growth <= LINEAR * long / short,
    )


TOPIC = Topic("penalties", __doc__, other=penalty_lines)

if __name__ == "__main__":
    main(TOPIC, Worker)
