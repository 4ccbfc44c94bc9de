"""Normalized queries and keys, and factors of heads: against plain NumPy, caches, training."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import heedful
from heedful import layers as L
from heedful.pruning import prune_heads, unpruned_state_dict
from heedful.pruning._shortening import Observed, Observer
from heedful.training import SGD

Array = NDArray[Any]
B, LENGTH, E, H, D = 3, 7, 12, 4, 3
X = np.random.default_rng(11).standard_normal((B, LENGTH, E))
MODELS: list[Callable[..., Any]] = [
    lambda **o: L.EncoderLayer(8, 2, 16, 0.0, rng=0, **o),
    lambda **o: L.Encoder(2, 8, 2, 16, 0.0, rng=0, **o),
    lambda **o: L.DecoderLayer(8, 2, 16, 0.0, rng=0, **o),
    lambda **o: L.Decoder(2, 8, 2, 16, 0.0, rng=0, **o),
    lambda **o: L.EncoderDecoder(8, 2, 1, 1, 16, 0.0, rng=0, **o),
    lambda **o: L.Transformer(9, 9, 8, 2, 1, 16, 0.0, rng=0, **o),
    lambda **o: L.LanguageModel(9, 8, 2, 1, 16, rng=0, **o),
]


def attention(**options: Any) -> L.MultiHeadAttention:
    """With parameters that differ from their initial values."""
    layer = L.MultiHeadAttention(E, H, dtype=np.float64, rng=0, **options)
    rng = np.random.default_rng(4)
    for name, values in layer.parameters().items():
        if "norm" in name or name == "logit_scale":
            values *= rng.uniform(0.5, 2.0, values.shape)
    return layer


def observed(layer: L.MultiHeadAttention, x: Array) -> Observed:
    """Queries (B, L, H, D) and keys as they enter attention, and the lse of their scores."""
    with Observer(layer) as observer:
        layer(x)
    return observer.observed


def expected(layer: L.MultiHeadAttention, x: Array, causal: bool = False) -> Array:
    """The layer's output by the equations, item by item and head by head."""
    out = np.empty((*x.shape[:2], H * D))
    group = H // layer.num_kv_heads
    narrow = layer.num_kv_heads * D
    wq, wk, wv = np.split(layer.in_proj_weight, [E, E + narrow])
    for item, rows in enumerate(x):
        for head in range(H):
            of_head = slice(head * D, (head + 1) * D)
            of_group = slice(head // group * D, (head // group + 1) * D)
            q, k, v = rows @ wq[of_head].T, rows @ wk[of_group].T, rows @ wv[of_group].T
            if layer.qk_norm == "rms":
                q = q / np.sqrt((q**2).mean(1, keepdims=True)) * layer.q_norm.weight
                k = k / np.sqrt((k**2).mean(1, keepdims=True)) * layer.k_norm.weight
            elif layer.qk_norm == "l2":
                q = q / np.linalg.norm(q, axis=1, keepdims=True)
                k = k / np.linalg.norm(k, axis=1, keepdims=True)
            if layer.rotary:
                q, k = (heedful.rotary_embedding(a[None, None], 0)[0, 0] for a in (q, k))
            score = q @ k.T * (1.0 if layer.qk_norm == "l2" else 1 / np.sqrt(D))
            if layer.logit_scale is not None:
                score = score * layer.logit_scale[head]
            if layer.scores.softcap is not None:
                score = layer.scores.softcap * np.tanh(score / layer.scores.softcap)
            if causal:
                score = np.where(np.tri(len(rows), dtype=bool), score, -np.inf)
            weights = np.exp(score - score.max(1, keepdims=True))
            out[item, :, of_head] = weights / weights.sum(1, keepdims=True) @ v
    return out @ layer.out_proj.weight.T


OPTIONS: list[dict[str, Any]] = [
    {"qk_norm": "rms"}, {"qk_norm": "l2"}, {"logit_scale": True},
    {"qk_norm": "rms", "logit_scale": True, "num_kv_heads": 2, "softcap": 2.0},
    {"qk_norm": "l2", "logit_scale": False, "num_kv_heads": 1},
]  # fmt: skip


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("causal", [False, True])
def test_scores_are_of_normalized_queries_and_keys(options: dict[str, Any], causal: bool) -> None:
    layer = attention(causal=causal, **options)
    np.testing.assert_allclose(layer(X), expected(layer, X, causal), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("kind", ["rms", "l2"])
def test_they_are_rotated_after_the_norm(kind: str) -> None:
    rng = np.random.default_rng(2)
    layer = L.MultiHeadAttention(8, 2, qk_norm=kind, rotary=True, dtype=np.float64, rng=0)
    for norm in (layer.q_norm, layer.k_norm) if kind == "rms" else ():
        norm.weight[...] = rng.uniform(0.5, 2.0, 4)
    x = rng.standard_normal((1, 5, 8))
    seen = observed(layer, x)[:2]
    weight = layer.in_proj_weight.reshape(6, 4, 8)
    for which, found in enumerate(seen):
        projected = np.einsum("hde,ble->bhld", weight[2 * which : 2 * which + 2], x)
        if kind == "rms":
            gain = (layer.q_norm, layer.k_norm)[which].weight
            normed = projected / np.sqrt((projected**2).mean(-1, keepdims=True)) * gain
        else:
            normed = projected / np.linalg.norm(projected, axis=-1, keepdims=True)
            normed *= 10.0 if which == 0 else 1.0
        exact = heedful.rotary_embedding(normed, 0).swapaxes(1, 2)
        np.testing.assert_allclose(found, exact, rtol=1e-10, atol=1e-12)


def test_scores_do_not_grow_with_the_projections() -> None:
    plain, normed = attention(), attention(qk_norm="rms")
    largest = []
    for layer in (plain, normed):
        layer.in_proj_weight[: 2 * E] *= 100
        largest.append(float(observed(layer, X).lse.max()))
    assert largest[0] > 1000
    assert largest[1] < 4 * np.sqrt(D) * 4 + np.log(LENGTH)  # |q| |k| / √D = √D, weights up to 2


@pytest.mark.parametrize("options", [*OPTIONS[:3], {"qk_norm": "rms", "rotary": True}], ids=str)
def test_a_cache_gives_the_same(options: dict[str, Any]) -> None:
    layer = L.MultiHeadAttention(8, 2, dtype=np.float64, rng=0, causal=True, **options)
    x = np.random.default_rng(3).standard_normal((3, 7, 8))
    cache = heedful.KVCache()
    steps = [layer(x[:, :3], cache=cache)]
    steps += [layer(x[:, i : i + 1], cache=cache) for i in range(3, 7)]
    np.testing.assert_allclose(np.concatenate(steps, 1), layer(x), rtol=1e-12, atol=1e-14)
    if not layer.rotary:  # of another sequence: keys are normalized once
        memory, other = np.random.default_rng(4).standard_normal((3, 5, 8)), heedful.KVCache()
        found = [layer(x[:, i : i + 1], memory, cache=other, causal=False) for i in range(7)]
        exact = layer(x, memory, causal=False)
        np.testing.assert_allclose(np.concatenate(found, 1), exact, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("kind", ["rms", "l2"])
def test_a_model_generates_what_it_computes_at_once(kind: str) -> None:
    model = L.LanguageModel(11, 16, 2, 2, qk_norm=kind, positions="rotary", rng=0)
    (written,) = model.generate([[1, 2, 3]], max_length=6)
    tokens = [1, 2, 3]
    for _ in range(6):
        tokens.append(int(model([tokens])[0, -1].argmax()))
    assert written.tolist() == tokens


@pytest.mark.parametrize("name", ["logit_scale", "softcap", "q_norm"])
def test_scores_train_through_it(name: str) -> None:
    """A head that must attend to one key learns it, and what limits the scores moves with it."""
    options: dict[str, Any] = {
        "logit_scale": {"qk_norm": "l2"}, "softcap": {"softcap": 5.0}, "q_norm": {"qk_norm": "rms"},
    }  # fmt: skip
    layer = L.MultiHeadAttention(8, 2, rng=0, **options[name])
    model = L.Sequential(layer, L.GlobalAveragePooling(), L.Linear(8, 1, rng=1))
    rng = np.random.default_rng(0)
    x = rng.standard_normal((64, 5, 8)).astype(np.float32)
    x[..., 0] = 0
    chosen = rng.integers(0, 5, 64)
    x[np.arange(64), chosen, 0] = 3
    y = x[np.arange(64), chosen, 1:2]
    before = model.state_dict()
    model.compile(SGD(lr=0.05, momentum=0.9), loss="mse")
    history = model.fit(x, y, epochs=60, batch_size=16, verbose=False, rng=0)
    assert history["loss"][-1] < 0.3 * history["loss"][0]
    changed = {key for key, value in model.state_dict().items() if (value != before[key]).any()}
    assert changed >= {key for key in before if name in key or "proj_weight" in key}


def test_softcap_trains_where_scores_reach_it() -> None:
    """d cap(s) / ds = 1 − tanh²(s / c): by finite differences where scores are twice the cap."""
    layer = attention(softcap=1.0)
    layer.in_proj_weight[: 2 * E] *= 2
    dy = np.random.default_rng(1).standard_normal(X.shape)
    query, key, _ = observed(layer, X)
    assert np.abs(np.einsum("blhd,bmhd->bhlm", query, key) / np.sqrt(D)).max() > 2
    _, backward = layer.forward(X)
    backward(dy)
    gradient, step = layer.grads["in_proj_weight"], 1e-6
    for place in [(0, 0), (7, 3), (E + 1, 2), (2 * E + 3, 5)]:
        value = layer.in_proj_weight[place]
        ends = []
        for moved in (value + step, value - step):
            layer.in_proj_weight[place] = moved
            ends.append((layer(X) * dy).sum())
        layer.in_proj_weight[place] = value
        np.testing.assert_allclose(gradient[place], (ends[0] - ends[1]) / (2 * step), rtol=1e-5)


def test_the_parameters_have_the_names_of_transformers() -> None:
    rms, l2 = attention(qk_norm="rms"), attention(qk_norm="l2")
    assert {name: array.shape for name, array in rms.state_dict().items()} == {
        "in_proj_weight": (36, 12), "in_proj_bias": (36,), "out_proj.weight": (12, 12),
        "out_proj.bias": (12,), "q_norm.weight": (3,), "k_norm.weight": (3,),
    }  # fmt: skip
    assert l2.state_dict()["logit_scale"].shape == (H,)
    fresh = L.MultiHeadAttention(E, H, qk_norm="l2")
    np.testing.assert_array_equal(fresh.logit_scale, 10)
    np.testing.assert_array_equal(L.MultiHeadAttention(E, H, logit_scale=True).logit_scale, 1)
    assert "logit_scale" not in L.MultiHeadAttention(E, H, qk_norm="rms").state_dict()
    assert L.MultiHeadAttention(E, H, qk_norm="l2", logit_scale=False).logit_scale is None
    for layer in (rms, l2):
        other = pickle.loads(pickle.dumps(layer))
        np.testing.assert_array_equal(other(X), layer(X))
        assert f"qk_norm={layer.qk_norm!r}" in repr(layer)


def test_pruned_heads_lose_their_factors() -> None:
    layer = attention(qk_norm="l2")
    pruned = prune_heads(layer, {"": [1, 2]})
    np.testing.assert_array_equal(pruned.logit_scale, layer.logit_scale[[0, 3]])
    whole = attention(qk_norm="l2")
    whole.load_state_dict(unpruned_state_dict(pruned))
    np.testing.assert_allclose(pruned(X), whole(X), rtol=1e-10, atol=1e-12)


def test_a_layer_of_an_earlier_version_has_none() -> None:
    layer = L.MultiHeadAttention(E, H, dtype=np.float64, rng=0)
    exact = layer(X)
    for name in ("qk_norm", "logit_scale"):
        delattr(layer, name)
    np.testing.assert_array_equal(layer(X), exact)
    assert "qk_norm" not in repr(layer)


@pytest.mark.parametrize("make", MODELS)
def test_models_forward_them(make: Callable[..., Any]) -> None:
    def inside(model: L.Layer) -> list[L.MultiHeadAttention]:
        return [one for _, one in model.named_layers() if isinstance(one, L.MultiHeadAttention)]

    for layer in inside(make(qk_norm="rms", logit_scale=True)):
        assert layer.qk_norm == "rms"
        assert layer.logit_scale.shape == (2,)
    assert all(layer.qk_norm is layer.logit_scale is None for layer in inside(make()))


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"qk_norm": "layer"}, ValueError, "qk_norm must be 'rms' or 'l2': got 'layer'"),
        ({"qk_norm": True}, TypeError, "qk_norm must be 'rms' or 'l2': got True"),
        ({"logit_scale": 10.0}, TypeError, "logit_scale must be True or False: got 10.0"),
    ],
)
def test_what_has_no_meaning_is_refused(
    options: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=rf"\A{message}\Z"):
        attention(**options)


def test_an_alternative_of_attention_has_none() -> None:
    with pytest.raises(ValueError, match="qk_norm must be None with mixer='linear': got 'rms'"):
        L.EncoderLayer(8, 2, mixer="linear", qk_norm="rms")


@pytest.mark.peer
@pytest.mark.parametrize("kind", ["rms", "l2"])
def test_pytorch_computes_the_same_with_the_same_gradients(kind: str) -> None:
    torch = pytest.importorskip("torch")
    functional = torch.nn.functional
    layer = attention(qk_norm=kind, logit_scale=True, num_kv_heads=2)
    own = {
        name: torch.tensor(array, requires_grad=True) for name, array in layer.parameters().items()
    }
    x = torch.tensor(X, requires_grad=True)
    narrow = 2 * D
    projected = functional.linear(x, own["in_proj_weight"], own["in_proj_bias"])
    q, k, v = (
        part.unflatten(-1, (-1, D)).transpose(1, 2)
        for part in projected.split([E, narrow, narrow], -1)
    )
    if kind == "rms":
        q = functional.rms_norm(q, (D,), own["q_norm.weight"])
        k = functional.rms_norm(k, (D,), own["k_norm.weight"])
    else:
        q, k = functional.normalize(q, dim=-1), functional.normalize(k, dim=-1)
    q = q * own["logit_scale"][:, None, None]
    out = functional.scaled_dot_product_attention(
        q, k, v, is_causal=True, enable_gqa=True, scale=1.0 if kind == "l2" else None
    )
    y = functional.linear(
        out.transpose(1, 2).flatten(2), own["out_proj.weight"], own["out_proj.bias"]
    )
    dy = np.random.default_rng(1).standard_normal(X.shape)
    y.backward(torch.tensor(dy))
    found, backward = layer.forward(X, causal=True)
    dx = backward(dy)
    np.testing.assert_allclose(found, y.detach().numpy(), rtol=1e-9, atol=1e-11)
    np.testing.assert_allclose(dx, x.grad.numpy(), rtol=1e-9, atol=1e-11)
    for name, parameter in own.items():
        np.testing.assert_allclose(
            layer.grads[name], parameter.grad.numpy(), rtol=1e-8, atol=1e-10, err_msg=name
        )
