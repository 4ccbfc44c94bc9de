"""Pruned heads and fewer tokens: what they save, and what they cost in accuracy.

Trains the model of examples/digits_vision_transformer.py, and one like it that reads the digit from
a class token, and prunes them; then, where the weights of MiniLM are installed, shortens passages
in it and compares their vectors, and the answers to ten questions. Speed is that of inference,
whole and pruned in turns; accuracy is that of the test half. Takes some minutes.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Mapping
from copy import deepcopy
from statistics import median
from typing import Any

import numpy as np

import heedful
from heedful.benchmark import processor
from heedful.benchmark.questions import QUESTIONS, WORDS, answers, pieces
from heedful.data import load_digits
from heedful.layers import Encoder, Flatten, Layer, LearnedPositions, Linear, Mode, Sequential
from heedful.pruning import MergedEncoder, PrunedEncoder, head_importance, prune_heads
from heedful.training import AdamW, WarmupCosine

Array = np.ndarray[Any, Any]
PARTS = ("heads", "tokens", "sentences")
LOSS = "sparse_categorical_crossentropy"
BATCH = 256  # of the calls that are timed
# of 17 tokens, in the two layers; after the last attention nothing but the class token is read
KEEP = ([12, 1], [8, 1], [5, 1])
MERGE = ([3, 3], [5, 4], [8, 4])
# of MiniLM's six layers, for texts of 128 tokens: kept, and merged with others
KEEP_WORDS = ([128, 128, 96, 96, 64, 64], [128, 128, 64, 64, 32, 32], [96, 80, 64, 48, 40, 32])
MERGE_WORDS = ([0, 8, 8, 8, 8, 8], [0, 16, 16, 16, 16, 16], [0, 32, 32, 16, 16, 8])
TOKENS = 128


# --- the digits


class Digits:
    """The even-numbered images train, the odd-numbered ones test; as 16 patches of 16 pixels."""

    def __init__(self, class_token: bool) -> None:
        images, labels = load_digits()
        self.pixels, self.class_token = images.astype(np.float32) / 16, class_token
        self.train, self.train_labels = self.pixels[0::2], labels[0::2]
        self.test, self.test_labels = self.patches(self.pixels[1::2]), labels[1::2]

    def patches(self, pixels: Array) -> Array:
        """(N, 8, 8) as (N, 16, 16); with a class token a row of 0 before them, (N, 17, 16)."""
        padded = np.pad(pixels, ((0, 0), (1, 1), (1, 1)))
        cut = np.lib.stride_tricks.sliding_window_view(padded, (4, 4), axis=(1, 2))[:, ::2, ::2]
        patches = cut.reshape(-1, 16, 16) * 2 - 1
        return np.pad(patches, ((0, 0), (1, 0), (0, 0))) if self.class_token else patches

    def moved(self, rng: np.random.Generator) -> Array:
        """The training images, half of them moved by a pixel."""
        padded = np.pad(self.train, ((0, 0), (1, 1), (1, 1)))
        places = rng.integers(0, 3, (2, len(self.train), 1, 1))
        stays = rng.random((len(self.train), 1, 1)) < 0.5
        down, right = np.where(stays, 1, places)
        rows, columns = np.arange(8)[:, None] + down, np.arange(8)[None, :] + right
        return self.patches(padded[np.arange(len(self.train))[:, None, None], rows, columns])

    def fit(self, model: Layer, epochs: int, rate: float) -> None:
        rng = np.random.default_rng(0)
        steps = epochs * -(-len(self.train) // 16)
        schedule = WarmupCosine(rate, steps // 10, steps)
        model.compile(AdamW(lr=schedule, weight_decay=0.05), LOSS, metrics=["accuracy"])
        for _ in range(epochs):
            model.fit(self.moved(rng), self.train_labels, batch_size=16, rng=rng, verbose=False)

    def accuracy(self, model: Layer) -> float:
        """In percent of the test half."""
        logits = model.predict(self.test, batch_size=BATCH)
        return 100 * float(np.mean(logits.argmax(-1) == self.test_labels))


class FirstToken(Layer):
    """The vector of the class token: (B, L, E) → (B, E)."""

    def compute(self, mode: Mode, x: Array) -> tuple[Array, Callable[[Array], Array]]:
        def backward(dy: Array) -> Array:
            dx = np.zeros_like(x)
            dx[:, 0] = dy
            return dx

        return x[:, 0], backward


def made(class_token: bool) -> Sequential:
    rng = np.random.default_rng(0)
    length = 17 if class_token else 16
    return Sequential(
        Linear(16, 64, rng=rng),
        LearnedPositions(length, 64, rng=rng),
        Encoder(2, 64, 4, dff=128, rate=0.2, norm_first=True, activation="gelu", rng=rng),
        FirstToken() if class_token else Flatten(),
        Linear(64 if class_token else 16 * 64, 10, rng=rng),
    )


def with_encoder(model: Sequential, encoder: Layer) -> Sequential:
    """The same layers around another encoder."""
    return Sequential(model[0], model[1], encoder, model[3], model[4])


# --- measuring


def times_as_fast(
    whole: Callable[[], object], other: Callable[[], object], rounds: int, seconds: float
) -> str:
    """How many times as fast `other` is, the median over rounds in turns, and its range."""
    ratios = []
    for _ in range(rounds):
        before, after = (least_seconds(call, seconds) for call in (whole, other))
        ratios.append(before / after)
    return f"{median(ratios):5.2f} x ({min(ratios):.2f} to {max(ratios):.2f})"


def least_seconds(call: Callable[[], object], seconds: float) -> float:
    """Of the calls in about `seconds` the fastest: the one that other processes disturbed least."""
    call()
    times: list[float] = []
    while len(times) < 3 or sum(times) < seconds:
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return min(times)


class Settings:
    """Epochs of training, and how long calls are timed."""

    def __init__(self, quick: bool) -> None:
        self.epochs, self.more = (1, 1) if quick else (140, 10)
        self.rounds, self.seconds = (2, 0.02) if quick else (9, 0.3)
        self.texts, self.timed = (6, 1) if quick else (None, 16)

    def speed(self, whole: Callable[[], object], other: Callable[[], object]) -> str:
        return times_as_fast(whole, other, self.rounds, self.seconds)


def heads(settings: Settings) -> None:
    digits, model = Digits(False), made(False)
    digits.fit(model, settings.epochs, 2e-3)
    before = digits.accuracy(model)
    print(f"\nheads of the digits model: {model.parameter_count:,} parameters, {before:.2f} %")
    print(f"{'half of them pruned by':<26}{'removed':<22}{'accuracy':>9}{'fine-tuned':>12}  faster")
    x = digits.test[:BATCH]
    train = digits.patches(digits.train)
    for method in ("gradient", "ablation"):
        importance = head_importance(model, train, digits.train_labels, method=method)
        pruned = prune_heads(model, importance, fraction=0.5)
        report(settings, digits, method, str(removed(pruned)), model, pruned, x)
    step = [
        training_step(digits, one) for one in (model, prune_heads(model, importance, fraction=0.5))
    ]
    print(f"a training step of 64 images: {settings.speed(*step)}")


def removed(model: Sequential) -> list[tuple[int, ...]]:
    return [layer.self_attn.pruned_heads for layer in model[2].layers]


def training_step(digits: Digits, model: Layer) -> Callable[[], object]:
    x, y = digits.patches(digits.train[:64]), digits.train_labels[:64]
    return lambda: model.fit(x, y, batch_size=64, rng=0, verbose=False)


def report(
    settings: Settings, digits: Digits, name: str, detail: str, whole: Layer, other: Layer, x: Array
) -> None:
    """A line: accuracy as it is and after fine-tuning, and the speed."""
    speed = settings.speed(lambda: whole(x), lambda: other(x))
    accuracy, tuned = digits.accuracy(other), deepcopy(other)
    digits.fit(tuned, settings.more, 5e-4)
    print(f"{name:<26}{detail:<22}{accuracy:>7.2f} %{digits.accuracy(tuned):>10.2f} %  {speed}",
          flush=True)  # fmt: skip


def tokens(settings: Settings) -> None:
    digits, model = Digits(True), made(True)
    digits.fit(model, settings.epochs, 2e-3)
    whole = digits.accuracy(model)
    print(f"\ntokens of the digits model, a class token and 16 patches: {whole:.2f} %")
    print(f"{'in the two layers':<26}{'left':<22}{'accuracy':>9}{'fine-tuned':>12}  faster")
    x = digits.test[:BATCH]
    report(settings, digits, "all", "17, 17", model, model, x)
    for keep in KEEP:
        other = with_encoder(model, PrunedEncoder(model[2], keep))
        report(settings, digits, f"keep {keep}", ", ".join(map(str, keep)), model, other, x)
    for merge in MERGE:
        other = with_encoder(model, MergedEncoder(model[2], merge))
        left = ", ".join(str(17 - sum(merge[: index + 1])) for index in range(2))
        report(settings, digits, f"merge {merge}", left, model, other, x)


def sentences(settings: Settings) -> None:
    try:
        from heedful.integrations.sentences import SentenceEncoder, find_minilm

        encoder = SentenceEncoder(find_minilm(), max_length=TOKENS)
    except ImportError as error:
        print(f"\nsentences are left out: {error}")
        return
    texts, labels = pieces()
    if settings.texts is not None:
        texts, labels = texts[: settings.texts], labels[: settings.texts]
    questions = encoder.encode(list(QUESTIONS))
    whole: Any = encoder.model.encoder

    def encode(inside: Any, some: list[str] = texts) -> Array:
        encoder.model.encoder = inside
        return encoder.encode(some)

    before = encode(whole)
    closest, right = answers(questions, before, labels)
    long = [text for text in texts if len(text.split()) >= WORDS][: settings.timed]
    print(f"\nMiniLM, {len(texts)} passages of up to {TOKENS} tokens: cosine to the vectors of all "
          f"tokens, and ten questions\n{'left by the six layers':<38}{'mean':>6}{'least':>8}"
          f"{'same passage':>14}{'right topic':>13}  faster")  # fmt: skip
    print(f"{f'all {TOKENS}':<38}{1:>6.3f}{1:>8.3f}{10:>14}{right:>13}")
    shorter: list[tuple[str, Any]] = [
        (f"keep {', '.join(map(str, keep))}", PrunedEncoder(whole, keep)) for keep in KEEP_WORDS
    ]
    for merge in MERGE_WORDS:
        left = [TOKENS - sum(merge[: index + 1]) for index in range(len(merge))]
        shorter.append((f"merge to {', '.join(map(str, left))}", MergedEncoder(whole, merge)))
    for name, inner in shorter:
        after = encode(inner)
        cosines = (before * after).sum(-1)
        found, right = answers(questions, after, labels)
        speed = settings.speed(
            lambda: encode(whole, long),
            lambda: encode(inner, long),  # noqa: B023
        )
        print(f"{name:<38}{cosines.mean():>6.3f}{cosines.min():>8.3f}"
              f"{int((found == closest).sum()):>14}{right:>13}  {speed}", flush=True)  # fmt: skip


RUN: Mapping[str, Callable[[Settings], None]] = {
    "heads": heads, "tokens": tokens, "sentences": sentences,
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true",
                        help="hardly any training, short turns: shows that it runs")  # fmt: skip
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS, metavar="PART",
                        help=f"out of {', '.join(PARTS)}")  # fmt: skip
    arguments = parser.parse_args()
    level = heedful.show_config(mode="dicts")["level"]
    print(f"{processor.name()}, level {level}, {heedful.get_num_threads()} threads, "
          f"heedful {heedful.__version__}")  # fmt: skip
    for part in arguments.only:
        RUN[part](Settings(arguments.quick))


if __name__ == "__main__":
    main()
