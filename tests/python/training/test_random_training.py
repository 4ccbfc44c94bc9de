"""Losses and optimizers with random sizes and all options jointly, beside PyTorch's.

``HEEDFUL_FUZZ_CASES`` and ``HEEDFUL_FUZZ_SEED`` say how many cases, and where they are drawn from.
"""

from __future__ import annotations

import pytest

pytest.importorskip("torch")
pytest.importorskip("hypothesis")

from fuzz_campaign import run
from random_layers.losses import loss_cases
from random_layers.optimizers import optimizer_cases

pytestmark = [pytest.mark.peer, pytest.mark.slow]

# what is drawn, and its fraction of all cases
KINDS = {"loss": (loss_cases, 0.2), "optimizer": (optimizer_cases, 0.2)}


@pytest.mark.parametrize("kind", KINDS)
def test_random_training_is_that_of_torch(kind: str) -> None:
    cases, share = KINDS[kind]
    run(cases(), share)
