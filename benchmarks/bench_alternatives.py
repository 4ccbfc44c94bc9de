"""Attention and its alternatives: what they learn from the same steps, and what they cost.

The digits of examples/digits_vision_transformer.py and the text of
examples/character_language_model.py, with one word of the model's constructor changed. All models
take the same steps on the same batches, taking turns, and their feed-forward blocks are widened
until they have as many parameters as the one with attention. Then single layers, by length.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from learning_tasks import Array, Task, characters, digits

import heedful
from heedful.benchmark.report import machine
from heedful.layers import EncoderLayer, LanguageModel, Layer
from heedful.training import AdamW, SparseCategoricalCrossEntropy, WarmupCosine

RESULTS = Path(__file__).parent / "results" / "alternatives.json"
MIXERS = ("attention", "linear", "gating", "mlp", "fourier")
CAUSAL = ("attention", "linear", "gating")
SEED = 0
Row = dict[str, Any]


class Trained:
    """One model on its way: takes a step, and keeps how long it took."""

    def __init__(self, task: Task, mixer: str, steps: int) -> None:
        dense = parameters(task, "attention", task.dff)
        per_unit = parameters(task, mixer, task.dff + 1) - parameters(task, mixer, task.dff)
        missing = dense - parameters(task, mixer, task.dff)
        self.mixer, self.dff = mixer, task.dff + round(missing / per_unit)
        self.rng = np.random.default_rng(SEED)
        self.model = task.make(mixer, self.dff, self.rng)
        self.optimizer = AdamW(
            self.model, WarmupCosine(task.settings["peak"], steps // 10, steps), clip_norm=1.0,
            weight_decay=task.settings["weight_decay"],
        )  # fmt: skip
        self.loss = SparseCategoricalCrossEntropy()
        self.seconds: list[float] = []
        self.inference_seconds: list[float] = []

    def step(self, x: Array, target: Array) -> None:
        begin = time.perf_counter()
        logits, backward = self.model.forward(x, rng=self.rng)
        _, dlogits = self.loss(target, logits)
        self.model.zero_grad()
        backward(dlogits)
        self.optimizer.step()
        self.seconds.append(time.perf_counter() - begin)


def parameters(task: Task, mixer: str, dff: int) -> int:
    return task.make(mixer, dff, 0).parameter_count


def compare(task: Task, mixers: Sequence[str], steps: int, rounds: int) -> list[Row]:
    """Trains all models in turns."""
    entries = [Trained(task, mixer, steps) for mixer in mixers]
    rng = np.random.default_rng(SEED)
    for _ in range(steps):
        x, target = task.batch(rng)
        for entry in entries:
            entry.step(x, target)
    for _ in range(rounds):
        for entry in entries:
            entry.inference_seconds.append(seconds_of(partial(entry.model, task.inference)))
    return [
        {
            "mixer": entry.mixer,
            "dff": entry.dff,
            "parameters": entry.model.parameter_count,
            task.quality: task.judge(entry.model),
            "ms per training step": milliseconds(entry.seconds),
            "ms per inference": milliseconds(entry.inference_seconds),
        }
        for entry in entries
    ]


def seconds_of(call: Callable[[], Any]) -> float:
    begin = time.perf_counter()
    call()
    return time.perf_counter() - begin


def milliseconds(seconds: Sequence[float]) -> float:
    return round(1e3 * statistics.median(seconds), 3)


# --- a token of the language models


def generation(models: Sequence[str], tokens: int) -> dict[str, float]:
    """Milliseconds for a token that follows `tokens` others, from an untrained model."""
    found = {}
    for mixer in models:
        model = LanguageModel(96, 128, 4, 2, max_length=tokens + 64, mixer=mixer, rng=SEED)
        steps = model.generation_steps()
        steps.start([np.arange(tokens) % 96])
        step = partial(steps.step, np.array([1]))
        found[mixer] = milliseconds([seconds_of(step) for _ in range(48)])
    return found


# --- one layer, by length


def by_length(lengths: Sequence[int], rounds: int) -> list[Row]:
    """Milliseconds of a layer, forward and backward, of width 256 with 4 heads."""
    rows = []
    for length in lengths:
        x = np.random.default_rng(SEED).standard_normal((1, length, 256)).astype(np.float32)
        layers = {}
        for mixer in MIXERS:
            if mixer == "gating" and length > 8192:  # a matrix of length²
                continue
            layers[mixer] = EncoderLayer(
                256, 4, 1, 0.0, mixer=mixer, max_length=length, rng=SEED
            ).self_attn  # fmt: skip
        times: dict[str, list[float]] = {mixer: [] for mixer in layers}
        for round_ in range(rounds + 1):
            for mixer, layer in layers.items():
                options = {"causal": True} if mixer in CAUSAL else {}
                seconds = seconds_of(partial(there_and_back, layer, x, **options))
                if round_:  # the first one warms up
                    times[mixer].append(seconds)
        rows.append({"length": length, **{name: milliseconds(one) for name, one in times.items()}})
    return rows


def there_and_back(layer: Layer, x: Array, **options: Any) -> None:
    y, backward = layer.forward(x, **options)
    backward(y)


# --- what is printed


def table(title: str, rows: Sequence[Row], columns: Sequence[str]) -> str:
    cells = [[title, *columns]] + [
        [row["mixer"], *(shown(row.get(name)) for name in columns)] for row in rows
    ]
    widths = [max(len(line[place]) for line in cells) for place in range(len(cells[0]))]
    return "\n".join(
        "  ".join(
            [
                line[0].ljust(widths[0]),
                *(c.rjust(w) for c, w in zip(line[1:], widths[1:], strict=True)),
            ]
        )
        for line in cells
    )


def shown(value: Any) -> str:
    return "–" if value is None else f"{value:,}" if isinstance(value, int) else f"{value:g}"


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=3000, help="of the digits; a third for text")
    parser.add_argument("--quick", action="store_true", help="a few steps: only whether it runs")
    parser.add_argument("--json", type=Path, help=f"default: {RESULTS.name} unless --quick")
    found = parser.parse_args()
    if found.steps < 1:
        parser.error(f"--steps must be at least 1: got {found.steps}")
    return found


def main() -> None:
    given = arguments()
    steps = 6 if given.quick else given.steps
    text_steps, rounds = max(steps // 3, 1), 3 if given.quick else 15
    where = machine()
    print(f"{where['processor']}, {where['cores']} cores, level {where['level']}\n")

    task = digits()
    of_digits = compare(task, MIXERS, steps, rounds)
    costs = ["parameters", "ms per training step", "ms per inference"]
    print(table(f"digits, {steps} steps", of_digits, [task.quality, *costs]))

    task = characters(*((32, 8) if given.quick else ()))
    of_text = compare(task, CAUSAL, text_steps, rounds)
    longest = 64 if given.quick else 4096
    tokens = generation(CAUSAL, longest)
    after = f"ms per token after {longest}"
    of_text = [{**row, after: tokens[row["mixer"]]} for row in of_text]
    of_text += [{"mixer": mixer} for mixer in MIXERS if mixer not in CAUSAL]
    print()
    print(table(f"characters, {text_steps} steps", of_text, [task.quality, *costs, after]))
    print("–: not causal, so no language model")

    lengths = (64, 128) if given.quick else (256, 1024, 4096, 16384)
    of_lengths = by_length(lengths, 2 if given.quick else 5)
    columns = [f"L = {row['length']}" for row in of_lengths]
    by_mixer = [
        {"mixer": mixer, **{f"L = {row['length']}": row.get(mixer) for row in of_lengths}}
        for mixer in MIXERS
    ]
    print()
    print(table("one layer, forward and backward, ms", by_mixer, columns))
    print("attention, linear and gating causal; gating's matrix of length² is left out at 16,384")

    file = given.json or (None if given.quick else RESULTS)
    if file is not None:
        written = {
            "command": f"python benchmarks/bench_alternatives.py --steps {steps}",
            "date": time.strftime("%Y-%m-%d"),
            "machine": where,
            "threads": heedful.get_num_threads(),
            "versions": {"heedful": heedful.__version__, "numpy": np.__version__},
            "comparisons": [],  # of libraries, as in the files beside it
            "digits": {"steps": steps, "models": of_digits},
            "characters": {"steps": text_steps, "models": of_text},
            "lengths": of_lengths,
        }
        file.write_text(json.dumps(written, indent=1) + "\n", encoding="utf-8")
        print(f"\nwritten: {file}")


if __name__ == "__main__":
    main()
