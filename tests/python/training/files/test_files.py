"""Files of weights and of trainings: what fits is read, what attacks its reader is refused."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from heedful.layers import Dense, Linear, Sequential
from heedful.training import (
    SGD,
    Adam,
    AdamW,
    BinaryCrossEntropy,
    WarmupCosine,
    load_training,
    load_weights,
    save_training,
    save_weights,
)

library = pytest.importorskip("safetensors.numpy")
SafetensorError = pytest.importorskip("safetensors").SafetensorError


def network(optimizer: Any = "adam", width: int = 8) -> Sequential:
    model = Sequential(Linear(4, width, activation="tanh", rng=0), Linear(width, 1, rng=1))
    model.compile(optimizer, "mse")
    return model


@pytest.fixture
def trained(rng: np.random.Generator) -> Sequential:
    model = network()
    x = rng.standard_normal((40, 4)).astype(np.float32)
    model.fit(x, x[:, :1], verbose=False, rng=0)
    return model


def assert_unchanged(model: Sequential, before: dict[str, Any], steps: int) -> None:
    assert model.optimizer.steps == steps
    for name, array in model.parameters().items():
        np.testing.assert_array_equal(array, before[name])


def header(tensors: dict[str, Any], data: bytes = b"") -> bytes:
    text = json.dumps(tensors).encode()
    return struct.pack("<Q", len(text)) + text + data


def entry(shape: list[int], begin: int, end: int, dtype: str = "F32") -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


@pytest.mark.parametrize("load", [load_training, load_weights])
def test_a_truncated_file_loads_nothing(
    load: Callable[..., Any], trained: Sequential, tmp_path: Path
) -> None:
    path = tmp_path / "state.safetensors"
    save_training(trained, path)
    before, whole = trained.state_dict(), path.read_bytes()
    for damaged in (whole[:-10], whole[:20], b"", b"\xff" * 8 + whole[8:], b"pickle"):
        path.write_bytes(damaged)
        with pytest.raises(SafetensorError, match=r"'.*state\.safetensors' is none"):
            load(trained, path)
    assert_unchanged(trained, before, 2)


@pytest.mark.parametrize(
    "tensors",
    [
        {"0.weight": entry([2**40, 2**20], 0, 16)},
        {"0.weight": entry([2**62, 4], 0, 2**64 - 1)},
        {"0.weight": entry([2, 2], 0, 2**40)},
        {"0.weight": entry([2, 2], 8, 16), "0.bias": entry([4], 0, 16)},
        {"0.weight": entry([-2, -2], 0, 16)},
    ],
    ids=["huge", "overflow", "beyond", "overlapping", "negative"],
)
def test_a_wrong_header_loads_nothing(
    tensors: dict[str, Any], trained: Sequential, tmp_path: Path
) -> None:
    path = tmp_path / "state.safetensors"
    path.write_bytes(header(tensors, bytes(16)))
    before = trained.state_dict()
    with pytest.raises(SafetensorError):
        load_weights(trained, path)
    assert_unchanged(trained, before, 2)


def test_a_weight_of_another_shape_is_refused_before_it_is_read(
    trained: Sequential, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "state.safetensors"
    save_weights(network(width=7), path)
    before = trained.state_dict()
    monkeypatch.setattr(np, "frombuffer", None)  # by which arrays of the file are made
    with pytest.raises(ValueError, match=r"must have shape \(.*8.*\): got \(.*7.*\)"):
        load_weights(trained, path)
    assert_unchanged(trained, before, 2)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
def test_weights_of_other_types_are_converted(dtype: str, tmp_path: Path) -> None:
    if dtype == "bfloat16":
        pytest.importorskip("ml_dtypes")
    model, path = network(), tmp_path / "state.safetensors"
    state = {name: array.astype(dtype) for name, array in model.state_dict().items()}
    library.save_file(state, path)
    other = network()
    load_weights(other, path)
    for name, array in other.parameters().items():
        assert array.dtype == np.float32
        np.testing.assert_array_equal(array, state[name].astype(np.float32))


def test_a_training_of_another_model_or_optimizer_changes_nothing(
    trained: Sequential, tmp_path: Path
) -> None:
    path = tmp_path / "state.safetensors"
    save_training(trained, path)
    for other, message in (
        (network(width=7), "must have shape"),
        (network(SGD(momentum=0.9)), "the optimizer must be that of the file, Adam: got SGD"),
    ):
        before = other.state_dict()
        with pytest.raises(ValueError, match=message):
            load_training(other, path)
        assert_unchanged(other, before, 0)
    save_weights(trained, path)
    with pytest.raises(ValueError, match="path must be a file that save_training wrote"):
        load_training(trained, path)


@pytest.mark.parametrize(
    "text",
    [
        "{", "[]", "{}", '{"epochs": 1, "history": {}, "rng": {"bit_generator": "os.system"}}',
        '{"epochs": "many", "history": {}, "rng": null}',
        '{"epochs": 1, "history": {"loss": ["low"]}, "rng": null}',
    ],
)  # fmt: skip
def test_a_training_whose_text_is_damaged_changes_nothing(
    text: str, trained: Sequential, tmp_path: Path
) -> None:
    path = tmp_path / "state.safetensors"
    save_training(trained, path)
    tensors = library.load_file(path)
    library.save_file(tensors, path, metadata={"training": text})
    model = network()
    before = model.state_dict()
    with pytest.raises(ValueError, match="its text is damaged"):
        load_training(model, path)
    assert_unchanged(model, before, 0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("steps"), "state must have 'steps'"),
        (lambda s: s.update(steps=np.array(1.5)), "state must have 'steps'"),
        (lambda s: s.pop("square.0.bias"), "state must have mean and square of each parameter"),
        (lambda s: s.update({"mean.2.bias": np.ones(1)}), "state must be of this optimizer"),
        (lambda s: s.update({"mean.0.bias": np.ones(3)}), r"must have shape \(8,\): got \(3,\)"),
        (lambda s: s.update({"mean.0.bias": np.ones(8) * 1j}), "must hold real numbers"),
    ],
    ids=["missing", "type", "half", "extra", "shape", "complex"],
)
def test_an_optimizer_s_state_that_does_not_fit_changes_nothing(
    change: Any, message: str, trained: Sequential
) -> None:
    state = trained.optimizer.state_dict()
    change(state)
    fresh = Adam(network())
    with pytest.raises((TypeError, ValueError), match=message):
        fresh.load_state_dict(state)
    assert fresh.steps == 0
    assert fresh.state == {}


def rate(step: int) -> float:
    return 0.01


@pytest.mark.parametrize(
    ("optimizer", "message"),
    [
        (AdamW(), "the optimizer must be that of the file, Adam: got AdamW"),
        (Adam(lr=0.01), "the optimizer's lr must be that of the file, 0.001: got 0.01"),
        (Adam(lr=WarmupCosine(0.1, 2, 9)), r"0.001: got WarmupCosine\(lr=0.1, .*warmup_steps=2"),
        (Adam(lr=rate), "0.001: got rate"),
        (Adam(weight_decay=0.1), "weight_decay must be that of the file, 0.0: got 0.1"),
        (Adam(betas=(0.8, 0.9)), r"betas must be that of the file, \[0.9, 0.999\]: got \[0.8, 0"),
        (Adam(clip_norm=1.0), "clip_norm must be that of the file, None: got 1.0"),
        (Adam(groups={"*.bias": {"lr_factor": 0}}), "groups must be that of the file, {}: got"),
    ],
)
def test_a_training_with_other_settings_is_refused(
    optimizer: Any, message: str, trained: Sequential, tmp_path: Path
) -> None:
    save_training(trained, tmp_path / "state")
    other = network(optimizer)
    before = other.state_dict()
    with pytest.raises(ValueError, match=message):
        load_training(other, tmp_path / "state")
    assert_unchanged(other, before, 0)


def test_a_training_by_another_loss_is_refused(trained: Sequential, tmp_path: Path) -> None:
    save_training(trained, tmp_path / "state")
    other = network()
    other.compile("adam", BinaryCrossEntropy(label_smoothing=0.1))
    message = r"the loss must be that of the file, MeanSquaredError\(\): got BinaryCrossEntropy\("
    with pytest.raises(ValueError, match=message):
        load_training(other, tmp_path / "state")


def test_a_rate_may_be_changed_after_loading(trained: Sequential, tmp_path: Path) -> None:
    save_training(trained, tmp_path / "state")
    other = network()
    load_training(other, tmp_path / "state")
    other.optimizer.lr = 0.01
    assert (other.optimizer.lr, other.optimizer.steps) == (0.01, 2)


def test_a_training_of_another_type_is_refused(trained: Sequential, tmp_path: Path) -> None:
    save_training(trained, tmp_path / "state")
    wide = {"rng": 0, "dtype": np.float64}
    for layers in ([Linear(4, 8, **wide), Linear(8, 1, **wide)], [Dense(8, **wide)]):
        other = Sequential(layers) if len(layers) == 2 else Sequential(*layers, Linear(8, 1))
        if len(layers) == 1:
            save_training(unnamed(trained), tmp_path / "state")
        other.compile("adam", "mse")
        with pytest.raises(ValueError, match="of the type of the file, float32: got float64"):
            load_training(other, tmp_path / "state")
        assert other.optimizer.steps == 0


def unnamed(trained: Sequential) -> Sequential:
    """A model whose first layer is a Dense, which names its parameters."""
    model = Sequential(Dense(8, rng=0), Linear(8, 1, rng=0))
    model.compile("adam", "mse")
    model.fit(np.ones((4, 4)), np.ones(4), verbose=False)
    return model


def test_what_was_frozen_is_frozen_again(trained: Sequential, tmp_path: Path) -> None:
    trained.freeze("0.*")
    save_training(trained, tmp_path / "state")
    other = network()
    other.freeze("1.*")
    load_training(other, tmp_path / "state")
    found = {name: own.trainable for name, own in other.named_parameters()}
    assert found == {"0.weight": False, "0.bias": False, "1.weight": True, "1.bias": True}


def test_a_folder_that_is_missing_is_named(trained: Sequential, tmp_path: Path) -> None:
    for save in (save_weights, save_training):
        with pytest.raises(FileNotFoundError, match=r"existing folder: got '.*no/state'"):
            save(trained, tmp_path / "no" / "state")
        with pytest.raises(IsADirectoryError, match="path must be a file: got the folder"):
            save(trained, tmp_path)
    for load in (load_weights, load_training):
        with pytest.raises(FileNotFoundError, match="missing"):
            load(trained, tmp_path / "missing")
        with pytest.raises(IsADirectoryError, match="path must be a file: got the folder"):
            load(trained, tmp_path)


def test_what_is_no_model_is_refused(tmp_path: Path) -> None:
    for call in (save_weights, save_training, load_weights, load_training):
        with pytest.raises(TypeError, match=r"model must be a layer: got \{'w'"):
            call({"w": np.ones(3)}, tmp_path / "state")  # type: ignore[arg-type]
