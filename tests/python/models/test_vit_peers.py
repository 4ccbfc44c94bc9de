"""Vision Transformers beside transformers', which saved them with random weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from heedful.models import from_config, from_pretrained

pytestmark = pytest.mark.peer

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from saved_models import computed, random_peer, save  # noqa: E402, after the frameworks

SIZES = {"image_size": 12, "patch_size": 4, "num_channels": 3, "hidden_size": 12,
         "num_hidden_layers": 3, "num_attention_heads": 3, "intermediate_size": 29}  # fmt: skip
CHANGES: dict[str, dict[str, Any]] = {
    "square": {},
    "oblong": {"image_size": [8, 12], "patch_size": [2, 4], "num_channels": 1},
    "other": {"hidden_act": "gelu_new", "layer_norm_eps": 1e-6, "pooler_output_size": 7,
              "pooler_act": "relu", "num_labels": 5},
}  # fmt: skip


def peer_of(head: str, changes: str = "square") -> Any:
    return random_peer(transformers.ViTConfig(**{**SIZES, **CHANGES[changes]}), f"ViT{head}")


def pixels_of(peer: Any) -> np.ndarray[Any, Any]:
    size = peer.config.image_size
    height, width = (size, size) if isinstance(size, int) else size
    shape = (2, peer.config.num_channels, height, width)
    return np.random.default_rng(1).standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize("changes", CHANGES)
@pytest.mark.parametrize("head", ["Model", "ForImageClassification"])
def test_logits_and_hidden_states_are_those_of_transformers(
    head: str, changes: str, tmp_path: Path
) -> None:
    peer = peer_of(head, changes)
    save(peer, tmp_path)
    pixels = pixels_of(peer)
    expected = computed(peer, pixel_values=pixels)
    model = from_pretrained(tmp_path)
    if head == "Model":
        y, pooled, states = model(pixels, pooled=True, hidden_states=True)
        wanted = [(y, expected.last_hidden_state), (pooled, expected.pooler_output)]
    else:
        logits, states = model(pixels, hidden_states=True)
        wanted = [(logits, expected.logits)]
    for found, other in [*wanted, *zip(states, expected.hidden_states, strict=True)]:
        np.testing.assert_allclose(found, other.numpy(), rtol=0, atol=1e-5)


@pytest.mark.parametrize("options", [{}, {"max_shard_size": "3KB"}], ids=["whole", "shards"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_files_of_every_type_and_in_shards_give_the_same_logits(
    dtype: str, options: dict[str, Any], tmp_path: Path
) -> None:
    peer = peer_of("ForImageClassification")
    save(peer, tmp_path, dtype, **options)
    pixels = pixels_of(peer)
    expected = computed(peer, pixel_values=pixels).logits.numpy()
    np.testing.assert_allclose(from_pretrained(tmp_path)(pixels), expected, rtol=0, atol=1e-5)


def test_the_names_of_a_model_in_memory_are_known_too(tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    peer = peer_of("ForImageClassification")
    save(peer, tmp_path)
    state = {name: array.numpy() for name, array in peer.state_dict().items()}
    save_file(state, tmp_path / "model.safetensors")
    pixels = pixels_of(peer)
    expected = computed(peer, pixel_values=pixels).logits.numpy()
    np.testing.assert_allclose(from_pretrained(tmp_path)(pixels), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("head", ["Model", "ForImageClassification"])
def test_gradients_are_those_of_transformers(head: str, tmp_path: Path) -> None:
    peer = peer_of(head)
    save(peer, tmp_path)
    model = from_pretrained(tmp_path)
    pixels = torch.tensor(pixels_of(peer), requires_grad=True)
    outputs = peer(pixel_values=pixels)
    outputs = (
        [outputs.last_hidden_state, outputs.pooler_output] if head == "Model" else [outputs.logits]
    )
    rng = np.random.default_rng(5)
    gradients = [rng.standard_normal(y.shape).astype(np.float32) for y in outputs]
    sum((y * torch.tensor(dy)).sum() for y, dy in zip(outputs, gradients, strict=True)).backward()
    given = {"pooled": True} if head == "Model" else {}
    _, backward = model.forward(pixels.detach().numpy(), **given)
    dpixels = backward(*gradients)
    vision, theirs = (model, peer) if head == "Model" else (model.vision, peer.vit)
    embeddings = theirs.embeddings
    pairs = [
        (dpixels, pixels.grad),
        (vision.grads["class_token"], embeddings.cls_token.grad[0, 0]),
        (vision.grads["positions.weight"], embeddings.position_embeddings.grad[0]),
        (vision.grads["patches.weight"], embeddings.patch_embeddings.projection.weight.grad),
        (vision.grads["encoder.layers.1.linear2.weight"], theirs.layers[1].mlp.fc2.weight.grad),
        (vision.grads["encoder.norm.bias"], theirs.layernorm.bias.grad),
    ]
    for found, expected in pairs:
        wanted = expected.numpy()
        np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-4 * np.abs(wanted).max())


def test_what_a_config_leaves_out_is_what_transformers_takes() -> None:
    peer = random_peer(transformers.ViTConfig(**SIZES), "ViTForImageClassification")
    model = from_config({"model_type": "vit", **SIZES}, head="ViTForImageClassification")
    assert model.parameter_count == sum(parameter.numel() for parameter in peer.parameters())
