"""Small random sentence models, read by heedful and by sentence-transformers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from heedful.integrations.sentences import SentenceEncoder

pytestmark = pytest.mark.peer

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
library = pytest.importorskip("sentence_transformers")

WORDS = ["the", "The", "THE", "cat", "Cat", "sat", "on", "mat", "a", "A", "Ä", "ä", "query", ":",
         "中", "文", "##s", "##at", "c", "C", "s", "."]  # fmt: skip
TEXTS = ["The cat sat on the mat.", "THE CAT", "", "a Cat sat on a mat. " * 9, "中文 Ä ä", "The"]
SIZES = {"hidden_size": 12, "num_hidden_layers": 2, "num_attention_heads": 3,
         "intermediate_size": 29, "max_position_embeddings": 23}  # fmt: skip


def scatter(model: Any) -> Any:
    torch.manual_seed(0)
    for parameter in model.parameters():
        parameter.data = torch.randn_like(parameter) * 0.3
    return model


def bert(folder: Path) -> Path:
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    vocabulary = {word: index for index, word in enumerate(special + WORDS)}
    transformers.BertTokenizer(vocabulary, model_max_length=19).save_pretrained(folder)
    config = transformers.BertConfig(vocab_size=len(vocabulary), **SIZES)
    scatter(transformers.BertModel(config)).save_pretrained(folder)
    return folder


def roberta(folder: Path) -> Path:
    from tokenizers.pre_tokenizers import ByteLevel

    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    letters = special + sorted(ByteLevel.alphabet())
    vocabulary = {word: index for index, word in enumerate(letters)}
    transformers.RobertaTokenizer(vocabulary, []).save_pretrained(folder)
    config = transformers.RobertaConfig(vocab_size=len(vocabulary), type_vocab_size=1, **SIZES)
    scatter(transformers.RobertaModel(config)).save_pretrained(folder)
    return folder


def write(path: Path, content: Any) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")


def change(path: Path, **entries: Any) -> None:
    """Of a JSON file; None takes an entry away."""
    content = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    content.update(entries)
    write(path, {name: value for name, value in content.items() if value is not None})


def modules(folder: Path, pooling: dict[str, Any] | None = None, *more: str) -> None:
    listed = [("", "Transformer"), ("1_Pooling", "Pooling")]
    listed += [(f"{index}_{kind}", kind) for index, kind in enumerate(more, 2)]
    entries = [{"idx": index, "name": str(index), "path": path,
                "type": f"sentence_transformers.models.{kind}"}
               for index, (path, kind) in enumerate(listed)]  # fmt: skip
    write(folder / "modules.json", entries)
    config = {"word_embedding_dimension": 12, **(pooling or {"pooling_mode_mean_tokens": True})}
    write(folder / "1_Pooling" / "config.json", config)


def compare(folder: Path, texts: list[str] = TEXTS) -> tuple[SentenceEncoder, Any]:
    peer = library.SentenceTransformer(str(folder), device="cpu")
    encoder = SentenceEncoder(folder)
    expected = np.stack([peer.encode([text])[0] for text in texts])
    np.testing.assert_allclose(encoder.encode(texts), expected, atol=2e-5)
    return encoder, peer


MAKERS = {"bert": bert, "roberta": roberta}


@pytest.fixture(params=MAKERS)
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return MAKERS[request.param](tmp_path)


@pytest.mark.parametrize("mode", [
    "cls_token", "max_tokens", "mean_tokens", "mean_sqrt_len_tokens", "weightedmean_tokens",
    "lasttoken",
])  # fmt: skip
def test_each_pooling(mode: str, folder: Path) -> None:
    modules(folder, {f"pooling_mode_{mode}": True})
    change(folder / "tokenizer_config.json", model_max_length=20)
    compare(folder)


def test_several_poolings_are_concatenated(folder: Path) -> None:
    modules(folder, {"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": True,
                     "pooling_mode_max_tokens": True}, "Normalize")  # fmt: skip
    change(folder / "tokenizer_config.json", model_max_length=20)
    encoder, _ = compare(folder)
    assert encoder.encode("a").shape == (36,)


def test_a_plain_encoder_gives_the_mean_without_a_norm(folder: Path) -> None:
    change(folder / "tokenizer_config.json", model_max_length=20)
    compare(folder)


@pytest.mark.parametrize("mode", ["mean", "weightedmean", "lasttoken", "cls", "max"])
@pytest.mark.parametrize("included", [True, False])
def test_a_default_prompt(mode: str, included: bool, folder: Path) -> None:
    modules(folder, {"pooling_mode": mode, "include_prompt": included}, "Normalize")
    change(folder / "tokenizer_config.json", model_max_length=20)
    prompts = {"prompts": {"query": "query: ", "passage": ""}, "default_prompt_name": "query"}
    write(folder / "config_sentence_transformers.json", prompts)
    compare(folder, ["a cat", "The cat sat on the mat."])


def test_a_default_prompt_that_is_not_there_is_refused(tmp_path: Path) -> None:
    bert(tmp_path)
    write(tmp_path / "config_sentence_transformers.json", {"default_prompt_name": "query"})
    with pytest.raises(ValueError, match=r"default_prompt_name must be one of .* got 'query'"):
        SentenceEncoder(tmp_path)


@pytest.mark.parametrize("activation", ["Tanh", "ReLU", "GELU", "SiLU", "Sigmoid", "Identity"])
def test_a_model_that_sentence_transformers_saved(activation: str, tmp_path: Path) -> None:
    from sentence_transformers import models

    source, target = bert(tmp_path / "source"), tmp_path / "target"
    parts = [
        models.Transformer(str(source)), models.Pooling(12, "mean"),
        models.Dense(12, 7, activation_function=getattr(torch.nn, activation)()),
        models.Normalize(), models.Dense(7, 5, bias=False),
    ]  # fmt: skip
    for part in parts[2:]:
        scatter(part)
    library.SentenceTransformer(modules=parts, device="cpu").save(str(target))
    encoder, _ = compare(target)
    assert encoder.encode(["a", "b"]).shape == (2, 5)


def test_a_dense_with_a_residual_connection_is_refused(tmp_path: Path) -> None:
    bert(tmp_path)
    modules(tmp_path, None, "Dense")
    write(tmp_path / "2_Dense" / "config.json",
          {"in_features": 12, "out_features": 12, "use_residual": True})  # fmt: skip
    with pytest.raises(ValueError, match="a Dense must have no residual connection"):
        SentenceEncoder(tmp_path)


@pytest.mark.parametrize("in_tokenizer", [True, False, None])
@pytest.mark.parametrize("override", [True, False, None])
@pytest.mark.parametrize("configured", [True, False, None])
def test_text_is_lowercased_where_configured(
    configured: bool | None, override: bool | None, in_tokenizer: bool | None, tmp_path: Path
) -> None:
    bert(tmp_path)
    modules(tmp_path)
    change(tmp_path / "tokenizer_config.json", do_lower_case=configured)
    change(tmp_path / "sentence_bert_config.json", do_lower_case=override, max_seq_length=15)
    path = tmp_path / "tokenizer.json"
    text = json.loads(path.read_text(encoding="utf-8"))
    text["normalizer"]["lowercase"] = bool(in_tokenizer)
    write(path, text)
    compare(tmp_path)


@pytest.mark.parametrize("entry", [{"strip_accents": False}, {"tokenize_chinese_chars": False},
                                   {"strip_accents": True, "do_lower_case": False}])  # fmt: skip
def test_other_settings_of_the_tokenizer(entry: dict[str, Any], tmp_path: Path) -> None:
    bert(tmp_path)
    change(tmp_path / "tokenizer_config.json", **entry)
    compare(tmp_path)


@pytest.mark.parametrize("lower", [True, False])
def test_text_of_roberta_is_lowercased_too(lower: bool, tmp_path: Path) -> None:
    roberta(tmp_path)
    modules(tmp_path)
    write(tmp_path / "sentence_roberta_config.json", {"do_lower_case": lower, "max_seq_length": 20})
    compare(tmp_path)


@pytest.mark.parametrize("space", [True, False])
def test_a_space_before_roberta_s_first_word(space: bool, tmp_path: Path) -> None:
    roberta(tmp_path)
    change(tmp_path / "tokenizer_config.json", add_prefix_space=space, model_max_length=21)
    compare(tmp_path)


@pytest.mark.parametrize(
    ("settings", "default", "length"),
    [
        ({"max_seq_length": 7}, 11, 7),
        ({"max_seq_length": None}, 11, 11),
        ({}, 11, 11),
        (None, 11, 11),
        (None, 10**30, 23),
        (None, 1e30, 23),
        (None, None, 23),
        ({"max_seq_length": 7, "processor_kwargs": {"model_max_length": 9}}, 11, 9),
        ({"max_seq_length": 7, "tokenizer_args": {"model_max_length": 9}}, 11, 9),
    ],
)
def test_the_length_is_the_model_s(settings: Any, default: Any, length: int, folder: Path) -> None:
    modules(folder)
    change(folder / "tokenizer_config.json", model_max_length=default)
    if settings is not None:
        write(folder / "sentence_bert_config.json", settings)
    encoder = SentenceEncoder(folder)
    is_roberta = encoder.model.padding_idx is not None
    assert encoder.max_length == min(length, 21 if is_roberta else 23)
    if not (is_roberta and length == 23):  # at which sentence-transformers fails on a long text
        _, peer = compare(folder)
        assert peer.max_seq_length == length
    encoder.encode(TEXTS[3] * 5)


def test_a_text_may_be_truncated_on_the_left(tmp_path: Path) -> None:
    bert(tmp_path)
    change(tmp_path / "tokenizer_config.json", truncation_side="left", model_max_length=9)
    compare(tmp_path, ["the cat sat on a mat. " * 5])


@pytest.mark.parametrize(
    ("length", "error", "message"),
    [
        (0, ValueError, "max_length must be at least 1: got 0"),
        (-3, ValueError, "max_length must be at least 1: got -3"),
        (2, ValueError, "max_length must be at least 3, as the model adds 2 tokens to each text"),
        (22, ValueError, "max_length must be at most 21, the model's: got 22"),
        (1.5, TypeError, "max_length must be an integer: got 1.5"),
        (True, TypeError, "max_length must be an integer: got True"),
    ],
)
def test_a_length_that_cannot_be_is_refused(
    length: Any, error: type[Exception], message: str, tmp_path: Path
) -> None:
    with pytest.raises(error, match=message):
        SentenceEncoder(roberta(tmp_path), length)


def test_a_length_may_be_given(folder: Path) -> None:
    encoder = SentenceEncoder(folder, max_length=7)
    peer = library.SentenceTransformer(str(folder), device="cpu")
    peer.max_seq_length = 7
    np.testing.assert_allclose(encoder.encode(TEXTS), peer.encode(TEXTS), atol=2e-5)


def test_a_model_in_shards(tmp_path: Path) -> None:
    bert(tmp_path)
    whole = SentenceEncoder(tmp_path).encode(TEXTS)
    model = transformers.BertModel.from_pretrained(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    model.save_pretrained(tmp_path, max_shard_size="3KB")
    assert len(list(tmp_path.glob("model-*.safetensors"))) > 1
    np.testing.assert_array_equal(SentenceEncoder(tmp_path).encode(TEXTS), whole)


def test_lone_surrogates_are_refused(folder: Path) -> None:
    with pytest.raises(ValueError, match=r"texts must be valid Unicode, .*: got 'a\\ud800'"):
        SentenceEncoder(folder).encode(["good", "a\ud800"])


@pytest.mark.parametrize("settings", [
    {"transformer_task": "fill-mask"}, {"module_output_name": "sentence_embedding"},
    {"modality_config": {"text": {"method": "forward", "method_output_name": "pooler_output"}}},
])  # fmt: skip
def test_another_output_than_vectors_of_tokens_is_refused(settings: Any, tmp_path: Path) -> None:
    bert(tmp_path)
    write(tmp_path / "sentence_bert_config.json", settings)
    with pytest.raises(ValueError, match="the encoder must return its last hidden states"):
        SentenceEncoder(tmp_path)


def test_a_tokenizer_that_is_missing_is_named(tmp_path: Path) -> None:
    bert(tmp_path)
    (tmp_path / "tokenizer.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"folder must have a tokenizer\.json"):
        SentenceEncoder(tmp_path)
