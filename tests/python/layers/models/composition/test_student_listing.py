"""The layer of examples/own_attention_layer.py: what changed in it, and what it computes."""

from __future__ import annotations

from difflib import unified_diff
from pathlib import Path
from typing import Any

import numpy as np
from composed import assert_differentiates

import heedful

SOURCE = (Path(__file__).parents[5] / "examples" / "own_attention_layer.py").read_text("utf-8")
LISTING, _, REST = SOURCE.partition("# %% The lines")
TABLE = REST[REST.index("CHANGED = {") : REST.index("print(")]


def run(text: str) -> dict[str, Any]:
    names: dict[str, Any] = {}
    exec(compile(text, "own_attention_layer.py", "exec"), names)
    return names


def test_twelve_lines_differ_from_the_listing_for_keras() -> None:
    changed = run(TABLE)["CHANGED"]
    lines = LISTING.splitlines()
    keras = [
        line.replace(line.strip(), changed[line.strip()]) if line.strip() in changed else line
        for line in lines
    ]
    assert set(changed) <= {line.strip() for line in lines}
    listing = "\n".join(keras)
    assert "steps." not in listing[listing.index("def scaled") :]
    assert "heedful" not in listing[listing.index("from tensorflow") :].replace(
        "heedful.training", ""
    )
    new = [line for line in unified_diff(keras, lines, n=0, lineterm="") if line[0] == "+"]
    assert len(new) - 1 <= 12  # one of them names the file


def test_it_is_attention_of_several_heads() -> None:
    layer = run(LISTING)["MultiHeadAttention"](6, 2)
    rng = np.random.default_rng(0)
    value, key, query = rng.standard_normal((3, 2, 5, 6))
    for dense in (layer.wq, layer.wk, layer.wv, layer.dense):
        dense(query)  # makes its weights
    hidden = np.triu(np.ones((5, 5)), 1)
    y, weights = layer(value, key, query, hidden)

    def projected(dense: Any, x: np.ndarray) -> np.ndarray:
        return x @ dense.linear.weight.T.astype(np.float64) + dense.linear.bias

    q, k, v = (projected(*one) for one in ((layer.wq, query), (layer.wk, key), (layer.wv, value)))
    expected = heedful.multi_head_attention(q, k, v, 2, causal=True)
    np.testing.assert_allclose(y, projected(layer.dense, expected), rtol=1e-4, atol=1e-5)
    assert weights.shape == (2, 2, 5, 5)
    assert (weights[:, :, hidden > 0] == 0).all()


def test_its_gradients_are_those_of_differences() -> None:
    wide = LISTING.replace("Dense(d_model)", "Dense(d_model, dtype=np.float64, rng=0)")
    layer = run(wide)["MultiHeadAttention"](6, 2)
    assert_differentiates(layer, *np.random.default_rng(1).standard_normal((3, 2, 4, 6)))
