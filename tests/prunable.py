"""A layer and an encoder with heads that are pruned."""

from __future__ import annotations

from typing import Any

import numpy as np

from heedful.layers import Encoder, MultiHeadAttention

FIRST, SECOND = "layers.0.self_attn", "layers.1.self_attn"


def layer(*sizes: int, **options: Any) -> MultiHeadAttention:
    made = MultiHeadAttention(*sizes, rng=0, **{"dtype": np.float64, **options})
    rng = np.random.default_rng(1)
    for array in made.parameters().values():  # biases and sinks begin at 0
        array += 0.1 * rng.standard_normal(array.shape)
    return made


def encoder(**options: Any) -> Encoder:
    return Encoder(2, 12, 4, 16, 0.0, rng=0, **options)
