"""Vision Transformers: gradients, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from heedful.models import ImageClassification, VisionEncoder, from_config

SIZES = {"image_size": 12, "patch_size": 4, "num_channels": 3, "hidden_size": 12,
         "num_hidden_layers": 2, "num_attention_heads": 3, "intermediate_size": 29}  # fmt: skip


@pytest.mark.parametrize("head", ["ViTModel", "ViTForImageClassification"])
def test_gradients_are_finite_differences(head: str) -> None:
    model = from_config({"model_type": "vit", **SIZES}, head=head, dtype=np.float64, rng=0)
    options = {"pooled": True} if head == "ViTModel" else {}
    rng = np.random.default_rng(1)
    pixels = rng.standard_normal((2, 3, 12, 12))
    y, backward = model.forward(pixels, **options)
    outputs = y if isinstance(y, tuple) else (y,)
    gradients = [rng.standard_normal(part.shape) for part in outputs]
    dpixels = backward(*gradients)

    def loss() -> float:
        y = model(pixels, **options)
        parts = y if isinstance(y, tuple) else (y,)
        return float(sum((a * b).sum() for a, b in zip(parts, gradients, strict=True)))

    pairs = [(array, model.grads[name]) for name, array in model.parameters().items()]
    for array, gradient in [*pairs, (pixels, dpixels)]:
        place = tuple(rng.integers(0, size) for size in array.shape)
        kept, ends = array[place], []
        for step in (1e-5, -1e-5):
            array[place] = kept + step
            ends.append(loss())
        array[place] = kept
        assert gradient[place] == pytest.approx((ends[0] - ends[1]) / 2e-5, abs=1e-6, rel=1e-5)


def test_weights_of_attention_are_dropped_at_the_rate_of_the_config() -> None:
    rates = {"attention_probs_dropout_prob": 0.25, "hidden_dropout_prob": 0.5}
    model = from_config({"model_type": "vit", **SIZES, **rates})
    assert isinstance(model, VisionEncoder)
    assert [layer.self_attn.dropout for layer in model.encoder.layers] == [0.25] * 2
    assert model.dropout.rate == 0.5


def test_a_model_for_images_is_trained_as_any_other() -> None:
    model = from_config({"model_type": "vit", **SIZES}, head="ViTForImageClassification", rng=0)
    assert isinstance(model, ImageClassification)
    pixels = np.random.default_rng(0).standard_normal((16, 3, 12, 12)).astype(np.float32)
    model.compile("adam", "sparse_categorical_crossentropy")
    history = model.fit(pixels, np.arange(16) % 2, epochs=15, verbose=False, rng=0)
    assert history["loss"][-1] < history["loss"][0] / 2


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"qkv_bias": False}, "qkv_bias of config must be true: got false"),
        ({"patch_size": 5}, "patch_size must divide image_size"),
        ({"image_size": None}, "config must have image_size: it is missing"),
        ({"image_size": [12]}, "image_size must be one number or height and width"),
        ({"num_channels": 0}, "num_channels of config must be at least 1: got 0"),
    ],
)
def test_a_config_that_does_not_fit_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        from_config({"model_type": "vit", **SIZES, **changes})


@pytest.mark.parametrize("shape", [(2, 3, 12, 8), (2, 1, 12, 12), (12, 12), (2, 3, 12)])
def test_images_of_another_size_are_refused(shape: tuple[int, ...]) -> None:
    model = from_config({"model_type": "vit", **SIZES}, head="ViTForImageClassification")
    with pytest.raises(ValueError, match=r"pixels must have shape \(…, 3, 12, 12\): got"):
        model(np.zeros(shape))


def test_wrong_arguments_are_refused() -> None:
    model = from_config({"model_type": "vit", **SIZES}, head="ViTForImageClassification")
    with pytest.raises(TypeError, match="hidden_states must be True or False: got 1"):
        model(np.zeros((2, 3, 12, 12)), hidden_states=1)
    with pytest.raises(TypeError, match="vision must be a VisionEncoder: got 3"):
        ImageClassification(3, 2)  # type: ignore[arg-type]
    bare = VisionEncoder(12, 4, 3, 12, 3, 2, 29)
    with pytest.raises(ValueError, match="pooled must be False: the model has no pooler"):
        bare(np.zeros((2, 3, 12, 12)), pooled=True)
