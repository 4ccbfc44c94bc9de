"""What makes attention train steadily? Eight variants on wrong labels and too high learning rates.

Small Transformers recognise digits and breast cancer, with 0, 20 and 40 % of the training labels
wrong, and predict the characters of Python's documentation at three learning rates, of which the
last is too high. Every variant has the same model, number of steps, data and five seeds; a seed
decides the initial weights, the batches, and which labels are wrong. How strong a variant is (how
much dropout, …) is chosen first, for each of the three tasks, by two trainings of each strength at
the middle of the three conditions, on examples that are not in the table.

    python stability_study.py            in about 15 minutes of one core
    python stability_study.py --short    a part of it, in seconds, as the tests run it

Each training is appended to stability_study.jsonl when it ends: interrupted, the study goes on
where it was; complete, it only draws. Other files, and a page into which the tables are written and
beside which the pictures lie, can be named; that of the documentation is made by

    python examples/stability_study.py benchmarks/results/stability.jsonl docs/steadier.md
"""

# %% Data: digits as 16 patches, 30 measurements of cell nuclei, and text
import json
import sys
import time
from contextlib import suppress
from functools import cache
from importlib.util import find_spec
from itertools import product
from pathlib import Path
from pydoc_data.topics import topics
from typing import Any

import numpy as np
from sklearn.datasets import load_breast_cancer

import heedful
from heedful.data import load_digits
from heedful.layers import (
    Encoder,
    GlobalAveragePooling,
    LanguageModel,
    LearnedPositions,
    Linear,
    MultiHeadAttention,
    Sequential,
)
from heedful.training import Adam, SparseCategoricalCrossEntropy, WarmupCosine

SHORT = "--short" in sys.argv
PATHS = {path.suffix: path for path in map(Path, sys.argv[1:])}
RESULTS = PATHS.get(".jsonl", Path(f"stability_study{'-short' * SHORT}.jsonl"))
PAGE = PATHS.get(".md")
heedful.set_num_threads(1)  # matrices as small as these

Options, Curve = dict[str, Any], list[float]
SEEDS, PILOTS, POINTS, LENGTH = (2, 1, 1, 32) if SHORT else (5, 2, 10, 64)
WRONG, RATES = ((0.4,), (0.1,)) if SHORT else ((0.0, 0.2, 0.4), (0.003, 0.03, 0.1))
CONDITIONS = {"digits": WRONG, "breast cancer": WRONG, "characters": RATES}
BUDGETS = dict(zip(CONDITIONS, (1, 2, 6) if SHORT else (25, 40, 300), strict=True))
CANDIDATES: dict[str, list[Options]] = {
    "plain": [{}],
    "dropout": [{"dropout": p} for p in (0.1, 0.3, 0.5)],
    "L2": [{"penalties": {"l2": w}} for w in (0.03, 0.3, 3.0)],
    "entropy, sharper": [{"penalties": {"entropy": w}} for w in (0.003, 0.03, 0.3)],
    "entropy, more even": [{"penalties": {"negative_entropy": w}} for w in (0.01, 0.1, 1.0)],
    "Gumbel": [{"gumbel_temperature": temperature} for temperature in (0.5, 1.0)],
    "entmax15": [{"normalizer": "entmax15"}],
    "query-key norm": [{"qk_norm": kind} for kind in ("l2", "rms")],
}  # fmt: skip


@cache
def images() -> tuple[np.ndarray, np.ndarray]:
    """Digits as (1797, 16 patches, 16 pixels), and their labels."""
    pixels, labels = load_digits()
    padded = np.pad(pixels.astype(np.float32) / 16, ((0, 0), (1, 1), (1, 1)))
    cut = np.lib.stride_tricks.sliding_window_view(padded, (4, 4), axis=(1, 2))[:, ::2, ::2]
    return cut.reshape(-1, 16, 16) * 2 - 1, labels


@cache
def nuclei() -> tuple[np.ndarray, np.ndarray]:
    """30 standardised measurements, each a token (569, 30, 1); benign or malignant."""
    data = load_breast_cancer()
    order = np.random.default_rng(0).permutation(len(data.target))
    x = (data.data - data.data.mean(0)) / data.data.std(0)
    return x[order, :, None].astype(np.float32), data.target[order]


@cache
def letters() -> tuple[np.ndarray, int]:
    """The text as numbers, and how many different characters it has."""
    text = "\n".join(topics[name] for name in sorted(topics))
    alphabet = {letter: index for index, letter in enumerate(sorted(set(text)))}
    return np.array([alphabet[letter] for letter in text]), len(alphabet)


# %% Models and their trainings, the same for all variants but for the options
def with_dropout(model: Any, rate: float) -> None:
    """Of attention weights, and of nothing else."""
    for _, layer in model.named_layers():
        if isinstance(layer, MultiHeadAttention):
            layer.dropout = rate


def classify(task: str, wrong: float, options: Options, seed: int, judge: int) -> Curve:
    """Accuracies on unseen examples in the course of a training with a share of wrong labels."""
    x, y = images() if task == "digits" else nuclei()
    classes, width, rng = y.max() + 1, 32, np.random.default_rng(seed)
    x_train, y_train = x[0::2], y[0::2].copy()
    x_test, y_test = x[1::2][judge::2], y[1::2][judge::2]
    changed = rng.permutation(len(y_train))[: round(wrong * len(y_train))]
    y_train[changed] = (y_train[changed] + rng.integers(1, classes, len(changed))) % classes
    given = {"rate": 0.0, **options}
    dropout = given.pop("dropout", 0.0)
    model = Sequential(
        Linear(x.shape[-1], width, rng=rng),
        LearnedPositions(x.shape[1], width, rng=rng),
        Encoder(1, width, 4, 64, norm_first=True, activation="gelu", rng=rng, **given),
        GlobalAveragePooling(),  # attention alone relates the tokens to each other
        Linear(width, classes, rng=rng),
    )
    with_dropout(model, dropout)
    model.compile(Adam(lr=3e-3), "sparse_categorical_crossentropy", ["accuracy"])
    curve, epochs = [], BUDGETS[task]
    for epoch in range(1, epochs + 1):
        model.fit(x_train, y_train, batch_size=32, verbose=False, rng=rng)
        if epoch * POINTS // epochs > (epoch - 1) * POINTS // epochs:
            curve.append(model.evaluate(x_test, y_test, batch_size=256).accuracy)
    return curve


def predict(_: str, lr: float, options: Options, seed: int, judge: int) -> Curve:
    """Nats per character of text that was held out, in the course of a training."""
    tokens, count = letters()
    train, held_out = np.split(tokens, [len(tokens) * 9 // 10])
    windows = np.lib.stride_tricks.sliding_window_view(held_out, LENGTH + 1)[::LENGTH]
    windows = windows[judge::2][:64]
    given = {"rate": 0.0, **options}
    dropout = given.pop("dropout", 0.0)
    steps, rng = BUDGETS["characters"], np.random.default_rng(seed)
    model = LanguageModel(count, 48, 4, 2, positions="rotary", rng=rng, **given)
    with_dropout(model, dropout)
    optimizer = Adam(model, WarmupCosine(lr, steps // 10, steps))
    loss_fn, curve = SparseCategoricalCrossEntropy(), []
    for step in range(1, steps + 1):
        first = rng.integers(0, len(train) - LENGTH, 8)
        window = train[first[:, None] + np.arange(LENGTH + 1)]
        logits, backward = model.forward(window[:, :-1], rng=rng)
        _, dlogits = loss_fn(window[:, 1:], logits)
        model.zero_grad()
        backward(dlogits)
        optimizer.step()
        if step * POINTS // steps > (step - 1) * POINTS // steps:
            curve.append(float(loss_fn(windows[:, 1:], model(windows[:, :-1]))[0]))
    return curve


# %% Every training once: those that are in the file are not repeated
done: dict[str, Curve] = {}
kept = RESULTS.read_text(encoding="utf-8") if RESULTS.exists() else ""
for line in kept.splitlines():
    with suppress(ValueError):  # of a line that was cut off
        run, curve = json.loads(line)
        done[json.dumps(run)] = curve
if kept and not kept.endswith("\n"):
    RESULTS.write_text(f"{kept}\n", encoding="utf-8")


def trained(task: str, condition: float, options: Options, seed: int, judge: int = 0) -> Curve:
    """The curve of one training, whose last points are what the study compares."""
    purpose = ("table", "choice")[judge]
    run = json.dumps([task, condition, options, seed, purpose, BUDGETS[task]])
    if run not in done:
        train = predict if task == "characters" else classify
        done[run] = [round(point, 4) for point in train(task, condition, options, seed, judge)]
        with RESULTS.open("a", encoding="utf-8") as file:
            file.write(f"[{run}, {json.dumps(done[run])}]\n")
    return done[run]


def score(task: str, curve: Curve) -> float:
    """What a training ends with: nats, or percent, the mean of three as the rate is constant."""
    return curve[-1] if task == "characters" else 100 * float(np.mean(curve[-3:]))


def chosen(task: str, variant: str) -> Options:
    """The strength whose trainings end best at the middle condition."""
    candidates = CANDIDATES[variant][: 1 if SHORT else None]
    middle = CONDITIONS[task][len(CONDITIONS[task]) // 2]

    def end(options: Options) -> float:
        pilots = range(100, 100 + PILOTS)
        ends = [score(task, trained(task, middle, options, seed, 1)) for seed in pilots]
        return float(np.mean(ends)) * (-1 if task == "characters" else 1)

    return max(candidates, key=end) if len(candidates) > 1 else candidates[0]


started, known = time.process_time(), len(done)
variants = {(task, name): chosen(task, name) for task, name in product(CONDITIONS, CANDIDATES)}
for seed, task, name in product(range(SEEDS), CONDITIONS, CANDIDATES):
    for condition in CONDITIONS[task]:
        trained(task, condition, variants[task, name], seed)
minutes = (time.process_time() - started) / 60
print(f"{len(done) - known} trainings in {minutes:.1f} minutes of a core")


# %% How each training ended
def curves(task: str, condition: float, variant: str) -> list[Curve]:
    return [trained(task, condition, variants[task, variant], seed) for seed in range(SEEDS)]


def ends(task: str, condition: float, variant: str) -> np.ndarray:
    return np.array([score(task, curve) for curve in curves(task, condition, variant)])


def cell(task: str, condition: float, variant: str) -> str:
    """Mean ± standard deviation; bold: better than plain for every seed, italics: worse."""
    found, sign = ends(task, condition, variant), -1 if task == "characters" else 1
    gains, digits = sign * (found - ends(task, condition, "plain")), 2 if sign < 0 else 1
    mark = "**" if (gains > 0).all() else "*" if (gains < 0).all() else ""
    return f"{mark}{found.mean():.{digits}f} ± {found.std(ddof=1):.{digits}f}{mark}"


def tables() -> str:
    """One for each task, in Markdown."""
    found = []
    for task, conditions in CONDITIONS.items():
        heads = [f"{task}, {UNITS[task]}", "strength", *(named(task, one) for one in conditions)]
        rows = [heads, ["---", "---", *["---:"] * len(conditions)]]
        for name in CANDIDATES:
            cells = (cell(task, one, name) for one in conditions)
            value = next(iter(variants[task, name].values()), "")
            strength = next(iter(value.values())) if isinstance(value, dict) else value
            rows.append([name, str(strength), *cells])
        found.append("\n".join(f"| {' | '.join(row)} |" for row in rows))
    return "\n\n".join(found)


def named(task: str, condition: float) -> str:
    return f"lr {condition:g}" if task == "characters" else f"{condition:.0%} wrong"


UNITS = {"digits": "% right", "breast cancer": "% right", "characters": "nats"}
print(tables())


# %% Pictures: how all trainings ended, and the course of those at the last condition
COLORS = "#777777", "#2a6fbb"  # of the plain model, and of the others


def scores(figure: Any) -> None:
    """A panel for each condition, a row for each variant: seeds, mean, standard deviation."""
    panels = figure.subplots(3, len(WRONG), sharey=True, squeeze=False)
    for row, (task, conditions) in zip(panels, CONDITIONS.items(), strict=True):
        row[0].set_yticks(range(len(CANDIDATES)), CANDIDATES)
        for panel, condition in zip(row, conditions, strict=True):
            for y, variant in enumerate(CANDIDATES):
                found, color = ends(task, condition, variant), COLORS[variant != "plain"]
                panel.errorbar(found.mean(), y, xerr=found.std(ddof=1), fmt="o", color=color, ms=5)
                panel.plot(found, [y] * SEEDS, ".", color=color, alpha=0.4, ms=5)
            panel.axvline(ends(task, condition, "plain").mean(), color=COLORS[0], ls="--", lw=1)
            panel.set_title(f"{task}, {named(task, condition)}: {UNITS[task]}", fontsize=9)
            panel.grid(alpha=0.25)
    panels[0, 0].invert_yaxis()
    figure.suptitle(f"Large dots: means of {SEEDS} seeds, lines: standard deviations", fontsize=10)


def courses(figure: Any) -> None:
    """A panel for each task and variant: mean and standard deviation, beside the plain model's."""
    names = list(CANDIDATES)[1:]
    panels = figure.subplots(3, len(names), sharex="row", sharey="row")
    for row, (task, conditions) in zip(panels, CONDITIONS.items(), strict=True):
        steps = np.arange(1, POINTS + 1) * BUDGETS[task] / POINTS
        for panel, variant in zip(row, names, strict=True):
            for name, color in zip(("plain", variant), COLORS, strict=True):
                found = np.array(curves(task, conditions[-1], name))
                found *= 1 if task == "characters" else 100
                mean, std = found.mean(0), found.std(0, ddof=1)
                panel.plot(steps, mean, color=color)
                panel.fill_between(steps, mean - std, mean + std, color=color, alpha=0.2)
            panel.set_title(variant, fontsize=9)
            panel.grid(alpha=0.25)
        row[0].set_ylabel(f"{task},\n{named(task, conditions[-1])}: {UNITS[task]}", fontsize=9)
        row[0].set_xlabel("step" if task == "characters" else "epoch", fontsize=9)
    figure.suptitle(f"Mean of {SEEDS} seeds ± standard deviation; grey: plain", fontsize=10)


if find_spec("matplotlib"):
    import matplotlib as mpl
    from matplotlib.figure import Figure

    mpl.rcParams["svg.hashsalt"] = "heedful"  # the same file for the same numbers
    for name, draw, size in (("scores", scores, (10, 8)), ("curves", courses, (14, 6.5))):
        figure = Figure(figsize=size, layout="constrained")
        draw(figure)
        folder = PAGE.parent if PAGE else Path()
        figure.savefig(folder / f"steadier-{name}.svg", metadata={"Date": None})

if PAGE:
    begin, end = "<!-- tables of examples/stability_study.py -->", "<!-- end of the tables -->"
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(begin)
    after = rest.partition(end)[2]
    page = f"{before}{begin}\n\n{tables()}\n\n{end}{after}"
    PAGE.write_text(page, encoding="utf-8")

# %% What spreads the weights withstands wrong labels; what bounds the scores, high learning rates
if not SHORT:
    helped = {"digits": "L2", "breast cancer": "entropy, more even", "characters": "query-key norm"}
    for task, name in helped.items():
        assert cell(task, CONDITIONS[task][-1], name).startswith("**")
