"""Encoders of the BERT family beside transformers', with the same random weights."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from heedful.layers import BertEncoder, bert_from_config

pytestmark = pytest.mark.peer

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

SIZES = {
    "vocab_size": 53, "hidden_size": 12, "num_hidden_layers": 2, "num_attention_heads": 3,
    "intermediate_size": 29, "max_position_embeddings": 19,
}  # fmt: skip
FAMILIES = {
    "bert": ("BertConfig", "BertModel", SIZES),
    "roberta": ("RobertaConfig", "RobertaModel", {**SIZES, "type_vocab_size": 1}),
    "xlm-roberta": ("XLMRobertaConfig", "XLMRobertaModel", {**SIZES, "layer_norm_eps": 1e-5}),
    "camembert": ("CamembertConfig", "CamembertModel", {**SIZES, "pad_token_id": 3}),
    "distilbert": ("DistilBertConfig", "DistilBertModel",
                   {"vocab_size": 53, "dim": 12, "n_layers": 2, "n_heads": 3, "hidden_dim": 29,
                    "max_position_embeddings": 19}),
}  # fmt: skip
ROBERTA = ("roberta", "xlm-roberta", "camembert")


def pair(family: str, **changes: Any) -> tuple[Any, BertEncoder]:
    """transformers' model with random weights, and heedful's with the same."""
    config_name, model_name, sizes = FAMILIES[family]
    torch.manual_seed(0)
    config = getattr(transformers, config_name)(**{**sizes, **changes})
    peer = getattr(transformers, model_name)(config).eval()
    for parameter in peer.parameters():  # no zeros: padding vectors would hide a mistake
        parameter.data = torch.randn_like(parameter) * 0.3
    model = bert_from_config(config.to_dict())
    model.load_state_dict({name: a.detach().numpy() for name, a in peer.state_dict().items()})
    return peer, model


def compare(peer: Any, model: BertEncoder, tokens: Any, mask: Any = None) -> None:
    seen = None if mask is None else torch.tensor(np.asarray(mask).astype(int))
    with torch.no_grad():
        expected = peer(torch.tensor(tokens), attention_mask=seen).last_hidden_state.numpy()
    found = model(tokens, mask=mask)
    assert np.isfinite(found).all()
    counted = np.ones_like(np.asarray(tokens), bool) if mask is None else np.asarray(mask, bool)
    np.testing.assert_allclose(found[counted], expected[counted], atol=2e-5)


def places(pad: int) -> dict[str, list[list[int]]]:
    return {
        "none": [[5, 6, 7, 8, 9], [9, 8, 7, 6, 5]],
        "right": [[5, 6, 7, pad, pad], [5, pad, pad, pad, pad]],
        "left": [[pad, pad, 5, 6, 7], [pad, 5, 6, 7, 8]],
        "inside": [[5, pad, 6, pad, 7], [pad, 5, pad, 6, pad]],
        "all": [[pad] * 5, [5, 6, 7, pad, pad]],
    }


@pytest.mark.parametrize("masked", [True, False])
@pytest.mark.parametrize("place", places(1))
@pytest.mark.parametrize("family", FAMILIES)
def test_positions_are_those_of_transformers(family: str, place: str, masked: bool) -> None:
    peer, model = pair(family)
    pad = peer.config.pad_token_id
    tokens = places(pad)[place]
    compare(peer, model, tokens, np.array(tokens) != pad if masked else None)


def test_the_first_example_of_padding_on_the_left() -> None:
    peer, model = pair("roberta")
    tokens = [[1, 1, 5, 6, 7]]
    compare(peer, model, tokens, np.array(tokens) != 1)


@pytest.mark.parametrize("family", ROBERTA)
def test_a_text_may_be_as_long_as_the_table_beyond_the_padding_s_row(family: str) -> None:
    peer, model = pair(family)
    pad = peer.config.pad_token_id
    longest = SIZES["max_position_embeddings"] - pad - 1
    tokens = [[5] * longest + [pad] * 7, [pad] * 7 + [6] * longest]
    compare(peer, model, tokens, np.array(tokens) != pad)
    with pytest.raises(ValueError, match="tokens must lie at positions below max_length = 19"):
        model([[5] * (longest + 1)])


@pytest.mark.parametrize("family", ROBERTA)
def test_lists_of_different_lengths_are_as_alone(family: str) -> None:
    peer, model = pair(family)
    texts = [[5, 6, 7, 8], [9], [0, 2, 4]]
    together = model(texts)
    for text, y in zip(texts, together, strict=True):
        np.testing.assert_allclose(y[: len(text)], model([text])[0], atol=1e-6)
        compare(peer, model, [text])


@pytest.mark.parametrize("activation", ["gelu", "gelu_new", "gelu_fast", "gelu_python", "relu",
                                        "gelu_pytorch_tanh", "gelu_accurate", "gelu_python_tanh",
                                        "silu", "swish", "tanh", "sigmoid", "linear"])  # fmt: skip
@pytest.mark.parametrize("family", ["bert", "distilbert"])
def test_activations_are_those_of_transformers(family: str, activation: str) -> None:
    name = "activation" if family == "distilbert" else "hidden_act"
    peer, model = pair(family, **{name: activation})
    compare(peer, model, [[5, 6, 7], [8, 9, 10]])


@pytest.mark.parametrize("activation", ["gelu_10", "quick_gelu", "mish", "relu6", "leaky_relu"])
def test_other_activations_are_refused(activation: str) -> None:
    with pytest.raises(ValueError, match="activation must be None or one of"):
        bert_from_config({**SIZES, "hidden_act": activation})


def test_gradients_of_padding_are_those_of_transformers() -> None:
    peer, model = pair("roberta", hidden_dropout_prob=0.0)
    tokens = np.array([[1, 5, 6, 1, 7], [5, 7, 1, 1, 1]])
    mask = tokens != 1
    dy = np.random.default_rng(0).standard_normal((2, 5, 12)).astype(np.float32)
    out = peer(torch.tensor(tokens), attention_mask=torch.tensor(mask.astype(int)))
    (out.last_hidden_state * torch.tensor(dy)).sum().backward()
    _, backward = model.forward(tokens, mask=mask)
    backward(dy)
    embeddings = peer.embeddings
    for theirs, own in (
        (embeddings.word_embeddings, model.token_embedding),
        (embeddings.position_embeddings, model.positions),
        (embeddings.token_type_embeddings, model.segment_embedding),
    ):
        expected = theirs.weight.grad.numpy()
        found = own.parameter("weight").grad
        np.testing.assert_allclose(found, expected, atol=2e-4 * np.abs(expected).max())


@pytest.mark.parametrize("family", FAMILIES)
def test_what_a_config_leaves_out_is_what_transformers_takes(family: str) -> None:
    config_name, _, _ = FAMILIES[family]
    config = getattr(transformers, config_name)()
    small = {"num_hidden_layers": 1, "n_layers": 1, "vocab_size": 60}
    own = bert_from_config({"model_type": family, **small})
    full = bert_from_config({**config.to_dict(), **small})
    assert own.positions.weight.shape == full.positions.weight.shape
    assert own.token_embedding.weight.shape == full.token_embedding.weight.shape
    assert (own.segment_embedding is None) == (full.segment_embedding is None)
    layers = own.encoder.layers[0], full.encoder.layers[0]
    assert layers[0].linear1.weight.shape == layers[1].linear1.weight.shape
    assert layers[0].self_attn.num_heads == layers[1].self_attn.num_heads
    assert layers[0].linear1.activation == layers[1].linear1.activation
    assert (own.norm.eps, own.padding_idx) == (full.norm.eps, full.padding_idx)
    names = ("vocab_size", "num_hidden_layers")
    wanted = {name: getattr(config, name) for name in names}
    sizes = {"dff": 4, "d_model": 4, "num_heads": 1, "max_length": 4}
    found = bert_from_config({"model_type": family}, **sizes)
    assert found.token_embedding.num_embeddings == wanted["vocab_size"]
    assert len(found.encoder.layers) == wanted["num_hidden_layers"]
