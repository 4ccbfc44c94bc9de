"""SGD, Adam and AdamW: update rules."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from heedful._checks import flag, positive
from heedful._core import native
from heedful.base._module import Module
from heedful.base._types import Array
from heedful.training.optimizers._base import Optimizer
from heedful.training.optimizers._settings import betas_of


class SGD(Optimizer):
    """w ← w − lr · v with v ← momentum · v + gradient + weight_decay · w.

    Parameters
    ----------
    model, lr, groups, clip_norm
        As of :class:`Optimizer`.
    momentum : float, default 0
        Below 1.
    weight_decay : float, default 0
    nesterov : bool, default False
        w ← w − lr · (gradient + momentum · v).

    Notes
    -----
    Named ``torch.optim.SGD`` in PyTorch, with the same steps.

    Examples
    --------
    >>> import numpy as np
    >>> from heedful.layers import Linear
    >>> from heedful.training import SGD
    >>> layer = Linear(3, 1, rng=0)
    >>> y, backward = layer.forward(np.ones((5, 3)))
    >>> dx = backward(np.ones_like(y))
    >>> before = layer.weight.copy()
    >>> SGD(layer, lr=0.1).step()
    >>> (before - layer.weight).round(3)
    array([[0.5, 0.5, 0.5]], dtype=float32)
    """

    def __init__(
        self, model: Module | None = None, lr: Any = 0.01, *, momentum: float = 0.0,
        nesterov: bool = False, weight_decay: float = 0.0,
        groups: Mapping[str, Mapping[str, float]] | None = None, clip_norm: float | None = None,
    ) -> None:  # fmt: skip
        super().__init__(
            model, lr, groups, clip_norm, momentum=momentum, weight_decay=weight_decay
        )  # fmt: skip
        self.nesterov: bool = flag("nesterov", nesterov)
        moving = bool(momentum) or any(group.get("momentum") for group in self.groups.values())
        if nesterov and not moving:
            raise ValueError("nesterov=True needs a momentum above 0")
        self.slots: tuple[str, ...] = ("momentum",) if moving else ()

    def description(self) -> dict[str, Any]:
        return {**super().description(), "nesterov": self.nesterov}

    @np.errstate(all="ignore")
    def update(
        self, value: Array, grad: Array, slots: list[Array], rate: float,
        settings: Mapping[str, float], count: int,
    ) -> None:  # fmt: skip
        kind = value.dtype.type
        if settings["weight_decay"]:
            grad = grad + kind(settings["weight_decay"]) * value
        if slots:
            (moving,) = slots
            moving *= kind(settings["momentum"])
            moving += grad
            grad = grad + kind(settings["momentum"]) * moving if self.nesterov else moving
        value -= kind(rate) * grad


class Adam(Optimizer):
    """Steps of about lr for each element, whatever the size of its gradient.

    ::

        m ← β₁ m + (1 − β₁) g      v ← β₂ v + (1 − β₂) g²
        w ← w − lr · m̂ / (√v̂ + eps)      m̂ = m / (1 − β₁ᵗ),  v̂ = v / (1 − β₂ᵗ)

    Parameters
    ----------
    model, lr, groups, clip_norm
        As of :class:`Optimizer`.
    betas : (float, float), default (0.9, 0.999)
    eps : float, default 1e-8
    weight_decay : float, default 0
        Added to the gradient as weight_decay · w.

    Notes
    -----
    Kingma and Ba 2014, https://arxiv.org/abs/1412.6980. Named ``torch.optim.Adam`` in PyTorch, with
    the same steps.

    Examples
    --------
    >>> from heedful.layers import Linear
    >>> from heedful.training import Adam
    >>> optimizer = Adam(Linear(3, 1), lr=1e-3)
    """

    betas: tuple[float, float]
    eps: float
    slots: tuple[str, ...] = ("mean", "square")
    decoupled = False

    def __init__(
        self, model: Module | None = None, lr: Any = 1e-3, *,
        betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8, weight_decay: float = 0.0,
        groups: Mapping[str, Mapping[str, float]] | None = None, clip_norm: float | None = None,
    ) -> None:  # fmt: skip
        super().__init__(model, lr, groups, clip_norm, weight_decay=weight_decay)
        self.betas, self.eps = betas_of(betas), positive("eps", eps)

    def description(self) -> dict[str, Any]:
        return {**super().description(), "betas": list(self.betas), "eps": self.eps}

    def update(
        self, value: Array, grad: Array, slots: list[Array], rate: float,
        settings: Mapping[str, float], count: int,
    ) -> None:  # fmt: skip
        mean, square = slots
        decay, (first, second) = settings["weight_decay"], self.betas
        native.adam_step(
            value, grad, mean, square,
            rate / (1 - first**count), 1 / math.sqrt(1 - second**count), first, second, self.eps,
            0.0 if self.decoupled else decay, 1 - rate * decay if self.decoupled else 1.0,
        )  # fmt: skip


class AdamW(Adam):
    """Adam with decoupled weight decay: w ← w · (1 − lr · weight_decay).

    Parameters
    ----------
    model, lr, betas, eps, groups, clip_norm
        As of :class:`Adam`.
    weight_decay : float, default 0.01

    Notes
    -----
    Loshchilov and Hutter 2017, https://arxiv.org/abs/1711.05101. Named ``torch.optim.AdamW`` in
    PyTorch, with the same steps.

    Examples
    --------
    >>> from heedful.layers import Linear
    >>> from heedful.training import AdamW
    >>> optimizer = AdamW(Linear(3, 1), lr=1e-3, groups={"bias": {"weight_decay": 0}})
    """

    decoupled = True

    def __init__(
        self, model: Module | None = None, lr: Any = 1e-3, *,
        betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8, weight_decay: float = 0.01,
        groups: Mapping[str, Mapping[str, float]] | None = None, clip_norm: float | None = None,
    ) -> None:  # fmt: skip
        super().__init__(
            model, lr, betas=betas, eps=eps, weight_decay=weight_decay, groups=groups,
            clip_norm=clip_norm,
        )  # fmt: skip
