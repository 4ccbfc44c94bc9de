"""Models of the BERT family beside transformers', which saved them with random weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from heedful.models import from_pretrained

pytestmark = pytest.mark.peer

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from saved_models import computed, random_peer, save  # noqa: E402, after the frameworks

SIZES = {
    "vocab_size": 53, "hidden_size": 12, "num_hidden_layers": 3, "num_attention_heads": 3,
    "intermediate_size": 29, "max_position_embeddings": 19, "num_labels": 5,
}  # fmt: skip
FAMILIES = {
    "Bert": ("BertConfig", SIZES),
    "Roberta": ("RobertaConfig", {**SIZES, "type_vocab_size": 2}),
    "XLMRoberta": ("XLMRobertaConfig", {**SIZES, "layer_norm_eps": 1e-5}),
    "Camembert": ("CamembertConfig", SIZES),
    "DistilBert": ("DistilBertConfig",
                   {"vocab_size": 53, "dim": 12, "n_layers": 3, "n_heads": 3, "hidden_dim": 29,
                    "max_position_embeddings": 19, "num_labels": 5}),
}  # fmt: skip
HEADS = ("Model", "ForSequenceClassification", "ForTokenClassification", "ForQuestionAnswering",
         "ForMaskedLM")  # fmt: skip
LENGTH, COUNTS = 7, (7, 4, 1)
MASKS = {
    "none": None,
    "right": np.arange(LENGTH) < np.array(COUNTS)[:, None],
    "left": np.arange(LENGTH) >= LENGTH - np.array(COUNTS)[:, None],
}


def peer_of(family: str, head: str, **changes: Any) -> Any:
    config_name, sizes = FAMILIES[family]
    labels = {"num_labels": 2} if head == "ForQuestionAnswering" else {}
    config = getattr(transformers, config_name)(**{**sizes, **labels, **changes})
    return random_peer(config, family + head)


def inputs(family: str, peer: Any, padding: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The same call for transformers and for heedful."""
    rng = np.random.default_rng(3)
    tokens = rng.integers(4, 53, (3, LENGTH))
    mask = MASKS[padding]
    if mask is not None:
        tokens[~mask] = peer.config.pad_token_id
    segments = None if family == "DistilBert" else rng.integers(0, 2, (3, LENGTH))
    theirs = {"input_ids": tokens, "token_type_ids": segments,
              "attention_mask": None if mask is None else mask.astype(int)}  # fmt: skip
    return theirs, {"tokens": tokens, "segments": segments, "mask": mask}


def logits_of(head: str, outputs: Any) -> list[Any]:
    if head == "ForQuestionAnswering":
        return [outputs.start_logits, outputs.end_logits]
    return [outputs.last_hidden_state if head == "Model" else outputs.logits]


@pytest.mark.parametrize("padding", MASKS)
@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("family", FAMILIES)
def test_logits_and_hidden_states_are_those_of_transformers(
    family: str, head: str, padding: str, tmp_path: Path
) -> None:
    peer = peer_of(family, head)
    save(peer, tmp_path)
    theirs, own = inputs(family, peer, padding)
    expected = computed(peer, **theirs)
    *found, states = from_pretrained(tmp_path)(**own, hidden_states=True)
    wanted = logits_of(head, expected)
    for one, other in zip(found, wanted, strict=True):
        np.testing.assert_allclose(one, other.numpy(), rtol=0, atol=1e-5)
    assert len(states) == len(expected.hidden_states) == 4
    for one, other in zip(states, expected.hidden_states, strict=True):
        np.testing.assert_allclose(one, other.numpy(), rtol=0, atol=1e-5)


@pytest.mark.parametrize("kind", ["mask", "lengths"])
@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("family", FAMILIES)
def test_a_batch_whose_padding_is_left_out_gives_the_same_logits(
    family: str, head: str, kind: str, tmp_path: Path
) -> None:
    peer = peer_of(family, head)
    save(peer, tmp_path)
    lengths = np.array([17, 11, 9, 5, 3, 2, 1, 17])
    mask = np.arange(17) < lengths[:, None]
    tokens = np.random.default_rng(7).integers(4, 53, mask.shape)
    tokens[~mask] = peer.config.pad_token_id
    expected = computed(peer, input_ids=tokens, attention_mask=mask.astype(int))
    given = {"mask": mask} if kind == "mask" else {"lengths": lengths}
    *found, states = from_pretrained(tmp_path)(tokens, **given, hidden_states=True)
    pairs = [*zip(found, logits_of(head, expected), strict=True),
             *zip(states, expected.hidden_states, strict=True)]  # fmt: skip
    for own, theirs in pairs:
        wanted = theirs.numpy()
        if wanted.shape[1:2] == (17,):
            own, wanted = own[mask], wanted[mask]
        np.testing.assert_allclose(own, wanted, rtol=0, atol=1e-5)


@pytest.mark.parametrize("family", [name for name in FAMILIES if name != "DistilBert"])
def test_the_pooled_vector_is_that_of_transformers(family: str, tmp_path: Path) -> None:
    peer = peer_of(family, "Model")
    save(peer, tmp_path)
    theirs, own = inputs(family, peer, "right")
    expected = computed(peer, **theirs)
    y, pooled, states = from_pretrained(tmp_path)(**own, pooled=True, hidden_states=True)
    np.testing.assert_allclose(pooled, expected.pooler_output.numpy(), rtol=0, atol=1e-5)
    np.testing.assert_allclose(y, expected.last_hidden_state.numpy(), rtol=0, atol=1e-5)
    assert len(states) == 4


@pytest.mark.parametrize("options", [{}, {"max_shard_size": "3KB"}], ids=["whole", "shards"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16", "float64"])
@pytest.mark.parametrize("family", ["Bert", "Roberta", "DistilBert"])
def test_files_of_every_type_and_in_shards_give_the_same_logits(
    family: str, dtype: str, options: dict[str, Any], tmp_path: Path
) -> None:
    peer = peer_of(family, "ForMaskedLM")
    save(peer, tmp_path, dtype, **options)
    assert (len(list(tmp_path.glob("model-*.safetensors"))) > 2) == bool(options)
    theirs, own = inputs(family, peer, "right")
    model = from_pretrained(tmp_path)
    assert {array.dtype for array in model.parameters().values()} == {np.dtype(np.float32)}
    expected = computed(peer, **theirs).logits.numpy()
    np.testing.assert_allclose(model(**own), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
def test_float64_computes_what_transformers_does_in_float64(family: str, tmp_path: Path) -> None:
    peer = peer_of(family, "ForSequenceClassification").double()
    peer.save_pretrained(tmp_path)
    theirs, own = inputs(family, peer, "left")
    model = from_pretrained(tmp_path, dtype=np.float64)
    expected = computed(peer, **theirs).logits.numpy()
    np.testing.assert_allclose(model(**own), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("family", FAMILIES)
def test_masked_language_models_may_be_tied_or_not(family: str, tied: bool, tmp_path: Path) -> None:
    peer = peer_of(family, "ForMaskedLM", tie_word_embeddings=tied)
    save(peer, tmp_path)
    theirs, own = inputs(family, peer, "none")
    model = from_pretrained(tmp_path)
    assert (model.decoder.weight is model.bert.token_embedding.weight) == tied
    expected = computed(peer, **theirs).logits.numpy()
    np.testing.assert_allclose(model(**own), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("family", FAMILIES)
def test_gradients_are_those_of_transformers(family: str, head: str, tmp_path: Path) -> None:
    peer = peer_of(family, head, hidden_dropout_prob=0.0)
    save(peer, tmp_path)
    theirs, own = inputs(family, peer, "right")
    model = from_pretrained(tmp_path)
    given = {name: torch.tensor(value) for name, value in theirs.items() if value is not None}
    expected = logits_of(head, peer(**given))
    rng = np.random.default_rng(5)
    gradients = [rng.standard_normal(y.shape).astype(np.float32) for y in expected]
    if head in ("ForTokenClassification", "ForQuestionAnswering"):
        for dy in gradients:  # as of a loss that leaves padding out
            dy[~own["mask"]] = 0
    sum((y * torch.tensor(dy)).sum() for y, dy in zip(expected, gradients, strict=True)).backward()
    for _, layer in model.named_layers():  # dropout is that of the files
        for name in ("rate", "dropout"):
            if isinstance(getattr(layer, name, None), float):
                setattr(layer, name, 0.0)
    _, backward = model.forward(**own)
    backward(*gradients)
    bert = model if head == "Model" else model.bert
    for number, layer in enumerate(bert.encoder.layers):
        base = peer if head == "Model" else peer.base_model
        stack = base.transformer if family == "DistilBert" else base.encoder
        one = stack.layer[number]
        wide = one.ffn.lin1 if family == "DistilBert" else one.intermediate.dense
        wanted = wide.weight.grad.numpy()
        found = layer.linear1.parameter("weight").grad
        np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-4 * np.abs(wanted).max())
    words = peer.get_input_embeddings().weight.grad.numpy()
    found = bert.token_embedding.parameter("weight").grad
    np.testing.assert_allclose(found, words, rtol=0, atol=1e-4 * np.abs(words).max())


@pytest.mark.parametrize("family", FAMILIES)
def test_an_encoder_is_taken_from_a_model_with_a_head(family: str, tmp_path: Path) -> None:
    peer = peer_of(family, "ForMaskedLM")
    save(peer, tmp_path)
    theirs, own = inputs(family, peer, "left")
    model = from_pretrained(tmp_path, head=f"{family}Model")
    with torch.no_grad():
        expected = computed(peer, **theirs).hidden_states[-1].numpy()
    np.testing.assert_allclose(model(**own), expected, rtol=0, atol=1e-5)


def test_weights_of_a_wrapped_model_have_a_prefix(tmp_path: Path) -> None:
    from safetensors.numpy import load_file, save_file

    peer = peer_of("Bert", "ForTokenClassification")
    save(peer, tmp_path)
    path = tmp_path / "model.safetensors"
    save_file({f"module.{name}": array for name, array in load_file(path).items()}, path)
    theirs, own = inputs("Bert", peer, "none")
    found = from_pretrained(tmp_path)(**own)
    np.testing.assert_allclose(found, computed(peer, **theirs).logits.numpy(), rtol=0, atol=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
def test_what_a_config_leaves_out_is_what_transformers_takes(family: str, tmp_path: Path) -> None:
    """The sizes alone are given: labels, activation, norms, positions and tying are defaults."""
    from heedful.models import from_config

    config_name, sizes = FAMILIES[family]
    made = getattr(transformers, config_name)(**sizes)
    kept = {"model_type": made.model_type, **{name: sizes[name] for name in sizes}}
    del kept["num_labels"]
    for head in HEADS:
        defaults = getattr(transformers, config_name)(**{k: v for k, v in sizes.items()
                                                         if k != "num_labels"})  # fmt: skip
        peer = random_peer(defaults, family + head)
        model = from_config(kept, head=family + head)
        count = sum(parameter.numel() for parameter in peer.parameters())
        assert model.parameter_count == count, head
