"""Steps of optimizers with gradients that are sometimes absent, compared with PyTorch's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from fuzz_campaign import Case
from hypothesis import strategies as st

from heedful import training
from heedful.layers import Layer, Parameter
from random_layers.pair import as_torch
from random_layers.small import DTYPES

SHAPES = [(), (1,), (3,), (2, 5), (17,), (0,), (3, 1, 7)]


class Bag(Layer):
    def __init__(self, arrays: list[Any]) -> None:
        for index, array in enumerate(arrays):
            setattr(self, f"p{index}", Parameter(array))


@dataclass(frozen=True)
class OptimizerCase(Case):
    kind: str
    options: dict[str, Any]
    grouped: dict[str, float]  # other settings of the parameter p0
    lr: tuple[float, ...]  # of the steps, the last one for all that follow
    clip_norm: float | None
    shapes: tuple[tuple[int, ...], ...]
    used: tuple[int, ...]  # of each step: the bits say which parameters have a gradient
    frozen: tuple[int, ...]  # and which are frozen
    reloaded: tuple[int, ...]  # steps before which the state goes into a new optimizer
    scale: float
    dtype: str

    def check(self) -> None:
        arrays = [
            self.generator(0, i).standard_normal(shape) for i, shape in enumerate(self.shapes)
        ]
        arrays = [np.asarray(array, self.dtype) for array in arrays]
        exact = self.theirs(arrays, np.float64)
        plain = exact if self.dtype == "float64" else self.theirs(arrays, self.dtype)
        found, counts = self.ours(arrays)
        for step, now in enumerate(found):
            for index, array in enumerate(now):
                right, noisy = exact[step][index], plain[step][index]
                size = np.abs(right).max(initial=1)
                # PyTorch keeps the product of NAdam's momenta in float32
                floor = 1e-6 if self.kind == "NAdam" else 1e-11
                floor = floor if self.dtype == "float64" else 2e-6
                allowed = floor * size + 8 * np.abs(noisy - right).max(initial=0)
                off = np.abs(array - right).max(initial=0)
                assert off <= allowed, f"step {step}, p{index}: off by {off:.3g}, {allowed:.3g}"
        there = [used & ~frozen for used, frozen in zip(self.used, self.frozen, strict=True)]
        wanted = {f"p{i}": sum(bits >> i & 1 for bits in there) for i in range(len(arrays))}
        if self.kind != "SGD":  # whose steps do not depend on it
            assert counts == {name: count for name, count in wanted.items() if count}

    def gradient(self, step: int, index: int) -> Any:
        rng = self.generator(1, step, index)
        return np.asarray(self.scale * rng.standard_normal(self.shapes[index]), self.dtype)

    def rate(self, step: int) -> float:
        return self.lr[min(step, len(self.lr) - 1)]

    def ours(self, arrays: list[Any]) -> tuple[list[list[Any]], dict[str, int]]:
        model = Bag([array.copy() for array in arrays])
        optimizer = self.optimizer(model)
        found = []
        for step, (used, frozen) in enumerate(zip(self.used, self.frozen, strict=True)):
            if step in self.reloaded:
                state, optimizer = optimizer.state_dict(), self.optimizer(model)
                optimizer.load_state_dict(state)
            model.zero_grad()
            for index in range(len(arrays)):
                (model.freeze if frozen >> index & 1 else model.unfreeze)(f"p{index}")
                if used >> index & 1:
                    model.add_gradient(f"p{index}", self.gradient(step, index))
            optimizer.step()
            found.append([array.copy() for array in model.parameters().values()])
        return found, optimizer.counts

    def optimizer(self, model: Layer) -> Any:
        kind = getattr(training, self.kind)
        lr = self.lr[0] if len(self.lr) == 1 else self.rate
        groups = {"p0": self.grouped} if self.grouped else None
        return kind(model, lr, groups=groups, clip_norm=self.clip_norm, **self.options)

    def theirs(self, arrays: list[Any], dtype: Any) -> list[list[Any]]:
        own = [torch.nn.Parameter(torch.tensor(array, dtype=as_torch(dtype))) for array in arrays]
        grouped = dict(self.grouped)
        factor = grouped.pop("lr_factor", 1.0)
        groups = [{"params": own[:1], **grouped}, {"params": own[1:]}]
        kind = getattr(torch.optim, self.kind)
        optimizer = kind(groups, lr=self.lr[0], foreach=False, **self.options)
        found = []
        for step, (used, frozen) in enumerate(zip(self.used, self.frozen, strict=True)):
            for group, times in zip(optimizer.param_groups, (factor, 1.0), strict=True):
                group["lr"] = self.rate(step) * times
            there = used & ~frozen
            for index, parameter in enumerate(own):
                gradient = self.gradient(step, index)
                parameter.grad = None
                if there >> index & 1:
                    parameter.grad = torch.tensor(gradient, dtype=as_torch(dtype))
            if self.clip_norm is not None:
                torch.nn.utils.clip_grad_norm_(own, self.clip_norm)
            optimizer.step()
            found.append([parameter.detach().double().numpy().copy() for parameter in own])
        return found


@st.composite
def optimizer_cases(draw: st.DrawFn) -> OptimizerCase:
    kind = draw(st.sampled_from(["SGD", "Adam", "AdamW", "NAdam", "RMSprop"]))
    decay = st.sampled_from([0.0, 0.01, 0.3])
    momentum = st.sampled_from([0.0, 0.5, 0.9])
    options: dict[str, Any] = {"weight_decay": draw(decay)}
    if kind == "SGD":
        options["momentum"] = draw(momentum)
        options["nesterov"] = bool(options["momentum"]) and draw(st.booleans())
    elif kind == "RMSprop":
        options |= {"alpha": draw(st.sampled_from([0.99, 0.5])), "momentum": draw(momentum)}
        options |= {"centered": draw(st.booleans()), "eps": draw(st.sampled_from([1e-8, 1e-3]))}
    else:
        betas = [(0.9, 0.999), (0.8, 0.95), (0.0, 0.9), (0.9, 0.0)]
        options["betas"] = draw(st.sampled_from(betas))
        options["eps"] = draw(st.sampled_from([1e-8, 1e-3]))
        if kind == "NAdam":
            options["momentum_decay"] = draw(st.sampled_from([0.004, 0.1]))
    grouped = {"lr_factor": st.sampled_from([1.0, 0.1]), "weight_decay": decay}
    steps = draw(st.integers(1, 9))
    shapes = tuple(draw(st.lists(st.sampled_from(SHAPES), min_size=2, max_size=4)))
    bits = st.integers(0, 2 ** len(shapes) - 1)
    seldom = st.just(0) | bits
    return OptimizerCase(
        seed=draw(st.integers(0, 2**32 - 1)),
        kind=kind,
        options=options,
        grouped=draw(st.fixed_dictionaries({}, optional=grouped)),
        lr=tuple(draw(st.lists(st.sampled_from([0.01, 0.1, 0.0]), min_size=1, max_size=4))),
        clip_norm=draw(st.sampled_from([None, None, 0.7])),
        shapes=shapes,
        used=tuple(draw(st.lists(bits, min_size=steps, max_size=steps))),
        frozen=tuple(draw(st.lists(seldom, min_size=steps, max_size=steps))),
        reloaded=tuple(draw(st.lists(st.integers(0, 8), max_size=2))),
        scale=draw(st.sampled_from([1.0, 1e-3, 100.0])),
        dtype=draw(DTYPES),
    )
