"""What layers refuse: one sentence with the argument's name, what was expected, what came."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from layer_cases import CASES as LAYER_CASES
from layer_cases import LayerCase

from heedful import KVCache, layers, rotary_embedding

X = np.ones((2, 5, 6), np.float32)
L = layers
CASES: list[tuple[str, Callable[[], Any], type[Exception], str]] = [
    ("heads", lambda: L.MultiHeadAttention(10, 3), ValueError,
     "num_heads must divide d_model: got d_model=10, num_heads=3"),
    ("kv_heads", lambda: L.MultiHeadAttention(12, 6, num_kv_heads=4), ValueError,
     "num_kv_heads must divide num_heads: got num_heads=6, num_kv_heads=4"),
    ("rotary_odd", lambda: L.MultiHeadAttention(6, 2, rotary=True), ValueError,
     "rotary needs an even number of features in a head: got 3"),
    ("relative_heads", lambda: L.RelativeAttention(10, 3), ValueError,
     "num_heads must divide d_model: got d_model=10, num_heads=3"),
    ("width", lambda: L.Linear(4, 2)(X), ValueError,
     "x must have 4 elements in its last axis: got shape (2, 5, 6)"),
    ("gradient_width", lambda: L.Linear(6, 2).forward(X)[1](X), ValueError,
     "dy must have shape (2, 5, 2): got (2, 5, 6)"),
    ("zero_features", lambda: L.Linear(0, 2), ValueError, "in_features must be at least 1: got 0"),
    ("float_features", lambda: L.Linear(2.0, 2), TypeError,
     "in_features must be an integer: got 2.0"),
    ("activation", lambda: L.Linear(2, 2, activation="elu"), ValueError,
     ("activation must be None or one of 'relu', 'gelu', 'gelu_tanh', 'silu', 'tanh', 'sigmoid': "
      "got 'elu'")),
    ("dtype", lambda: L.Linear(2, 2, dtype=np.float16), TypeError,
     "dtype must be float32 or float64: got float16"),
    ("rng", lambda: L.Linear(2, 2, rng=-1), TypeError,
     "rng must be None, an integer from 0 on or a numpy.random.Generator: got -1"),
    ("rate", lambda: L.Dropout(1.5), ValueError, "rate must lie between 0 and 1: got 1.5"),
    ("token_range", lambda: L.Embedding(5, 2)([1, 5]), ValueError,
     "tokens must lie in [0, 5): got 5"),
    ("token_negative", lambda: L.Embedding(5, 2)([-1, 2]), ValueError,
     "tokens must lie in [0, 5): got -1"),
    ("token_type", lambda: L.Embedding(5, 2)([0.5]), TypeError, "tokens must be integers"),
    ("padding", lambda: L.Embedding(5, 2, 5), ValueError,
     "padding_idx must be a token from 0 to 4: got 5"),
    ("positions", lambda: L.LearnedPositions(4, 6)(X), ValueError,
     "x must lie at positions below max_length = 4: got 0 to 4"),
    ("tokens_of_a_language_model",
     lambda: L.LanguageModel(20, 8, 2, 1, 12, max_length=4)([[1] * 5]), ValueError,
     "tokens must lie at positions below max_length = 4: got 0 to 4"),
    ("tokens_of_bert", lambda: L.BertEncoder(20, 8, 2, 1, 12, max_length=4)([[1] * 5]), ValueError,
     "tokens must lie at positions below max_length = 4: got 0 to 4"),
    ("no_positions", lambda: L.GlobalAveragePooling()(X[0, 0]), ValueError,
     "x must have positions and features as axes: got shape (6,)"),
    ("pooling_mask", lambda: L.GlobalAveragePooling()(X, mask=np.ones((2, 4), bool)), ValueError,
     "mask must be boolean with shape (2, 5): got bool with shape (2, 4)"),
    ("not_a_layer", lambda: L.Sequential(L.ReLU(), np.tanh), TypeError,
     "layers must be layers: got <ufunc 'tanh'>"),
    ("cache_training", lambda: L.MultiHeadAttention(6, 2).forward(X, cache=KVCache()), ValueError,
     "cache is for inference: it has no gradients"),
    ("memory", lambda: L.SegmentRecurrentLM(9, 6, 2, 2)([[1]], memory=[X]), ValueError,
     "memory must have one for each of 2 layers: got 1"),
    ("kind", lambda: L.LanguageModel(9, 6, 2, positions="none"), ValueError,
     "positions must be 'learned' or 'sinusoidal' or 'rotary' or 'alibi': got 'none'"),
    ("empty_cache", lambda: KVCache().key, ValueError,
     "the cache is empty: append keys and values first"),
    ("cache_shapes", lambda: KVCache().append(X, X), ValueError,
     ("key and value must be (B, Hkv, L, D) and (B, Hkv, L, Dv): "
      "got shapes (2, 5, 6) and (2, 5, 6)")),
    ("rotary_depth", lambda: rotary_embedding(np.ones((3, 5))), ValueError,
     "rotary_dim must be even and at most the depth 5: got 5"),
    ("rotary_positions", lambda: rotary_embedding(X, np.arange(4)), ValueError,
     "positions must end with 5 rows: got shape (4,)"),
    ("empty_prompt", lambda: L.LanguageModel(9, 6, 2, 1).generate([[]]), ValueError,
     "prompts[0] must be at least one token in one row: got shape (0,)"),
    ("long_prompt", lambda: L.LanguageModel(9, 6, 2, 1, max_length=5).generate([[1, 2]],
     max_length=5), ValueError,
     "prompt and max_length must not be longer than the model's 5 positions together: got 6"),
    ("beams_and_chance", lambda: L.LanguageModel(9, 6, 2, 1).generate([[1]], num_beams=2,
     temperature=1.0), ValueError, "num_beams above 1 cannot be combined with drawing tokens"),
    ("complex", lambda: L.Linear(6, 2)(X * 1j), TypeError,
     "x must hold real numbers: got an array of shape (2, 5, 6) and type complex64"),
    ("words", lambda: L.LayerNorm(2)([["1.5", "2.5"]]), TypeError,
     "x must hold real numbers: got an array of shape (1, 2) and type <U3"),
    ("objects", lambda: L.ReLU()(np.array([1.0, None])), TypeError, "x must hold real numbers"),
    ("masked", lambda: L.ReLU()(np.ma.masked_equal([1.0, 2.0], 1)), TypeError,
     "x must be a plain array: got a masked array, use mask="),
    ("ragged", lambda: L.ReLU()([[1.0], [1.0, 2.0]]), ValueError,
     "x must be rectangular: got lists of different lengths"),
    ("residual", lambda: L.Linear(6, 2)(X, residual=X), ValueError,
     "residual must have shape (2, 5, 2): got (2, 5, 6)"),
    ("softmax_axis", lambda: L.Softmax(3)(X), ValueError,
     "x must have axis 3: got shape (2, 5, 6)"),
    ("other_lengths", lambda: L.MultiHeadAttention(6, 2)(X, X[:, :3], X[:, :4]), ValueError,
     "value and key must have the same length: key has 3, value has 4"),
    ("other_batch", lambda: L.MultiHeadAttention(6, 2)(X, np.ones((3, 5, 6))), ValueError,
     "the leading axes of query, key and value must broadcast"),
    ("value_alone", lambda: L.MultiHeadAttention(6, 2)(X, value=X[:, :, ::-1]), ValueError,
     "key must be given where value is: got None"),
    ("value_width", lambda: L.MultiHeadAttention(6, 2, vdim=7)(X, X, X), ValueError,
     "value must have 7 elements in its last axis: got shape (2, 5, 6)"),
    ("mask_shape", lambda: L.MultiHeadAttention(6, 2)(X, mask=np.ones((5, 4), bool)), ValueError,
     "mask must broadcast to"),
    ("kv_lengths", lambda: L.MultiHeadAttention(6, 2)(X, kv_lengths=[5, 6]), ValueError,
     "kv_lengths must lie between 0 and 5: got 6 for item 1"),
    ("bert_mask", lambda: L.BertEncoder(9, 6, 2, 1, 8, 5)([[1, 2]], mask=[[0.0, -np.inf]]),
     TypeError, "mask must be boolean, or 1 and 0: got"),
    ("infinite_token", lambda: L.Embedding(5, 2)([np.inf]), TypeError, "tokens must be integers"),
    ("cache_lengths", lambda: KVCache().append(X[None], X[None], [2**70]), ValueError,
     "lengths must lie in [0, 5]: got 1180591620717411303424"),
    ("cache_items", lambda: _filled().reorder([1]), ValueError, "items must lie in [0, 0]: got 1"),
    ("cache_batch", lambda: _filled().append(*np.ones((2, 3, 2, 5, 6))), ValueError,
     "key must have shape (1, 2, L, 6) as before: got (3, 2, 5, 6)"),
    ("parameter", lambda: L.Parameter(np.ones(3, np.float16)), TypeError,
     "dtype must be float32 or float64: got float16"),
    ("parameter_gradient", lambda: L.Parameter(np.ones(3)).add(np.ones(4)), ValueError,
     "a gradient must have the parameter's shape (3,): got (4,)"),
    ("caches", lambda: L.LanguageModel(9, 6, 2, 2)([[1]], caches=[KVCache()]), ValueError,
     "caches must have one for each of 2 layers: got 1"),
    ("cache_type", lambda: L.MultiHeadAttention(6, 2)(X, cache=[]), TypeError,
     "cache must be a KVCache: got []"),
    ("no_kv_heads", lambda: L.MultiHeadAttention(6, 2, num_kv_heads=0), ValueError,
     "num_kv_heads must be at least 1: got 0"),
    ("rotary_base", lambda: L.MultiHeadAttention(8, 2, rotary=-3.0), ValueError,
     "rotary must be finite and above 0: got -3.0"),
    ("segment", lambda: L.BertEncoder(9, 6, 2, 1, 8, 5)([[1, 2]], segments=[0, 2]), ValueError,
     "segments must lie in [0, 2): got 2"),
    ("segments", lambda: L.BertEncoder(9, 6, 2, 1, 8, 5)([[1, 2]], segments=[0, 1, 1]), ValueError,
     "segments must have shape (1, 2): got (3,)"),
    ("memory_shape", lambda: L.SegmentRecurrentLM(9, 6, 2, 1)([[1]], memory=[X]), ValueError,
     "memory must have shape (1, M, 6): got (2, 5, 6)"),
    ("memory_lengths", lambda: L.RelativeAttention(6, 2)(X, X, memory_lengths=[5, 6]), ValueError,
     "memory_lengths must be 2 integers from 0 to 5: got [5, 6]"),
    ("first_shape", lambda: L.LearnedPositions(9, 6)(X, [1, 2, 3]), ValueError,
     "first must be an integer, or one for each item of (2,): got shape (3,)"),
    ("penalty", lambda: L.LanguageModel(9, 6, 2, 1).generate([[1]], num_beams=2,
     length_penalty="a"), TypeError, "length_penalty must be a number: got 'a'"),
    ("stop", lambda: L.LanguageModel(9, 6, 2, 1).generate([[1]], stop=1.5), TypeError,
     "stop must be integers: got"),
    ("stop_size", lambda: L.LanguageModel(9, 6, 2, 1).generate([[1]], stop=2**70), ValueError,
     "stop must be tokens: got 1180591620717411303424"),
    ("prompt_tokens", lambda: L.LanguageModel(9, 6, 2, 1).generate([[9]]), ValueError,
     "prompts must lie in [0, 9): got 9"),
    ("segment_tokens", lambda: L.SegmentRecurrentLM(9, 6, 2, 1).generate([[9]]), ValueError,
     "prompts must lie in [0, 9): got 9"),
    ("start", lambda: _transformer().generate([[1]], start=11), ValueError,
     "start must lie in [0, 11): got 11"),
    ("start_kind", lambda: _transformer().generate([[1]], start=1.5), TypeError,
     "start must be integers: got"),
    ("starts", lambda: _transformer().generate([[1]], start=[1]), ValueError,
     "start must be one token: got shape (1,)"),
    ("max_length", lambda: _transformer().generate([[1]], start=1, max_length="a"), TypeError,
     "max_length must be an integer: got 'a'"),
    ("foreign_bias", lambda: _with_bias(L.Parameter(np.zeros(1, np.float32))), ValueError,
     "bias must have shape (2,): got (1,)"),
    ("bias_type", lambda: _with_bias(L.Parameter(np.zeros(2))), TypeError,
     "bias must be of float32: got float64"),
    ("bias_array", lambda: _with_bias(np.zeros(2)), TypeError,
     "bias must be a Parameter or None: got ndarray"),
    ("weight_type", lambda: setattr(L.Linear(6, 2), "weight", L.Parameter(np.ones((2, 6)))),
     TypeError, "weight must be of float32: got float64"),
    ("cache_other_batch", lambda: _filled().append(*np.ones((2, 4, 2, 5, 6)), lengths=[1] * 4),
     ValueError, "key must have shape (1, 2, L, 6) as before: got (4, 2, 5, 6)"),
    ("cache_batch_of_three", lambda: _grown(), ValueError,
     "key must have shape (2, 2, L, 6) as before: got (3, 2, 5, 6)"),
    ("pooling_ragged", lambda: L.GlobalAveragePooling()(X, mask=[[True], [True, False]]),
     ValueError, "mask must be rectangular: got lists of different lengths"),
    ("first_ragged", lambda: L.LearnedPositions(9, 6)(X, [[1], [2, 3]]), ValueError,
     "first must be rectangular: got lists of different lengths"),
    ("prompt_alone", lambda: L.LanguageModel(9, 6, 2, 1).generate([1, 2]), ValueError,
     "prompts[0] must be at least one token in one row: got shape (); one prompt is [tokens]"),
    ("no_prompts", lambda: L.LanguageModel(9, 6, 2, 1).generate(5), TypeError,
     "prompts must be sequences of tokens: got 5"),
    ("read_nothing", lambda: L.SegmentRecurrentLM(9, 6, 2, 1).read([[]]), ValueError,
     "tokens must be (B, L), at least one token of each text: got shape (1, 0)"),
    ("read_one_text", lambda: L.SegmentRecurrentLM(9, 6, 2, 1).read([1, 2]), ValueError,
     "tokens must be (B, L), at least one token of each text: got shape (2,)"),
    ("source_lengths", lambda: _transformer()([[1, 2]], [[3]], source_lengths=[3]), ValueError,
     "source_lengths must lie between 0 and 2: got 3 for item 0"),
    ("target_lengths", lambda: _transformer()([[1, 2]], [[3]], target_lengths=[3]), ValueError,
     "target_lengths must lie between 0 and 1: got 3 for item 0"),
    ("source_tokens", lambda: _transformer()([[1, 9]], [[3]]), ValueError,
     "source must lie in [0, 9): got 9"),
    ("target_tokens", lambda: _transformer()([[1, 2]], [[11]]), ValueError,
     "target must lie in [0, 11): got 11"),
    ("target_ragged", lambda: _transformer()([[1, 2], [1, 2]], [[1], [2, 3]]), ValueError,
     "target must be rectangular: got lists of different lengths"),
    ("source_batch", lambda: _transformer()([[1, 2]] * 3, [[1], [3]]), ValueError,
     "source and target must have the same leading axes: (3,) and (2,)"),
    ("source_width", lambda: L.EncoderDecoder(6, 2, 1, 1, 8)(X[..., :5], X), ValueError,
     "source must have 6 elements in its last axis: got shape (2, 5, 5)"),
    ("generate_source", lambda: _transformer().generate([1, 2], start=0), ValueError,
     "source must be tokens (B, M): got shape (2,)"),
    ("model_lengths", lambda: L.LanguageModel(9, 6, 2, 1)([[1, 2]], lengths=[3]), ValueError,
     "lengths must lie between 0 and 2: got 3 for item 0"),
    ("model_ragged", lambda: L.LanguageModel(9, 6, 2, 1)([[1, 2], [3]]), ValueError,
     "tokens must be rectangular: got lists of different lengths"),
    ("bert_lengths", lambda: L.BertEncoder(9, 6, 2, 1, 8, 5)([[1, 2]], lengths=[3]), ValueError,
     "lengths must lie between 0 and 2: got 3 for item 0"),
    ("pooling_lengths", lambda: L.AttentionPooling(6)(X, lengths=[6, 5]), ValueError,
     "lengths must lie between 0 and 5: got 6 for item 0"),
    ("autoencoder_lengths", lambda: L.Autoencoder(6, 2, 8, 2, 1)(X, lengths=[6, 5]), ValueError,
     "lengths must lie between 0 and 5: got 6 for item 0"),
    ("top_p", lambda: L.LanguageModel(9, 6, 2, 1).generate([[1]], top_p=0), ValueError,
     "top_p must be above 0 and at most 1: got 0"),
    ("no_model", lambda: L.generate(np.tanh, [[1]]), TypeError,
     "model must be a generative model: got <ufunc 'tanh'>"),
]  # fmt: skip


def _with_bias(bias: Any) -> Any:
    layer = L.Linear(6, 2, bias=False)
    layer.bias = bias
    return layer(X)


def _transformer() -> L.Transformer:
    return L.Transformer(9, 11, 6, 2, 1, 8)


def _grown() -> None:
    cache = KVCache()
    cache.append(*np.ones((2, 2, 2, 5, 6)))
    cache.append(*np.ones((2, 3, 2, 5, 6)))


def _filled() -> KVCache:
    cache = KVCache()
    cache.append(X[None], X[None])
    return cache


@pytest.mark.parametrize(
    ("name", "call", "kind", "message"), CASES, ids=[case[0] for case in CASES]
)
def test_is_refused_in_one_sentence(
    name: str, call: Callable[[], Any], kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind) as caught:
        call()
    assert type(caught.value) is kind
    assert message in str(caught.value)
    assert not str(caught.value).startswith("kv_lengths") or "kv_lengths" in name


@pytest.mark.parametrize("case", LAYER_CASES, ids=lambda case: case.name)
def test_a_gradient_of_another_shape_is_refused(case: LayerCase, rng: np.random.Generator) -> None:
    """Compiled functions would read beyond it. The right one is still taken afterwards."""
    layer, inputs = case.make(np.float32, 0), case.inputs(rng)
    mode = layers.Mode(True, np.random.default_rng(0))
    y, backward = layer.forward(*inputs, **case.options)
    wrong = np.ones((y.shape[0] + 1, *y.shape[1:]), np.float32)
    for dy in (wrong, wrong[..., :0], np.float32(1)):
        with pytest.raises(ValueError, match="must have shape"):
            backward(dy)
        with pytest.raises(ValueError, match="must have shape"):
            layer.compute(mode, *inputs, **case.options)[1](dy)
    backward(np.ones_like(y))


def test_an_autoencoder_of_no_sequences_gives_none() -> None:
    model = layers.Autoencoder(6, 2, 8, 2, 1, rng=0)
    none = np.ones((0, 5, 6), np.float32)
    assert model(none).shape == (0, 5, 6)
    assert model.encode(none).shape == (0, 2)
    y, backward = model.forward(none)
    assert backward(y).shape == (0, 5, 6)


def test_a_dict_of_bert_that_lacks_a_part_is_refused() -> None:
    model = layers.BertEncoder(9, 6, 2, 1, 8, 5)
    before = model.state_dict()
    state = {f"encoder.layer.0.attention.self.{part}.weight": np.ones((6, 6)) for part in
             ("query", "value")}  # fmt: skip
    with pytest.raises(ValueError, match=r"state lacks the key of encoder\.layers\.0\.self_attn"):
        model.load_state_dict(state)
    np.testing.assert_array_equal(model.token_embedding.weight, before["token_embedding.weight"])
