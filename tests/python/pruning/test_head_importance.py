"""head_importance: the gradient of gates, and the loss without a head, against brute force."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from pruning_reference import inside, multi_head

from heedful.layers import (
    Dropout,
    EncoderDecoder,
    Flatten,
    GlobalAveragePooling,
    Layer,
    Linear,
    MultiHeadAttention,
    Sequential,
)
from heedful.pruning import head_importance

N, L, E, H, CLASSES = 7, 5, 12, 4, 3
CROSS_ENTROPY = "sparse_categorical_crossentropy"


def model(**options: Any) -> Sequential:
    """Two attentions, then the mean over the positions and three scores."""
    return Sequential(
        MultiHeadAttention(E, H, dropout=0.3, rng=0, dtype=np.float64, **options),
        Dropout(0.2),
        MultiHeadAttention(E, 2, rng=1, dtype=np.float64),
        GlobalAveragePooling(),
        Linear(E, CLASSES, rng=2, dtype=np.float64),
    )


@pytest.fixture
def data(rng: np.random.Generator) -> tuple[Any, Any]:
    return rng.standard_normal((N, L, E)), np.arange(N) % CLASSES


def loss_of_example(state: Any, x: Any, label: int, gates: dict[str, Any], **sizes: Any) -> float:
    """Of one example (L, E), in plain NumPy."""
    x = multi_head(inside(state, "0"), H, x, gate=gates["0"], **sizes).y
    x = multi_head(inside(state, "2"), 2, x, gate=gates["2"]).y
    logits = x.mean(0) @ state["4.weight"].T + state["4.bias"]
    return float(np.log(np.exp(logits).sum()) - logits[label])


def ones() -> dict[str, Any]:
    return {"0": np.ones(H), "2": np.ones(2)}


@pytest.mark.parametrize("batch_size", [1, 3, 32])
@pytest.mark.parametrize("kv_heads", [4, 2])
def test_the_gradient_of_a_gate_is_that_of_finite_differences(
    data: Any, batch_size: int, kv_heads: int
) -> None:
    x, labels = data
    given = model(num_kv_heads=kv_heads)
    state = given.state_dict()
    found = head_importance(given, x, labels, loss=CROSS_ENTROPY, batch_size=batch_size)
    assert list(found) == ["0", "2"]
    for name, importance in found.items():
        assert importance.dtype == np.float64
        for head, one in enumerate(importance):
            slopes = []
            for example, label in zip(x, labels, strict=True):
                losses = []
                for step in (1e-5, -1e-5):
                    gates = ones()
                    gates[name][head] += step
                    losses.append(
                        loss_of_example(state, example, label, gates, num_kv_heads=kv_heads)
                    )
                slopes.append((losses[0] - losses[1]) / 2e-5)
            np.testing.assert_allclose(one, np.mean(np.abs(slopes)), rtol=1e-6)


@pytest.mark.parametrize("batch_size", [2, 32])
def test_ablation_is_the_loss_without_a_head_minus_the_loss(data: Any, batch_size: int) -> None:
    x, labels = data
    given = model()
    state = given.state_dict()
    found = head_importance(
        given, x, labels, loss=CROSS_ENTROPY, method="ablation", batch_size=batch_size
    )

    def mean(gates: dict[str, Any]) -> float:
        pairs = zip(x, labels, strict=True)
        return float(np.mean([loss_of_example(state, *pair, gates) for pair in pairs]))

    for name, importance in found.items():
        for head, one in enumerate(importance):
            gates = ones()
            gates[name][head] = 0
            np.testing.assert_allclose(one, mean(gates) - mean(ones()), rtol=1e-9, atol=1e-12)


def test_ablation_is_what_evaluate_says_of_a_model_with_columns_of_zero(data: Any) -> None:
    x, labels = data
    given = model()
    given.compile("adam", CROSS_ENTROPY)
    before = given.evaluate(x, labels).loss
    found = head_importance(given, x, labels, method="ablation")  # with the loss compiled in
    columns = given[0].out_proj.weight.reshape(E, H, E // H)
    kept, columns[:, 2] = columns[:, 2].copy(), 0
    without = given.evaluate(x, labels).loss
    columns[:, 2] = kept
    np.testing.assert_allclose(found["0"][2], without - before, rtol=1e-9)


@pytest.mark.parametrize("method", ["gradient", "ablation"])
def test_a_head_without_an_effect_has_no_importance(method: str, data: Any) -> None:
    given = model()
    given[0].out_proj.weight.reshape(E, H, E // H)[:, 1] = 0
    found = head_importance(given, *data, loss=CROSS_ENTROPY, method=method)["0"]
    assert found[1] == 0
    assert (np.delete(found, 1) != 0).all()


@pytest.mark.parametrize("method", ["gradient", "ablation"])
def test_nothing_of_the_model_is_changed(method: str, data: Any) -> None:
    x, labels = data
    given = model()
    given.compile("adam", CROSS_ENTROPY)
    given.fit(x, labels, verbose=False, rng=0)
    before, gradients = given.state_dict(), {n: g.copy() for n, g in given.grads.items()}
    layers = [type(layer.out_proj) for layer in (given[0], given[2])]
    head_importance(given, x, labels, method=method)
    assert [type(layer.out_proj) for layer in (given[0], given[2])] == layers
    for name, array in given.state_dict().items():
        assert array.tobytes() == before[name].tobytes()
        np.testing.assert_array_equal(given.grads[name], gradients[name])
    assert all(own.trainable for _, own in given.named_parameters())
    assert given[1].rate == 0.2
    assert given[0].dropout == 0.3


def test_sample_weights_and_batches_of_a_loader_count_as_in_fit(data: Any) -> None:
    x, labels = data
    given, weights = model(), np.array([1, 0, 2, 1, 1, 0, 3])
    for method in ("gradient", "ablation"):
        whole = head_importance(
            given, x, labels, loss=CROSS_ENTROPY, method=method, sample_weight=weights
        )
        loader = ((x[i : i + 3], labels[i : i + 3], weights[i : i + 3]) for i in (0, 3, 6))
        batches = head_importance(given, loader, loss=CROSS_ENTROPY, method=method)
        for name, importance in whole.items():
            np.testing.assert_allclose(batches[name], importance, rtol=1e-9, atol=1e-13)
    kept = weights == 1
    some = head_importance(given, x[kept], labels[kept], loss=CROSS_ENTROPY)
    masked = head_importance(given, x, labels, loss=CROSS_ENTROPY, sample_weight=kept)
    np.testing.assert_allclose(masked["0"], some["0"], rtol=1e-9)


def test_several_inputs_and_cross_attention(rng: np.random.Generator) -> None:
    given = EncoderDecoder(12, 4, 1, 1, 16, 0.1, rng=0)
    source, target = rng.standard_normal((2, 6, 5, 12)).astype(np.float32)
    by_name = {"source": source, "target": target, "source_lengths": np.array([5, 4, 3, 2, 1, 5])}
    found = head_importance(given, by_name, target, loss="mse")
    assert {name: array.shape for name, array in found.items()} == {
        "encoder.layers.0.self_attn": (4,),
        "decoder.layers.0.self_attn": (4,),
        "decoder.layers.0.multihead_attn": (4,),
    }
    assert all((array > 0).all() for array in found.values())
    by_position = head_importance(given, (source, target), target, loss="mse")
    assert not np.allclose(by_position["encoder.layers.0.self_attn"],
                           found["encoder.layers.0.self_attn"])  # fmt: skip


def test_a_layer_that_is_used_twice_has_the_gradient_of_both(data: Any) -> None:
    x, _ = data
    attention = MultiHeadAttention(E, H, rng=0, dtype=np.float64)
    found = head_importance(Sequential(attention, attention), x, x, loss="mse", batch_size=2)
    assert list(found) == ["0"]
    state = attention.state_dict()

    def loss(example: Any, gate: Any) -> float:
        y = multi_head(state, H, multi_head(state, H, example, gate=gate).y, gate=gate).y
        return float(np.mean((y - example) ** 2))

    for head in range(H):
        step = 1e-5 * np.eye(H)[head]
        slopes = [(loss(one, 1 + step) - loss(one, 1 - step)) / 2e-5 for one in x]
        np.testing.assert_allclose(found["0"][head], np.mean(np.abs(slopes)), rtol=1e-6)


class Unreached(Layer):
    """An attention that the result does not depend on."""

    def __init__(self) -> None:
        self.used, self.unused = MultiHeadAttention(E, H, rng=0), MultiHeadAttention(E, H, rng=0)

    def compute(self, mode: Any, x: Any) -> Any:
        return self.used.compute(mode, x)


class Folded(Layer):
    """All examples as one sequence."""

    def __init__(self) -> None:
        self.attention = MultiHeadAttention(E, H, rng=0)

    def compute(self, mode: Any, x: Any) -> Any:
        y, back = self.attention.compute(mode, x.reshape(1, -1, E))
        return y.reshape(x.shape), lambda dy: back(dy.reshape(1, -1, E)).reshape(x.shape)


def test_what_is_not_reached_has_no_importance(data: Any) -> None:
    x = data[0]
    for method in ("gradient", "ablation"):
        found = head_importance(Unreached(), x, x, loss="mse", method=method)
        np.testing.assert_array_equal(found["unused"], 0)
        assert (found["used"] != 0).all()


WRONG: list[tuple[Callable[[Any, Any], Any], type[Exception], str]] = [
    (lambda x, y: head_importance(np.tanh, x, y, loss="mse"), TypeError,
     "model must be a layer: got <ufunc 'tanh'>"),
    (lambda x, y: head_importance(Sequential(Flatten()), x, y, loss="mse"), ValueError,
     "model must have a MultiHeadAttention: Sequential has none"),
    (lambda x, y: head_importance(model(), x, y), ValueError,
     "loss must be given for a model that is not compiled: got None"),
    (lambda x, y: head_importance(model(), x, y, loss="nonsense"), ValueError, "loss must be"),
    (lambda x, y: head_importance(model(), x, y, loss=CROSS_ENTROPY, method="magic"), ValueError,
     "method must be 'gradient' or 'ablation': got 'magic'"),
    (lambda x, y: head_importance(model(), x, y, loss=CROSS_ENTROPY, batch_size=0), ValueError,
     "batch_size must be at least 1: got 0"),
    (lambda x, y: head_importance(model(), x, y[:3], loss=CROSS_ENTROPY), ValueError,
     "y must have one target for each of 7 examples"),
    (lambda x, y: head_importance(model(), x, loss=CROSS_ENTROPY), ValueError, "y must be given"),
    (lambda x, y: head_importance(Folded(), x, x, loss="mse"), ValueError,
     ("model must pass its examples to every attention as the first axis: 'attention' got 1 rows "
      "for 7 examples")),
]  # fmt: skip


@pytest.mark.parametrize(("call", "kind", "message"), WRONG)
def test_what_does_not_fit_is_refused(
    call: Any, kind: type[Exception], message: str, data: Any
) -> None:
    with pytest.raises(kind) as caught:
        call(*data)
    assert type(caught.value) is kind
    assert message in str(caught.value)
