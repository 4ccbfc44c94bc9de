"""RMSprop: gradients divided by a running root mean square."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from heedful._checks import flag, positive
from heedful.base._module import Module
from heedful.base._types import Array
from heedful.training.optimizers._base import Optimizer
from heedful.training.optimizers._settings import below_one


class RMSprop(Optimizer):
    """Steps of about lr for each element, whatever the size of its gradient.

    ::

        v ← α v + (1 − α) g²      w ← w − lr · g / (√v + eps)

    Parameters
    ----------
    model, lr, groups, clip_norm
        As of :class:`Optimizer`.
    alpha : float, default 0.99
        α, which Keras calls rho.
    eps : float, default 1e-8
        Added to the root, as in PyTorch; Keras adds it under the root.
    momentum : float, default 0
        Below 1: b ← momentum · b + g / (√v + eps), and w ← w − lr · b.
    centered : bool, default False
        √(v − a²) instead of √v, with a ← α a + (1 − α) g.
    weight_decay : float, default 0
        Added to the gradient as weight_decay · w.

    Notes
    -----
    Tieleman and Hinton 2012, lecture 6.5 of "Neural Networks for Machine Learning". Named
    ``torch.optim.RMSprop`` in PyTorch, with the same steps.

    Examples
    --------
    >>> from heedful.layers import Linear
    >>> from heedful.training import RMSprop
    >>> optimizer = RMSprop(Linear(3, 1), lr=1e-3, alpha=0.9)
    """

    alpha: float
    eps: float

    def __init__(
        self, model: Module | None = None, lr: Any = 0.01, *, alpha: float = 0.99,
        eps: float = 1e-8, momentum: float = 0.0, centered: bool = False,
        weight_decay: float = 0.0, groups: Mapping[str, Mapping[str, float]] | None = None,
        clip_norm: float | None = None,
    ) -> None:  # fmt: skip
        super().__init__(
            model, lr, groups, clip_norm, momentum=momentum, weight_decay=weight_decay
        )  # fmt: skip
        self.alpha, self.eps = below_one("alpha", alpha), positive("eps", eps)
        self.centered: bool = flag("centered", centered)
        moving = bool(momentum) or any(group.get("momentum") for group in self.groups.values())
        self.slots: tuple[str, ...] = ("square", *["mean"] * self.centered, *["momentum"] * moving)

    def description(self) -> dict[str, Any]:
        return {
            **super().description(), "alpha": self.alpha, "eps": self.eps,
            "centered": self.centered,
        }  # fmt: skip

    @np.errstate(all="ignore")
    def update(
        self, value: Array, grad: Array, slots: list[Array], rate: float,
        settings: Mapping[str, float], count: int,
    ) -> None:  # fmt: skip
        kind = value.dtype.type
        old, new = kind(self.alpha), kind(1 - self.alpha)
        if settings["weight_decay"]:
            grad = grad + kind(settings["weight_decay"]) * value
        named = dict(zip(self.slots, slots, strict=True))
        square = named["square"]
        square *= old
        square += new * grad * grad
        size = square
        if self.centered:
            mean = named["mean"]
            mean *= old
            mean += new * grad
            size = np.maximum(square - mean * mean, 0)  # rounding may make it negative
        step = grad / (np.sqrt(size) + kind(self.eps))
        if "momentum" in named:
            moving = named["momentum"]
            moving *= kind(settings["momentum"])
            moving += step
            step = moving
        value -= kind(rate) * step
