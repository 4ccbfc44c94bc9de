"""AttentionMap: slices, means, differences, tables; every mistake is told in one sentence."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from heedful.explain import AttentionMap, LayerWeights

pytestmark = pytest.mark.once

TOKENS = ["the", "cat", "saw", "the", "dog"]
SOURCE = ["le", "chat", "[SEP]"]


@pytest.fixture
def weights(rng: np.random.Generator) -> Any:
    return rng.dirichlet(np.ones(5), (3, 2, 5))  # layer, head, query, key


@pytest.fixture
def whole(weights: Any) -> AttentionMap:
    return AttentionMap.from_numpy(weights, TOKENS, names=["a.0", "a.1", "b.0"])


@pytest.fixture
def mixed(rng: np.random.Generator) -> AttentionMap:
    """An encoder's layer, a decoder's, and the one between them."""
    layers = []
    for name, queries, keys in (
        ("encoder", SOURCE, SOURCE),
        ("decoder.self", TOKENS, TOKENS),
        ("decoder.cross", TOKENS, SOURCE),
    ):
        weights = rng.dirichlet(np.ones(len(keys)), (2, len(queries)))
        layers.append(
            LayerWeights(
                name, weights, (0, 1), tuple(range(len(queries))), tuple(queries), tuple(keys)
            )
        )
    return AttentionMap(layers)


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [
        ({"layers": 1}, np.s_[[1]]),
        ({"layers": -1}, np.s_[[2]]),
        ({"layers": "a.*"}, np.s_[:2]),
        ({"layers": ["b.0", 0]}, np.s_[[2, 0]]),
        ({"layers": slice(1, None)}, np.s_[1:]),
        ({"heads": 1}, np.s_[:, [1]]),
        ({"heads": [1, 0]}, np.s_[:, ::-1]),
        ({"queries": "cat"}, np.s_[:, :, [1]]),
        ({"queries": "the"}, np.s_[:, :, [0, 3]]),
        ({"queries": ["dog", 0]}, np.s_[:, :, [4, 0]]),
        ({"queries": range(2, 4)}, np.s_[:, :, 2:4]),
        ({"keys": slice(1, 3)}, np.s_[..., 1:3]),
        ({"keys": np.array([3])}, np.s_[..., [3]]),
        ({"layers": 0, "heads": 1, "queries": 2, "keys": "the"}, np.s_[:1, 1:, 2:3, [0, 3]]),
    ],
)
def test_what_is_selected_is_what_numpy_slices(
    whole: AttentionMap, weights: Any, chosen: Any, expected: Any
) -> None:
    np.testing.assert_array_equal(whole.select(**chosen).to_numpy(), weights[expected])


def test_a_selection_keeps_the_names_of_what_it_has(whole: AttentionMap) -> None:
    found = whole.select(1, heads=1, queries="the", keys=["dog", 1])[0]
    assert found[:1] + found[2:7] == (
        "a.1", (1,), (0, 3), ("the", "the"), ("dog", "cat"), (4, 1)
    )  # fmt: skip
    again = AttentionMap([found]).select(queries=3, keys=4)[0]
    assert (again.rows, again.key_positions) == ((3,), (4,))
    assert again.weights[0, 0, 0] == whole[1].weights[1, 3, 4]


def test_layers_without_the_token_are_left_out(mixed: AttentionMap) -> None:
    assert mixed.select(queries="cat").names == ("decoder.self", "decoder.cross")
    assert mixed.select(keys="chat").names == ("encoder", "decoder.cross")
    assert mixed.select("decoder.*", keys=["chat", "dog"]).names == (
        "decoder.self", "decoder.cross",
    )  # fmt: skip


def test_means_are_those_of_numpy(whole: AttentionMap, weights: Any, mixed: AttentionMap) -> None:
    of_heads = whole.mean("heads")
    np.testing.assert_array_equal(of_heads.to_numpy(), weights.mean(1, keepdims=True))
    assert of_heads[0].heads == ()
    np.testing.assert_allclose(whole.mean("layers").to_numpy(), weights.mean(0)[None])
    assert [one.weights.shape for one in mixed.mean("heads")] == [(1, 3, 3), (1, 5, 5), (1, 5, 3)]


def test_a_difference_is_that_of_the_weights(whole: AttentionMap, weights: Any) -> None:
    other = AttentionMap.from_numpy(weights[::-1], TOKENS)
    difference = whole - other
    np.testing.assert_array_equal(difference.to_numpy(), weights - weights[::-1])
    assert difference.names == whole.names


def test_the_table_has_a_row_for_each_weight(mixed: AttentionMap) -> None:
    pytest.importorskip("pandas")
    chosen = mixed.select(queries=[4, 0], keys=[1, 2])
    table = chosen.to_pandas()
    assert list(table) == [
        "layer", "head", "query", "key", "query_token", "key_token", "weight"
    ]  # fmt: skip
    rows = []
    for layer in chosen:
        for head in range(len(layer.heads)):
            for i, row in enumerate(layer.rows):
                for j, column in enumerate(layer.key_positions):
                    rows.append(
                        (layer.name, head, row, column, layer.query_tokens[i],
                         layer.key_tokens[j], layer.weights[head, i, j])
                    )  # fmt: skip
    assert list(table.itertuples(index=False, name=None)) == rows
    assert mixed.mean("heads").to_pandas()["head"].isna().all()


def test_it_is_shown_in_a_line(whole: AttentionMap, mixed: AttentionMap) -> None:
    assert repr(whole) == "AttentionMap(3 layers: 2 heads, 5 queries × 5 keys)"
    assert repr(whole.select(0, heads=0, queries=1).mean("heads")) == (
        "AttentionMap(1 layer: a mean of heads, 1 query × 5 keys)"
    )
    assert repr(mixed) == (
        "AttentionMap(1 layer: 2 heads, 3 queries × 3 keys; "
        "1 layer: 2 heads, 5 queries × 5 keys; 1 layer: 2 heads, 5 queries × 3 keys)"
    )


def test_layers_are_found_by_number_and_name(mixed: AttentionMap) -> None:
    assert mixed[-1].name == mixed["decoder.cross"].name == "decoder.cross"
    assert [layer.name for layer in mixed] == list(mixed.names)
    assert len(mixed) == 3


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        ({"layers": 3}, r"layers must match some of the 3, 'a.0', 'a.1' and 'b.0': got 3"),
        ({"layers": "c.*"}, r"layers must match some of the 3, .*: got 'c.\*'"),
        ({"heads": [0, 2]}, r"heads must be among 0, 1: got 2"),
        ({"heads": "first"}, r"heads must be numbers: got 'first'"),
        ({"queries": "bird"}, r"queries must be tokens of the map: got 'bird'"),
        ({"keys": -1}, r"keys must be among 0 … 4: got -1"),
        ({"keys": slice(7, 9)}, r"keys must be among 0 … 4: got slice\(7, 9, None\)"),
        ({"keys": 0.5}, r"keys must be numbers, names, a slice, or a list of them: got 0.5"),
        ({"queries": []}, r"queries must choose something: got \[\]"),
    ],
)
def test_what_is_not_there_cannot_be_selected(
    whole: AttentionMap, chosen: Any, message: str
) -> None:
    with pytest.raises((TypeError, ValueError), match=f"^{message}$"):
        whole.select(**chosen)


def test_the_heads_of_a_mean_are_not_to_be_had(whole: AttentionMap) -> None:
    with pytest.raises(
        ValueError, match=r"^heads must be None where weights are a mean over heads"
    ):
        whole.mean("heads").select(heads=0)


def test_maps_of_different_inputs_are_not_compared(whole: AttentionMap, weights: Any) -> None:
    for other, message in (
        (whole.select(0), r"maps must have the same layers: got one of 3 and one of 1"),
        (whole.select(queries=0), r"maps must have the same shapes: got \(2, 5, 5\) of 'a.0'"),
        (AttentionMap.from_numpy(weights, ["the", "cow", *TOKENS[2:]]),
         r"maps must have the same query_tokens: number 1 of 'a.0' is 'cat', that of the other"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=f"^{message}"):
            whole - other
    with pytest.raises(TypeError, match="AttentionMap"):
        whole - weights


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((np.ones((2, 3, 3)),), r"weights must be \(layer, head, query, key\), 4 axes: got shape"),
        ((np.ones((1, 1, 2, 2)), ["a"]), r"query_tokens must have 2 entries: got 1"),
        ((np.ones((1, 1, 2, 2)), "ab"), r"query_tokens must be a list of 2 texts: got 'ab'"),
        ((np.array([[[["a"]]]]),), r"weights must hold real numbers"),
    ],
)
def test_arrays_that_are_no_map_are_refused(arguments: Any, message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=f"^{message}"):
        AttentionMap.from_numpy(*arguments)


def test_layers_whose_names_do_not_fit_are_refused(whole: AttentionMap) -> None:
    layer = whole[0]
    for changes, message in (
        ({"heads": (0,)}, "heads must have 2 entries in layer 'a.0', as weights of shape"),
        ({"rows": (0,)}, "rows must have 5 entries"),
        ({"key_tokens": ()}, "key_tokens must have 5 entries"),
        ({"columns": (1, 2)}, "columns must have 5 entries"),
        ({"weights": layer.weights[0]}, "weights must be .head, query, key., 3 axes, in layer"),
        ({"heads": ()}, "heads must have 2 entries"),
    ):
        with pytest.raises(ValueError, match=f"^{message}"):
            AttentionMap([layer._replace(**changes)])
    with pytest.raises(TypeError, match=r"^is_self must be True or False: got 'yes'"):
        AttentionMap([layer._replace(is_self="yes")])  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"^layers must hold LayerWeights: got 3"):
        AttentionMap([3])  # type: ignore[list-item]
    with pytest.raises(ValueError, match=r"^layers must have the same shape"):
        AttentionMap([layer, whole.select(queries=0)[0]]).to_numpy()
    with pytest.raises(ValueError, match=r"^layers must have the same heads, positions and tokens"):
        AttentionMap([layer, layer._replace(heads=(3, 4))]).mean("layers")
