"""NAdam: Adam with Nesterov's momentum."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from heedful._checks import not_negative
from heedful.base._module import Module
from heedful.base._types import Array
from heedful.training.optimizers._rules import Adam


class NAdam(Adam):
    """Adam with Nesterov momentum.

    ::

        μₜ = β₁ (1 − ½ · 0.96^(t · momentum_decay))      Mₜ = μ₁ μ₂ … μₜ
        m ← β₁ m + (1 − β₁) g      v ← β₂ v + (1 − β₂) g²
        w ← w − lr · (μₜ₊₁ m / (1 − Mₜ₊₁) + (1 − μₜ) g / (1 − Mₜ)) / (√(v / (1 − β₂ᵗ)) + eps)

    Parameters
    ----------
    model, lr, betas, eps, groups, clip_norm
        As of :class:`Adam`.
    weight_decay : float, default 0
        Added to the gradient as weight_decay · w.
    momentum_decay : float, default 0.004

    Notes
    -----
    Dozat 2016, https://openreview.net/forum?id=OM0jvwB8jIp57ZJjtNEZ. Named ``torch.optim.NAdam`` in
    PyTorch, with the same steps. Keras's Nadam takes smaller ones by default: its lr is 0.001, and
    its eps 1e-7.

    Examples
    --------
    >>> from heedful.layers import Linear
    >>> from heedful.training import NAdam
    >>> optimizer = NAdam(Linear(3, 1), lr=1e-3)
    """

    def __init__(
        self, model: Module | None = None, lr: Any = 2e-3, *,
        betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8, weight_decay: float = 0.0,
        momentum_decay: float = 4e-3, groups: Mapping[str, Mapping[str, float]] | None = None,
        clip_norm: float | None = None,
    ) -> None:  # fmt: skip
        super().__init__(
            model, lr, betas=betas, eps=eps, weight_decay=weight_decay, groups=groups,
            clip_norm=clip_norm,
        )  # fmt: skip
        self.momentum_decay: float = not_negative("momentum_decay", momentum_decay)
        self._products = {0: 1.0}  # t → Mₜ, for the counts of parameters

    def description(self) -> dict[str, Any]:
        return {**super().description(), "momentum_decay": self.momentum_decay}

    @np.errstate(all="ignore")
    def update(
        self, value: Array, grad: Array, slots: list[Array], rate: float,
        settings: Mapping[str, float], count: int,
    ) -> None:  # fmt: skip
        kind, (mean, square), (first, second) = value.dtype.type, slots, self.betas
        if settings["weight_decay"]:
            grad = grad + kind(settings["weight_decay"]) * value
        mean *= kind(first)
        mean += kind(1 - first) * grad
        square *= kind(second)
        square += kind(1 - second) * grad * grad
        size = np.sqrt(square) * kind(1 / math.sqrt(1 - second**count)) + kind(self.eps)
        product, ahead = self._product(count), self._momentum(count + 1)
        value -= kind(rate * (1 - self._momentum(count)) / (1 - product)) * (grad / size)
        value -= kind(rate * ahead / (1 - product * ahead)) * (mean / size)

    def _momentum(self, count: int) -> float:
        return float(self.betas[0] * (1 - 0.5 * 0.96 ** (count * self.momentum_decay)))

    def _product(self, count: int) -> float:
        """Mₜ, cached rather than saved: it follows from the count."""
        if count not in self._products:
            known = max(at for at in self._products if at < count)
            product = self._products[known]
            for at in range(known + 1, count + 1):
                product *= self._momentum(at)
            live = {0, count, *self.counts.values()}
            self._products = {at: old for at, old in self._products.items() if at in live}
            self._products[count] = product
        return self._products[count]


Nadam = NAdam  # as Keras spells it
