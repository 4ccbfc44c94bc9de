"""Decoders beside transformers', which saved them with random weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import heedful
from heedful.models import from_pretrained

pytestmark = pytest.mark.peer

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from decoder_peers import (  # noqa: E402, after the frameworks
    FAMILIES,
    RULES,
    VOCABULARY,
    decoder,
    padded_batch,
    positions,
)
from saved_models import computed, save  # noqa: E402


@pytest.mark.parametrize("padding", ["none", "right", "left"])
@pytest.mark.parametrize("family", FAMILIES)
def test_logits_and_hidden_states_are_those_of_transformers(
    family: str, padding: str, tmp_path: Path
) -> None:
    peer = decoder(family)
    save(peer, tmp_path)
    tokens, mask = padded_batch(padding)
    expected = computed(
        peer, input_ids=tokens, position_ids=positions(mask),
        attention_mask=None if mask is None else mask.astype(int),
    )  # fmt: skip
    logits, states = from_pretrained(tmp_path)(tokens, mask=mask, hidden_states=True)
    kept = np.ones(tokens.shape, np.bool_) if mask is None else mask
    np.testing.assert_allclose(logits[kept], expected.logits.numpy()[kept], rtol=0, atol=1e-5)
    assert len(states) == len(expected.hidden_states) == 4
    for one, other in zip(states, expected.hidden_states, strict=True):
        np.testing.assert_allclose(one[kept], other.numpy()[kept], rtol=0, atol=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
def test_float64_computes_what_transformers_does_in_float64(family: str, tmp_path: Path) -> None:
    peer = decoder(family).double()
    peer.save_pretrained(tmp_path)
    tokens, _ = padded_batch("none")
    expected = computed(peer, input_ids=tokens).logits.numpy()
    logits = from_pretrained(tmp_path, dtype=np.float64)(tokens)
    # transformers computes angles, and softmax of the weights, in float32
    np.testing.assert_allclose(logits, expected, rtol=0, atol=3e-6)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("length", [11, 90])
def test_every_rule_of_rotary_positions(rule: str, length: int, tmp_path: Path) -> None:
    peer = decoder("llama", rope_parameters=RULES[rule])
    save(peer, tmp_path)
    tokens, _ = padded_batch("none", length)  # 90 is longer than max_position_embeddings
    expected = computed(peer, input_ids=tokens).logits.numpy()
    # angles of transformers are of float32: those of position 90 have an error of 4e-6
    np.testing.assert_allclose(
        from_pretrained(tmp_path)(tokens), expected, rtol=0, atol=1e-5 if length < 64 else 1e-4
    )


@pytest.mark.parametrize("options", [{}, {"max_shard_size": "5KB"}], ids=["whole", "shards"])
@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float32"])
@pytest.mark.parametrize("family", ["gpt2", "llama_biased", "qwen3", "gemma2"])
def test_files_of_every_type_and_in_shards_give_the_same_logits(
    family: str, dtype: str, options: dict[str, Any], tmp_path: Path
) -> None:
    peer = decoder(family)
    save(peer, tmp_path, dtype, **options)
    assert (len(list(tmp_path.glob("model-*.safetensors"))) > 2) == bool(options)
    tokens, _ = padded_batch("none")
    # read again: the angles and the scale of embeddings are rounded with the weights otherwise
    peer = type(peer).from_pretrained(tmp_path, dtype="float32", attn_implementation="eager")
    expected = computed(peer, input_ids=tokens).logits.numpy()
    np.testing.assert_allclose(from_pretrained(tmp_path)(tokens), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("options", [{}, {"max_shard_size": "5KB"}], ids=["whole", "shards"])
@pytest.mark.parametrize("family", ["gpt2", "llama_biased", "qwen3", "gemma2"])
def test_weights_of_bfloat16_may_stay_so(
    family: str, options: dict[str, Any], tmp_path: Path
) -> None:
    save(decoder(family), tmp_path, "bfloat16", **options)
    narrow, wide = from_pretrained(tmp_path, dtype="bfloat16"), from_pretrained(tmp_path)
    tokens, _ = padded_batch("none")
    np.testing.assert_array_equal(narrow(tokens), wide(tokens))
    assert "bfloat16" in repr(narrow)
    save(decoder(family), tmp_path, "float32", **options)  # rounded when they are read
    again = from_pretrained(tmp_path, dtype="bfloat16")
    rounded = from_pretrained(tmp_path).quantize("bfloat16")
    np.testing.assert_array_equal(again(tokens), rounded(tokens))


@pytest.mark.parametrize("family", FAMILIES)
def test_steps_with_caches_compute_the_logits_of_the_whole_text(
    family: str, tmp_path: Path
) -> None:
    peer = decoder(family)
    save(peer, tmp_path)
    model = from_pretrained(tmp_path)
    tokens, _ = padded_batch("none")
    whole = computed(peer, input_ids=tokens).logits.numpy()
    caches = model.new_caches()
    steps = [model(tokens[:, :4], caches=caches)]
    steps += [model(tokens[:, i : i + 1], caches=caches) for i in range(4, tokens.shape[1])]
    np.testing.assert_allclose(np.concatenate(steps, 1), whole, rtol=0, atol=1e-5)


def _continued(peer: Any, **options: Any) -> list[list[int]]:
    """What transformers' generate writes after a batch padded on the left, without "eos"."""
    tokens, mask = padded_batch("left")
    assert mask is not None
    out = peer.generate(
        input_ids=torch.tensor(tokens), attention_mask=torch.tensor(mask.astype(int)),
        pad_token_id=0, **options,
    )[:, tokens.shape[1] :]  # fmt: skip
    rows = [row.tolist() for row in out]
    return [row[: row.index(2)] if 2 in row else row for row in rows]


@pytest.mark.parametrize("family", FAMILIES)
def test_greedy_text_is_that_of_transformers(family: str, tmp_path: Path) -> None:
    peer = decoder(family)
    save(peer, tmp_path)
    tokens, mask = padded_batch("left")
    assert mask is not None
    prompts = [row[kept] for row, kept in zip(tokens, mask, strict=True)]
    found = from_pretrained(tmp_path).generate(prompts, max_length=23)
    own = [row[len(prompt) :].tolist() for row, prompt in zip(found, prompts, strict=True)]
    assert own == _continued(peer, max_new_tokens=23, do_sample=False)


@pytest.mark.parametrize("family", FAMILIES)
def test_beam_text_is_that_of_transformers(family: str, tmp_path: Path) -> None:
    peer = decoder(family)
    save(peer, tmp_path)
    tokens, mask = padded_batch("left")
    assert mask is not None
    prompts = [row[kept] for row, kept in zip(tokens, mask, strict=True)]
    found = from_pretrained(tmp_path).generate(prompts, max_length=13, num_beams=4)
    own = [row[len(prompt) :].tolist() for row, prompt in zip(found, prompts, strict=True)]
    assert own == _continued(
        peer, max_new_tokens=13, do_sample=False, num_beams=4, early_stopping="never"
    )


@pytest.mark.parametrize("family", FAMILIES)
def test_gradients_are_those_of_transformers(family: str, tmp_path: Path) -> None:
    peer = decoder(family, **({"attn_pdrop": 0.0, "resid_pdrop": 0.0, "embd_pdrop": 0.0}
                              if family.startswith("gpt2") else {}))  # fmt: skip
    save(peer, tmp_path)
    model = from_pretrained(tmp_path)
    tokens, mask = padded_batch("left")
    assert mask is not None
    dlogits = np.random.default_rng(5).standard_normal((*tokens.shape, VOCABULARY))
    dlogits = np.where(mask[..., None], dlogits, 0).astype(np.float32)
    logits = peer(
        input_ids=torch.tensor(tokens), attention_mask=torch.tensor(mask.astype(int)),
        position_ids=torch.tensor(positions(mask)),
    ).logits  # fmt: skip
    logits.backward(torch.tensor(dlogits))
    _, backward = model.forward(tokens, mask=mask)
    backward(dlogits)
    save_gradients(peer, tmp_path)
    expected = from_pretrained(tmp_path).parameters()
    found = model.grads
    assert found.keys() == expected.keys()
    for name, wanted in expected.items():
        scale = np.abs(wanted).max()
        np.testing.assert_allclose(found[name], wanted, rtol=0, atol=1e-4 * scale, err_msg=name)


def save_gradients(peer: Any, folder: Path) -> None:
    """The gradients in place of the weights, so that their names are read as those are."""
    with torch.no_grad():
        for parameter in peer.parameters():
            parameter.copy_(parameter.grad)
    peer.save_pretrained(folder)


@pytest.mark.parametrize("family", ["gpt2", "llama", "gemma2"])
def test_int8_weights_change_little(family: str, tmp_path: Path) -> None:
    peer = decoder(family)
    save(peer, tmp_path)
    model = from_pretrained(tmp_path)
    tokens, _ = padded_batch("none")
    exact = model(tokens)
    model.quantize()
    close = model(tokens)
    assert 0 < np.abs(close - exact).max() < 0.1 * np.abs(exact).max()
    generated = model.generate([tokens[0]], max_length=3, stop=())
    assert len(generated[0]) == tokens.shape[1] + 3


def test_generation_stops_at_the_tokens_of_generation_config(tmp_path: Path) -> None:
    peer = decoder("llama")
    save(peer, tmp_path)
    assert from_pretrained(tmp_path).stop == (2,)
    peer.generation_config.eos_token_id = [5, 7]
    save(peer, tmp_path)
    model = from_pretrained(tmp_path)
    assert model.stop == (5, 7)
    prompts = [np.array([3, 4])]
    endless = model.generate(prompts, max_length=40, stop=())[0].tolist()
    place = next((i for i, token in enumerate(endless) if i > 1 and token in (5, 7)), len(endless))
    assert model.generate(prompts, max_length=40)[0].tolist() == endless[:place]


def test_caches_of_every_kind_generate(tmp_path: Path) -> None:
    save(decoder("qwen3"), tmp_path)
    model = from_pretrained(tmp_path)
    prompts = [np.array([3, 4, 5]), np.array([9])]
    plain = model.generate(prompts, max_length=9)
    paged = model.generate(prompts, max_length=9, cache=heedful.KVCache(kind="paged"))
    assert [row.tolist() for row in plain] == [row.tolist() for row in paged]
