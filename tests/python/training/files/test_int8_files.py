"""Files of weights with int8, into models of int8 and of floats."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from closeness import assert_same_bits

from heedful.layers import BertEncoder, Linear, Sequential
from heedful.training import load_training, load_weights, save_training, save_weights

pytest.importorskip("safetensors")
from safetensors.numpy import load_file, save_file

TOKENS = [[1, 2, 3], [4, 5, 0]]


def bert(seed: int) -> BertEncoder:
    return BertEncoder(11, 12, 2, 2, 24, max_length=9, rng=seed)


def test_a_file_of_int8_is_loaded_as_it_is_and_as_floats(tmp_path: Path) -> None:
    path, model = tmp_path / "int8.safetensors", bert(0).quantize()
    save_weights(model, path)
    types = {name: str(array.dtype) for name, array in load_file(path).items()}
    assert types["encoder.layers.0.self_attn.in_proj_weight"] == "int8"
    assert types["encoder.layers.0.self_attn.in_proj_weight_scale"] == "float32"
    int8, floats = bert(1).quantize(), bert(2)
    for other in (int8, floats):
        assert load_weights(other, path) == ([], [])
    assert_same_bits(int8(TOKENS), model(TOKENS))
    assert_same_bits(floats(TOKENS), model.dequantize()(TOKENS))


def test_a_file_of_floats_is_quantised(tmp_path: Path) -> None:
    path, model = tmp_path / "floats.safetensors", bert(0)
    save_weights(model, path)
    other = bert(1).quantize()
    assert load_weights(other, path) == ([], [])
    assert_same_bits(other(TOKENS), model.quantize()(TOKENS))


def test_a_file_of_int8_takes_a_quarter_of_the_room(tmp_path: Path) -> None:
    model = Linear(512, 512, rng=0)
    save_weights(model, tmp_path / "floats")
    save_weights(model.quantize(), tmp_path / "int8")
    sizes = [(tmp_path / name).stat().st_size for name in ("int8", "floats")]
    assert 0.25 < sizes[0] / sizes[1] < 0.26


def test_names_of_a_checkpoint_may_have_scales(tmp_path: Path) -> None:
    """As other libraries write them: int8 with a scale for each output."""
    model = bert(0).quantize()
    state = model.state_dict()
    theirs = {}
    for name, array in state.items():
        layer = name.replace("encoder.layers.", "encoder.layer.")
        if "in_proj" in name:
            kind = name.rpartition("in_proj_")[2]
            for part, piece in zip(("query", "key", "value"), np.split(array, 3), strict=True):
                inside = layer.replace(f"self_attn.in_proj_{kind}", f"attention.self.{part}.{kind}")
                theirs[inside] = piece.copy()
            continue
        for own, other in (
            ("self_attn.out_proj.", "attention.output.dense."), ("linear1.", "intermediate.dense."),
            ("linear2.", "output.dense."), ("norm1.", "attention.output.LayerNorm."),
            ("norm2.", "output.LayerNorm."),
        ):  # fmt: skip
            layer = layer.replace(own, other) if "layer." in layer else layer
        theirs[layer] = array
    save_file(theirs, tmp_path / "model.safetensors")
    other = bert(1).quantize()
    assert load_weights(other, tmp_path) == ([], [])
    assert_same_bits(other(TOKENS), model(TOKENS))


def test_a_training_is_loaded_into_its_own_kind_alone(tmp_path: Path) -> None:
    path = tmp_path / "training.safetensors"
    models = [Sequential(Linear(3, 4, rng=seed), Linear(4, 2, rng=seed)) for seed in range(3)]
    for model in models:
        model.compile("sgd", "mse")
    models[0].quantize()
    save_training(models[0], path)
    load_training(models[1].quantize(), path)
    for name, array in models[0].state_dict().items():
        np.testing.assert_array_equal(models[1].state_dict()[name], array)
    before = models[2].state_dict()
    with pytest.raises(ValueError, match=r"0\.weight must be of the type of the file, int8"):
        load_training(models[2], path)
    for name, array in models[2].state_dict().items():
        np.testing.assert_array_equal(array, before[name])
