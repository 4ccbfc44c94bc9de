"""T5 beside transformers', which saved it with random weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from heedful.layers import stream
from heedful.models import from_pretrained

pytestmark = pytest.mark.peer

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from decoder_peers import VOCABULARY, padded_batch  # noqa: E402, after the frameworks
from saved_models import computed, save  # noqa: E402
from t5_peers import FAMILIES, encoder_decoder  # noqa: E402


def as_integers(mask: Any) -> Any:
    return None if mask is None else mask.astype(int)


def targets(padding: str = "none") -> tuple[Any, Any]:
    """(3, 7) tokens, and which are valid."""
    tokens = np.random.default_rng(8).integers(3, VOCABULARY, (3, 7))
    if padding == "none":
        return tokens, None
    mask = np.arange(7) < np.array([[4], [7], [1]])
    mask = mask if padding == "right" else mask[:, ::-1]
    tokens[~mask] = 0
    return tokens, mask


def compared(peer: Any, model: Any, source: tuple[Any, Any], target: tuple[Any, Any]) -> None:
    (tokens, mask), (wanted, target_mask) = source, target
    expected = computed(
        peer, input_ids=tokens, attention_mask=as_integers(mask), decoder_input_ids=wanted,
        decoder_attention_mask=as_integers(target_mask),
    )  # fmt: skip
    logits, states, target_states = model(
        tokens, wanted, mask=mask, target_mask=target_mask, hidden_states=True
    )
    kept = np.ones(tokens.shape, np.bool_) if mask is None else mask
    seen = np.ones(wanted.shape, np.bool_) if target_mask is None else target_mask
    np.testing.assert_allclose(logits[seen], expected.logits.numpy()[seen], rtol=0, atol=1e-5)
    for found, others, rows in (
        (states, expected.encoder_hidden_states, kept),
        (target_states, expected.decoder_hidden_states, seen),
    ):
        assert len(found) == len(others)
        for one, other in zip(found, others, strict=True):
            np.testing.assert_allclose(one[rows], other.numpy()[rows], rtol=0, atol=1e-5)


@pytest.mark.parametrize("padding", ["none", "right", "left"])
@pytest.mark.parametrize("family", FAMILIES)
def test_logits_and_hidden_states_are_those_of_transformers(
    family: str, padding: str, tmp_path: Path
) -> None:
    peer = encoder_decoder(family)
    save(peer, tmp_path)
    model = from_pretrained(tmp_path)
    compared(peer, model, padded_batch(padding, 23), targets(padding))


@pytest.mark.parametrize("family", ["t5", "t5_1_1"])
def test_masks_with_gaps_count_distances_as_transformers_does(family: str, tmp_path: Path) -> None:
    peer = encoder_decoder(family)
    save(peer, tmp_path)
    tokens, _ = padded_batch("none", 23)
    mask = np.random.default_rng(4).random(tokens.shape) < 0.6
    compared(peer, from_pretrained(tmp_path), (tokens, mask), targets())


@pytest.mark.parametrize("family", ["t5", "t5_1_1", "mt5"])
@pytest.mark.parametrize("padding", ["none", "right", "left"])
def test_an_encoder_alone_is_that_of_transformers(
    family: str, padding: str, tmp_path: Path
) -> None:
    peer = encoder_decoder(family, "EncoderModel")
    save(peer, tmp_path)
    tokens, mask = padded_batch(padding, 23)
    expected = computed(peer, input_ids=tokens, attention_mask=as_integers(mask))
    y, states = from_pretrained(tmp_path)(tokens, mask=mask, hidden_states=True)
    kept = np.ones(tokens.shape, np.bool_) if mask is None else mask
    wanted = [*expected.hidden_states, expected.last_hidden_state]
    for one, other in zip([*states, y], wanted, strict=True):
        np.testing.assert_allclose(one[kept], other.numpy()[kept], rtol=0, atol=1e-5)


def test_an_encoder_is_taken_out_of_a_whole_model(tmp_path: Path) -> None:
    peer = encoder_decoder("t5_1_1")
    save(peer, tmp_path)
    tokens, _ = padded_batch("none")
    expected = computed(peer.encoder, input_ids=tokens).last_hidden_state.numpy()
    encoder = from_pretrained(tmp_path, head="T5EncoderModel")
    np.testing.assert_allclose(encoder(tokens), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
def test_float64_computes_what_transformers_does_in_float64(family: str, tmp_path: Path) -> None:
    peer = encoder_decoder(family).double()
    peer.save_pretrained(tmp_path)
    (tokens, _), (wanted, _) = padded_batch("none"), targets()
    expected = computed(peer, input_ids=tokens, decoder_input_ids=wanted).logits.numpy()
    logits = from_pretrained(tmp_path, dtype=np.float64)(tokens, wanted)
    # transformers computes norms in float32
    np.testing.assert_allclose(logits, expected, rtol=0, atol=3e-6)


@pytest.mark.parametrize("options", [{}, {"max_shard_size": "5KB"}], ids=["whole", "shards"])
@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float32"])
@pytest.mark.parametrize("family", ["t5", "t5_1_1"])
def test_files_of_every_type_and_in_shards_give_the_same_logits(
    family: str, dtype: str, options: dict[str, Any], tmp_path: Path
) -> None:
    peer = encoder_decoder(family)
    save(peer, tmp_path, dtype, **options)
    assert (len(list(tmp_path.glob("model-*.safetensors"))) > 2) == bool(options)
    model = from_pretrained(tmp_path)
    compared(peer, model, padded_batch("left"), targets())
    if dtype == "bfloat16":
        (tokens, _), (wanted, _) = padded_batch("none"), targets()
        narrow = from_pretrained(tmp_path, dtype="bfloat16")
        np.testing.assert_array_equal(narrow(tokens, wanted), model(tokens, wanted))
        assert "bfloat16" in repr(narrow)


def test_files_of_early_versions_have_the_embedding_three_times(tmp_path: Path) -> None:
    from safetensors.numpy import load_file, save_file

    peer = encoder_decoder("t5")
    save(peer, tmp_path)
    (tokens, _), (wanted, _) = padded_batch("none"), targets()
    expected = from_pretrained(tmp_path)(tokens, wanted)
    file = tmp_path / "model.safetensors"
    state = load_file(file)
    for name in ("encoder.embed_tokens.weight", "decoder.embed_tokens.weight", "lm_head.weight"):
        state[name] = state["shared.weight"].copy()
    state["decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.weight"] = np.ones(
        (8, 4), np.float32
    )
    save_file(state, file, {"format": "pt"})
    np.testing.assert_array_equal(from_pretrained(tmp_path)(tokens, wanted), expected)


@pytest.mark.parametrize("family", ["t5", "t5_gated_tied"])
@pytest.mark.parametrize("dtype", [None, "bfloat16"])
@pytest.mark.parametrize("strict", [True, False])
def test_a_projection_in_a_file_that_says_it_is_tied_is_used(
    family: str, dtype: str | None, strict: bool, tmp_path: Path
) -> None:
    from safetensors.numpy import load_file, save_file

    save(encoder_decoder(family), tmp_path)
    file = tmp_path / "model.safetensors"
    state = load_file(file)
    rng = np.random.default_rng(3)
    own = 0.3 * rng.standard_normal(state["shared.weight"].shape, dtype=np.float32)
    save_file({**state, "lm_head.weight": own}, file, {"format": "pt"})
    peer = type(encoder_decoder(family)).from_pretrained(tmp_path).eval()
    assert peer.lm_head.weight is not peer.shared.weight
    model = from_pretrained(tmp_path, dtype=dtype, strict=strict)
    assert not model.tied
    (tokens, mask), (wanted, _) = padded_batch("none"), targets()
    expected = computed(
        peer, input_ids=tokens, attention_mask=as_integers(mask), decoder_input_ids=wanted
    ).logits.numpy()
    atol = 1e-5 if dtype is None else 0.03 * np.abs(expected).max()
    np.testing.assert_allclose(model(tokens, wanted, mask=mask), expected, rtol=0, atol=atol)
    name = "projection.weight"
    assert model.parameters()[name] is not model.parameters()["encoder.embedding.weight"]
    kinds = [
        type(one.own_parameters()["weight"]) for one in (model.projection, model.encoder.embedding)
    ]
    assert kinds[0] is kinds[1]  # also of bfloat16


@pytest.mark.parametrize("family", FAMILIES)
def test_steps_with_caches_compute_the_logits_of_the_whole_target(
    family: str, tmp_path: Path
) -> None:
    peer = encoder_decoder(family)
    save(peer, tmp_path)
    model = from_pretrained(tmp_path)
    (tokens, mask), (wanted, _) = padded_batch("left"), targets()
    whole = computed(
        peer, input_ids=tokens, attention_mask=as_integers(mask), decoder_input_ids=wanted
    ).logits.numpy()
    memory, caches = model.encode(tokens, mask=mask), model.decoder.new_caches()
    pieces = [wanted[:, :3], *(wanted[:, i : i + 1] for i in range(3, wanted.shape[1]))]
    y = [model.decoder(piece, memory, memory_mask=mask, caches=caches) for piece in pieces]
    np.testing.assert_allclose(model.logits(np.concatenate(y, 1)), whole, rtol=0, atol=1e-5)


def written(peer: Any, **options: Any) -> list[list[int]]:
    """What transformers' generate writes, without "start" and "eos"."""
    tokens, mask = padded_batch("left")
    assert mask is not None
    out = peer.generate(
        input_ids=torch.tensor(tokens), attention_mask=torch.tensor(mask.astype(int)), **options
    )[:, 1:]
    rows = [row.tolist() for row in out]
    return [row[: row.index(2)] if 2 in row else row for row in rows]


@pytest.mark.parametrize("num_beams", [1, 4])
@pytest.mark.parametrize("family", FAMILIES)
def test_text_is_that_of_transformers(family: str, num_beams: int, tmp_path: Path) -> None:
    peer = encoder_decoder(family)
    save(peer, tmp_path)
    options = {"early_stopping": "never"} if num_beams > 1 else {}
    expected = written(peer, max_new_tokens=17, do_sample=False, num_beams=num_beams, **options)
    model = from_pretrained(tmp_path)
    tokens, mask = padded_batch("left")
    found = model.generate(tokens, mask=mask, max_length=17, num_beams=num_beams)
    assert [row.tolist() for row in found] == expected
    assert any(len(row) > 0 for row in expected)
    assert mask is not None
    lists = [row[kept] for row, kept in zip(tokens, mask, strict=True)]
    again = model.generate(lists, max_length=17, num_beams=num_beams)
    assert [row.tolist() for row in again] == expected


@pytest.mark.parametrize("family", ["t5", "t5_unscaled", "mt5"])
def test_absent_keys_have_the_defaults_of_transformers(family: str, tmp_path: Path) -> None:
    rules = {"relative_attention_num_buckets": 32, "relative_attention_max_distance": 128}
    rules["feed_forward_proj"] = "relu" if family == "t5" else "gated-gelu"
    save(encoder_decoder(family, **rules), tmp_path)
    path = tmp_path / "config.json"
    given = json.loads(path.read_text(encoding="utf-8"))
    sizes = ("vocab_size", "d_model", "d_kv", "d_ff", "num_layers", "num_heads", "model_type",
             "architectures")  # fmt: skip
    kept = {key: given[key] for key in sizes}
    if family == "t5_unscaled":  # as of the library's version 4
        kept |= {"feed_forward_proj": "gated-gelu", "tie_word_embeddings": False}
    path.write_text(json.dumps(kept), encoding="utf-8")
    (tmp_path / "generation_config.json").unlink(missing_ok=True)
    kind = getattr(transformers, given["architectures"][0])
    peer = kind.from_pretrained(tmp_path, dtype="float32", attn_implementation="eager")
    model = from_pretrained(tmp_path)
    compared(peer, model, padded_batch("left", 23), targets())
    assert model.stop == (peer.config.eos_token_id,)
    assert model.start == (getattr(peer.config, "decoder_start_token_id", None) or 0)


def test_a_target_comes_token_by_token(tmp_path: Path) -> None:
    save(encoder_decoder("t5_unequal"), tmp_path)
    model = from_pretrained(tmp_path)
    tokens, _ = padded_batch("none")
    expected = model.generate(tokens[:1], max_length=9)[0].tolist()
    steps = model.steps(tokens[:1])
    assert list(stream(steps, [model.start], stop=model.stop, max_length=9)) == expected


@pytest.mark.parametrize("family", FAMILIES)
def test_gradients_are_those_of_transformers(family: str, tmp_path: Path) -> None:
    peer = encoder_decoder(family, dropout_rate=0.0)
    save(peer, tmp_path)
    model = from_pretrained(tmp_path)
    (tokens, mask), (wanted, _) = padded_batch("left"), targets()
    dlogits = np.random.default_rng(5).standard_normal((*wanted.shape, VOCABULARY))
    dlogits = dlogits.astype(np.float32)
    peer(
        input_ids=torch.tensor(tokens), attention_mask=torch.tensor(as_integers(mask)),
        decoder_input_ids=torch.tensor(wanted),
    ).logits.backward(torch.tensor(dlogits))  # fmt: skip
    _, backward = model.forward(tokens, wanted, mask=mask)
    backward(dlogits)
    with torch.no_grad():  # in place of the weights, so that their names are read as those are
        for parameter in peer.parameters():
            parameter.copy_(parameter.grad)
    peer.save_pretrained(tmp_path)
    expected = from_pretrained(tmp_path).parameters()
    found = model.grads
    assert found.keys() == expected.keys()
    for name, other in expected.items():
        scale = np.abs(other).max()
        np.testing.assert_allclose(found[name], other, rtol=0, atol=1e-4 * scale, err_msg=name)
