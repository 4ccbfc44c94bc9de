"""Names of Keras and PyTorch that differ here get an error with heedful's name."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import pytest

from heedful import layers
from heedful.layers import (
    BertEncoder,
    Dropout,
    Embedding,
    EncoderLayer,
    Layer,
    LayerNorm,
    Linear,
    MultiHeadAttention,
)


def test_methods_of_other_libraries_get_a_hint() -> None:
    layer = Linear(3, 7)
    assert not hasattr(layer, "save_weights")
    with pytest.raises(AttributeError, match=r"write heedful\.training\.save_weights\(model, path"):
        layer.save_weights("weights")
    with pytest.raises(AttributeError, match=r"no attribute 'eval': write model\(x\)"):
        layer.eval()


@pytest.mark.parametrize(
    ("make", "hint"),
    [
        (lambda: MultiHeadAttention(num_heads=2, key_dim=16), r"write num_heads \* key_dim"),
        (lambda: MultiHeadAttention(embed_dim=6, num_heads=2), "write d_model"),
        (lambda: MultiHeadAttention(6, 2, batch_first=True), "the batch is always the first axis"),
        (lambda: Embedding(input_dim=5, output_dim=3), "write num_embeddings"),
        (lambda: LayerNorm(3, epsilon=1e-6), "write eps"),
        (lambda: Dropout(p=0.1), "write rate"),
        (lambda: EncoderLayer(6, nhead=2), "write num_heads"),
        (lambda: layers.GRU(3, units=8), "write hidden_size"),
        (lambda: layers.LSTM(3, 8, return_sequences=True), r"return_state=True\) the last"),
        (lambda: layers.GRU(3, 8)(np.ones((2, 5, 3)), hx=None), "write state"),
        (lambda: layers.LSTM(3, 8, proj_size=2), "write a Linear after the layer"),
        (lambda: layers.Conv1d(3, filters=8, kernel_size=2), "write out_channels"),
        (lambda: layers.Conv1d(3, 8, 2, padding_mode="circular"), "padding is with zeros"),
        (lambda: layers.PatchEmbed(img_size=8, patch_size=4), "write image_size"),
    ],
)
def test_arguments_of_other_libraries_get_a_hint(make: Any, hint: str) -> None:
    with pytest.raises(TypeError, match=hint):
        make()


@pytest.mark.parametrize(
    ("option", "hint"),
    [
        ("lengths", "write kv_lengths"),
        ("key_padding_mask", r"write mask=~key_padding_mask\[:, None, None, :\], or kv_lengths"),
        ("use_causal_mask", "write causal=True"),
        ("return_attention_scores", "write return_weights=True"),
        ("training", r"model\.forward\(x\) is training"),
    ],
)
def test_options_of_other_libraries_get_a_hint(option: str, hint: str) -> None:
    layer = MultiHeadAttention(6, 2)
    for call in (layer, layer.forward):
        with pytest.raises(TypeError, match=f"MultiHeadAttention takes .*{option}.*; .*{hint}"):
            call(np.ones((2, 5, 6)), **{option: True})
    with pytest.raises(TypeError, match="write segments"):
        BertEncoder(9, 6, 2, 1, 8, 5)([[1]], token_type_ids=[[0]])


def test_an_option_that_the_layer_has_is_not_called_foreign() -> None:
    class Own(Layer):
        def compute(self, mode: Any, x: Any, lengths: Any = None, kv_lengths: Any = None) -> Any:
            return x, lambda dy: dy

    with pytest.raises(TypeError, match=r"^Own takes x, lengths, kv_lengths: got an .* 'wrong'$"):
        Own()(np.ones(2), lengths=[1], wrong=True)


def test_unknown_arguments_are_reported_by_python() -> None:
    with pytest.raises(TypeError, match="unexpected keyword argument 'wrong'"):
        Linear(2, 2, wrong=1)  # type: ignore[call-arg]


def test_a_layer_of_one_s_own_may_have_such_arguments() -> None:
    class Own(Layer):
        def __init__(self, p: float, **more: Any) -> None:
            self.share, self.more = p, more

    class Other(Dropout):
        def __init__(self, p: float) -> None:
            super().__init__(p)

    assert Own(p=0.5, training=True).more == {"training": True}
    assert Other(p=0.5).rate == 0.5


def test_keras_s_order_of_an_embedding_is_ours() -> None:
    assert Embedding(7, 3).weight.shape == (7, 3)


@pytest.mark.parametrize("name", ["InputLayer"])
def test_a_layer_that_only_keras_needs_gets_a_hint(name: str) -> None:
    with pytest.raises(ImportError, match=f"has no {name}: leave it out, the width of the first"):
        exec(f"from heedful.layers import {name}")
    with pytest.raises(ImportError, match="leave it out"):
        getattr(layers, name)
    with pytest.raises(ImportError, match="write EncoderLayer"):
        _ = layers.TransformerEncoderLayer


def test_an_unknown_layer_is_reported_by_python() -> None:
    assert not hasattr(layers, "Wrong")
    with pytest.raises(ImportError, match="cannot import name 'Wrong'"):
        exec("from heedful.layers import Wrong")


@pytest.mark.parametrize(
    ("option", "hint"),
    [
        ("max_new_tokens", "write max_length, which does not count the prompt"),
        ("eos_token_id", "write stop"),
        ("pad_token_id", "leave it out, prompts and results have their own lengths"),
        ("do_sample", r"write temperature=1\.0 to draw tokens, nothing to take the best"),
        ("num_return_sequences", "give the prompt as many times"),
        ("repetition_penalty", "wrap the model in Steps of your own"),
        ("attention_mask", "leave it out, prompts of different lengths are lists"),
        ("early_stopping", "leave it out, a search ends when no beam can become better"),
        ("input_ids", "write prompts"),
    ],
)
def test_options_of_transformers_generate_get_a_hint(option: str, hint: str) -> None:
    language, segments = layers.LanguageModel(9, 6, 2, 1), layers.SegmentRecurrentLM(9, 6, 2, 1)
    transformer = layers.Transformer(9, 9, 6, 2, 1, 8)
    for call in (
        lambda **o: language.generate([[1]], **o),
        lambda **o: segments.generate([[1]], **o),
        lambda **o: layers.generate(language, [[1]], **o),
        lambda **o: transformer.generate([[1]], start=1, **o),
    ):
        with pytest.raises(TypeError, match=f"generate: {option} is not supported: {hint}"):
            call(**{option: 1})
        with pytest.raises(TypeError, match=r"generate\(\) got an unexpected .* 'wrong'"):
            call(wrong=1)


def test_what_generate_takes_is_in_its_signature() -> None:
    expected = {"stop", "max_length", "temperature", "top_k", "top_p", "num_beams",
                "length_penalty", "rng"}  # fmt: skip
    for function in (
        layers.generate, layers.LanguageModel.generate, layers.SegmentRecurrentLM.generate,
        layers.Transformer.generate,
    ):  # fmt: skip
        taken = inspect.signature(function).parameters
        assert expected <= set(taken)
        assert not any(one.kind is one.VAR_KEYWORD for one in taken.values())
