"""Modules after the encoder of a sentence model are applied, or rejected by name."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("safetensors")

from safetensors.numpy import save_file

from heedful.integrations._sentence_modules import pooled, read_modules
from heedful.integrations.sentences import SentenceEncoder, find_minilm

TRANSFORMER = {"path": "", "type": "sentence_transformers.models.Transformer"}
POOLING = {"path": "1_Pooling", "type": "sentence_transformers.models.Pooling"}
NORMALIZE = {"path": "2_Normalize", "type": "sentence_transformers.models.Normalize"}
DENSE = {"path": "2_Dense", "type": "sentence_transformers.models.Dense"}


def folder_of(
    where: Path, modules: list[dict[str, str]] | None, pooling: dict[str, Any] | None
) -> Path:
    if modules is not None:
        (where / "modules.json").write_text(json.dumps(modules), encoding="utf-8")
    if pooling is not None:
        (where / "1_Pooling").mkdir()
        (where / "1_Pooling" / "config.json").write_text(json.dumps(pooling), encoding="utf-8")
    return where


@pytest.mark.parametrize(
    "mode", ["cls", "mean", "max", "mean_sqrt_len", "weightedmean", "lasttoken"]
)
def test_pooling_reads_the_tokens_of_a_text_alone(mode: str, rng: np.random.Generator) -> None:
    y, lengths = rng.standard_normal((3, 5, 4)).astype(np.float32), np.array([5, 1, 3])
    found = pooled(mode, y, lengths)
    for item, length in enumerate(lengths):
        rows = [row.astype(float) for row in y[item, :length]]
        expected = {
            "cls": rows[0],
            "mean": sum(rows) / length,
            "max": np.maximum.reduce(rows),
            "mean_sqrt_len": sum(rows) / math.sqrt(length),
            "weightedmean": sum(i * row for i, row in enumerate(rows, 1)) / sum(range(length + 1)),
            "lasttoken": rows[-1],
        }[mode]
        np.testing.assert_allclose(found[item], expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    ("config", "mode"),
    [
        ({"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}, "cls"),
        ({"pooling_mode_max_tokens": True}, "max"),
        ({"pooling_mode_mean_sqrt_len_tokens": True}, "mean_sqrt_len"),
        ({"pooling_mode_mean_tokens": True, "word_embedding_dimension": 4}, "mean"),
        ({"pooling_mode": "cls"}, "cls"),
        ({"pooling_mode": ["max"]}, "max"),
        ({"pooling_mode": "mean_sqrt_len_tokens"}, "mean_sqrt_len"),
        ({"pooling_mode_weightedmean_tokens": True}, "weightedmean"),
        ({"pooling_mode_lasttoken": True}, "lasttoken"),
        ({"pooling_mode_mean_tokens": False, "word_embedding_dimension": 2}, "mean"),
    ],
)
@pytest.mark.parametrize("modules", [None, [TRANSFORMER, POOLING, NORMALIZE]])
def test_the_pooling_is_the_model_s(
    tmp_path: Path, config: dict[str, Any], mode: str, modules: Any
) -> None:
    found = read_modules(folder_of(tmp_path, modules, config), None)
    assert found.mode == mode
    y = np.array([[[3.0, 4.0]]], np.float32)
    np.testing.assert_allclose(found(y, np.array([1])), [[0.6, 0.8]])


@pytest.mark.parametrize(
    ("modules", "config", "message"),
    [
        (None, {"pooling_mode_median": True}, "got median"),
        (None, {"pooling_mode_cls_token": True, "pooling_mode_median": True}, "got cls, median"),
        (None, {"pooling_mode": ["cls", "median"]}, "got cls, median"),
        (None, {}, r"one of cls, mean, max, mean_sqrt_len, .*lasttoken: got $"),
        ([TRANSFORMER, POOLING, {"path": "2_LSTM", "type": "x.LSTM"}],
         {"pooling_mode_cls_token": True}, "Dense and Normalize alone: got 'LSTM'"),
        ([TRANSFORMER], None, r"must begin with Transformer and Pooling: got \['Transformer'\]"),
        ([{"path": "", "type": "x.CLIPModel"}], None, r"got \['CLIPModel'\]"),
        ([TRANSFORMER, {**POOLING, "path": "../1_Pooling"}], None, "lie in the folder of the mod"),
        ([TRANSFORMER, {**POOLING, "path": "/1_Pooling"}], None, "lie in the folder of the mod"),
        ([TRANSFORMER, {"type": "x.Pooling"}], None, "modules with type and path: got {'type'"),
        (["Transformer"], None, "modules with type and path: got 'Transformer'"),
    ],
)  # fmt: skip
def test_what_is_not_known_is_refused_by_name(
    tmp_path: Path, modules: Any, config: Any, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        read_modules(folder_of(tmp_path, modules, config), None)


def test_a_dense_layer_and_the_norm_come_in_their_order(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    folder = folder_of(
        tmp_path, [TRANSFORMER, POOLING, DENSE, NORMALIZE], {"pooling_mode_cls_token": True}
    )
    (folder / "2_Dense").mkdir()
    config = {"in_features": 4, "out_features": 3, "bias": True,
              "activation_function": "torch.nn.modules.activation.Tanh"}  # fmt: skip
    (folder / "2_Dense" / "config.json").write_text(json.dumps(config), encoding="utf-8")
    weight, bias = rng.standard_normal((3, 4)), rng.standard_normal(3)
    save_file({"linear.weight": weight.astype(np.float32), "linear.bias": bias.astype(np.float32)},
              folder / "2_Dense" / "model.safetensors")  # fmt: skip
    y = rng.standard_normal((2, 5, 4)).astype(np.float32)
    dense = np.tanh(y[:, 0] @ weight.T + bias)
    expected = dense / np.linalg.norm(dense, axis=-1, keepdims=True)
    lengths = np.array([5, 2])
    np.testing.assert_allclose(read_modules(folder, None)(y, lengths), expected, atol=1e-6)
    np.testing.assert_allclose(read_modules(folder, False)(y, lengths), dense, atol=1e-6)


def test_a_model_without_a_norm_has_none_unless_requested(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, [TRANSFORMER, POOLING], {"pooling_mode_cls_token": True})
    y, lengths = np.array([[[3.0, 4.0]]], np.float32), np.array([1])
    np.testing.assert_array_equal(read_modules(folder, None)(y, lengths), [[3, 4]])
    np.testing.assert_allclose(read_modules(folder, True)(y, lengths), [[0.6, 0.8]])


@pytest.mark.slow
@pytest.mark.peer
def test_an_encoder_that_reads_the_first_token_alone(tmp_path: Path) -> None:
    pytest.importorskip("tokenizers")
    try:
        minilm = find_minilm()
    except ModuleNotFoundError as error:
        pytest.skip(str(error))
    for name in ("config.json", "tokenizer.json", "model.safetensors"):
        (tmp_path / name).symlink_to(minilm / name)
    folder_of(tmp_path, [TRANSFORMER, POOLING], {"pooling_mode_cls_token": True})
    encoder = SentenceEncoder(tmp_path)
    texts = ["a file", "how do I open a file?"]
    for text, vector in zip(texts, encoder.encode(texts), strict=True):
        tokens = encoder.tokenizer.encode(text).ids
        np.testing.assert_allclose(vector, encoder.model([tokens])[0, 0], atol=1e-5)
    (tmp_path / "config_sentence_transformers.json").write_text(
        json.dumps({"prompts": {"query": "how do I "}, "default_prompt_name": "query"})
    )
    prompted = SentenceEncoder(tmp_path)
    np.testing.assert_allclose(
        prompted.encode("open a file?"), encoder.encode("how do I open a file?"), atol=1e-6
    )
