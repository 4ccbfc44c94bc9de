"""Losses with all their options, compared with PyTorch's, element-wise and then weighted here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from fuzz_campaign import Case
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch.nn import functional

from heedful import training
from random_layers.orders import ORDERS, in_order
from random_layers.small import DTYPES

Array = NDArray[Any]


@dataclass(frozen=True)
class LossCase(Case):
    kind: str
    leading: tuple[int, ...]
    classes: int
    from_logits: bool
    label_smoothing: float
    ignore_index: int | None
    delta: float
    weights: str | None  # "mask", "numbers"
    weight_axes: int
    reshaped: bool  # a last axis of 1 is left out of the target, or of classes added
    dtype: str
    order: str

    def check(self) -> None:
        rng = self.generator()
        loss_fn, target, prediction, losses_of = getattr(self, self.kind)(rng)
        prediction = prediction.astype(self.dtype)
        exact = torch.tensor(prediction, dtype=torch.float64, requires_grad=True)
        losses, counted = losses_of(exact)
        weights = self.drawn_weights(rng, losses.shape)
        factors, count = np.ones(losses.shape), counted
        if weights is not None:
            spread = np.broadcast_to(
                weights.reshape(weights.shape + (1,) * (losses.ndim - weights.ndim)), losses.shape
            )
            factors = spread.astype(np.float64)
            if weights.dtype == np.bool_:
                count = counted & spread
        factors = factors * counted
        wanted = (losses * torch.tensor(factors)).sum() / max(int(count.sum()), 1)
        wanted.backward()
        given = in_order(self.order, prediction)
        if self.reshaped and self.kind == "sparse":
            target = target[..., None]
        elif self.reshaped and self.kind != "categorical" and target.shape[-1] == 1:
            target = target[..., 0]
        found, gradient = loss_fn(target, given, *([] if weights is None else [weights]))
        assert gradient.shape == prediction.shape
        assert gradient.dtype == given.dtype.newbyteorder("="), gradient.dtype
        tight = given.dtype == np.float64 and self.dtype == "float64"
        close = 1e-12 if tight else 2e-5
        size = float(np.abs(losses.detach().numpy() * factors).max(initial=1))
        np.testing.assert_allclose(found, wanted.item(), rtol=close, atol=close * size)
        right = exact.grad.numpy()
        largest = float(np.abs(right).max(initial=1e-3))
        np.testing.assert_allclose(gradient, right, rtol=close, atol=close * largest)
        weighed = [] if weights is None else [weights]
        assert loss_fn.count(target, *weighed) == int(count.sum())

    def drawn_weights(self, rng: np.random.Generator, shape: tuple[int, ...]) -> Array | None:
        if self.weights is None or not shape:
            return None
        axes = 1 + self.weight_axes % len(shape)
        if self.weights == "mask":
            return rng.random(shape[:axes]) < 0.6
        numbers = rng.random(shape[:axes]) * 3
        return np.where(rng.random(shape[:axes]) < 0.2, 0, numbers).astype(self.dtype)

    def everything(self, losses: Any) -> Any:
        return losses, np.ones(tuple(losses.shape), bool)

    def regression(self, rng: np.random.Generator, loss_fn: Any, function: Any) -> Any:
        shape = (*self.leading, self.classes)
        prediction = (2 * rng.standard_normal(shape)).astype(self.dtype)
        target = rng.standard_normal(shape).astype(self.dtype)
        wanted = torch.tensor(target, dtype=torch.float64)
        return loss_fn, target, prediction, lambda x: self.everything(function(x, wanted))

    def squared(self, rng: np.random.Generator) -> Any:
        def function(x: Any, t: Any) -> Any:
            return functional.mse_loss(x, t, reduction="none")

        return self.regression(rng, training.MeanSquaredError(), function)

    def absolute(self, rng: np.random.Generator) -> Any:
        def function(x: Any, t: Any) -> Any:
            return functional.l1_loss(x, t, reduction="none")

        return self.regression(rng, training.MeanAbsoluteError(), function)

    def huber(self, rng: np.random.Generator) -> Any:
        def function(x: Any, t: Any) -> Any:
            return functional.huber_loss(x, t, reduction="none", delta=self.delta)

        return self.regression(rng, training.Huber(self.delta), function)

    def scores(self, rng: np.random.Generator, binary: bool) -> Array:
        scores: Array = 3 * rng.standard_normal((*self.leading, self.classes))
        if self.from_logits:
            return scores
        if binary:
            return 0.02 + 0.96 / (1 + np.exp(-scores))
        exponentials = np.exp(scores - scores.max(-1, keepdims=True)) + 0.02
        normal: Array = exponentials / exponentials.sum(-1, keepdims=True)
        return normal

    def binary(self, rng: np.random.Generator) -> Any:
        prediction, smooth = self.scores(rng, True), self.label_smoothing
        target = rng.integers(0, 2, prediction.shape)
        if self.ignore_index is not None:  # soft targets
            target = rng.random(prediction.shape)
        wanted = torch.tensor(target, dtype=torch.float64) * (1 - smooth) + smooth / 2
        function = (functional.binary_cross_entropy_with_logits if self.from_logits
                    else functional.binary_cross_entropy)  # fmt: skip
        loss_fn = training.BinaryCrossEntropy(self.from_logits, smooth)
        return (
            loss_fn,
            target,
            prediction,
            lambda x: self.everything(function(x, wanted, reduction="none")),
        )

    def logarithms(self, x: Any) -> Any:
        return torch.log_softmax(x, -1) if self.from_logits else torch.log(x)

    def categorical(self, rng: np.random.Generator) -> Any:
        prediction = self.scores(rng, False)
        target = rng.random(prediction.shape) + 1e-3
        target /= target.sum(-1, keepdims=True)
        wanted = torch.tensor(target.astype(self.dtype), dtype=torch.float64)
        wanted = wanted * (1 - self.label_smoothing) + self.label_smoothing / self.classes
        loss_fn = training.CategoricalCrossEntropy(self.from_logits, self.label_smoothing)
        return (
            loss_fn,
            target.astype(self.dtype),
            prediction,
            lambda x: self.everything(-(wanted * self.logarithms(x)).sum(-1)),
        )

    def sparse(self, rng: np.random.Generator) -> Any:
        prediction = self.scores(rng, False)
        target = rng.integers(0, self.classes, self.leading)
        if self.ignore_index is not None:
            target = np.where(rng.random(self.leading) < 0.4, self.ignore_index, target)
        loss_fn = training.SparseCategoricalCrossEntropy(
            self.from_logits, self.label_smoothing, self.ignore_index
        )

        def losses_of(x: Any) -> Any:
            rows = x.reshape(-1, self.classes)
            labels = torch.tensor(target.reshape(-1))
            ignored = -100 if self.ignore_index is None else self.ignore_index
            if self.from_logits:
                losses = functional.cross_entropy(
                    rows, labels, ignore_index=ignored, reduction="none",
                    label_smoothing=self.label_smoothing,
                )  # fmt: skip
            else:
                known = torch.where(labels == ignored, 0, labels)
                right = rows.log()[torch.arange(len(rows)), known]
                smooth = self.label_smoothing
                losses = -(1 - smooth) * right - smooth * rows.log().mean(-1)
                losses = torch.where(labels == ignored, 0.0, losses)
            return losses.reshape(target.shape), np.asarray(target != ignored)

        return loss_fn, target, prediction, losses_of


@st.composite
def loss_cases(draw: st.DrawFn) -> LossCase:
    axes = st.lists(st.sampled_from([1, 2, 3, 7, 17]), min_size=1, max_size=3)
    kinds = ["squared", "absolute", "huber", "binary", "categorical", "sparse"]
    return LossCase(
        seed=draw(st.integers(0, 2**32 - 1)),
        kind=draw(st.sampled_from(kinds)),
        leading=tuple(draw(axes)),
        classes=draw(st.sampled_from([1, 2, 3, 7, 11, 33])),
        from_logits=draw(st.booleans()),
        label_smoothing=draw(st.sampled_from([0.0, 0.1, 1.0])),
        ignore_index=draw(st.sampled_from([None, -100, 0, 1, -1, 50])),
        delta=draw(st.sampled_from([1.0, 0.1, 5.0])),
        weights=draw(st.sampled_from([None, "mask", "numbers"])),
        weight_axes=draw(st.integers(0, 3)),
        reshaped=draw(st.booleans()),
        dtype=draw(DTYPES),
        order=draw(st.sampled_from(ORDERS)),
    )
