"""Every public class of training: how it is constructed and used, and values of its options."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from every_option.results import described
from every_option.values import (
    BELOW_ONE,
    FINITE,
    FLAG,
    NOT_NEGATIVE,
    POSITIVE,
    RATE,
    SIZE,
    WORD,
    Bad,
)
from heedful import training
from heedful.layers import Linear

T, V = TypeError, ValueError
SCORES = np.array([[0.25, 0.75], [0.6, 0.4], [0.9, 0.1]])
ONE_HOT = np.array([[0.0, 1.0], [1.0, 0.0], [0.0, 1.0]])


class Row(NamedTuple):
    kind: Any
    needed: dict[str, Any]
    use: Callable[[Any], Any]  # its results, to be compared
    good: dict[str, Any]
    bad: dict[str, Bad]


def stepped(optimizer: Any) -> Any:
    """Weights after three steps, whatever model it was made with."""
    model = optimizer.model or Linear(3, 2, dtype=np.float64, rng=0)
    optimizer.model = model
    for step in range(3):
        model.zero_grad()
        y, backward = model.forward(np.arange(15.0).reshape(5, 3) / (step + 1))
        backward(np.cos(np.arange(y.size)).reshape(y.shape))
        optimizer.step()
    return described(model.state_dict())


def optimizer_row(kind: Any, good: dict[str, Any], bad: dict[str, Bad]) -> Row:
    shared = {
        "model": Linear(3, 2, dtype=np.float64, rng=1), "lr": 0.5, "weight_decay": 0.3,
        "groups": {"bias": {"lr_factor": 0.1}}, "clip_norm": 0.01,
    }  # fmt: skip
    refused: dict[str, Bad] = {
        "model": [(3, T), ("a", T), (Linear, T)],
        "lr": [(-1.0, V), (math.nan, V), (math.inf, V), ("a", T), (None, T)],
        "weight_decay": NOT_NEGATIVE,
        "groups": [
            ({"*": {"nonsense": 1}}, V), ({"*": {"lr_factor": -1}}, V), ({"*": 3}, T),
            (3, T), ([("*", {})], T), ({"*": {"lr_factor": "a"}}, T),
        ],
        "clip_norm": POSITIVE,
    }  # fmt: skip
    return Row(kind, {}, stepped, shared | good, refused | bad)


def loss_row(kind: Any, target: Any, good: dict[str, Any], bad: dict[str, Bad]) -> Row:
    return Row(kind, {}, lambda loss: described(loss(target, SCORES)), good, bad)


CROSS: dict[str, Any] = {"from_logits": False, "label_smoothing": 0.3}
CROSS_BAD: dict[str, Bad] = {"from_logits": FLAG, "label_smoothing": RATE}
BETAS: Bad = [
    ((0.9,), V), ((0.9, 1.0), V), ((-0.1, 0.9), V), (("a", 0.9), T), (0.9, T), ((0.9, 0.9, 0.9), V),
    ("ab", T), ((math.nan, 0.9), V),
]  # fmt: skip
ADAM = {"betas": (0.5, 0.9), "eps": 0.1}
ADAM_BAD: dict[str, Bad] = {"betas": BETAS, "eps": POSITIVE}
WATCHED = {"monitor": "loss", "min_delta": 0.5, "mode": "max"}
WATCHED_BAD: dict[str, Bad] = {"monitor": [(3, T), (None, T)], "min_delta": NOT_NEGATIVE,
                               "mode": WORD}  # fmt: skip
METRIC = np.array([0.2, 0.4, 0.6, 0.7, 0.9]), np.array([0, 1, 0, 1, 1])


class Writer:
    def add_scalar(self, tag: str, value: float, step: int) -> None: ...


def counted(metric: Any) -> Any:
    found = metric.of(training.BinaryCrossEntropy(from_logits=False))
    return repr(vars(found(METRIC[1], METRIC[0], None)))


ROWS = [
    optimizer_row(training.SGD, {"momentum": 0.5, "nesterov": True},
                  {"momentum": BELOW_ONE, "nesterov": [*FLAG, (True, V)]}),
    optimizer_row(training.Adam, ADAM, ADAM_BAD),
    optimizer_row(training.AdamW, ADAM, ADAM_BAD),
    optimizer_row(training.NAdam, {**ADAM, "momentum_decay": 0.9},
                  {**ADAM_BAD, "momentum_decay": NOT_NEGATIVE}),
    optimizer_row(training.RMSprop, {"alpha": 0.5, "eps": 0.1, "momentum": 0.5, "centered": True},
                  {"alpha": BELOW_ONE, "eps": POSITIVE, "momentum": BELOW_ONE, "centered": FLAG}),
    loss_row(training.BinaryCrossEntropy, ONE_HOT, CROSS, CROSS_BAD),
    loss_row(training.CategoricalCrossEntropy, ONE_HOT, CROSS, CROSS_BAD),
    loss_row(training.SparseCategoricalCrossEntropy, [1, 0, 1], {**CROSS, "ignore_index": 0},
             {**CROSS_BAD, "ignore_index": [(1.5, T), ("a", T), (True, T)]}),
    loss_row(training.MeanSquaredError, ONE_HOT, {}, {}),
    loss_row(training.MeanAbsoluteError, ONE_HOT, {}, {}),
    loss_row(training.Huber, ONE_HOT, {"delta": 0.1}, {"delta": POSITIVE}),
    *[Row(kind, {}, counted, {"threshold": 0.3}, {"threshold": RATE})
      for kind in (training.Precision, training.Recall, training.F1)],
    Row(training.WarmupCosine, {"lr": 0.1, "warmup_steps": 2, "total_steps": 5},
        lambda schedule: [schedule(step) for step in range(8)], {"final": 0.05},
        {"lr": [*FINITE, (-1.0, V)], "final": [*FINITE, (-1.0, V)], "total_steps": SIZE,
         "warmup_steps": [one for one in SIZE if one[0] != 0]}),
    Row(training.InverseSquareRoot, {"lr": 0.1},
        lambda schedule: [schedule(step) for step in range(8)], {"warmup_steps": 3},
        {"lr": [*FINITE, (-1.0, V)], "warmup_steps": SIZE}),
    Row(training.LinearAnnealing, {"first": 1.0, "final": 0.5, "total_steps": 5},
        lambda schedule: [schedule(step) for step in range(8)], {},
        {"first": NOT_NEGATIVE, "final": NOT_NEGATIVE, "total_steps": SIZE}),
    Row(training.ExponentialAnnealing, {"first": 1.0, "final": 0.5, "total_steps": 5},
        lambda schedule: [schedule(step) for step in range(8)], {},
        {"first": [*POSITIVE, (None, T)], "final": [*POSITIVE, (None, T)], "total_steps": SIZE}),
    Row(training.AnnealTemperature, {"schedule": training.LinearAnnealing(1.0, 0.5, 3)},
        lambda one: one.schedule(1), {}, {"schedule": [(3, T), (None, T), ("a", T)]}),
    Row(training.AttentionMonitor, {}, lambda monitor: repr(vars(monitor)),
        {"layers": "self_attn", "every": 3, "probe": np.ones(3), "max_queries": 7,
         "min_evenness": 0.3, "max_score": 9.0, "writer": Writer()},
        {"layers": [([], V), (3, T), ([3], T)], "every": SIZE, "probe": [], "max_queries": SIZE,
         "min_evenness": BELOW_ONE, "max_score": POSITIVE, "writer": [(3, T), ("a", T)]}),
    Row(training.EarlyStopping, {}, lambda watcher: repr(vars(watcher)),
        {**WATCHED, "patience": 3, "restore_best": False},
        {**WATCHED_BAD, "patience": SIZE, "restore_best": FLAG}),
    Row(training.BestCheckpoint, {"path": "best.safetensors"}, lambda watcher: repr(vars(watcher)),
        WATCHED, {**WATCHED_BAD, "path": [(3, T), (None, T)]}),
    *[Row(kind, {}, lambda one: (one.penalty(SCORES), described(one.gradient(SCORES))), good,
          dict.fromkeys(good, NOT_NEGATIVE))
      for kind, good in ((training.L1, {"l1": 0.5}), (training.L2, {"l2": 0.5}),
                         (training.L1L2, {"l1": 0.5, "l2": 0.5}))],
]  # fmt: skip
