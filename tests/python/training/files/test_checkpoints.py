"""Checkpoints in one file or several, in every type that a safetensors file may have."""

from __future__ import annotations

import json
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from heedful.layers import Linear, Sequential, bert_from_config
from heedful.training import load_weights, save_weights

library = pytest.importorskip("safetensors.numpy")


def write(path: Path, tensors: dict[str, tuple[str, list[int], bytes]]) -> Path:
    """A file by hand: NumPy does not have all types."""
    header, data = {}, b""
    for name, (dtype, shape, content) in tensors.items():
        offsets = [len(data), len(data) + len(content)]
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": offsets}
        data += content
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)
    return path


# the bits in the file, and their value
TYPES = {
    "BF16": (bytes.fromhex("803f 0040 40c0"), [1.0, 2.0, -3.0]),
    "F16": (np.array([1.5, 2**-24, -65504], "<f2").tobytes(), [1.5, 2**-24, -65504.0]),
    "F64": (np.array([1.5, 0.1, -3], "<f8").tobytes(), [1.5, np.float32(0.1), -3.0]),
    "I64": (np.array([1, -2, 3], "<i8").tobytes(), [1.0, -2.0, 3.0]),
    "U8": (bytes([0, 2, 255]), [0.0, 2.0, 255.0]),
    "BOOL": (bytes([0, 1, 1]), [0.0, 1.0, 1.0]),
}


@pytest.mark.slow
@pytest.mark.parametrize("dtype", TYPES)
def test_every_type_is_read_without_another_package(dtype: str, tmp_path: Path) -> None:
    data, expected = TYPES[dtype]
    path = write(tmp_path / "state", {"weight": (dtype, [1, 3], data),
                                      "bias": ("F32", [1], struct.pack("<f", 7))})  # fmt: skip
    program = (
        "import sys; sys.modules['ml_dtypes'] = None\n"
        "from heedful.layers import Linear\n"
        "from heedful.training import load_weights\n"
        "model = Linear(3, 1)\n"
        f"load_weights(model, {str(path)!r})\n"
        "print(model.weight.dtype, model.weight.tolist(), model.bias.tolist())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"float32 {[[float(n) for n in expected]]} [7.0]\n"


def test_bfloat16_is_exact_in_every_bit(tmp_path: Path) -> None:
    bits = np.arange(2**16, dtype="<u2")
    write(tmp_path / "state", {"weight": ("BF16", [2**16, 1], bits.tobytes())})
    model = Linear(1, 2**16, bias=False)
    load_weights(model, tmp_path / "state")
    np.testing.assert_array_equal(
        model.weight.ravel().view(np.uint32), bits.astype(np.uint32) << 16
    )


def test_the_first_example_of_a_bfloat16_file_and_an_empty_tensor(tmp_path: Path) -> None:
    path = write(tmp_path / "b.safetensors", {
        "weight": ("BF16", [1, 2], bytes.fromhex("803f0040")),
        "bias": ("BF16", [1], bytes.fromhex("4040")),
        "more": ("BF16", [0, 5], b""),
    })  # fmt: skip
    model = Linear(2, 1)
    assert load_weights(model, path, strict=False) == ([], ["more"])
    assert (model.weight.tolist(), model.bias.tolist()) == ([[1, 2]], [3])


@pytest.mark.parametrize(("dtype", "size"), [("F8_E4M3", 1), ("F8_E5M2", 1), ("C64", 8)])
def test_types_that_mean_nothing_alone_are_refused(dtype: str, size: int, tmp_path: Path) -> None:
    path = write(tmp_path / "state", {"weight": (dtype, [1, 2], bytes(2 * size))})
    model = Linear(2, 1, bias=False, rng=0)
    before = model.weight.copy()
    with pytest.raises(TypeError, match=f"weight must be of F64, .*: got {dtype}"):
        load_weights(model, path)
    np.testing.assert_array_equal(model.weight, before)


def test_control_characters_in_names_of_a_file_are_escaped(tmp_path: Path) -> None:
    for name in ("\x1b[2Jweight", "\x9b2J", "we\u202eight", "a\nb"):
        path = write(tmp_path / "state", {name: ("F32", [1], bytes(4))})
        with pytest.raises(ValueError, match="unexpected") as caught:
            load_weights(Linear(2, 1), path)
        assert str(caught.value).isprintable()


def network(rng: Any = 0) -> Sequential:
    return Sequential(Linear(3, 5, rng=rng), Linear(5, 2, rng=rng))


@pytest.fixture
def sharded(tmp_path: Path) -> Path:
    """The weights of `network` in two shards and an index."""
    state = network().state_dict()
    parts = {"model-00001-of-00002.safetensors": ["0.weight", "1.bias"],
             "model-00002-of-00002.safetensors": ["0.bias", "1.weight"]}  # fmt: skip
    for shard, names in parts.items():
        library.save_file({name: state[name] for name in names}, tmp_path / shard)
    weight_map = {name: shard for shard, names in parts.items() for name in names}
    write_index(tmp_path, weight_map)
    return tmp_path


def write_index(folder: Path, weight_map: Any) -> None:
    text = json.dumps({"metadata": {"total_size": 1}, "weight_map": weight_map})
    (folder / "model.safetensors.index.json").write_text(text, encoding="utf-8")


@pytest.mark.parametrize("name", ["", "model.safetensors.index.json"])
def test_shards_are_read_by_their_folder_and_by_their_index(name: str, sharded: Path) -> None:
    model = network(1)
    assert load_weights(model, sharded / name) == ([], [])
    for name, array in network().state_dict().items():
        np.testing.assert_array_equal(model.state_dict()[name], array)


def test_a_single_file_in_a_folder_takes_precedence(sharded: Path) -> None:
    save_weights(network(5), sharded / "model.safetensors")
    model = network(1)
    load_weights(model, str(sharded))
    np.testing.assert_array_equal(model[0].weight, network(5)[0].weight)


def test_shards_may_be_links_as_in_a_cache(sharded: Path, tmp_path: Path) -> None:
    shard = sharded / "model-00001-of-00002.safetensors"
    (tmp_path / "blobs").mkdir()
    shard.rename(tmp_path / "blobs" / "0123")
    shard.symlink_to("blobs/0123")
    load_weights(network(), sharded)


FIRST = "model-00001-of-00002.safetensors"
SECOND = "model-00002-of-00002.safetensors"
GOOD = {"0.weight": FIRST, "1.bias": FIRST, "0.bias": SECOND, "1.weight": SECOND}


@pytest.mark.parametrize(
    ("weight_map", "message"),
    [
        ({**GOOD, "1.bias": f"../{FIRST}"}, r"in the folder of the index: got '\.\./model"),
        ({**GOOD, "1.bias": f"inside/{FIRST}"}, "in the folder of the index: got 'inside/model"),
        ({**GOOD, "1.bias": f"..\\{FIRST}"}, "in the folder of the index: got"),
        ({**GOOD, "1.bias": f"C:{FIRST}"}, "in the folder of the index: got 'C:model"),
        ({**GOOD, "1.bias": f"/etc/{FIRST}"}, "in the folder of the index: got '/etc/model"),
        ({**GOOD, "1.bias": f"\0{FIRST}"}, "in the folder of the index: got"),
        ({**GOOD, "1.bias": "pytorch_model.bin"}, "must be .safetensors files: got 'pytorch_mo"),
        ({**GOOD, "1.bias": 3}, "must be .safetensors files: got 3"),
        ({**GOOD, "1.bias": SECOND}, f"1.bias must be in '{SECOND}', as model.safetensors.ind"),
        ({**GOOD, "more": SECOND}, f"more must be in '{SECOND}', as model.safetensors.index"),
        ({}, "weight_map must be a mapping of names to files: got {}"),
        ([FIRST], "weight_map must be a mapping of names to files: got "),
        (None, "weight_map must be a mapping of names to files: got None"),
    ],
)
def test_a_wrong_index_loads_nothing(weight_map: Any, message: str, sharded: Path) -> None:
    write_index(sharded, weight_map)
    model = network(1)
    with pytest.raises(ValueError, match=message):
        load_weights(model, sharded)
    np.testing.assert_array_equal(model[0].weight, network(1)[0].weight)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "path must be an index of safetensors files: model.safetensors.index.json is none"),
        ("[]", "is none"),
        ("{}", "is none, 'weight_map'"),
        ("[" * 100_000, "is none"),
        ('{"weight_map": {"a": "x.safetensors", "a": "y.safetensors"}}', "'a' is in it twice"),
    ],
)
def test_what_is_no_index_is_refused(text: str, message: str, sharded: Path) -> None:
    (sharded / "model.safetensors.index.json").write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=message):
        load_weights(network(), sharded)


def test_an_index_in_another_encoding_is_refused(sharded: Path) -> None:
    (sharded / "model.safetensors.index.json").write_bytes(b"\xff\xfe{}")
    with pytest.raises(ValueError, match="is none"):
        load_weights(network(), sharded)


def test_a_shard_that_is_missing_is_named(sharded: Path) -> None:
    (sharded / SECOND).unlink()
    with pytest.raises(FileNotFoundError, match=f"shards that are not there: {SECOND}"):
        load_weights(network(), sharded)


def test_a_name_in_two_shards_is_refused(sharded: Path) -> None:
    state = network().state_dict()
    names = ("0.bias", "1.weight", "1.bias")
    library.save_file({name: state[name] for name in names}, sharded / SECOND)
    with pytest.raises(ValueError, match=f"1.bias must be in one shard: got it in '{FIRST}' an"):
        load_weights(network(), sharded)


def test_a_damaged_shard_is_named_and_shapes_are_compared_before_any_is_read(
    sharded: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wide = Sequential(Linear(3, 5), Linear(5, 7))
    with monkeypatch.context() as patched:
        patched.setattr(np, "frombuffer", None)  # by which arrays of the file are made
        with pytest.raises(ValueError, match=r"must have shape \(7(, 5)?,?\): got \(2"):
            load_weights(wide, sharded)
    whole = (sharded / SECOND).read_bytes()
    (sharded / SECOND).write_bytes(whole[:-3])
    error = pytest.importorskip("safetensors").SafetensorError
    with pytest.raises(error, match=f"whole safetensors file: '.*{SECOND}' is none"):
        load_weights(network(), sharded)


@pytest.mark.peer
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_shards_of_transformers_give_its_numbers(dtype: str, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=53, hidden_size=12, num_hidden_layers=3, num_attention_heads=3,
        intermediate_size=29, max_position_embeddings=17,
    )  # fmt: skip
    peer = transformers.BertModel(config).eval().to(getattr(torch, dtype))
    peer.save_pretrained(tmp_path, max_shard_size="2KB")
    assert len(list(tmp_path.glob("model-*.safetensors"))) > 2
    model = bert_from_config(json.loads((tmp_path / "config.json").read_text(encoding="utf-8")))
    load_weights(model, tmp_path)
    tokens = np.random.default_rng(0).integers(0, 53, (3, 7))
    with torch.no_grad():
        expected = peer.float()(torch.tensor(tokens)).last_hidden_state.numpy()
    np.testing.assert_allclose(model(tokens), expected, atol=2e-6)
