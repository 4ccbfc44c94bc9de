"""Steps of optimizers in float64, parameter by parameter, as their papers and PyTorch have them.

A parameter without a gradient is not touched, and each has a count of its own.
"""

from __future__ import annotations

from typing import Any

import numpy as np


class Reference:
    """One parameter; `step` returns what it becomes."""

    def __init__(self, kind: str, value: Any, lr: float, **options: Any) -> None:
        self.kind, self.lr, self.options = kind, lr, options
        self.w = np.array(value, np.float64)
        self.t = 0
        self.a, self.b, self.c = (np.zeros_like(self.w) for _ in range(3))
        self.product = 1.0

    def step(self, gradient: Any) -> Any:
        if gradient is None:
            return self.w
        self.t += 1
        g = np.array(gradient, np.float64)
        decay = self.options.get("weight_decay", 0.0)
        if self.kind == "AdamW":
            self.w = self.w * (1 - self.lr * decay)
        else:
            g = g + decay * self.w
        getattr(self, f"_{self.kind.lower()}")(g)
        return self.w

    def _sgd(self, g: Any) -> None:
        momentum = self.options.get("momentum", 0.0)
        self.a = momentum * self.a + g
        self.w = self.w - self.lr * (
            g + momentum * self.a if self.options.get("nesterov") else self.a
        )

    def _moments(self, g: Any) -> Any:
        self.a = 0.9 * self.a + 0.1 * g
        self.b = 0.999 * self.b + 0.001 * g * g
        return np.sqrt(self.b / (1 - 0.999**self.t)) + 1e-8

    def _adam(self, g: Any) -> None:
        size = self._moments(g)
        self.w = self.w - self.lr * self.a / (1 - 0.9**self.t) / size

    _adamw = _adam

    def _nadam(self, g: Any) -> None:
        size = self._moments(g)
        now, ahead = (0.9 * (1 - 0.5 * 0.96 ** (0.004 * t)) for t in (self.t, self.t + 1))
        self.product *= now
        step = ahead * self.a / (1 - self.product * ahead) + (1 - now) * g / (1 - self.product)
        self.w = self.w - self.lr * step / size

    def _rmsprop(self, g: Any) -> None:
        alpha = self.options.get("alpha", 0.99)
        self.b = alpha * self.b + (1 - alpha) * g * g
        self.c = alpha * self.c + (1 - alpha) * g
        centre = self.c**2 if self.options.get("centered") else 0
        step = g / (np.sqrt(self.b - centre) + 1e-8)
        self.a = self.options.get("momentum", 0.0) * self.a + step
        self.w = self.w - self.lr * self.a
