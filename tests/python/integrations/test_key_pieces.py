"""A pair of pieces is left out exactly where no query of one may see a key of the other."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest

from heedful.integrations._key_pieces import check_pieces

pytestmark = pytest.mark.once

DEFAULTS: dict[str, Any] = dict.fromkeys(
    ("window", "align", "q_lengths", "kv_lengths", "scale", "softcap", "alibi_slopes", "sink")
)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("window", [None, (2, None), (None, 1), (1, 2)])
@pytest.mark.parametrize(
    "more",
    [
        {"align": -3},
        {"align": 2},
        {"align": [5, 1]},
        {"align": "lower_right", "q_lengths": [7, 0], "kv_lengths": [3, 9]},
        {"align": "upper_left", "q_lengths": [2, 4]},
    ],
    ids=str,
)
def test_only_hidden_pairs_are_left_out(causal: bool, window: Any, more: dict[str, Any]) -> None:
    rows, keys = 7, 9
    query, key = np.ones((2, 1, rows, 3)), np.ones((2, 1, keys, 3))
    options = {**DEFAULTS, "causal": causal, "window": window, "layout": "bhld", **more}
    call = check_pieces(query, key, key, (rows, keys), **options)
    left, right = window or (None, None)
    visible = np.zeros((2, rows, keys), bool)
    for item, i, j in product(range(2), range(rows), range(keys)):
        lengths = [more.get(name, (size,) * 2)[item]
                   for name, size in (("q_lengths", rows), ("kv_lengths", keys))]  # fmt: skip
        align = more["align"]
        offset = {"upper_left": 0, "lower_right": lengths[1] - lengths[0]}.get(str(align), align)
        p = i + (offset[item] if isinstance(offset, list) else offset)
        visible[item, i, j] = (
            i < lengths[0] and j < lengths[1]
            and not (causal and j > p)
            and (left is None or j >= p - left)
            and (right is None or j <= p + right)
        )  # fmt: skip
    spans = [[(a, b) for a in range(n) for b in range(a, n + 1)] for n in (rows, keys)]
    by_item = isinstance(more["align"], list) or "q_lengths" in more
    for (a, b), (c, d) in product(*spans):
        some = bool(visible[:, a:b, c:d].any())
        found = call.sees((a, b), (c, d))
        assert found or not some, f"queries {a} to {b}, keys {c} to {d}"
        if not by_item:  # with several items, their limits together are not tight
            assert found == some, f"queries {a} to {b}, keys {c} to {d}"
