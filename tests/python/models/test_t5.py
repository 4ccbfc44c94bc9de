"""T5 from folders written by hand: what is read, what is shared, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import seq2seq_reference

pytest.importorskip("safetensors")
pytest.importorskip("tokenizers")

from written_t5 import CONFIG, checkpoint, write_t5

from heedful.layers import Seq2SeqLM, Seq2SeqStack
from heedful.models import Tokenizer, from_config, from_pretrained

TOKENS, TARGET = np.array([[5, 6, 7, 8, 9], [1, 2, 3, 0, 0]]), np.array([[256, 4], [256, 7]])
MASK = TOKENS > 0


def test_a_folder_is_read_as_its_config_says(tmp_path: Path) -> None:
    model: Any = from_pretrained(write_t5(tmp_path), dtype=np.float64)
    assert (model.start, model.stop, model.tied, model.logit_scale) == (256, (257,), False, 1)
    state = model.state_dict()
    np.testing.assert_array_equal(
        state["decoder.layers.0.multihead_attn.in_proj_weight"][12:24],
        checkpoint()["decoder.block.0.layer.1.EncDecAttention.k.weight"],
    )
    expected = seq2seq_reference.seq2seq_lm(
        state, TOKENS, TARGET, 3, mask=MASK, target_mask=np.ones((2, 2), np.bool_),
        max_distance=128,
    )  # fmt: skip
    np.testing.assert_allclose(model(TOKENS, TARGET, mask=MASK), expected, rtol=0, atol=1e-12)
    batch = Tokenizer.from_pretrained(tmp_path).batch(["the cat", "on"], padding_side="left")
    assert [len(target) <= 4 for target in model.generate(**batch, max_length=4)] == [True, True]


def test_a_file_without_a_projection_has_the_embeddings_in_its_place(tmp_path: Path) -> None:
    tensors = checkpoint()
    both = {**tensors, "lm_head.weight": tensors["shared.weight"]}
    expected = from_pretrained(write_t5(tmp_path, both))(TOKENS, TARGET)
    del tensors["lm_head.weight"]
    model: Any = from_pretrained(write_t5(tmp_path, tensors))
    assert model.tied
    assert model.projection.weight is model.encoder.embedding.weight
    assert model.decoder.embedding.weight is model.encoder.embedding.weight
    np.testing.assert_array_equal(model(TOKENS, TARGET), expected)
    scaled = from_pretrained(write_t5(tmp_path, tensors, tie_word_embeddings=True))
    np.testing.assert_allclose(scaled(TOKENS, TARGET), expected / 4, rtol=1e-5, atol=1e-5)


def test_an_encoder_is_taken_out_of_a_whole_model(tmp_path: Path) -> None:
    model: Any = from_pretrained(write_t5(tmp_path))
    encoder = from_pretrained(tmp_path, head="T5EncoderModel")
    assert isinstance(encoder, Seq2SeqStack)
    np.testing.assert_array_equal(encoder(TOKENS, mask=MASK), model.encode(TOKENS, mask=MASK))


def test_a_config_alone_makes_a_model_with_random_weights() -> None:
    model = from_config(CONFIG, rng=0)
    assert isinstance(model, Seq2SeqLM)
    assert model(TOKENS, TARGET).shape == (2, 2, 260)
    assert isinstance(from_config(CONFIG, head="T5EncoderModel", rng=0), Seq2SeqStack)
    names = {name: CONFIG[name] for name in ("vocab_size", "d_model", "d_kv", "d_ff", "num_layers",
                                             "num_heads")}  # fmt: skip
    for kind, gated in (("t5", False), ("mt5", True)):
        plain: Any = from_config({"model_type": kind, **names}, rng=0)
        assert (plain.logit_scale == 16**-0.5) == (kind == "t5") == plain.tied
        feed = plain.decoder.layers[0].feed_forward
        assert from_config({"model_type": kind, **names, "eos_token_id": None}, rng=0).stop == ()
        assert (type(feed).__name__ == "GatedFeedForward") == gated
        assert (plain.start, plain.stop, plain.decoder.position_bias.num_buckets) == (0, (1,), 32)


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "no size": ({"d_kv": None}, "config.json must have d_kv: it is missing"),
    "no gate": ({"feed_forward_proj": "open-gelu"}, "feed_forward_proj of config.json must be an"),
    "activation": ({"feed_forward_proj": "gated-magic"}, "activation must be"),
    "rate": ({"dropout_rate": 2}, "dropout_rate of config.json must"),
    "buckets": ({"relative_attention_num_buckets": 9}, "num_buckets must be an even number"),
    "start": ({"decoder_start_token_id": 260}, r"start must lie in \[0, 260\): got 260"),
    "head": ({"architectures": ["T5ForMagic"]}, "must be one of T5ForConditionalGeneration and"),
    "wider": ({"d_ff": 25}, r"linear1.weight must have shape \(50, 16\): got"),
    "more layers": ({"num_decoder_layers": 2}, "missing decoder.layers.1.*unexpected nothing"),
    "endless": ({"num_decoder_layers": 10**9}, "num_decoder_layers of config.json must fit the fi"),
    "fewer layers": ({"num_layers": 1}, "missing nothing, unexpected encoder.block.1"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_a_config_that_does_not_fit_is_refused(case: str, tmp_path: Path) -> None:
    config, message = WRONG[case]
    with pytest.raises((TypeError, ValueError), match=message) as caught:
        from_pretrained(write_t5(tmp_path, **config))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["shared.weight", "encoder.final_layer_norm.weight",
                                  "decoder.block.0.layer.1.EncDecAttention.k.weight"])  # fmt: skip
def test_a_file_that_lacks_a_tensor_is_refused(name: str, tmp_path: Path) -> None:
    tensors = checkpoint()
    del tensors[name]
    with pytest.raises(ValueError, match="missing"):
        from_pretrained(write_t5(tmp_path, tensors))
