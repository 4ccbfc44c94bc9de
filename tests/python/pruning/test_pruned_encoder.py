"""PrunedEncoder: tokens chosen by the attention they receive, against NumPy's argsort."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest
from prunable_encoder import B, E, H, L, made
from pruning_reference import Keeping, encoder

import heedful
from heedful.layers import (
    BertEncoder,
    Encoder,
    GlobalAveragePooling,
    Linear,
    MultiHeadAttention,
    Sequential,
)
from heedful.pruning import MergedEncoder, PrunedEncoder
from heedful.pruning._pruned_encoder import selected
from heedful.pruning._received import received_attention
from heedful.pruning._shortening import Observer
from heedful.testing import gradcheck
from heedful.training import Adam

SCHEDULES = [[9, 5, 2], [11, 11, 4], [7, 7, 7], [1, 1, 1], [20, 11, 10]]


@pytest.fixture
def x(rng: np.random.Generator) -> Any:
    return rng.standard_normal((B, L, E))


@pytest.mark.parametrize("keep", SCHEDULES, ids=str)
@pytest.mark.parametrize("norm_first", [False, True])
def test_it_keeps_the_tokens_that_numpy_s_argsort_keeps(
    keep: list[int], norm_first: bool, x: Any
) -> None:
    whole = made(norm_first)
    y, positions = PrunedEncoder(whole, keep)(x, return_positions=True)
    assert y.shape == (B, min(keep[-1], L), E)
    for item in range(B):
        keeping = Keeping(keep, L)
        expected = encoder(whole.state_dict(), 3, H, x[item], keeping, norm_first=norm_first)
        np.testing.assert_array_equal(positions[item], keeping.positions)
        np.testing.assert_allclose(y[item], expected, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("given", ["kv_lengths", "mask", "both"])
def test_padding_is_neither_attended_to_nor_kept(given: str, x: Any) -> None:
    lengths, keep = np.array([11, 6, 3, 1]), [8, 5, 3]
    whole = made()
    x[np.arange(L) >= lengths[:, None]] = np.nan
    mask = np.arange(L) < lengths[:, None, None, None]
    options = {"kv_lengths": lengths, "mask": mask}
    if given != "both":
        options = {given: options[given]}
    y, positions = PrunedEncoder(whole, keep)(x, return_positions=True, **options)
    for item, length in enumerate(lengths):
        keeping = Keeping(keep, length)
        expected = encoder(whole.state_dict(), 3, H, x[item, :length], keeping)
        left = min(length, 3)
        np.testing.assert_array_equal(positions[item], [*keeping.positions, *[-1] * (3 - left)])
        np.testing.assert_allclose(y[item, :left], expected, rtol=1e-9, atol=1e-11)


def test_tokens_that_count_may_be_anywhere(x: Any, rng: np.random.Generator) -> None:
    counts = rng.random((B, L)) < 0.6
    counts[:, 0] = True
    x[~counts] = np.nan
    whole, keep = made(), [11, 4, 3]
    y, positions = PrunedEncoder(whole, keep)(x, mask=counts[:, None, None], return_positions=True)
    for item in range(B):
        (places,) = np.nonzero(counts[item])
        keeping = Keeping(keep, len(places))
        expected = encoder(whole.state_dict(), 3, H, x[item, places], keeping)
        np.testing.assert_array_equal(positions[item], places[keeping.positions])
        np.testing.assert_allclose(y[item], expected, rtol=1e-9, atol=1e-11)


def test_fractions_are_of_the_tokens_of_each_item(x: Any) -> None:
    lengths = np.array([11, 10, 4, 0])
    encoder = PrunedEncoder(made(), [0.7, 0.5, 0.1])
    y, positions = encoder(x, kv_lengths=lengths, return_positions=True)
    assert y.shape == (B, 2, E)
    np.testing.assert_array_equal((positions >= 0).sum(1), [2, 1, 1, 0])
    whole = PrunedEncoder(made(), [1.0, 1.0, 1.0])
    np.testing.assert_array_equal(whole(x), made()(x))


@pytest.mark.parametrize("keep", [[0.7, 0.5, 0.3], [9, 7, 3], [1.0, 1.0, 1.0]], ids=str)
def test_the_rows_left_are_those_with_a_position(keep: Any, x: Any) -> None:
    lengths = np.array([11, 10, 4, 0])
    encoder = PrunedEncoder(made(), keep)
    _, positions = encoder(x, kv_lengths=lengths, return_positions=True)
    np.testing.assert_array_equal(encoder.rows_left(lengths), (positions >= 0).sum(1))
    with pytest.raises(TypeError, match=r"^counts must be integers"):
        encoder.rows_left([1.5])


def test_a_schedule_that_keeps_everything_is_the_encoder(x: Any) -> None:
    lengths = np.array([11, 10, 4, 1])
    y, positions = PrunedEncoder(made(), [L, L, L])(x, kv_lengths=lengths, return_positions=True)
    np.testing.assert_array_equal(y, made()(x, kv_lengths=lengths))
    np.testing.assert_array_equal(
        positions, np.where(np.arange(L) < lengths[:, None], np.arange(L), -1)
    )


def test_equal_tokens_are_kept_from_the_first_on(x: Any) -> None:
    x[:] = x[:, :1]
    _, positions = PrunedEncoder(made(), [6, 3, 2])(x, return_positions=True)
    np.testing.assert_array_equal(positions, [[0, 1]] * B)


def test_selection_is_a_stable_argsort(rng: np.random.Generator) -> None:
    received = rng.integers(0, 4, (50, 9)).astype(float)
    valid = rng.random((50, 9)) < 0.7
    counts = np.minimum(valid.sum(1), rng.integers(1, 6, 50))
    rows = selected(received, valid, counts, 6)
    for item in range(50):
        places = [place for place in range(9) if valid[item, place]]
        ranked = sorted(places, key=lambda place, of=received[item]: (place > 0, -of[place]))
        assert list(rows[item, : counts[item]]) == sorted(ranked[: counts[item]])
        assert len(set(rows[item])) == 6


@pytest.mark.parametrize("options", [{}, {"num_kv_heads": 1}, {"num_kv_heads": 2}, {"sink": True},
                                     {"softcap": 1.5, "scale": 0.7}])  # fmt: skip
def test_received_attention_is_the_sum_over_the_columns(options: dict[str, Any], x: Any) -> None:
    layer = MultiHeadAttention(E, 4, rng=0, dtype=np.float64, **options)
    valid = np.arange(L) < np.array([11, 6, 3, 1])[:, None]
    with Observer(layer) as observer:
        _, weights = layer(x, mask=valid[:, None, None], return_weights=True)
    expected = (weights * valid[:, None, :, None]).sum((1, 2))
    received = received_attention(layer, *observer.observed, valid)
    np.testing.assert_allclose(received[valid], expected[valid], rtol=1e-12, atol=1e-14)


# --- training


def test_gradients_match_finite_differences(x: Any) -> None:
    layer = PrunedEncoder(made(), [8, 5, 3])
    lengths = np.array([11, 9, 6, 3])  # of the last rows none is undefined
    names = list(layer.parameters())

    def function(x: Any, *arrays: Any) -> Any:
        for array, own in zip(arrays, layer.parameters().values(), strict=True):
            own[...] = array
        layer.zero_grad()
        y, backward = layer.forward(x, kv_lengths=lengths)
        return y, lambda dy: [backward(dy), *(layer.grads[name].copy() for name in names)]

    held = [array.copy() for array in layer.parameters().values()]
    assert gradcheck(function, x, *held, samples=8, rtol=2e-5, atol=2e-7)


def test_a_model_with_it_is_trained(rng: np.random.Generator) -> None:
    x = rng.standard_normal((40, L, E)).astype(np.float32)
    labels = (x[..., 0].mean(1) > 0).astype(int)
    model = Sequential(
        PrunedEncoder(Encoder(2, E, H, 16, 0.1, rng=0), [8, 4]), GlobalAveragePooling(),
        Linear(E, 2, rng=1),
    )  # fmt: skip
    model.compile(Adam(lr=1e-2), "sparse_categorical_crossentropy")
    history = model.fit(x, labels, epochs=40, rng=0, verbose=False)
    assert history["loss"][-1] < 0.5 * history["loss"][0]


def test_parameters_are_those_of_the_encoder(x: Any) -> None:
    whole = made()
    pruned = PrunedEncoder(whole, [8, 5, 3])
    assert list(pruned.state_dict()) == list(whole.state_dict())
    whole.layers[0].linear1.weight[...] *= 2
    np.testing.assert_array_equal(pruned(x), PrunedEncoder(whole, [8, 5, 3])(x))
    pruned.load_state_dict(made(True).state_dict(), strict=False)
    for other in (copy.deepcopy(pruned), pickle.loads(pickle.dumps(pruned))):
        np.testing.assert_array_equal(other(x), pruned(x))


def test_bert_may_have_one(rng: np.random.Generator) -> None:
    model = BertEncoder(11, E, H, 3, 16, 20, rng=0)
    tokens, lengths = rng.integers(0, 11, (B, L)), np.array([11, 6, 3, 1])
    model.encoder = PrunedEncoder(model.encoder, [8, 5, 3])  # type: ignore[assignment]
    assert "encoder.layers.0.self_attn.in_proj_weight" in model.state_dict()
    y = model(tokens, lengths=lengths)
    assert y.shape == (B, 3, E)
    same = model(tokens, mask=np.arange(L) < lengths[:, None])
    valid = np.arange(3) < lengths[:, None]
    np.testing.assert_allclose(y[valid], same[valid], rtol=1e-5, atol=1e-6)


def test_bits_are_the_same_for_any_number_of_threads_and_an_item_alone() -> None:
    x = np.random.default_rng(3).standard_normal((5, 97, E)).astype(np.float32)
    layer = PrunedEncoder(made(dtype=np.float32), [60, 31, 17])
    results = []
    for threads in (1, 2, 3):
        with heedful.num_threads(threads):
            y, backward = layer.forward(x)
            results.append((y.tobytes(), backward(np.ones_like(y)).tobytes()))
    assert len(set(results)) == 1
    y = layer(x)
    for item in range(5):
        assert layer(x[item : item + 1]).tobytes() == y[item].tobytes()


@pytest.mark.parametrize("kind", [lambda e: PrunedEncoder(e, [8, 5, 3]),
                                  lambda e: MergedEncoder(e, 3)])  # fmt: skip
@pytest.mark.parametrize("size", [1e-40, 1.0, 1e30])
def test_floating_point_errors_are_not_raised(kind: Any, size: float, x: Any) -> None:
    layer, x = kind(made(dtype=np.float32)), (size * x).astype(np.float32)
    with np.errstate(all="raise"):
        y, backward = layer.forward(x, kv_lengths=[11, 5, 1, 0])
        dx = backward(np.full_like(y, 1e-30))
    assert y.shape[0] == dx.shape[0] == B


@pytest.mark.parametrize("kind", [lambda e: PrunedEncoder(e, [8, 5, 3]),
                                  lambda e: MergedEncoder(e, 3)])  # fmt: skip
@pytest.mark.parametrize("shape", [(0, L, E), (B, 0, E), (B, 1, E), (0, 0, E)])
def test_there_may_be_no_items_and_no_tokens(kind: Any, shape: Any) -> None:
    layer, whole = kind(made()), made()
    y, backward = layer.forward(np.ones(shape))
    if shape[1] <= 1:
        np.testing.assert_array_equal(y, whole(np.ones(shape)))
    else:
        assert y.shape == (0, 3, E)
    assert backward(np.ones_like(y)).shape == shape
