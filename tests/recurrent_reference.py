"""GRU and LSTM in plain loops over sequences and positions, in float64: the oracle."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


def gru_step(x: Array, states: list[Array], own: Mapping[str, Array]) -> list[Array]:
    (h,) = states
    r, z, n = np.split(own["weight_ih"] @ x + own["bias_ih"], 3)
    hr, hz, hn = np.split(own["weight_hh"] @ h + own["bias_hh"], 3)
    r, z = sigmoid(r + hr), sigmoid(z + hz)
    return [(1 - z) * np.tanh(n + r * hn) + z * h]


def lstm_step(x: Array, states: list[Array], own: Mapping[str, Array]) -> list[Array]:
    h, c = states
    sums = own["weight_ih"] @ x + own["bias_ih"] + own["weight_hh"] @ h + own["bias_hh"]
    i, f, g, o = np.split(sums, 4)
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    return [sigmoid(o) * np.tanh(c), c]


STEPS = {"GRU": gru_step, "LSTM": lstm_step}


def recurrent(
    kind: str, parameters: Mapping[str, Array], x: Array, states: Sequence[Array],
    lengths: Sequence[int], num_layers: int, directions: int,
) -> tuple[Array, list[Array]]:  # fmt: skip
    """y (B, L, directions · H) and the last states, of x (B, L, E), states (B, layers ·
    directions, H)."""
    rows = np.asarray(x, np.float64)
    lasts = [np.array(one, np.float64) for one in states]
    width = lasts[0].shape[-1]
    for layer in range(num_layers):
        y = np.zeros((*rows.shape[:2], directions * width))
        for direction in range(directions):
            suffix = f"_l{layer}" + ("_reverse" if direction else "")
            own = {
                name: np.asarray(parameters.get(name + suffix, 0.0), np.float64)
                for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
            }
            place = layer * directions + direction
            for item, length in enumerate(lengths):
                now = [one[item, place] for one in lasts]
                order = range(length)[::-1] if direction else range(length)
                for t in order:
                    now = STEPS[kind](rows[item, t], now, own)
                    y[item, t, direction * width : (direction + 1) * width] = now[0]
                for one, state in zip(lasts, now, strict=True):
                    one[item, place] = state
        rows = y
    return rows, lasts
