"""Checkpoints of the BERT family under the names that Hugging Face gives them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from heedful.layers import BertEncoder, bert_from_config

WIDTH, INNER, VOCABULARY = 6, 13, 11
# Part of a layer → its name in BERT and RoBERTa, and in DistilBERT.
PARTS = {
    "self_attn.q": ("attention.self.query", "attention.q_lin"),
    "self_attn.k": ("attention.self.key", "attention.k_lin"),
    "self_attn.v": ("attention.self.value", "attention.v_lin"),
    "self_attn.out_proj": ("attention.output.dense", "attention.out_lin"),
    "norm1": ("attention.output.LayerNorm", "sa_layer_norm"),
    "linear1": ("intermediate.dense", "ffn.lin1"),
    "linear2": ("output.dense", "ffn.lin2"),
    "norm2": ("output.LayerNorm", "output_layer_norm"),
}
EMBEDDINGS = {
    "token_embedding.weight": "word_embeddings.weight",
    "positions.weight": "position_embeddings.weight",
    "segment_embedding.weight": "token_type_embeddings.weight",
    "norm.weight": "LayerNorm.weight",
    "norm.bias": "LayerNorm.bias",
}
FAMILIES = {  # prefix, folder of layers, column of PARTS, what a checkpoint has beside the encoder
    "bert": ("bert.", "encoder", 0, ["cls.predictions.bias", "bert.pooler.dense.weight",
                                     "bert.embeddings.position_ids"]),
    "bare": ("", "encoder", 0, ["embeddings.position_ids", "pooler.dense.bias"]),
    "roberta": ("roberta.", "encoder", 0, ["lm_head.dense.weight", "classifier.dense.bias"]),
    "distilbert": ("distilbert.", "transformer", 1, ["vocab_transform.weight",
                                                     "pre_classifier.bias"]),
}  # fmt: skip


def as_checkpoint(model: BertEncoder, family: str) -> dict[str, Any]:
    prefix, folder, column, beside = FAMILIES[family]
    state: dict[str, Any] = {name: np.ones(3, np.float32) for name in beside}
    for name, array in model.state_dict().items():
        if name in EMBEDDINGS:
            state[f"{prefix}embeddings.{EMBEDDINGS[name]}"] = array
            continue
        _, _, number, part, kind = (
            name.replace("in_proj_", "in_proj.").replace("self_attn.", "self_attn/").split(".")
        )
        part, inside = part.replace("/", "."), f"{prefix}{folder}.layer.{number}."
        if part == "self_attn.in_proj":
            for letter, piece in zip("qkv", np.split(array, 3), strict=True):
                state[f"{inside}{PARTS[f'self_attn.{letter}'][column]}.{kind}"] = piece
        else:
            state[f"{inside}{PARTS[part][column]}.{kind}"] = array
    return state


@pytest.mark.parametrize("family", FAMILIES)
def test_a_checkpoint_loads_unchanged(family: str, rng: np.random.Generator) -> None:
    size = (VOCABULARY, WIDTH, 2, 2, INNER, 9)
    segments = 0 if family == "distilbert" else 2
    trained, model = (BertEncoder(*size, segments=segments, rng=seed) for seed in (0, 1))
    for parameter in trained.parameters().values():
        parameter += 0.1 * rng.standard_normal(parameter.shape).astype(np.float32)
    state = as_checkpoint(trained, family)
    tokens = rng.integers(0, VOCABULARY, (3, 5))
    assert not np.allclose(model(tokens), trained(tokens))
    model.load_state_dict(state)
    np.testing.assert_array_equal(
        model(tokens, lengths=[5, 3, 1]), trained(tokens, lengths=[5, 3, 1])
    )


def test_names_of_old_checkpoints_are_understood() -> None:
    model = BertEncoder(VOCABULARY, WIDTH, 2, 1, INNER, 9, rng=0)
    state = {
        name.replace("Norm.weight", "Norm.gamma").replace("Norm.bias", "Norm.beta"): array + 1
        for name, array in as_checkpoint(model, "bert").items()
    }
    before = model.norm.weight.copy()
    model.load_state_dict(state)
    np.testing.assert_array_equal(model.norm.weight, before + 1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("bert.encoder.layer.1.attention.self.key.weight"),
         r"state lacks the key of encoder\.layers\.1\.self_attn\.in_proj_weight"),
        (lambda s: s.pop("bert.encoder.layer.1.output.dense.bias"),
         r"missing encoder\.layers\.1\.linear2\.bias, unexpected nothing"),
        (lambda s: s.update({"bert.encoder.layer.2.output.dense.bias": np.ones(WIDTH)}),
         r"missing nothing, unexpected encoder\.layers\.2\.linear2\.bias"),
        (lambda s: s.update({"bert.embeddings.LayerNorm.bias": np.ones(WIDTH + 1)}),
         r"norm\.bias must have shape \(6,\): got \(7,\)"),
    ],
    ids=["part", "missing", "extra", "shape"],
)  # fmt: skip
def test_a_checkpoint_that_does_not_fit_changes_nothing(change: Any, message: str) -> None:
    model = BertEncoder(VOCABULARY, WIDTH, 2, 2, INNER, 9, rng=0)
    before = model.state_dict()
    state = {name: array + 1 for name, array in as_checkpoint(model, "bert").items()}
    change(state)
    with pytest.raises(ValueError, match=message):
        model.load_state_dict(state)
    for name, array in model.parameters().items():
        np.testing.assert_array_equal(array, before[name])


def test_a_config_gives_the_sizes() -> None:
    shared = {"vocab_size": VOCABULARY, "max_position_embeddings": 9}
    bert = {**shared, "model_type": "bert", "hidden_size": WIDTH, "num_attention_heads": 3,
            "num_hidden_layers": 2, "intermediate_size": INNER, "type_vocab_size": 2,
            "hidden_act": "gelu_new", "layer_norm_eps": 1e-7}  # fmt: skip
    distilled = {**shared, "model_type": "distilbert", "dim": WIDTH, "n_heads": 3, "n_layers": 2,
                 "hidden_dim": INNER, "dropout": 0.2, "activation": "gelu"}  # fmt: skip
    roberta = {**bert, "model_type": "roberta", "pad_token_id": 1}
    for config in (bert, roberta, distilled):
        model = bert_from_config(config)
        layer = model.encoder.layers[1]
        assert layer.self_attn.num_heads == 3
        assert layer.linear1.weight.shape == (INNER, WIDTH)
        assert model.positions.weight.shape == (9, WIDTH)
    assert bert_from_config(bert).norm.eps == 1e-7
    assert bert_from_config(bert).encoder.layers[0].linear1.activation == "gelu_tanh"
    assert bert_from_config(distilled).segment_embedding is None
    # positions of RoBERTa begin after the padding's
    assert bert_from_config(roberta).first_position == 2


def test_texts_of_different_lengths_may_be_lists() -> None:
    model = BertEncoder(9, 6, 2, 1, 8, 5, rng=0)
    y = model([[1, 2], [3], [4, 5, 6]])
    filled = [[1, 2, 0], [3, 0, 0], [4, 5, 6]]
    np.testing.assert_array_equal(y, model(filled, lengths=[2, 1, 3]))
    with pytest.raises(ValueError, match="tokens must be rectangular"):
        model([[1, 2], [3]], lengths=[2, 1])
    with pytest.raises(ValueError, match="tokens must be rectangular"):
        model([[1, 2], [[3]]])


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"model_type": "gpt2"}, "model_type must be 'bert' or 'distilbert' or .*: got 'gpt2'"),
        ({"model_type": "mpnet"}, "got 'mpnet'"),
        ({"position_embedding_type": "relative_key"}, "must be 'absolute': got 'relative_key'"),
        ({"is_decoder": True}, "is_decoder must be False"),
        ({"hidden_act": "quick_gelu"}, "activation must be None or one of"),
    ],
)
def test_what_is_no_such_encoder_is_refused(config: dict[str, Any], message: str) -> None:
    small = {"vocab_size": 9, "hidden_size": 6, "num_attention_heads": 2, "num_hidden_layers": 1}
    with pytest.raises(ValueError, match=message):
        bert_from_config({**small, **config})


@pytest.mark.parametrize("name", ["gelu_new", "gelu_fast", "gelu_pytorch_tanh"])
def test_hugging_face_s_names_of_gelu_by_tanh(name: str) -> None:
    config = {"hidden_size": 12, "num_attention_heads": 2, "num_hidden_layers": 1, "vocab_size": 9}
    model = bert_from_config({**config, "hidden_act": name})
    assert model.encoder.layers[0].linear1.activation == "gelu_tanh"


@pytest.mark.parametrize("kind", ["roberta", "xlm-roberta", "camembert"])
@pytest.mark.parametrize("config", [{}, {"pad_token_id": None}])
def test_a_config_without_a_padding_token_counts_as_the_family_does(
    kind: str, config: dict[str, Any]
) -> None:
    small = {"vocab_size": 9, "hidden_size": 6, "num_attention_heads": 2, "num_hidden_layers": 1,
             "intermediate_size": 5, "max_position_embeddings": 7}  # fmt: skip
    model = bert_from_config({**small, **config, "model_type": kind}, rng=0)
    assert (model.padding_idx, model.first_position) == (1, 2)
    whole = bert_from_config({**small, "pad_token_id": 1, "model_type": kind}, rng=0)
    np.testing.assert_array_equal(model([[1, 5, 1, 6]]), whole([[1, 5, 1, 6]]))


def test_null_in_a_config_is_as_absent() -> None:
    small = {"vocab_size": 9, "hidden_size": 6, "num_attention_heads": 2, "num_hidden_layers": 1,
             "intermediate_size": 5, "max_position_embeddings": 7}  # fmt: skip
    null = dict.fromkeys(("pad_token_id", "type_vocab_size", "hidden_act", "layer_norm_eps"))
    for kind in ("bert", "roberta"):
        model = bert_from_config({**small, **null, "model_type": kind})
        assert model.segment_embedding.weight.shape == (2, 6)
        assert model.norm.eps == 1e-12
        assert model.encoder.layers[0].linear1.activation == "gelu"


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"padding_idx": 1, "first_position": 5}, ValueError, "must be padding_idx . 1, 2: got 5"),
        ({"padding_idx": -1}, ValueError, "padding_idx must be a token from 0 to 8: got -1"),
        ({"padding_idx": "1"}, TypeError, "padding_idx must be an integer or None: got '1'"),
        ({"first_position": -1}, ValueError, "first_position must not be negative: got -1"),
        ({"first_position": 1.5}, TypeError, "first_position must be an integer: got 1.5"),
    ],
)
def test_positions_that_cannot_be_are_refused(
    options: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        BertEncoder(9, 6, 2, 1, 5, 7, **options)


def test_hidden_states_are_the_outputs_of_the_layers_one_after_another() -> None:
    model = BertEncoder(VOCABULARY, WIDTH, 2, 3, INNER, 9, pooler=True, rng=0)
    tokens, lengths = np.array([[1, 2, 3, 4], [5, 6, 0, 0]]), [4, 2]
    y, pooled, states = model(tokens, lengths=lengths, pooled=True, hidden_states=True)
    np.testing.assert_array_equal(y, model(tokens, lengths=lengths))
    np.testing.assert_array_equal(pooled, model.pooler(y[:, 0]))
    assert len(states) == 4
    embedded = model.token_embedding(tokens) + model.segment_embedding(np.zeros_like(tokens))
    np.testing.assert_allclose(states[0], model.norm(model.positions(embedded)), atol=1e-6)
    for layer, before, after in zip(model.encoder.layers, states, states[1:], strict=False):
        np.testing.assert_array_equal(layer(before, kv_lengths=lengths), after)
    np.testing.assert_array_equal(states[-1], y)
    (again, *_), backward = model.forward(tokens, hidden_states=True)
    backward(np.ones_like(again))
