"""What is shown at a prompt fits a line, and where it can is the call that makes the same again."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import heedful
from heedful import training
from heedful.layers import Linear, Parameter
from heedful.training import (
    SGD,
    Adam,
    AttentionMonitor,
    Callback,
)

pytestmark = pytest.mark.once

CALLS = [
    "Adam(lr=0.001)",
    "Adam(lr=0.1, betas=(0.9, 0.95), eps=1e-06, clip_norm=1.0)",
    "AdamW(lr=0.001, groups={'*.bias': {'weight_decay': 0.0}})",
    "AdamW(lr=0.001, weight_decay=0.1)",
    "NAdam(lr=0.002, momentum_decay=0.1)",
    "RMSprop(lr=0.01, alpha=0.9, momentum=0.5, centered=True)",
    "SGD(lr=0.01)",
    "SGD(lr=WarmupCosine(lr=0.1, warmup_steps=2, total_steps=6), momentum=0.9, nesterov=True)",
    "InverseSquareRoot(lr=0.1)",
    "LinearAnnealing(first=1.0, final=0.2, total_steps=4)",
    "ExponentialAnnealing(first=1.0, final=0.5, total_steps=3)",
    "BinaryCrossEntropy()",
    "BinaryCrossEntropy(from_logits=False, label_smoothing=0.1)",
    "CategoricalCrossEntropy(label_smoothing=0.1)",
    "SparseCategoricalCrossEntropy(ignore_index=-1)",
    "MeanSquaredError()",
    "MeanAbsoluteError()",
    "Huber(delta=2.0)",
    "L1(l1=0.1)",
    "L2()",
    "L1L2(l1=0.1, l2=0.2)",
    "AUC()",
    "F1()",
    "Precision(threshold=0.3)",
    "Recall()",
    "EarlyStopping()",
    "EarlyStopping(monitor='loss', patience=3, min_delta=0.1, restore_best=False)",
    "EarlyStopping(monitor='mine', mode='max')",
    "BestCheckpoint(path='best.npz', monitor='loss')",
    "AnnealTemperature(schedule=LinearAnnealing(first=1.0, final=0.2, total_steps=8))",
    "AttentionMonitor(every=5, max_score=50.0)",
]


@pytest.mark.parametrize("text", CALLS)
def test_the_text_makes_the_same_again(text: str) -> None:
    made = eval(text, dict(vars(training)))
    assert repr(made) == text
    assert repr(eval(repr(made), dict(vars(training)))) == text


def test_every_class_of_training_that_is_made_by_hand_is_shown() -> None:
    """A class without a line above would be shown by its address."""
    tried = {text.partition("(")[0] for text in CALLS}
    others = {"Callback", "History", "Loss", "Nadam", "Optimizer"}
    for name in training.__all__:
        one = getattr(training, name)
        if isinstance(one, type) and not issubclass(one, tuple) and name not in others:
            assert name in {*tried, "WarmupCosine"}, name


def test_an_optimizer_is_shown_without_its_model_and_with_its_present_rate() -> None:
    optimizer = Adam(Linear(2, 1), lr=0.1)
    assert repr(optimizer) == "Adam(lr=0.1)"
    optimizer.lr = 0.2
    assert repr(optimizer) == "Adam(lr=0.2)"
    assert repr(SGD(lr=np.cos)) == "SGD(lr=cos)"


class Recording(Callback):
    """A callback of a user; of its arguments `path` is not kept."""

    def __init__(self, table: Any, path: str = "", *others: int, **more: int) -> None:
        self.table = table


def test_arrays_and_layers_in_arguments_are_described() -> None:
    assert repr(Recording(np.zeros((3, 4)))) == "Recording(table=float64 (3, 4))"
    assert repr(Recording(Linear(3, 2))) == "Recording(table=Linear)"
    assert repr(Recording([np.zeros(2), 3])) == "Recording(table=[float64 (2,), 3])"
    probe = np.zeros((2, 3), np.float32)
    assert repr(AttentionMonitor(probe=probe)) == "AttentionMonitor(probe=(float32 (2, 3),))"


ZEROS = np.zeros(2)


class Looking(Callback):
    """A callback of a user whose defaults compare in ways of their own."""

    def __init__(self, many: Any = 1, start: Any = ZEROS) -> None:
        self.many, self.start = many, start


def test_what_only_compares_equal_to_a_default_is_shown() -> None:
    assert repr(Looking()) == "Looking()"
    assert repr(Looking(many=True)) == "Looking(many=True)"
    assert repr(Looking(many=1.0)) == "Looking(many=1.0)"
    assert repr(Looking(start=np.zeros(2))) == "Looking(start=float64 (2,))"


@pytest.mark.parametrize(
    "made",
    [
        Recording(list(range(200))),
        Recording("many\nlines\n" * 30),
        Adam(groups={f"layers.{number}.*": {"lr_factor": 0.5} for number in range(40)}),
    ],
    ids=["list", "lines", "groups"],
)
def test_a_long_text_is_cut_to_a_line(made: Any) -> None:
    assert "\n" not in repr(made)
    assert len(repr(made)) <= 100
    assert repr(made).endswith("…)")


def test_gradients_are_shown_by_shapes_and_types() -> None:
    x = np.ones((2, 3, 4), np.float32)
    _, pullback = heedful.attention_vjp(x, x, x)
    assert repr(pullback(x)) == (
        "Gradients(query=(2, 3, 4), key=(2, 3, 4), value=(2, 3, 4), dtype=float32)"
    )
    _, pullback = heedful.attention_vjp(x, x, x, sink=np.zeros(2), bias=np.zeros((3, 3)))
    assert repr(pullback(x)) == (
        "Gradients(query=(2, 3, 4), key=(2, 3, 4), value=(2, 3, 4), bias=(3, 3) float64, "
        "sink=(2,) float64, dtype=float32)"
    )
    _, additive = heedful.additive_attention_vjp(x, x, x, np.ones(4, np.float32))
    assert repr(additive(x)) == (
        "AdditiveGradients(query=(2, 3, 4), key=(2, 3, 4), value=(2, 3, 4), weight=(4,), "
        "dtype=float32)"
    )
    _, sparse = heedful.attention_vjp(x, x, x, normalizer=[1.5, 1.5])
    assert repr(sparse(x)).startswith("NormalizerGradients(query=(2, 3, 4), ")


def test_a_parameter_is_shown_by_shape_and_type() -> None:
    layer = Linear(3, 2)
    assert repr(Parameter(np.zeros((2, 3)))) == "Parameter((2, 3), float64)"
    layer.freeze()
    assert repr(layer.parameter("weight")) == "Parameter((2, 3), float32, frozen)"
    layer.quantize()
    assert repr(layer.parameter("weight")) == "Int8Parameter((2, 3), int8, frozen)"
