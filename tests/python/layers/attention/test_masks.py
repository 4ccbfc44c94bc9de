"""Masks of layers: ambiguous shapes are rejected, others broadcast as in NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from heedful.layers import (
    AdditiveAttention,
    AttentionPooling,
    Decoder,
    DecoderLayer,
    Encoder,
    EncoderLayer,
    MultiHeadAttention,
)

B, H, L, M, E = 3, 3, 5, 7, 6
X = np.random.default_rng(0).standard_normal((B, L, E)).astype(np.float32)
MEMORY = np.random.default_rng(1).standard_normal((B, M, E)).astype(np.float32)
LAYERS: dict[str, Any] = {
    "attention": MultiHeadAttention(E, H, rng=0),
    "encoder_layer": EncoderLayer(E, H, 8, rng=0),
    "encoder": Encoder(2, E, H, 8, rng=0),
}
THREE = r"{0} must have 2 axes \(Lq, Lk\) or .* write {0}\[:, None\] for \(B, Lq, Lk\) or {0}\[N"


@pytest.mark.parametrize("kind", [bool, np.float32])
@pytest.mark.parametrize("name", LAYERS)
def test_a_mask_of_three_axes_is_refused_even_where_it_would_fit(name: str, kind: Any) -> None:
    for shape in ((B, L, L), (1, L, L), (B, 1, L)):
        for call in (LAYERS[name], LAYERS[name].forward):
            with pytest.raises(ValueError, match=THREE.format("mask")):
                call(X, mask=np.ones(shape, kind))


@pytest.mark.parametrize("name", LAYERS)
def test_masks_by_item_and_by_head(name: str) -> None:
    layer = LAYERS[name]
    by_item = np.random.default_rng(2).random((B, L, L)) < 0.6
    for item in range(B):
        np.testing.assert_allclose(
            layer(X, mask=by_item[:, None])[item], layer(X[item], mask=by_item[item]), atol=2e-6
        )
    if name == "attention":
        _, weights = layer(X, mask=by_item[None], return_weights=True)
        assert not weights[:, ~by_item].any()


def test_one_item_alone_takes_a_mask_for_its_heads() -> None:
    mask = np.random.default_rng(2).random((H, L, L)) < 0.6
    layer = LAYERS["attention"]
    np.testing.assert_array_equal(layer(X[0], mask=mask), layer(X[:1], mask=mask[None])[0])


@pytest.mark.parametrize("layer", [DecoderLayer(E, H, 8, rng=0), Decoder(2, E, H, 8, rng=0)])
def test_masks_of_a_decoder_are_reported_by_the_caller_s_names(layer: Any) -> None:
    with pytest.raises(ValueError, match=THREE.format("mask")):
        layer(X, MEMORY, mask=np.ones((B, L, L), bool))
    with pytest.raises(ValueError, match=THREE.format("memory_mask")):
        layer(X, MEMORY, memory_mask=np.ones((B, L, M), bool))
    layer(X, MEMORY, memory_mask=np.ones((B, 1, L, M), bool))
    with pytest.raises(ValueError, match=r"memory_lengths must lie between 0 and 7: got 8"):
        layer(X, MEMORY, memory_lengths=[7, 8, 7])
    with pytest.raises(ValueError, match=r"^lengths must lie between 0 and 5: got 6"):
        layer(X, MEMORY, lengths=[5, 5, 6])
    with pytest.raises(ValueError, match=r"memory and x must have the same leading axes: \(2,\)"):
        layer(X, MEMORY[:2])


def test_a_padding_mask_gets_a_hint() -> None:
    padding = np.ones((B, L), bool)
    for name, layer in LAYERS.items():
        with pytest.raises(ValueError, match=r"padding \(B, Lk\) write mask\[:, None, None, :\]"):
            layer(X, mask=padding)
        layer(X, mask=padding[:, None, None, :])
        assert name
    additive = AdditiveAttention(E, rng=0)
    with pytest.raises(ValueError, match=r"padding \(B, Lk\) write mask\[:, None, :\]"):
        additive(X, mask=padding)
    kept = np.arange(L) < np.array([[5], [2], [1]])
    np.testing.assert_array_equal(
        additive(X, mask=kept[:, None, :]), additive(X, kv_lengths=[5, 2, 1])
    )
    with pytest.raises(ValueError, match=r"mask must have shape \(3, 5\): got \(5,\)"):
        AttentionPooling(E)(X, mask=np.ones(L, bool))
