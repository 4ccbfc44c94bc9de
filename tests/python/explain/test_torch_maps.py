"""attention_map of PyTorch's modules and of transformers: their own weights, by module names."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from heedful.explain import attention_map

torch = pytest.importorskip("torch")
pytestmark = [pytest.mark.peer, pytest.mark.once]


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def test_weights_of_an_nn_transformer_are_those_that_its_modules_return() -> None:
    model = torch.nn.Transformer(8, 2, 1, 1, 16, batch_first=True)
    source, target = torch.randn(2, 5, 8), torch.randn(2, 3, 8)
    tokens = (list("abcde"), list("xyz"))
    found = attention_map(model, (source, target), tokens=tokens, item=1)
    assert model.training
    assert torch.backends.mha.get_fastpath_enabled()
    assert [
        (layer.name, "".join(layer.query_tokens), "".join(layer.key_tokens)) for layer in found
    ] == [
        ("encoder.layers.0.self_attn", "abcde", "abcde"),
        ("decoder.layers.0.self_attn", "xyz", "xyz"),
        ("decoder.layers.0.multihead_attn", "xyz", "abcde"),
    ]
    attention = model.encoder.layers[0].self_attn.eval()
    with torch.no_grad():
        _, expected = attention(source, source, source, average_attn_weights=False)
    np.testing.assert_allclose(found.layers[0].weights, expected[1].numpy(), atol=1e-6)
    inputs = torch.randn(4, 8)
    (single,) = attention_map(
        attention, (inputs, inputs, inputs, None, False), rows=[1], heads=[-1]
    )
    assert (single.weights.shape, single.heads, single.rows) == ((1, 1, 4), (1,), (1,))


class Twice(torch.nn.Module):
    """One that needs averaged weights itself, by position, and one that needs none."""

    def __init__(self) -> None:
        super().__init__()
        self.first = torch.nn.MultiheadAttention(8, 2, batch_first=True)
        self.second = torch.nn.MultiheadAttention(8, 2, batch_first=True)

    def forward(self, x: Any) -> Any:
        y, self.averaged = self.first(x, x, x, None, True)
        z, self.none = self.second(y, y, y, need_weights=False)
        return z


def test_modules_return_what_they_were_asked_for_while_they_are_watched() -> None:
    model, x = Twice(), torch.randn(1, 4, 8)
    expected = model(x)
    wanted = model.averaged
    found = attention_map(model, x.numpy(), "second", average_heads=True)
    torch.testing.assert_close(model.averaged, wanted)
    assert model.none is None
    assert found.names == ("second",)
    assert found.layers[0].weights.shape == (1, 4, 4)
    torch.testing.assert_close(model(x), expected)
    assert not model.first._forward_hooks


def config(name: str, **options: Any) -> Any:
    return getattr(pytest.importorskip("transformers"), name)(
        bos_token_id=1, eos_token_id=2, pad_token_id=0, **options
    )


def test_weights_of_transformers_are_its_own_with_eager_attention() -> None:
    transformers = pytest.importorskip("transformers")
    t5 = transformers.T5ForConditionalGeneration(
        config("T5Config", vocab_size=20, d_model=8, d_kv=4, num_heads=2, num_layers=2, d_ff=16)
    )
    inputs = {
        "input_ids": torch.tensor([[1, 2, 3, 4]]), "decoder_input_ids": torch.tensor([[0, 5, 6]])
    }  # fmt: skip
    before = t5.config._attn_implementation
    found = attention_map(t5, inputs, tokens=(list("abcd"), list("xyz")))
    assert t5.config._attn_implementation == before
    assert t5.training
    t5.set_attn_implementation("eager")
    with torch.no_grad():
        output = t5.eval()(**inputs, output_attentions=True)
    expected = [*output.encoder_attentions]
    for own, other in zip(output.decoder_attentions, output.cross_attentions, strict=True):
        expected += [own, other]
    assert len(found) == len(expected) == 6
    for layer, weights in zip(found, expected, strict=True):
        np.testing.assert_allclose(layer.weights, weights[0].numpy(), atol=1e-6)
    assert found.names[-1] == "decoder.block.1.layer.1.EncDecAttention"
    assert found.layers[-1].query_tokens == ("x", "y", "z")
    assert found.layers[-1].key_tokens == ("a", "b", "c", "d")


def test_a_causal_model_and_its_rows() -> None:
    transformers = pytest.importorskip("transformers")
    model = transformers.GPT2LMHeadModel(
        config("GPT2Config", vocab_size=20, n_embd=8, n_layer=2, n_head=2, n_positions=16)
    )
    (layer,) = attention_map(model, torch.tensor([[1, 2, 3]]), "*.1.attn", rows=[-1, 0])
    assert layer.name == "transformer.h.1.attn"
    assert layer.rows == (2, 0)
    np.testing.assert_allclose(layer.weights.sum(-1), 1, atol=1e-6)
    assert (layer.weights[:, 1] == [1, 0, 0]).all()


def test_what_pytorch_models_lack_is_said_in_one_sentence() -> None:
    model, x = Twice(), torch.randn(1, 4, 8)
    refused: list[tuple[dict[str, Any], type[Exception], str]] = [
        ({"layers": "third"}, ValueError, ("layers must match attention of the model, which is "
         "'first', 'second': got ['third']")),
        ({"heads": [2]}, ValueError, "heads must lie between 0 and 1 in 'first': got 2"),
        ({"heads": []}, ValueError, "heads must be at least one, or None for all: got none"),
        ({"heads": {"a": 1}}, TypeError,
         "heads must be the same of every layer of PyTorch: got {'a': 1}"),
        ({"layers": 3}, TypeError, ("layers must be a pattern of dotted names, such as "
         "'encoder.*', or several: got 3")),
        ({"rows": [4]}, IndexError, "rows must lie between -4 and 3 in 'first': got 4"),
        ({"item": 1}, IndexError, "item must lie between 0 and 0: got 1"),
    ]  # fmt: skip
    for options, kind, message in refused:
        with pytest.raises(kind) as raised:
            attention_map(model, x, **options)
        assert str(raised.value) == message
    assert not model.first._forward_hooks
    with pytest.raises(ValueError, match="MultiheadAttention, or attention of transformers"):
        attention_map(torch.nn.Linear(8, 2), x)
    with pytest.raises(ValueError, match="tokenizer must be given where the inputs are texts"):
        attention_map(model, "a text")
