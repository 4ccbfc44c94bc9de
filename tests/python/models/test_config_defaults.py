"""Keys that config.json lacks, or that are null: what transformers reads from the same file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from heedful.models import from_pretrained

pytestmark = pytest.mark.peer

pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from decoder_peers import decoder, padded_batch  # noqa: E402, after the frameworks
from saved_models import computed, save  # noqa: E402

SIZES = ("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers",
         "num_attention_heads", "num_key_value_heads", "head_dim", "n_embd", "n_layer", "n_head",
         "model_type", "architectures")  # fmt: skip
# what the shapes of the weights tell, so that the rest may be absent
FITTING: dict[str, dict[str, Any]] = {
    "gpt2": {"n_positions": 1024}, "llama": {}, "mistral": {"sliding_window": 5}, "qwen2": {},
    "qwen3": {"rms_norm_eps": 1e-6}, "gemma": {},
    "gemma2": {"attn_logit_softcapping": 2.0, "final_logit_softcapping": 1.0},
}  # fmt: skip


def without(folder: Path, **changes: Any) -> Any:
    """Leaves the sizes and `changes` in config.json: what transformers loads then."""
    path = folder / "config.json"
    given = json.loads(path.read_text(encoding="utf-8"))
    kept = {key: given[key] for key in SIZES if key in given} | changes
    path.write_text(json.dumps(kept), encoding="utf-8")
    (folder / "generation_config.json").unlink(missing_ok=True)
    kind = getattr(transformers, given["architectures"][0])
    return kind.from_pretrained(folder, dtype="float32", attn_implementation="eager")


@pytest.mark.parametrize("family", FITTING)
def test_absent_keys_have_the_defaults_of_transformers(family: str, tmp_path: Path) -> None:
    save(decoder(family, **FITTING[family]), tmp_path)
    peer = without(tmp_path)
    tokens, _ = padded_batch("none")
    model = from_pretrained(tmp_path)
    expected = computed(peer, input_ids=tokens).logits.numpy()
    np.testing.assert_allclose(model(tokens), expected, rtol=0, atol=1e-5)
    stop = peer.generation_config.eos_token_id
    assert model.stop == (() if stop is None else (stop,))


@pytest.mark.parametrize("given", [{}, {"sliding_window": None}, {"sliding_window": 3}])
@pytest.mark.parametrize("family", ["mistral", "qwen2", "qwen3", "gemma2"])
def test_windows_are_those_of_transformers(
    family: str, given: dict[str, Any], tmp_path: Path
) -> None:
    save(decoder(family), tmp_path)
    if family.startswith("qwen"):
        given = {"use_sliding_window": True, "max_window_layers": 1, **given}
    config = without(tmp_path, **given).config
    kinds = getattr(config, "layer_types", None) or ["sliding_attention"] * 3
    wanted = [config.sliding_window if kind == "sliding_attention" else None for kind in kinds]
    found = [layer.window for layer in from_pretrained(tmp_path).layers]
    assert found == [None if width is None else (width - 1, 0) for width in wanted]


@pytest.mark.parametrize("key", ["attn_logit_softcapping", "final_logit_softcapping"])
def test_a_soft_cap_of_null_is_none(key: str, tmp_path: Path) -> None:
    save(decoder("gemma2"), tmp_path)
    peer = without(tmp_path, **{key: None})
    tokens, _ = padded_batch("none")
    expected = computed(peer, input_ids=tokens).logits.numpy()
    np.testing.assert_allclose(from_pretrained(tmp_path)(tokens), expected, rtol=0, atol=1e-5)
