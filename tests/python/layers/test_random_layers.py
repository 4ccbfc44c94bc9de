"""Layers with random sizes and all options jointly, beside PyTorch's.

``HEEDFUL_FUZZ_CASES`` and ``HEEDFUL_FUZZ_SEED`` say how many cases, and where they are drawn from.
"""

from __future__ import annotations

import pytest

pytest.importorskip("torch")
pytest.importorskip("hypothesis")

from fuzz_campaign import run
from random_layers.alternatives import alternative_cases
from random_layers.attention import attention_cases
from random_layers.embedding import embedding_cases
from random_layers.models import model_cases
from random_layers.recurrent import convolution_cases, patch_cases, recurrent_cases
from random_layers.small import small_cases
from random_layers.transformer import decoder_cases, encoder_cases

pytestmark = [pytest.mark.peer, pytest.mark.slow]

# what is drawn, and its fraction of all cases
KINDS = {
    "attention": (attention_cases, 0.2),
    "alternative": (alternative_cases, 0.05),
    "encoder": (encoder_cases, 0.15),
    "decoder": (decoder_cases, 0.15),
    "model": (model_cases, 0.15),
    "recurrent": (recurrent_cases, 0.1),
    "convolution": (convolution_cases, 0.04),
    "patch": (patch_cases, 0.01),
    "small": (small_cases, 0.1),
    "embedding": (embedding_cases, 0.05),
}


@pytest.mark.parametrize("kind", KINDS)
def test_random_layers_are_those_of_torch(kind: str) -> None:
    cases, share = KINDS[kind]
    run(cases(), share)
