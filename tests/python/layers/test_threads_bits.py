"""Layers and trainings give the same bits for every number of threads."""

from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
import pytest

import heedful
from heedful import layers, training

B, L, E, V = 5, 97, 96, 103


def models() -> dict[str, layers.Layer]:
    return {
        "encoder": layers.Encoder(2, E, 4, 301, 0.1, norm_first=True, activation="gelu", rng=0),
        "language_model": layers.LanguageModel(V, E, 4, 2, rng=0),
        "linear_language_model": layers.LanguageModel(V, E, 4, 1, mixer="linear", rng=0),
        "segments": layers.SegmentRecurrentLM(V, E, 4, 1, rng=0),
        "bert": layers.BertEncoder(V, E, 4, 1, 301, 128, rng=0),
        "autoencoder": layers.Autoencoder(E, 31, E, 4, 1, rng=0),
    }


@pytest.mark.parametrize("name", models())
def test_two_steps_end_at_the_same_bits(name: str, rng: np.random.Generator) -> None:
    reads_tokens = name.endswith("language_model") or name in ("segments", "bert")
    x: Any = rng.integers(0, V, (B, L)) if reads_tokens else rng.standard_normal((B, L, E))
    writes_tokens = name.endswith("language_model") or name == "segments"
    y = rng.integers(0, V, (B, L)) if writes_tokens else rng.standard_normal((B, L, E))
    kind: Any = training.MeanSquaredError
    if writes_tokens:
        kind = training.SparseCategoricalCrossEntropy
    ends = []
    for threads in (1, 2, 3, 8):
        model = models()[name]
        model.compile(training.AdamW(clip_norm=0.1), kind())
        with heedful.num_threads(threads):
            model.fit(x, y, batch_size=3, verbose=False, rng=1)
            ends.append((model.predict(x), model.history["loss"], model.state_dict()))
    for prediction, losses, state in ends[1:]:
        np.testing.assert_array_equal(prediction, ends[0][0])
        assert losses == ends[0][1]
        for key, array in state.items():
            np.testing.assert_array_equal(array, ends[0][2][key])


@pytest.mark.parametrize("called", [True, False])
def test_a_closure_releases_its_arrays(called: bool, rng: np.random.Generator) -> None:
    """Once it is called, or dropped, nothing of the computation is left."""
    model = layers.Encoder(2, E, 4, 301, rng=0)
    x = rng.standard_normal((B, L, E)).astype(np.float32)
    y, backward = model.forward(x, rng=0)
    backward(y)  # gradients have their room now
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        y, backward = model.forward(x, rng=0)
        kept = tracemalloc.get_traced_memory()[0] - before
        assert kept > 10 * x.nbytes
        if called:
            backward(y)
        else:
            del backward
        del y
        assert tracemalloc.get_traced_memory()[0] - before < x.nbytes / 2
        tracemalloc.reset_peak()
        model(x)
        assert tracemalloc.get_traced_memory()[0] - before < x.nbytes / 2
    finally:
        tracemalloc.stop()
