"""Files of pruned models remember their heads, and their state can be made whole again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from heedful.layers import Encoder, Linear, MultiHeadAttention, Sequential
from heedful.pruning import prune_heads, pruned_heads, unpruned_state_dict
from heedful.training import load_training, load_weights, save_training, save_weights

library = pytest.importorskip("safetensors.numpy")

HEADS = {"layers.0.self_attn": [1, 2], "layers.1.self_attn": [0]}


def encoder(seed: int = 0, **options: Any) -> Encoder:
    return Encoder(2, 12, 4, 16, 0.0, rng=seed, **options)


@pytest.mark.parametrize("alibi", [False, True])
def test_a_file_loads_into_a_model_that_is_pruned_alike(
    alibi: bool, rng: np.random.Generator, tmp_path: Path
) -> None:
    path, x = tmp_path / "model.safetensors", rng.standard_normal((3, 5, 12))
    pruned = prune_heads(encoder(alibi=alibi, causal=alibi), HEADS)
    save_weights(pruned, path)
    assert pruned_heads(path) == pruned_heads(str(path)) == HEADS
    other = prune_heads(encoder(1, alibi=alibi, causal=alibi), pruned_heads(path))
    assert load_weights(other, path) == ([], [])
    np.testing.assert_array_equal(other(x), pruned(x))


def test_into_another_it_does_not_load_and_nothing_is_changed(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    pruned, whole = prune_heads(encoder(), HEADS), encoder(1)
    save_weights(pruned, path)
    others = [whole, prune_heads(encoder(1), {"layers.0.self_attn": [1]})]
    for other in others:
        before = other.state_dict()
        with pytest.raises(
            ValueError,
            match=(
                r"^layers\.\d\.self_attn\.\w+(\.weight)? must have shape \(.*\): got \(.*\); heads "
                r"were pruned, see heedful\.pruning\.pruned_heads$"
            ),
        ):
            load_weights(other, path)
        with pytest.raises(ValueError, match="must have shape"):
            other.load_state_dict(pruned.state_dict())
        for name, array in other.state_dict().items():
            assert array.tobytes() == before[name].tobytes()
    save_weights(whole, path)
    assert pruned_heads(path) == {}
    with pytest.raises(ValueError, match=r"must have shape \(.*\): got \(\d+(, \d+|,)\)$"):
        load_weights(pruned, path)


def test_a_layer_that_is_made_in_these_sizes_takes_the_state(rng: np.random.Generator) -> None:
    pruned = prune_heads(MultiHeadAttention(12, 4, num_kv_heads=2, rng=0), {"": [0, 1]})
    other = MultiHeadAttention(12, 2, num_kv_heads=1, head_dim=3, rng=1)
    other.load_state_dict(pruned.state_dict())
    x = rng.standard_normal((3, 5, 12))
    np.testing.assert_array_equal(other(x), pruned(x))


def test_a_training_resumes_bit_for_bit(rng: np.random.Generator, tmp_path: Path) -> None:
    path, x = tmp_path / "training.safetensors", rng.standard_normal((20, 5, 12)).astype("f")

    def made(seed: int) -> Sequential:
        model = Sequential(encoder(seed), Linear(12, 2, rng=seed))
        model.compile("adam", "mse")
        return model

    names = {f"0.{name}": heads for name, heads in HEADS.items()}
    pruned = prune_heads(made(0), names)
    pruned.fit(x, x[..., :2], epochs=2, rng=0, verbose=False)
    save_training(pruned, path)
    assert pruned_heads(path) == names
    other = prune_heads(made(1), pruned_heads(path))
    load_training(other, path)
    for model in (pruned, other):
        model.fit(x, x[..., :2], epochs=2, verbose=False)
    for name, array in pruned.state_dict().items():
        np.testing.assert_array_equal(array, other.state_dict()[name])


@pytest.mark.parametrize(
    "text", ["[", "[1]", '{"": 1}', '{"": [0.5]}', '{"": [-1]}', '{"": ["a"]}', "[" * 100_000]
)
def test_damaged_text_of_a_file_is_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    library.save_file({"a": np.ones(3)}, path, metadata={"pruned_heads": text})
    with pytest.raises(ValueError, match="its text about heads is damaged"):
        pruned_heads(path)


def test_heads_of_a_file_that_do_not_fit_the_model_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    metadata = {"pruned_heads": json.dumps({"layers.0.self_attn": [7]})}
    library.save_file({"a": np.ones(3)}, path, metadata=metadata)
    with pytest.raises(ValueError, match=r"must lie in \[0, 4\): got 7"):
        prune_heads(encoder(), pruned_heads(path))


@pytest.mark.parametrize("source", [3, None, {"": [1]}])
def test_a_source_is_a_layer_or_a_path(source: Any) -> None:
    with pytest.raises(TypeError, match="source must be a layer or a path: got"):
        pruned_heads(source)


# --- whole again


@pytest.mark.parametrize(
    "options", [{}, {"num_kv_heads": 2}, {"bias": False, "sink": True}, {"kdim": 5, "vdim": 7}]
)
def test_an_unpruned_state_computes_the_same_in_the_whole_layer(
    options: dict[str, Any], rng: np.random.Generator
) -> None:
    whole = MultiHeadAttention(12, 4, rng=0, dtype=np.float64, **options)
    for array in whole.parameters().values():
        array += 0.1 * rng.standard_normal(array.shape)
    before = whole.state_dict()
    pruned = prune_heads(prune_heads(whole, {"": [0, 2]}), {"": [1]} if not options else {})
    state = unpruned_state_dict(pruned)
    removed = pruned.pruned_heads
    for head in range(4):
        columns = slice(3 * head, 3 * head + 3)
        expected = 0 if head in removed else before["out_proj.weight"][:, columns]
        np.testing.assert_array_equal(state["out_proj.weight"][:, columns], expected)
    whole.load_state_dict(state)
    inputs = [rng.standard_normal((2, 5, width)) for width in
              (12, options.get("kdim", 12), options.get("vdim", 12))]  # fmt: skip
    np.testing.assert_allclose(whole(*inputs), pruned(*inputs), rtol=1e-12, atol=1e-13)


def test_the_unpruned_state_of_a_whole_model_is_its_state() -> None:
    model = encoder()
    for name, array in unpruned_state_dict(model).items():
        np.testing.assert_array_equal(array, model.state_dict()[name])
    with pytest.raises(TypeError, match="model must be a layer: got 3"):
        unpruned_state_dict(3)  # type: ignore[arg-type]
