"""MergedEncoder: token merging, against loops over lists of tokens."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
from pruning_reference import Merging, encoder

import heedful
from heedful.layers import Encoder, GlobalAveragePooling, Linear, Sequential
from heedful.pruning import MergedEncoder
from heedful.pruning._matching import _nearest, matching
from heedful.testing import gradcheck
from heedful.training import Adam

B, L, E, H = 4, 11, 12, 3


def made(norm_first: bool = False, dtype: Any = np.float64, **options: Any) -> Encoder:
    found = Encoder(3, E, H, 16, 0.0, norm_first=norm_first, rng=0, dtype=dtype, **options)
    rng = np.random.default_rng(1)
    for array in found.parameters().values():
        array += 0.4 * rng.standard_normal(array.shape)
    return found


@pytest.fixture
def x(rng: np.random.Generator) -> Any:
    return rng.standard_normal((B, L, E))


def rows_of(merging: Merging, length: int) -> list[int]:
    rows = [-1] * length
    for row, tokens in enumerate(merging.sets):
        for token in tokens:
            rows[token] = row
    return rows


@pytest.mark.parametrize("merge", [[2, 2, 2], [4, 0, 1], [0, 0, 3], [5, 9, 9], [1, 1, 1]], ids=str)
@pytest.mark.parametrize("norm_first", [False, True])
def test_it_merges_as_loops_do(merge: list[int], norm_first: bool, x: Any) -> None:
    whole = made(norm_first)
    y, rows = MergedEncoder(whole, merge)(x, return_rows=True)
    for item in range(B):
        merging = Merging(merge, L)
        expected = encoder(
            whole.state_dict(), 3, H, x[item], merging, norm_first=norm_first, added=merging.sizes
        )
        np.testing.assert_array_equal(rows[item], rows_of(merging, L))
        np.testing.assert_allclose(y[item], expected, rtol=1e-9, atol=1e-11)
        assert rows[item, 0] == 0


def test_grouped_heads_are_averaged_over_the_heads_of_keys(x: Any) -> None:
    whole = made(num_kv_heads=1)
    y, rows = MergedEncoder(whole, 3)(x, return_rows=True)
    assert y.shape == (B, 3, E)  # 11, 8, 5, 3
    assert rows.max() == 2


@pytest.mark.parametrize("given", ["kv_lengths", "mask"])
def test_padding_is_neither_attended_to_nor_merged(given: str, x: Any) -> None:
    lengths, merge = np.array([11, 6, 3, 1]), [3, 2, 1]
    whole = made()
    x[np.arange(L) >= lengths[:, None]] = np.nan
    mask = np.arange(L) < lengths[:, None, None, None]
    options = {"kv_lengths": lengths, "mask": mask}
    y, rows = MergedEncoder(whole, merge)(x, return_rows=True, **{given: options[given]})
    for item, length in enumerate(lengths):
        merging = Merging(merge, length)
        expected = encoder(whole.state_dict(), 3, H, x[item, :length], merging, added=merging.sizes)
        np.testing.assert_array_equal(rows[item], [*rows_of(merging, length), *[-1] * (L - length)])
        np.testing.assert_allclose(y[item, : len(expected)], expected, rtol=1e-9, atol=1e-11)


def test_tokens_that_count_may_be_anywhere(x: Any, rng: np.random.Generator) -> None:
    for fraction in (0.2, 0.5, 0.8, 1.0):
        counts = rng.random((B, L)) < fraction
        y, rows = MergedEncoder(made(), [5, 5, 5])(
            np.where(counts[..., None], x, np.nan), mask=counts[:, None, None], return_rows=True
        )
        np.testing.assert_array_equal(rows >= 0, counts)
        for item in range(B):
            left = np.unique(rows[item][counts[item]])
            np.testing.assert_array_equal(left, np.arange(len(left)))
            assert np.isfinite(y[item, : len(left)]).all()


@pytest.mark.parametrize("merge", [0, 1, 2, [4, 0, 1], 99], ids=str)
def test_the_rows_left_are_those_with_a_token(merge: Any, x: Any) -> None:
    lengths = np.arange(len(x)) * 3
    encoder = MergedEncoder(made(), merge)
    _, rows = encoder(x, kv_lengths=lengths, return_rows=True)
    np.testing.assert_array_equal(encoder.rows_left(lengths), rows.max(1) + 1)
    with pytest.raises(TypeError, match=r"^counts must be integers"):
        encoder.rows_left([1.5])


def test_nothing_to_merge_is_the_encoder(x: Any) -> None:
    np.testing.assert_array_equal(MergedEncoder(made(), 0)(x), made()(x))
    two = x[:, :2]  # the first token and one that has no other
    np.testing.assert_array_equal(MergedEncoder(made(), 5)(two), made()(two))


def test_equal_tokens_are_merged_from_the_first_on(x: Any) -> None:
    x[:] = x[:, :1]
    _, rows = MergedEncoder(made(), [2, 0, 0])(x, return_rows=True)
    np.testing.assert_array_equal(rows, [[0, 1, 1, 2, 1, 3, 4, 5, 6, 7, 8]] * B)


def test_keys_of_zero_and_keys_that_are_not_finite_are_matched(rng: np.random.Generator) -> None:
    keys, valid = rng.standard_normal((2, 9, 4)), np.ones((2, 9), bool)
    keys[0, 2], keys[1, 3], keys[1, 4] = 0, np.nan, np.inf
    pairs = matching(keys, valid, 4)
    assert pairs.merged.all()
    assert sorted(pairs.source[0]) == sorted(pairs.source[1]) == [2, 4, 6, 8]


def test_similarities_in_slices_are_those_at_once(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    even, odd = rng.standard_normal((2, 3, 17, 4))
    valid = rng.random((3, 17)) < 0.8
    similar = np.where(valid[:, None], even @ odd.swapaxes(1, 2), -np.inf)
    for elements in (1, 300, 10_000):
        monkeypatch.setattr("heedful.pruning._matching._ELEMENTS", elements)
        best, nearest = _nearest(even, odd, valid)
        np.testing.assert_allclose(best, similar.max(-1), rtol=1e-12)
        np.testing.assert_array_equal(nearest, similar.argmax(-1))


# --- training


def test_gradients_match_finite_differences(x: Any) -> None:
    layer = MergedEncoder(made(), [3, 2, 2])
    lengths = np.array([11, 11, 10, 7])
    names = list(layer.parameters())
    y, rows = layer(x, kv_lengths=lengths, return_rows=True)
    valid = np.arange(y.shape[1]) <= rows.max(1)[:, None]

    def function(x: Any, *arrays: Any) -> Any:
        for array, own in zip(arrays, layer.parameters().values(), strict=True):
            own[...] = array
        layer.zero_grad()
        y, backward = layer.forward(x, kv_lengths=lengths)

        def pullback(dy: Any) -> Any:
            given = np.zeros_like(y)
            given[valid] = dy
            return [backward(given), *(layer.grads[name].copy() for name in names)]

        return y[valid], pullback

    held = [array.copy() for array in layer.parameters().values()]
    assert gradcheck(function, x, *held, samples=8, rtol=2e-5, atol=2e-7)


def test_a_model_with_it_is_trained(rng: np.random.Generator) -> None:
    x = rng.standard_normal((40, L, E)).astype(np.float32)
    labels = (x[..., 0].mean(1) > 0).astype(int)
    model = Sequential(
        MergedEncoder(Encoder(2, E, H, 16, 0.1, rng=0), 3), GlobalAveragePooling(),
        Linear(E, 2, rng=1),
    )  # fmt: skip
    model.compile(Adam(lr=1e-2), "sparse_categorical_crossentropy")
    history = model.fit(x, labels, epochs=40, rng=0, verbose=False)
    assert history["loss"][-1] < 0.5 * history["loss"][0]


def test_parameters_are_those_of_the_encoder(x: Any) -> None:
    whole = made()
    merged = MergedEncoder(whole, 2)
    assert list(merged.state_dict()) == list(whole.state_dict())
    assert merged.layers[0].self_attn.in_proj_weight is whole.layers[0].self_attn.in_proj_weight
    np.testing.assert_array_equal(copy.deepcopy(merged)(x), merged(x))
    assert "merge=[2, 2, 2]" in repr(merged)


def test_bits_are_the_same_for_any_number_of_threads_and_an_item_alone() -> None:
    x = np.random.default_rng(3).standard_normal((5, 97, E)).astype(np.float32)
    layer = MergedEncoder(made(dtype=np.float32), [20, 11, 17])
    results = []
    for threads in (1, 2, 3):
        with heedful.num_threads(threads):
            y, backward = layer.forward(x)
            results.append((y.tobytes(), backward(np.ones_like(y)).tobytes()))
    assert len(set(results)) == 1
    y = layer(x)
    assert y.dtype == np.float32
    for item in range(5):
        assert layer(x[item : item + 1]).tobytes() == y[item].tobytes()


# --- what is refused

WRONG: list[tuple[Any, Any, type[Exception], str]] = [
    (Linear(2, 2), 1, TypeError, "encoder must be an Encoder: got Linear(2, 2)"),
    (made(causal=True), 1, ValueError, "encoder must not be made with causal"),
    (made(), None, TypeError, "merge must be an integer, or one for each layer: got None"),
    (made(), "a", TypeError, "merge must be a list with one for each layer: got 'a'"),
    (made(), [1, 2], ValueError, "merge must have one for each of 3 layers: got 2"),
    (made(), [1, 2, -1], ValueError, "merge must not be negative: got -1"),
    (made(), -3, ValueError, "merge must not be negative: got -3"),
    (made(), [1, 2, 0.5], TypeError, "merge must be integers: got 0.5"),
    (made(), 0.5, TypeError, "merge must be a list with one for each layer: got 0.5"),
]  # fmt: skip


@pytest.mark.parametrize(("encoder", "merge", "kind", "message"), WRONG)
def test_a_schedule_or_an_encoder_that_does_not_fit_is_refused(
    encoder: Any, merge: Any, kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind) as caught:
        MergedEncoder(encoder, merge)
    assert type(caught.value) is kind
    assert message in str(caught.value)


def test_a_call_that_does_not_fit_is_refused(x: Any) -> None:
    layer = MergedEncoder(made(), 2)
    with pytest.raises(TypeError, match="MergedEncoder takes x, mask, kv_lengths, return_rows"):
        layer(x, return_positions=True)
    with pytest.raises(TypeError, match="return_rows must be True or False: got 1"):
        layer(x, return_rows=1)
