"""attention_map: names, labels, padding, MiniLM as transformers computes it, and memory."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest
from process import run

from heedful import layers as L
from heedful.explain import attention_map, watch
from heedful.integrations.sentences import SentenceEncoder, find_minilm
from heedful.pruning import MergedEncoder, PrunedEncoder

pytestmark = pytest.mark.once
F64: dict[str, Any] = {"dtype": np.float64, "rng": 3}
TEXT = "The bank of the river was steep, so the bank lent nobody a boat."


def bert() -> L.BertEncoder:
    return L.BertEncoder(10, 12, 3, 2, 16, max_length=9, **F64)


class Unused(L.Layer):
    def __init__(self) -> None:
        self.attention = L.MultiHeadAttention(12, 4, **F64)

    def compute(self, mode: L.Mode, x: Any) -> Any:
        return x, lambda dy: dy


def test_a_map_has_the_weights_and_the_tokens_of_one_item() -> None:
    model, inputs = bert(), {"tokens": [[1, 2, 3], [4, 5, 0]], "lengths": [3, 2]}
    _, weights = model(**inputs, return_weights=True)
    found = attention_map(model, inputs, item=1, tokens=["a", "b"])
    assert found.names == ("encoder.layers.0.self_attn", "encoder.layers.1.self_attn")
    for layer, expected in zip(found, weights, strict=True):
        np.testing.assert_array_equal(layer.weights, expected[1, :, :2, :2])  # without padding
        assert (layer.query_tokens, layer.key_tokens) == (("a", "b"), ("a", "b"))
        assert (layer.heads, layer.rows) == ((0, 1, 2), (0, 1))


def test_rows_heads_and_means_are_named() -> None:
    model = bert()
    _, weights = model([[1, 2, 3, 4]], return_weights=True)
    found = attention_map(
        model, [[1, 2, 3, 4]], "*.1", heads=[2, 0], rows=[-1, 1], tokens=[*"abcd"]
    )
    (layer,) = found
    np.testing.assert_allclose(layer.weights, weights[1][0][[2, 0]][:, [3, 1]], atol=1e-12)
    assert layer.heads == (2, 0)
    assert layer.rows == (3, 1)
    assert layer.query_tokens == ("d", "b")
    assert layer.key_tokens == ("a", "b", "c", "d")
    (mean,) = attention_map(model, [[1, 2, 3, 4]], "*.1", average_heads=True)
    np.testing.assert_allclose(mean.weights, weights[1][0].mean(0, keepdims=True), atol=1e-12)
    assert mean.heads == ()
    assert mean.key_tokens == ("0", "1", "2", "3")


def test_an_encoder_and_decoder_have_the_tokens_of_both() -> None:
    """Of equal lengths, too: a decoder's self-attention is of the target."""
    model = L.Transformer(9, 12, 8, 2, 1, 16, **F64)
    source, target = ["x", "y", "z"], ["a", "b", "c"]
    inputs = ([[1, 2, 3], [4, 5, 6]], [[1, 2, 3], [1, 2, 3]])
    found = attention_map(model, inputs, tokens=(source, target))
    labels = [("".join(layer.query_tokens), "".join(layer.key_tokens)) for layer in found]
    assert labels == [("xyz", "xyz"), ("abc", "abc"), ("abc", "xyz")]
    short = attention_map(model, inputs, tokens=(source, target[:2]))
    assert [layer.weights.shape for layer in short] == [(2, 3, 3), (2, 2, 2), (2, 2, 3)]


def test_pooling_and_features_have_keys_with_names() -> None:
    pooled = L.Sequential(L.AttentionPooling(4, num_queries=2, **F64), L.Flatten())
    x = np.random.default_rng(0).standard_normal((3, 5, 4))
    (layer,) = attention_map(pooled, x, tokens=[*"abcde"])
    assert (layer.query_tokens, layer.key_tokens) == (("0", "1"), tuple("abcde"))
    table = L.Sequential(L.FeatureAttention(4, **F64), L.Linear(4, 1, **F64))
    (layer,) = attention_map(table, x[:, 0], item=2, tokens=["age", "size", "cost", "rate"])
    assert layer.weights.shape == (1, 1, 4)
    assert layer.key_tokens == ("age", "size", "cost", "rate")


def test_tokens_that_are_left_of_a_pruned_or_merged_encoder_keep_their_names() -> None:
    tokens, lengths = [[1, 2, 3, 4, 5], [1, 2, 3, 4, 0]], [5, 4]
    model, whole = bert(), bert().encoder
    for layer in whole.layers:
        layer.self_attn.in_proj_weight *= 5
    model.encoder = PrunedEncoder(whole, [3, 3])
    with watch(model) as seen:
        model(tokens, lengths=lengths)
    received = seen.weights[0][0].sum((0, 1))
    left = sorted([0, *(np.argsort(-received[1:])[:2] + 1)])
    first, second = attention_map(model, {"tokens": tokens, "lengths": lengths}, tokens=[*"abcde"])
    assert first.key_tokens == tuple("abcde")
    assert second.key_tokens == second.query_tokens == tuple("abcde"[token] for token in left)
    assert second.weights.shape == (3, 3, 3)
    model.encoder = MergedEncoder(whole, 1)
    inputs = {"tokens": tokens, "lengths": lengths}
    _, second = attention_map(model, inputs, tokens=[*"abcd"], item=1)
    assert "".join(second.key_tokens).replace("+", "") in ("abcd", "acbd")
    assert sorted(map(len, second.key_tokens)) == [1, 1, 3]
    assert second.weights.shape == (3, 3, 3)
    np.testing.assert_allclose(second.weights.sum(-1), 1)


def test_a_layer_that_is_called_again_has_a_number() -> None:
    block = L.MultiHeadAttention(12, 4, **F64)
    found = attention_map(L.Sequential(block, block), np.ones((1, 3, 12)))
    assert found.names == ("0", "0 (2)")


def test_what_does_not_fit_is_said_in_one_sentence() -> None:
    model, inputs = bert(), [[1, 2, 3], [4, 5, 6]]
    refused: list[tuple[dict[str, Any], type[Exception], str]] = [
        ({"tokens": ["a"] * 4}, ValueError, ("tokens must be one for each position, of which the "
         "layers have 3: got 4")),
        ({"tokens": "abc"}, TypeError, "tokens must be a sequence of strings: got 'abc'"),
        ({"tokens": [1, 2, 3]}, TypeError, ("tokens must be strings, or a pair of sequences of "
         "them: got [1, 2, 3]")),
        ({"item": 2}, IndexError, "item must lie between 0 and 1: got 2"),
        ({"layers": "decoder"}, ValueError, ("layers must match attention layers of the model, "
         "which are 'encoder.layers.0.self_attn', 'encoder.layers.1.self_attn': got 'decoder'")),
        ({"heads": [3]}, ValueError, ("heads must lie between 0 and 2 in "
         "'encoder.layers.0.self_attn': got 3")),
        ({"rows": 5}, IndexError, ("rows must lie between -3 and 2 in "
         "'encoder.layers.0.self_attn': got 5")),
    ]  # fmt: skip
    for options, kind, message in refused:
        with pytest.raises(kind) as raised:
            attention_map(model, inputs, **options)
        assert str(raised.value) == message
    unused = Unused()
    with pytest.raises(ValueError, match="layers must be computed by this call of the model"):
        attention_map(unused, np.ones((1, 3, 12)))
    nested = L.Encoder(1, 12, 4, 16, **F64)
    with pytest.raises(ValueError, match="model must have one axis of items in front of each"):
        attention_map(nested, np.ones((2, 2, 3, 12)))
    single = attention_map(nested, np.ones((3, 12)))
    assert single.to_numpy().shape == (1, 4, 3, 3)


@pytest.fixture(scope="module")
def minilm() -> Any:
    pytest.importorskip("tokenizers")
    try:
        return SentenceEncoder(find_minilm())
    except ModuleNotFoundError as error:
        pytest.skip(str(error))


@pytest.mark.peer
def test_maps_of_minilm_are_those_of_transformers_with_eager_attention(minilm: Any) -> None:
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    found = attention_map(minilm, TEXT)
    numbers, tokens = minilm.tokens(TEXT)
    model = transformers.AutoModel.from_pretrained(find_minilm(), attn_implementation="eager")
    with torch.no_grad():
        output = model(torch.tensor([numbers]), output_attentions=True)
    expected = np.stack([layer[0].numpy() for layer in output.attentions])
    assert expected.shape == (6, 12, 18, 18)
    np.testing.assert_allclose(found.to_numpy(), expected, rtol=0, atol=1e-5)
    assert found.layers[0].key_tokens == tuple(tokens)
    # and so does the map of that model, whatever its implementation, or of a text among others
    model.set_attn_implementation("sdpa")
    tokenizer = transformers.AutoTokenizer.from_pretrained(find_minilm())
    of_peer = attention_map(model, ["other", TEXT], tokenizer=tokenizer, item=1)
    np.testing.assert_allclose(of_peer.to_numpy(), expected, rtol=0, atol=1e-5)
    assert of_peer.layers[0].key_tokens == tuple(tokens)
    assert of_peer.names[0] == "encoder.layer.0.attention.self"


@pytest.mark.peer
def test_texts_are_labelled_with_the_tokens_that_the_model_reads(minilm: Any) -> None:
    layer = attention_map(minilm, ["other", "Wordpieces!"], "encoder.layers.5", item=1).layers[0]
    assert layer.key_tokens == ("[CLS]", "word", "##piece", "##s", "!", "[SEP]")
    with pytest.raises(IndexError, match="item must lie between 0 and 0: got 1"):
        attention_map(minilm, "one", item=1)
    with pytest.raises(TypeError, match="text must be a string: got 3"):
        attention_map(minilm, [3])


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_selected_rows_of_a_long_text_need_little_memory() -> None:
    """All weights of the layer would take 4.3 GB at L = 16,384."""
    printed = run(
        """
        from heedful.benchmark.memory import highest
        from heedful.explain import attention_map
        from heedful.layers import Encoder

        heedful.set_num_threads(2)  # each has scratch of its own
        model = Encoder(1, 32, 4, 32, rng=0)
        attention_map(model, np.ones((1, 64, 32), np.float32), rows=[3])
        x = np.random.default_rng(0).standard_normal((1, 16_384, 32), np.float32)
        print(highest(lambda: attention_map(model, x, rows=[0, 5_000, 16_383])))
        """
    )
    assert int(printed) < 100e6
