"""prune_heads: a pruned layer computes what the whole one computes without these heads."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest
from prunable import FIRST, SECOND, encoder, layer
from pruning_reference import multi_head

from heedful.layers import EncoderDecoder, Flatten, LanguageModel, Linear, Sequential
from heedful.pruning import prune_heads, pruned_heads
from heedful.testing import gradcheck
from heedful.training import SGD, Adam

CASES: list[tuple[str, dict[str, Any], list[int]]] = [
    ("first", {}, [0]),
    ("last", {}, [3]),
    ("two", {}, [2, 1]),
    ("all but one", {}, [0, 1, 3]),
    ("widths", {"kdim": 5, "vdim": 7}, [0, 2]),
    ("no bias", {"bias": False}, [1, 2]),
    ("a width of its own", {"head_dim": 5}, [1, 3]),
    ("a whole group", {"num_kv_heads": 2}, [2, 3]),
    ("one of each group", {"num_kv_heads": 2}, [1, 2]),
    ("of one group", {"num_kv_heads": 1}, [0, 2]),
]


@pytest.mark.parametrize(("options", "heads"), [case[1:] for case in CASES],
                         ids=[case[0] for case in CASES])  # fmt: skip
def test_a_pruned_layer_is_the_layer_without_the_outputs_of_these_heads(
    options: dict[str, Any], heads: list[int], rng: np.random.Generator
) -> None:
    whole = layer(12, 4, **options)
    pruned = prune_heads(whole, {"": heads})
    inputs = [rng.standard_normal((3, length, width)) for length, width in
              ((5, 12), (7, options.get("kdim", 12)), (7, options.get("vdim", 12)))]  # fmt: skip
    gate = np.ones(4)
    gate[heads] = 0
    y = pruned(*inputs)
    kv_heads = options.get("num_kv_heads")
    for item, arrays in enumerate(zip(*inputs, strict=True)):
        expected = multi_head(whole.state_dict(), 4, *arrays, num_kv_heads=kv_heads, gate=gate)
        np.testing.assert_allclose(y[item], expected.y, rtol=1e-12, atol=1e-13)
    assert pruned.num_heads == 4 - len(heads)
    assert pruned.parameter_count < whole.parameter_count
    assert pruned.out_proj.weight.shape == (12, pruned.num_heads * pruned.depth)
    assert pruned.out_proj.in_features == pruned.num_heads * pruned.depth


def test_groups_keep_their_keys_while_they_have_queries() -> None:
    whole = layer(12, 6, num_kv_heads=3)
    assert prune_heads(whole, {"": [2, 3]}).num_kv_heads == 2
    assert prune_heads(whole, {"": [0, 3, 4]}).num_kv_heads == 3
    assert prune_heads(whole, {"": [0, 1, 2, 4]}).num_kv_heads == 2
    with pytest.raises(
        ValueError,
        match=(
            r"heads\[''\] must leave as many heads in each group of 2 that share keys and values, "
            r"or none: got \[0, 1, 2\]"
        ),
    ):
        prune_heads(whole, {"": [0, 1, 2]})


def test_sinks_slopes_and_frozen_parameters_go_with_their_heads(rng: np.random.Generator) -> None:
    slopes = np.array([0.5, 0.1, 0.0, 2.0])
    whole = layer(12, 4, sink=True, alibi=slopes, causal=True, softcap=2.0)
    whole.freeze("in_proj_bias")
    pruned = prune_heads(whole, {"": [0, 2]})
    np.testing.assert_array_equal(pruned.sink, whole.sink[[1, 3]])
    np.testing.assert_array_equal(pruned.scores.alibi_slopes, slopes[[1, 3]])
    assert not pruned.parameter("in_proj_bias").trainable
    assert pruned.parameter("in_proj_weight").trainable
    silent = copy.deepcopy(whole)
    silent.out_proj.weight.reshape(12, 4, 3)[:, [0, 2]] = 0
    x = rng.standard_normal((3, 5, 12))
    np.testing.assert_allclose(pruned(x), silent(x), rtol=1e-12, atol=1e-13)


def test_gradients_of_a_pruned_layer_match_finite_differences(rng: np.random.Generator) -> None:
    pruned = prune_heads(layer(12, 4, num_kv_heads=2, sink=True), {"": [1, 2]})
    names, x = list(pruned.parameters()), rng.standard_normal((2, 5, 12))

    def function(x: Any, *arrays: Any) -> Any:
        for array, own in zip(arrays, pruned.parameters().values(), strict=True):
            own[...] = array
        pruned.zero_grad()
        y, backward = pruned.forward(x)
        return y, lambda dy: [backward(dy), *(pruned.grads[name].copy() for name in names)]

    held = [array.copy() for array in pruned.parameters().values()]
    assert gradcheck(function, x, *held, samples=20)


def test_pruning_twice_is_pruning_once() -> None:
    whole = layer(12, 6, num_kv_heads=3)
    once = prune_heads(whole, {"": [1, 2, 3, 4]})
    twice = prune_heads(prune_heads(whole, {"": [2, 3]}), {"": [1, 2]})
    assert pruned_heads(once) == pruned_heads(twice) == {"": [1, 2, 3, 4]}
    assert once.pruned_kv_heads == twice.pruned_kv_heads == (1,)
    for name, array in once.state_dict().items():
        np.testing.assert_array_equal(array, twice.state_dict()[name])


def test_every_attention_of_a_model_can_be_pruned(rng: np.random.Generator) -> None:
    model = EncoderDecoder(12, 4, 1, 1, 16, 0.0, rng=0)
    heads = {"encoder.layers.0.self_attn": [0], "decoder.layers.0.self_attn": [1, 2],
             "decoder.layers.0.multihead_attn": [3]}  # fmt: skip
    pruned = prune_heads(model, heads)
    assert pruned_heads(pruned) == heads
    assert pruned(*rng.standard_normal((2, 3, 5, 12))).shape == (3, 5, 12)
    assert "head_dim=3" in repr(pruned)


def test_a_pruned_language_model_generates_with_its_cache() -> None:
    model = LanguageModel(11, 16, 4, 2, positions="rotary", num_kv_heads=2, rng=0)
    heads = {"encoder.layers.0.self_attn": [0, 1], "encoder.layers.1.self_attn": [1, 3]}
    pruned = prune_heads(model, heads)
    tokens = pruned.generate([[1, 2, 3]], max_length=6)[0]
    greedy = [1, 2, 3]
    for _ in range(6):
        greedy.append(int(pruned([greedy])[0, -1].argmax()))
    np.testing.assert_array_equal(tokens, greedy)


@pytest.mark.parametrize(
    ("fraction", "expected"),
    [
        (0, {}),
        (0.12, {}),
        (0.125, {FIRST: [2]}),
        (0.5, {FIRST: [0, 2], SECOND: [1, 2]}),
        (0.75, {FIRST: [0, 1, 2], SECOND: [0, 1, 2]}),
    ],
)
def test_the_least_important_heads_of_all_layers_go_first(
    fraction: float, expected: dict[str, list[int]]
) -> None:
    importance = {FIRST: [2.0, 5.0, 0.5, 9.0], SECOND: [4.0, 1.0, 3.0, 8.0]}
    assert pruned_heads(prune_heads(encoder(), importance, fraction=fraction)) == expected


def test_a_layer_keeps_its_best_head_and_ties_go_to_the_first() -> None:
    importance = {FIRST: [0.1, 0.2, 0.3, 0.4], SECOND: [7.0, 7.0, 7.0, 7.0]}
    pruned = prune_heads(encoder(), importance, fraction=0.5)
    assert pruned_heads(pruned) == {FIRST: [0, 1, 2], SECOND: [0]}
    pruned = prune_heads(encoder(), {SECOND: importance[SECOND]}, fraction=0.5)
    assert pruned_heads(pruned) == {SECOND: [0, 1]}  # of the heads of this layer


def test_groups_are_pruned_by_the_mean_of_their_heads() -> None:
    importance = {FIRST: [0.0, 9.0, 4.0, 4.0], SECOND: [8.0, 8.0, 1.0, 3.0]}
    pruned = prune_heads(encoder(num_kv_heads=2), importance, fraction=0.5)
    assert pruned_heads(pruned) == {FIRST: [2, 3], SECOND: [2, 3]}
    pruned = prune_heads(encoder(num_kv_heads=1), importance, fraction=0.5)
    assert pruned_heads(pruned) == {FIRST: [0, 2], SECOND: [2, 3]}


# --- training on


def classifier() -> Sequential:
    return Sequential(encoder(), Flatten(), Linear(60, 3, rng=1))


def data(rng: np.random.Generator) -> tuple[Any, Any]:
    x = rng.standard_normal((30, 5, 12)).astype(np.float32)
    return x, (x[:, 0, 0] > 0).astype(int) + (x[:, 1, 0] > 0)


HALF = {f"0.{FIRST}": [0, 3], f"0.{SECOND}": [1, 2]}


@pytest.mark.parametrize("kind", [lambda: Adam(lr=3e-3), lambda: SGD(lr=0.1, momentum=0.9)])
def test_training_goes_on_with_the_state_of_what_is_left(
    kind: Any, rng: np.random.Generator
) -> None:
    x, y = data(rng)
    model = classifier()
    model.compile(kind(), "sparse_categorical_crossentropy")
    model.fit(x, y, epochs=2, rng=0, verbose=False)
    before = {slot: {name: array.copy() for name, array in arrays.items()}
              for slot, arrays in model.optimizer.state.items()}  # fmt: skip
    pruned = prune_heads(model, HALF)
    name = f"0.{FIRST}.in_proj_weight"
    for slot, arrays in pruned.optimizer.state.items():
        rows = np.concatenate([np.arange(first + 3, first + 9) for first in (0, 12, 24)])
        np.testing.assert_array_equal(arrays[name], before[slot][name][rows])
    assert pruned.optimizer.steps == model.optimizer.steps
    history = pruned.fit(x, y, epochs=30, rng=0, verbose=False)
    assert history["loss"][-1] < 0.5 * history["loss"][0]
    for slot, arrays in model.optimizer.state.items():
        for name, array in arrays.items():
            np.testing.assert_array_equal(array, before[slot][name])


def test_a_pruned_model_is_copied_and_pickled(rng: np.random.Generator) -> None:
    pruned = prune_heads(classifier(), HALF)
    x = data(rng)[0]
    for other in (copy.deepcopy(pruned), pickle.loads(pickle.dumps(pruned))):
        np.testing.assert_array_equal(other(x), pruned(x))
        assert pruned_heads(other) == HALF


def test_the_model_itself_is_not_changed(rng: np.random.Generator) -> None:
    x, _ = data(rng)
    model = classifier()
    before, y = model.state_dict(), model(x)
    pruned = prune_heads(model, HALF)
    pruned[0].layers[0].self_attn.in_proj_weight += 1
    assert pruned_heads(model) == {}
    np.testing.assert_array_equal(model(x), y)
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(array, before[name])


def test_a_layer_that_is_in_a_model_twice_is_pruned_once(rng: np.random.Generator) -> None:
    attention = layer(12, 4)
    pruned = prune_heads(Sequential(attention, attention), {"0": [1]})
    assert pruned[0] is pruned[1]
    assert pruned[0].num_heads == 3
    assert pruned(rng.standard_normal((2, 5, 12))).shape == (2, 5, 12)
