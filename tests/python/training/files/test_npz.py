"""npz files: NumPy reads what is written and writes what is read; damaged ones are refused."""

from __future__ import annotations

import io
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from heedful.layers import Dense, Layer, Linear, MultiHeadAttention, Parameter, Sequential
from heedful.pruning import prune_heads, pruned_heads
from heedful.training import (
    Adam,
    BestCheckpoint,
    load_training,
    load_weights,
    save_training,
    save_weights,
)

pytestmark = pytest.mark.once


def network(width: int = 8) -> Sequential:
    model = Sequential(Linear(4, width, activation="tanh", rng=0), Linear(width, 1, rng=1))
    model.compile(Adam(lr=0.01), "mse")
    return model


def members(**arrays: Any) -> bytes:
    """The bytes of an npz file."""
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def archive(**contents: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as zipped:
        for name, content in contents.items():
            zipped.writestr(f"{name}.npy", content)
    return file.getvalue()


def array(value: Any) -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array(file, np.asarray(value), allow_pickle=True)
    return file.getvalue()


def test_numpy_reads_the_weights_under_their_names(tmp_path: Path) -> None:
    model, path = network(), tmp_path / "weights.npz"
    save_weights(model, path)
    with np.load(path) as found:
        assert set(found.files) - {"__metadata__"} == set(model.parameters())
        for name, value in model.parameters().items():
            np.testing.assert_array_equal(found[name], value)
            assert found[name].dtype == value.dtype


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_what_numpy_wrote_is_loaded(save: Any, tmp_path: Path) -> None:
    model, path = network(), tmp_path / "weights.npz"
    given = {name: np.full(one.shape, 0.5) for name, one in model.parameters().items()}
    save(path, **given)
    assert load_weights(model, path) == ([], [])
    for value in model.parameters().values():
        np.testing.assert_array_equal(value, 0.5)


def test_the_same_weights_are_the_same_bytes(tmp_path: Path) -> None:
    save_weights(network(), tmp_path / "one.npz")
    save_weights(network(), str(tmp_path / "other.npz"))
    assert (tmp_path / "one.npz").read_bytes() == (tmp_path / "other.npz").read_bytes()
    with zipfile.ZipFile(tmp_path / "one.npz") as zipped:
        assert {member.date_time for member in zipped.infolist()} == {(1980, 1, 1, 0, 0, 0)}


def test_arrays_may_be_larger_than_zip_files_once_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beyond 2 GiB, here lowered to 100 bytes."""
    monkeypatch.setattr(zipfile, "ZIP64_LIMIT", 100)
    model, path = network(), tmp_path / "weights.npz"
    save_weights(model, path)
    assert load_weights(network(), path) == ([], [])


@pytest.mark.parametrize("dtype", ["<f8", ">f4", "<f2", "<i4", "u1", "?"])
def test_other_types_are_converted(dtype: str, tmp_path: Path) -> None:
    path, layer = tmp_path / "weights.npz", Linear(2, 2, bias=False, rng=0)
    np.savez(path, weight=np.eye(2).astype(dtype))
    load_weights(layer, path)
    np.testing.assert_array_equal(layer.weight, np.eye(2))


def test_int8_and_transposed_weights_return(tmp_path: Path) -> None:
    path, layer, other = tmp_path / "weights.npz", Linear(3, 2, rng=0), Linear(3, 2, rng=1)
    layer.quantize()
    other.quantize()
    save_weights(layer, path)
    load_weights(other, path)
    for name, value in layer.state_dict().items():
        np.testing.assert_array_equal(other.state_dict()[name], value)
    np.savez(path, weight=np.arange(6.0).reshape(3, 2).T, bias=np.zeros(2))
    plain = Linear(3, 2)
    load_weights(plain, path)
    np.testing.assert_array_equal(plain.weight, np.arange(6.0).reshape(3, 2).T)


def test_a_parameter_may_have_any_name(tmp_path: Path) -> None:
    """numpy.savez has arguments of its own."""
    path = tmp_path / "weights.npz"
    model = Layer()
    model.file, model.allow_pickle = Parameter(np.zeros(2)), Parameter(np.ones(3))
    save_weights(model, path)
    with np.load(path) as found:
        assert set(found.files) == {"file", "allow_pickle", "__metadata__"}


def test_a_training_continues_from_an_npz_file(rng: np.random.Generator, tmp_path: Path) -> None:
    x = rng.standard_normal((40, 4)).astype(np.float32)
    model, path = network(), tmp_path / "training.npz"
    model.fit(x, x[:, :1], verbose=False, rng=0)
    save_training(model, path)
    model.fit(x, x[:, :1], verbose=False)
    again = network()
    load_training(again, path)
    again.fit(x, x[:, :1], verbose=False)
    for name, value in model.parameters().items():
        np.testing.assert_array_equal(again.parameters()[name], value)
    assert again.history["loss"] == model.history["loss"]


def test_the_best_epoch_is_saved(rng: np.random.Generator, tmp_path: Path) -> None:
    x = rng.standard_normal((20, 4)).astype(np.float32)
    model, path = network(), tmp_path / "best.npz"
    model.fit(x, x[:, :1], callbacks=BestCheckpoint(path, "loss"), verbose=False, rng=0)
    assert load_weights(network(), path) == ([], [])


def test_pruned_heads_are_in_the_file(tmp_path: Path) -> None:
    layer, path = MultiHeadAttention(8, 4, rng=0), tmp_path / "weights.npz"
    layer = prune_heads(layer, {"": [1]})
    save_weights(layer, path)
    assert pruned_heads(path) == pruned_heads(layer)
    with pytest.raises(ValueError, match="heads were pruned, see heedful"):
        load_weights(MultiHeadAttention(8, 4), path)


@pytest.mark.parametrize("load", [load_training, load_weights])
def test_a_damaged_file_loads_nothing(load: Callable[..., Any], tmp_path: Path) -> None:
    model, path = network(), tmp_path / "state.npz"
    save_training(model, path)
    before, whole = model.state_dict(), path.read_bytes()
    flipped = bytearray(whole)
    flipped[whole.index(b"\x93NUMPY") + 200] ^= 1  # within the first array
    for damaged in (whole[:-10], whole[:20], b"", b"pickle", bytes(flipped)):
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"path must be a whole npz file: '.*state\.npz' is"):
            load(model, path)
    for name, value in model.state_dict().items():
        np.testing.assert_array_equal(value, before[name])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (archive(weight=array([object()])), r"weight\.npy holds Python objects"),
        (archive(weight=b"\x93NUMPY\x09\x00"), r"weight\.npy has no header of an array"),
        (archive(weight=b"cos\nsystem\n"), r"weight\.npy has no header of an array"),
        (archive(weight=array(np.zeros((2, 2)))[:-8]), r"weight\.npy has \d+ bytes, its header"),
        (archive(weight=array(np.zeros((2, 2))) + b"more"), r"weight\.npy has \d+ bytes, its"),
        (
            archive(weight=array(np.zeros(4)).replace(b"(4,)", b"(4000000000000,)")),
            r"weight\.npy has ",
        ),
        (
            archive(more=array(np.zeros(4)).replace(b"(4,), }    ", b"(-1, -4), }")),
            r"more\.npy has no header of an array, its shape is \(-1, -4\)",
        ),
        (archive(__metadata__=array("[1")), "its text is damaged"),
        (archive(__metadata__=array("[1]")), "its text is damaged"),
    ],
)
def test_a_file_that_is_none_is_refused(content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "weights.npz"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=f"is none, {message}"):
        load_weights(Linear(2, 2, bias=False), path)


def test_a_name_in_it_twice_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "weights.npz"
    with zipfile.ZipFile(path, "w") as zipped:
        zipped.writestr("weight.npy", array(np.zeros((2, 2))))
        with pytest.warns(UserWarning, match="Duplicate name"):
            zipped.writestr("weight.npy", array(np.zeros((2, 2))))
    with pytest.raises(ValueError, match=r"weight\.npy is in it twice"):
        load_weights(Linear(2, 2, bias=False), path)
    with zipfile.ZipFile(path, "w") as zipped:
        zipped.writestr("weight.txt", "1")
    with pytest.raises(ValueError, match=r"weight\.txt in it is no array"):
        load_weights(Linear(2, 2, bias=False), path)


def test_what_does_not_fit_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "weights.npz"
    path.write_bytes(members(weight=np.zeros((3, 2))))
    with pytest.raises(ValueError, match=r"weight must have shape \(2, 2\): got \(3, 2\)"):
        load_weights(Linear(2, 2, bias=False), path)
    path.write_bytes(members(weight=np.zeros((2, 2), np.complex64)))
    with pytest.raises(TypeError, match=r"weight must be of float64, .* got complex64"):
        load_weights(Linear(2, 2, bias=False), path)
    path.write_bytes(members(weight=np.zeros((2, 2)), more=np.zeros(2)))
    with pytest.raises(ValueError, match="more"):
        load_weights(Linear(2, 2, bias=False), path)
    with pytest.raises(ValueError, match="it has weights only"):
        load_training(network(), path)


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "folder.npz").mkdir()
    with pytest.raises(IsADirectoryError):
        load_weights(network(), tmp_path / "folder.npz")
    with pytest.raises(FileNotFoundError):
        load_weights(network(), tmp_path / "missing.npz")
    with pytest.raises(TypeError, match="path must be a str or a path"):
        save_weights(network(), 3)  # type: ignore[arg-type]


def test_an_error_while_writing_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "weights.npz"
    save_weights(network(), path)
    before = path.read_bytes()

    def fail(*_: Any, **__: Any) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(np.lib.format, "write_array", fail)
    with pytest.raises(OSError, match="disk full"):
        save_weights(network(), path)
    assert path.read_bytes() == before
    assert [one.name for one in tmp_path.iterdir()] == ["weights.npz"]


def test_an_unbuilt_layer_is_built_by_a_file(tmp_path: Path) -> None:
    built, path = Dense(2, rng=0), tmp_path / "weights.npz"
    built(np.ones((1, 3)))
    save_weights(built, path)
    other = Dense(2)
    load_weights(other, path)
    for name, value in built.parameters().items():
        np.testing.assert_array_equal(other.parameters()[name], value)


def test_numpy_alone_is_enough(tmp_path: Path) -> None:
    program = """
import sys
sys.modules["safetensors"] = None
import numpy as np
from heedful.layers import Linear
from heedful.training import load_training, load_weights, save_training, save_weights
layer, other = Linear(3, 2, rng=0), Linear(3, 2, rng=1)
for model in (layer, other):
    model.compile("sgd", "mse")
save_weights(layer, "weights.npz")
load_weights(other, "weights.npz")
assert (layer.weight == other.weight).all()
save_training(layer, "training.npz")
load_training(other, "training.npz")
try:
    save_weights(layer, "weights.safetensors")
except ImportError as error:
    print(error)
try:
    load_weights(layer, "weights.safetensors")
except ImportError as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path, capture_output=True, text=True, check=True, timeout=300,
    )  # fmt: skip
    needed = "files of weights need the package safetensors: pip install safetensors"
    hint = ", or write to a path that ends in .npz, which needs NumPy alone"
    assert done.stdout.splitlines() == [needed + hint, needed]
