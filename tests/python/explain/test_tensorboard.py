"""What TensorBoard's own reader finds in the files of the callback."""

from __future__ import annotations

import io
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from heedful.explain import TensorBoard, watch
from heedful.layers import (
    GlobalAveragePooling,
    Linear,
    MultiHeadAttention,
    Sequential,
)

pytestmark = [pytest.mark.once, pytest.mark.peer]
X = np.random.default_rng(0).standard_normal((8, 5, 4)).astype(np.float32)
WORDS = ["to", "be", "<b>or</b>", "not", "\x1b[31m"]


@pytest.fixture
def model() -> Sequential:
    model = Sequential(MultiHeadAttention(4, 2, rng=0), GlobalAveragePooling(), Linear(4, 1, rng=1))
    model.compile(optimizer="adam", loss="mse")
    return model


def fit(model: Sequential, board: TensorBoard, epochs: int = 3) -> Any:
    return model.fit(
        X, X[:, 0, :1], epochs=epochs, batch_size=4, validation_data=(X, X[:, 0, :1]),
        callbacks=board, verbose=False,
    )  # fmt: skip


def read(folder: Path) -> Any:
    pytest.importorskip("tensorboardX")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its protobuf
        module = pytest.importorskip(
            "tensorboard.backend.event_processing.event_accumulator",
            reason="needs TensorBoard: pip install tensorboard",
        )
        return module.EventAccumulator(str(folder), {"images": 0, "histograms": 0}).Reload()


def test_history_and_statistics_are_scalars(model: Sequential, tmp_path: Path) -> None:
    pytest.importorskip("tensorboardX")
    history = fit(model, TensorBoard(tmp_path, probe=X[:2], every=2))
    events = read(tmp_path)
    for name in ("loss", "val_loss"):
        rows = events.Scalars(f"history/{name}")
        assert [row.step for row in rows] == [2, 4, 6]
        assert [row.value for row in rows] == pytest.approx(history[name])
    (statistics,) = {tag.partition("/")[0] for tag in events.Tags()["scalars"]} - {"history"}
    rows = events.Scalars(f"{statistics}/entropy/1")
    assert [row.step for row in rows] == [2, 6]  # after the first and the third epoch
    assert rows[-1].value == pytest.approx(entropy(model)[:, 1].mean(), rel=1e-5)


def entropy(model: Sequential) -> np.ndarray:
    """(items, H, Lq) of the probe, by other means than the callback's."""
    with watch(model) as seen:
        model(X[:2])
    weights = next(iter(seen.values())).astype(np.float64)
    return np.array(
        [[[-sum(w * np.log(w) for w in row) for row in head] for head in item] for item in weights]
    )


def test_entropies_are_a_histogram_and_heads_an_image(model: Sequential, tmp_path: Path) -> None:
    pytest.importorskip("tensorboardX")
    fit(model, TensorBoard(tmp_path, probe=X[:2]))
    events = read(tmp_path)
    (tag,) = events.Tags()["histograms"]
    last = events.Histograms(tag)[-1]
    wanted = entropy(model)[0]
    found = last.histogram_value
    assert (found.num, found.min, found.max) == pytest.approx(
        (wanted.size, wanted.min(), wanted.max()), rel=1e-5
    )
    (tag,) = events.Tags()["images"]
    images = events.Images(tag)
    assert [image.step for image in images] == [2, 4, 6]
    picture = pytest.importorskip("PIL.Image").open(io.BytesIO(images[-1].encoded_image_string))
    pixels = np.asarray(picture).astype(int)
    with watch(model) as seen:
        model(X[:2])
    weights = next(iter(seen.values()))[0]  # (2, 5, 5)
    assert pixels.shape == (45, 2 * 45 + 2, 3)  # 9 pixels a weight, 2 between the heads
    for head in range(2):
        green = pixels[4::9, 47 * head + 4 : 47 * head + 45 : 9, 1]
        share = weights[head] / weights[head].max(-1, keepdims=True)
        assert green == pytest.approx(255 - share * (255 - 75), abs=1.5)


def test_texts_are_shown_as_they_are(model: Sequential, tmp_path: Path) -> None:
    pytest.importorskip("tensorboardX")
    fit(model, TensorBoard(tmp_path, probe=X[:1], tokens=WORDS), epochs=1)
    events = read(tmp_path)
    texts = {
        tag: events.Tensors(tag)[0].tensor_proto.string_val[0].decode()
        for tag in events.Tags()["tensors"]
    }
    probe, text = texts["probe/text_summary"], texts["model/text_summary"]
    assert probe == "    to be <b>or</b> not \\x1b[31m"
    assert "MultiHeadAttention" in text
    assert all(line.startswith("    ") for line in text.split("\n"))


def test_without_a_probe_there_is_the_history_alone(model: Sequential, tmp_path: Path) -> None:
    pytest.importorskip("tensorboardX")
    board = TensorBoard(str(tmp_path / "new" / "folder"))
    fit(model, board, epochs=1)
    fit(model, board, epochs=1)  # a second file
    events = read(tmp_path / "new" / "folder")
    assert set(events.Tags()["scalars"]) == {"history/loss", "history/val_loss"}
    assert [row.step for row in events.Scalars("history/loss")] == [2, 4]


def test_wrong_arguments_are_refused_before_the_training(model, tmp_path: Path) -> None:
    pytest.importorskip("tensorboardX")
    (tmp_path / "file").write_text("")
    with pytest.raises(NotADirectoryError, match=r"^folder must be a folder: got the file"):
        TensorBoard(tmp_path / "file")
    with pytest.raises(TypeError, match=r"^folder must be a str or a path: got 3"):
        TensorBoard(3)
    with pytest.raises(ValueError, match=r"^every must be"):
        TensorBoard(tmp_path, every=0)
    with pytest.raises(ValueError, match=r"^layers must match attention layers of the model"):
        fit(model, TensorBoard(tmp_path / "runs", probe=X, layers="decoder.*"))
    assert model.optimizer.steps == 0
    assert not (tmp_path / "runs").exists()


def test_without_tensorboardx_one_sentence_says_what_to_install(monkeypatch, tmp_path) -> None:
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    with pytest.raises(ImportError, match=r"^TensorBoard needs the packages tensorboardX and Pill"):
        TensorBoard(tmp_path)
