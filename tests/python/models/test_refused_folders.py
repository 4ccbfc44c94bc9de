"""Folders that are no model, or not the one that they say: one sentence, nothing read outside."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from heedful.models import SequenceClassification, from_config, from_pretrained

pytest.importorskip("safetensors")

from safetensors.numpy import save_file
from written_models import (
    CONFIG,
    FIRST,
    SECOND,
    TOKENS,
    checkpoint,
    write,
    write_shards,
)

WRONG_CONFIGS = {
    "no type": ({"model_type": None}, "config.json must have model_type: it is missing"),
    "unknown type": ({"model_type": "mamba"},
                     "model_type of config.json must be one of .*bert.*: got 'mamba'"),
    "no string": ({"model_type": 3}, "model_type of config.json must be a string: got 3"),
    "unknown head": ({"architectures": ["BertForMagic"]},
                     "architectures of config.json must be one of BertModel, .* for bert: got"),
    "no list": ({"architectures": "BertModel"},
                "architectures of config.json must be a list of names"),
    "no size": ({"hidden_size": None}, "config.json must have hidden_size: it is missing"),
    "text": ({"hidden_size": "6"}, "hidden_size of config.json must be an integer: got"),
    "zero": ({"vocab_size": 0}, "vocab_size of config.json must be at least 1: got 0"),
    "heads": ({"num_attention_heads": 4}, "num_heads must divide d_model"),
    "labels": ({"id2label": [1]}, "id2label of config.json must be a mapping"),
    "rate": ({"classifier_dropout": "no"}, "classifier_dropout of config.json must be"),
    "activation": ({"hidden_act": "magic"}, "activation must be None or one of"),
    "decoder": ({"is_decoder": True}, "is_decoder must be False"),
    "wider": ({"intermediate_size": 14}, r"linear1.bias must have shape \(14,\): got"),
    "more words": ({"vocab_size": 12}, r"token_embedding.weight must have shape \(12, 6\)"),
    "more layers": ({"num_hidden_layers": 3}, "missing bert.encoder.layers.2.*unexp"),
    "fewer layers": ({"num_hidden_layers": 1}, "missing nothing, unexpected bert.enc"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG_CONFIGS)
def test_a_config_that_does_not_fit_is_refused(case: str, tmp_path: Path) -> None:
    config, message = WRONG_CONFIGS[case]
    with pytest.raises((TypeError, ValueError), match=message) as caught:
        from_pretrained(write(tmp_path, {**CONFIG, **config}))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("vocab_size", r"sizes of the model must fit its files: got \(1000000000000, 6\)"),
        ("intermediate_size", r"sizes of the model must fit its files: got \(1000000000000, 6\)"),
        ("max_position_embeddings", "sizes of the model must fit its files"),
        ("hidden_size", "sizes of the model must fit its files"),
        ("num_hidden_layers", "num_hidden_layers of config.json must fit the files, which hold 41"),
    ],
)
def test_sizes_beyond_the_files_are_refused_before_anything_of_them_is_made(
    key: str, message: str, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=message):
        from_pretrained(write(tmp_path, {**CONFIG, key: 10**12}))


def test_many_layers_of_few_tensors_are_refused_early(tmp_path: Path) -> None:
    layers = {"num_hidden_layers": 38, "id2label": None}
    with pytest.raises(ValueError, match="sizes of the model must fit its files"):
        from_pretrained(write(tmp_path, {**CONFIG, **layers}))


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b"3", b"\xff", b"[" * 100_000])
def test_what_is_no_config_is_refused(text: bytes, tmp_path: Path) -> None:
    (write(tmp_path) / "config.json").write_bytes(text)
    with pytest.raises(ValueError, match=r"config\.json must hold a JSON object: ") as caught:
        from_pretrained(tmp_path)
    assert "\n" not in str(caught.value)


def test_files_that_are_not_there_are_named(tmp_path: Path) -> None:
    with pytest.raises(NotADirectoryError, match=r"got 'bert-base' \(heedful does not download\)"):
        from_pretrained("bert-base")
    with pytest.raises(FileNotFoundError, match=r"folder must have a config\.json: got "):
        from_pretrained(tmp_path)
    write(tmp_path)
    with pytest.raises(NotADirectoryError, match="which is a file"):
        from_pretrained(tmp_path / "config.json")
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match=r"must have model\.safetensors or model\.safet"):
        from_pretrained(tmp_path)
    (tmp_path / "pytorch_model.bin").write_bytes(b"pickle")
    with pytest.raises(FileNotFoundError, match=r"pytorch_model\.bin, a pickle .* safetensors"):
        from_pretrained(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"config must be the path of a config\.json"):
        from_config(tmp_path / "none.json")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda at: from_pretrained(3), "folder must be a str or a path: got 3"),
        (lambda at: from_pretrained(at, dtype="int8"), "dtype must be float32 or"),
        (lambda at: from_pretrained(at, dtype=np.float16), "dtype must be float32 or"),
        (lambda at: from_pretrained(at, strict=1), "strict must be True or False: got 1"),
        (lambda at: from_pretrained(at, head="BertForMagic"), "head must be one of"),
        (lambda at: from_pretrained(at, head=3), "head must be a string or None: got 3"),
        (lambda at: from_pretrained(at, rng=-1), "rng must be"),
        (lambda at: from_config(3), "config must be a mapping, or the path of"),
        (lambda at: from_config({}), "config must have model_type: it is missing"),
        (lambda at: SequenceClassification(3, 2), "bert must be a BertEncoder: got 3"),
        (lambda at: from_pretrained(at)(TOKENS, hidden_states=1), "hidden_states must be"),
        (lambda at: from_pretrained(at, head="BertModel")(TOKENS, pooled=1), "pooled must"),
    ],
)  # fmt: skip
def test_wrong_arguments_are_refused(call: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        call(write(tmp_path))


def test_an_encoder_whose_file_has_no_pooler_has_none(tmp_path: Path) -> None:
    tensors = {name: array for name, array in checkpoint().items() if "pooler" not in name}
    model = from_pretrained(write(tmp_path, tensors=tensors), head="BertModel")
    assert model(TOKENS).shape == (2, 3, 6)
    with pytest.raises(ValueError, match="pooled must be False: the model has no pooler"):
        model(TOKENS, pooled=True)


@pytest.mark.parametrize("cut", [1, 100, 5_000])
def test_a_truncated_file_is_named(cut: int, tmp_path: Path) -> None:
    path = write(tmp_path) / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-cut])
    error = pytest.importorskip("safetensors").SafetensorError
    with pytest.raises(error, match=r"must be a whole safetensors file: .*model\.safetensors'"):
        from_pretrained(tmp_path)


@pytest.mark.parametrize(
    "content",
    [b"", b"\0" * 7, struct.pack("<Q", 2**62) + b"{}", struct.pack("<Q", 2) + b"{}xx",
     struct.pack("<Q", 2) + b"[]",
     struct.pack("<Q", 62) + b'{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]},"b":{}}  '],
)  # fmt: skip
def test_a_damaged_header_is_refused(content: bytes, tmp_path: Path) -> None:
    (write(tmp_path) / "model.safetensors").write_bytes(content)
    error = pytest.importorskip("safetensors").SafetensorError
    with pytest.raises(error, match="must be a whole safetensors file"):
        from_pretrained(tmp_path)


def ones(*shape: int) -> np.ndarray[Any, Any]:
    return np.ones(shape, np.float32)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"classifier.weight": ones(3, 5)}, r"classifier.weight must have shape \(3, 6\): got"),
        ({"classifier.bias": ones()}, r"classifier.bias must have shape \(3,\): got \(\)"),
        ({"bert.encoder.layer.1.attention.self.key.weight": ones(5, 6)},
         r"in_proj_weight must have shape \(18, 6\): got \(6, 6\) and \(5, 6\) and \(6, 6\)"),
        ({"bert.more.weight": ones(3)}, "missing nothing, unexpected bert.more.weight"),
        ({"bert.encoder.layer.1.attention.self.key.weight": None}, "lacks the key of"),
        ({"classifier.bias": None}, "missing classifier.bias, unexpected nothing"),
        ({"classifier.bias": np.ones(3, np.complex64)}, "must be of F64, .*: got C64"),
    ],
)  # fmt: skip
def test_tensors_that_do_not_fit_are_named(
    changes: dict[str, Any], message: str, tmp_path: Path
) -> None:
    tensors = {name: array for name, array in {**checkpoint(), **changes}.items()
               if array is not None}  # fmt: skip
    with pytest.raises((TypeError, ValueError), match=message):
        from_pretrained(write(tmp_path, tensors=tensors))


NAME = "classifier.bias"


@pytest.mark.parametrize(
    ("shard", "message"),
    [
        ("../" + SECOND, "must be in the folder of the index"),
        ("/etc/" + SECOND, "must be in the folder of the index"),
        ("sub/" + SECOND, "must be in the folder of the index"),
        ("..\\" + SECOND, "must be in the folder of the index"),
        ("pytorch_model.bin", "must be .safetensors files: got 'pytorch_model.bin'"),
        ("other.safetensors", "lists shards that are not there: other.safetensors"),
        (FIRST, f"{NAME} must be in '{FIRST}', as model.safetensors.index.json says"),
        (3, "must be .safetensors files: got 3"),
    ],
)
def test_tricks_in_the_index_are_refused(shard: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises((FileNotFoundError, ValueError), match=message):
        from_pretrained(write_shards(tmp_path, {NAME: shard}))


def test_a_tensor_in_two_shards_is_refused(tmp_path: Path) -> None:
    write_shards(tmp_path)
    tensors = checkpoint()
    again = {name: tensors[name] for name in [*list(tensors)[20:], next(iter(tensors))]}
    save_file(again, tmp_path / SECOND)
    with pytest.raises(
        ValueError, match=r"word_embeddings\.weight must be in one shard: got it in"
    ):
        from_pretrained(tmp_path)


def test_the_cache_of_the_hub_is_open_in_its_blobs_alone(tmp_path: Path) -> None:
    snapshot = tmp_path / "hub" / "snapshots" / "0a1b"
    snapshot.mkdir(parents=True)
    write(snapshot)
    (snapshot / "config.json").rename(tmp_path / "hub" / "config.json")
    (snapshot / "config.json").symlink_to(Path("..", "..", "config.json"))
    with pytest.raises(ValueError, match=r"config\.json must be in the folder: got a link to "):
        from_pretrained(snapshot)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", FIRST])
def test_a_link_out_of_the_folder_is_refused(name: str, tmp_path: Path) -> None:
    folder, outside = tmp_path / "model", tmp_path / "secret"
    folder.mkdir()
    (write_shards if name == FIRST else write)(folder)
    (folder / name).rename(outside)
    (folder / name).symlink_to(outside)
    with pytest.raises(ValueError, match=f"{name} must be in the folder: got a link to "):
        from_pretrained(folder)


def test_two_values_of_a_shared_parameter_are_refused(tmp_path: Path) -> None:
    from heedful.models._loading import load

    model = from_config(CONFIG, head="BertForMaskedLM")
    state = model.state_dict()
    load(model, dict(state), strict=True)
    state["decoder.weight"] = state["decoder.weight"] + 1
    with pytest.raises(ValueError, match="one parameter in the model: the files have two arrays"):
        load(model, dict(state), strict=True)
