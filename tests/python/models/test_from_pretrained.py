"""Models that are read from folders: what they compute, and that they are layers as any other."""

from __future__ import annotations

import json
import struct
import subprocess
import sys
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import heedful
from heedful.benchmark.memory import highest
from heedful.layers import BertEncoder, Linear
from heedful.models import SequenceClassification, from_config, from_pretrained
from heedful.training import Adam
from heedful.training.files._mapped import mapped

pytest.importorskip("safetensors")

from safetensors.numpy import save_file
from written_llama import checkpoint as llama_checkpoint
from written_llama import write_llama
from written_models import CONFIG, SIZES, TOKENS, checkpoint, write, write_shards


def softmax(x: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def expected_logits(state: dict[str, Any], tokens: Any) -> np.ndarray[Any, Any]:
    """BERT's classification in float64, written from its equations."""
    from math import erf

    state = {name.removeprefix("bert."): array.astype(float) for name, array in state.items()}

    def dense(name: str, x: Any) -> Any:
        return x @ state[f"{name}.weight"].T + state[f"{name}.bias"]

    def norm(name: str, x: Any) -> Any:
        x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-12)
        return x * state[f"{name}.weight"] + state[f"{name}.bias"]

    x = state["embeddings.word_embeddings.weight"][tokens]
    x = x + state["embeddings.position_embeddings.weight"][: x.shape[1]]
    x = norm("embeddings.LayerNorm", x + state["embeddings.token_type_embeddings.weight"][0])
    for layer in range(2):
        at = f"encoder.layer.{layer}."
        query, key, value = (
            dense(f"{at}attention.self.{part}", x).reshape(*x.shape[:2], 2, 3).swapaxes(1, 2)
            for part in ("query", "key", "value")
        )
        y = softmax(query @ key.swapaxes(-1, -2) / np.sqrt(3)) @ value
        y = y.swapaxes(1, 2).reshape(x.shape)
        x = norm(f"{at}attention.output.LayerNorm", x + dense(f"{at}attention.output.dense", y))
        y = dense(f"{at}intermediate.dense", x)
        y = y * (1 + np.vectorize(erf)(y / np.sqrt(2))) / 2
        x = norm(f"{at}output.LayerNorm", x + dense(f"{at}output.dense", y))
    return dense("classifier", np.tanh(dense("pooler.dense", x[:, 0])))


def test_the_logits_are_those_of_the_equations(tmp_path: Path) -> None:
    model = from_pretrained(write(tmp_path))
    expected = expected_logits(checkpoint(), np.array(TOKENS))
    np.testing.assert_allclose(model(TOKENS), expected, atol=2e-6)
    assert isinstance(model, SequenceClassification)
    assert model.config["id2label"]["2"] == "c"


def test_shards_links_in_a_cache_and_half_precision_are_read(tmp_path: Path) -> None:
    expected = from_pretrained(write(tmp_path))(TOKENS)
    (tmp_path / "shards").mkdir()
    np.testing.assert_array_equal(
        from_pretrained(write_shards(tmp_path / "shards"))(TOKENS), expected
    )
    # as in the cache of the hub: snapshots/<revision> links to blobs
    snapshot, blobs = tmp_path / "hub" / "snapshots" / "0a1b", tmp_path / "hub" / "blobs"
    snapshot.mkdir(parents=True)
    blobs.mkdir()
    for name in ("config.json", "model.safetensors"):
        (tmp_path / name).rename(blobs / name[:4])
        (snapshot / name).symlink_to(Path("..", "..", "blobs", name[:4]))
    np.testing.assert_array_equal(from_pretrained(snapshot)(TOKENS), expected)


def half_file(path: Path, kind: str, tensors: Any = None) -> dict[str, np.ndarray[Any, Any]]:
    """A file in float16 or bfloat16, written by hand; the values in it as float32."""
    header: dict[str, Any] = {}
    data, kept = b"", {}
    for name, array in (tensors or checkpoint()).items():
        if kind == "BF16":
            bits = (array.view(np.uint32) >> 16).astype("<u2")
            kept[name] = (bits.astype(np.uint32) << 16).view(np.float32)
        else:
            bits = array.astype("<f2")
            kept[name] = bits.astype(np.float32)
        content = bits.tobytes()
        header[name] = {"dtype": kind, "shape": array.shape,
                        "data_offsets": [len(data), len(data) + len(content)]}  # fmt: skip
        data += content
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)  # not aligned, as allowed
    return kept


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["BF16", "F16"])
def test_half_precision_needs_no_other_package(kind: str, tmp_path: Path) -> None:
    write(tmp_path)
    kept = half_file(tmp_path / "model.safetensors", kind)
    program = (
        "import sys\nfor name in ('ml_dtypes', 'torch', 'jax'): sys.modules[name] = None\n"
        "import heedful\n"
        f"model = heedful.models.from_pretrained({str(tmp_path)!r})\n"
        f"print(model({TOKENS!r}).tolist(), model.bert.dtype)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, done.stderr
    found, dtype = done.stdout.rsplit(maxsplit=1)
    assert dtype == "float32"
    np.testing.assert_allclose(
        json.loads(found), expected_logits(kept, np.array(TOKENS)), atol=2e-6
    )


@pytest.mark.parametrize("kind", ["BF16", "F16"])
def test_no_more_than_the_model_and_one_tensor_is_in_memory(kind: str, tmp_path: Path) -> None:
    config = {**CONFIG, "vocab_size": 9_000, "max_position_embeddings": 5_000, "hidden_size": 64,
              "intermediate_size": 3_000}  # fmt: skip
    shapes = {name: array.shape for name, array in checkpoint().items()}
    sizes = {11: 9_000, 9: 5_000, 6: 64, 13: 3_000}
    tensors = {name: np.zeros([sizes.get(size, size) for size in shape], np.float32)
               for name, shape in shapes.items()}  # fmt: skip
    write(tmp_path, config)
    half_file(tmp_path / "model.safetensors", kind, tensors)
    size = sum(array.nbytes for array in tensors.values())
    largest = max(array.nbytes for array in tensors.values())
    del tensors
    from_pretrained(tmp_path)  # what is imported and compiled on first use is not counted
    tracemalloc.start()
    try:
        model = from_pretrained(tmp_path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert sum(array.nbytes for array in model.parameters().values()) == size
    assert size <= peak < size + 1.05 * largest + 200_000


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_pages_of_the_file_are_given_back(tmp_path: Path) -> None:
    from heedful.models._loading import load

    wanted = np.random.default_rng(0).standard_normal((2048, 1024), np.float32)  # 8 MiB
    save_file({"weight": wanted}, tmp_path / "model.safetensors")
    found = mapped(tmp_path / "model.safetensors")
    model = Linear(1024, 2048, bias=False)
    before = file_pages()
    load(model, dict(found), strict=True)
    assert file_pages() - before < wanted.nbytes // 4
    np.testing.assert_array_equal(model.weight, wanted)
    np.testing.assert_array_equal(found["weight"], wanted)  # read again


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_a_large_array_is_read_in_pieces(tmp_path: Path) -> None:
    from heedful.models._loading import load

    wanted = np.random.default_rng(0).standard_normal((10_240, 1024), np.float32)  # 40 MiB
    save_file({"weight": wanted}, tmp_path / "model.safetensors")
    found = mapped(tmp_path / "model.safetensors")
    model = Linear(1024, 10_240, bias=False)
    assert highest(lambda: load(model, dict(found), strict=True)) < 0.6 * wanted.nbytes
    np.testing.assert_array_equal(model.weight, wanted)


def file_pages() -> int:
    """Bytes of files in the memory of this process."""
    text = Path("/proc/self/status").read_text(encoding="ascii")
    line = next(line for line in text.splitlines() if line.startswith("RssFile"))
    return 1024 * int(line.split()[1])


def test_the_package_is_imported_on_first_use() -> None:
    program = (
        "import sys, heedful, heedful.layers\n"
        "assert 'heedful.models' not in sys.modules\n"
        "heedful.models.from_config\n"
        "assert not {'tokenizers', 'jinja2', 'safetensors', 'torch'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=600)


def test_from_config_takes_a_mapping_a_file_or_a_folder(tmp_path: Path) -> None:
    write(tmp_path)
    models = [from_config(given, rng=3) for given in (CONFIG, tmp_path, tmp_path / "config.json")]
    models.append(from_config(models[0].config, rng=3))
    for model in models:
        assert isinstance(model, SequenceClassification)
        assert model.classifier.weight.shape == (3, 6)
        np.testing.assert_array_equal(model(TOKENS), models[0](TOKENS))
    assert from_config(CONFIG, dtype=np.float64)(TOKENS).dtype == np.float64
    assert type(from_config({"model_type": "bert", **SIZES})) is BertEncoder
    assert type(from_config(CONFIG, head="BertModel")) is BertEncoder


@pytest.mark.parametrize("kind", ["bert", "roberta"])
def test_weights_of_attention_are_dropped_at_the_rate_of_the_config(kind: str) -> None:
    rates = {"attention_probs_dropout_prob": 0.25, "hidden_dropout_prob": 0.5}
    model = from_config({**CONFIG, **rates, "model_type": kind, "architectures": []})
    assert [layer.self_attn.dropout for layer in model.encoder.layers] == [0.25] * 2
    assert model.dropout.rate == 0.5


@pytest.mark.parametrize("names", [["model.embed_tokens.weight"], ["lm_head.weight"], []])
def test_a_tied_weight_may_have_either_name_or_both(names: list[str], tmp_path: Path) -> None:
    """Without those of `names`."""
    place = write_llama(tmp_path)
    expected = from_pretrained(place)(TOKENS)
    tensors = llama_checkpoint()
    tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"]
    kept = {name: array for name, array in tensors.items() if name not in names}
    save_file(kept, place / "model.safetensors")
    np.testing.assert_array_equal(from_pretrained(place)(TOKENS), expected)


def test_a_new_head_keeps_its_initial_values_and_is_named(tmp_path: Path) -> None:
    tensors = {name: array for name, array in checkpoint().items() if "classifier" not in name}
    write(tmp_path, tensors=tensors)
    with pytest.raises(ValueError, match=r"missing classifier\.weight, classifier\.bias, unexp"):
        from_pretrained(tmp_path)
    with pytest.warns(UserWarning, match=r"keep their initial values: classifier\.weight, class"):
        model = from_pretrained(tmp_path, strict=False, rng=5)
    assert np.abs(model.classifier.weight).min() > 0  # drawn, not left at 0
    np.testing.assert_array_equal(
        model.bert.token_embedding.weight, tensors["bert.embeddings.word_embeddings.weight"]
    )


def test_a_loaded_model_is_trained_watched_and_quantised_as_any_other(tmp_path: Path) -> None:
    model = from_pretrained(write(tmp_path))
    y, weights = model(TOKENS, return_weights=True)
    assert [array.shape for array in weights] == [(2, 2, 3, 3)] * 2
    with heedful.explain.watch(model) as seen:
        model(TOKENS, lengths=[3, 2])
    assert list(seen) == [f"bert.encoder.layers.{layer}.self_attn" for layer in range(2)]
    model.compile(Adam(lr=0.01), "sparse_categorical_crossentropy", metrics=["accuracy"])
    inputs = {"tokens": np.tile(TOKENS, (8, 1)), "mask": np.ones((16, 3), bool)}
    history = model.fit(inputs, np.arange(16) % 2, epochs=30, verbose=False, rng=0)
    assert history["loss"][-1] < history["loss"][0] / 2
    exact = from_pretrained(tmp_path)
    narrow = from_pretrained(tmp_path).quantize()
    assert narrow.parameters()["classifier.weight"].dtype == np.int8
    assert np.abs(narrow(TOKENS) - exact(TOKENS)).max() < 0.05 * np.abs(exact(TOKENS)).max()
    model.load_state_dict(exact.state_dict())
    np.testing.assert_array_equal(model(TOKENS), y)


def test_gradients_of_heads_are_finite_differences() -> None:
    for head in ("Model", "ForSequenceClassification", "ForTokenClassification",
                 "ForQuestionAnswering", "ForMaskedLM"):  # fmt: skip
        options = {"lengths": [3, 2]} | ({"pooled": True} if head == "Model" else {})
        config = {**CONFIG, "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
        model = from_config(config, head=f"Bert{head}", dtype=np.float64, rng=1)
        rng = np.random.default_rng(2)
        y, backward = model.forward(TOKENS, **options)
        outputs = y if isinstance(y, tuple) else (y,)
        gradients = [rng.standard_normal(part.shape) for part in outputs]
        backward(*gradients)

        def loss(model: Any = model, gradients: Any = gradients, options: Any = options) -> float:
            y = model(TOKENS, **options)
            parts = y if isinstance(y, tuple) else (y,)
            return float(sum((a * b).sum() for a, b in zip(parts, gradients, strict=True)))

        for name, array in model.parameters().items():
            place = tuple(rng.integers(0, size) for size in array.shape)
            if name.endswith("token_embedding.weight"):
                place = (2, place[1])
            kept, ends = array[place], []
            for step in (1e-5, -1e-5):
                array[place] = kept + step
                ends.append(loss())
            array[place] = kept
            expected = (ends[0] - ends[1]) / 2e-5
            assert model.grads[name][place] == pytest.approx(expected, abs=1e-6, rel=1e-5), name
