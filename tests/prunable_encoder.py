"""An encoder whose tokens are pruned."""

from __future__ import annotations

from typing import Any

import numpy as np

from heedful.layers import Encoder

B, L, E, H = 4, 11, 12, 3


def made(norm_first: bool = False, dtype: Any = np.float64, **options: Any) -> Encoder:
    found = Encoder(3, E, H, 16, 0.0, norm_first=norm_first, rng=0, dtype=dtype, **options)
    rng = np.random.default_rng(1)
    for array in found.parameters().values():  # attention that is far from even
        array += 0.4 * rng.standard_normal(array.shape)
    return found
