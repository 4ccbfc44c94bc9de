"""Caches of decoders with windows: the keys that a window has passed are dropped."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from heedful import KVCache, SinksAndWindow
from heedful.explain import guide, watch
from heedful.layers import CausalLM

WINDOWS = [5, None, 3]
OPTIONS: dict[str, dict[str, Any]] = {
    "greedy": {}, "beams": {"num_beams": 3}, "drawn": {"temperature": 0.8, "rng": 0},
}  # fmt: skip


def made(dtype: Any = np.float64) -> Any:
    model = CausalLM(
        23, 12, 4, 3, 16, num_kv_heads=2, head_dim=4, window=WINDOWS, dtype=dtype, rng=0
    )
    rng = np.random.default_rng(3)
    for array in model.parameters().values():
        array[...] = rng.standard_normal(array.shape) * (0.4 if array.ndim > 1 else 0.8)
    return model


def test_caches_are_of_the_window_of_their_layer() -> None:
    model = made()
    policies = [cache.policy for cache in model.new_caches()]
    assert policies[1] is None
    assert [(one.sinks, one.window) for one in (policies[0], policies[2])] == [(0, 5), (0, 3)]
    assert all(cache.policy is None for cache in model.new_caches(cache=KVCache()))
    with watch(model, "layers.0.*"):
        kept = [cache.policy for cache in model.new_caches()]
    assert [one is None for one in kept] == [True, True, False]


@pytest.mark.parametrize("steps", [[40], [1] * 40, [30] + [1] * 10, [3, 20, 1, 16]], ids=str)
def test_logits_are_those_with_all_keys(steps: list[int]) -> None:
    model = made()
    tokens = np.random.default_rng(0).integers(0, 23, (2, 40))
    caches = model.new_caches()
    parts = np.split(tokens, np.cumsum(steps)[:-1], 1)
    found = np.concatenate([model(part, caches=caches) for part in parts], 1)
    np.testing.assert_allclose(found, model(tokens), rtol=0, atol=1e-12)
    rows = [cache.nbytes // (2 * 2 * 2 * 4 * 8) for cache in caches]  # B, Hkv, k and v, D, bytes
    assert rows[0] <= 10
    assert rows[1] >= 40
    assert rows[2] <= 6


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_texts_are_those_with_all_keys(options: dict[str, Any]) -> None:
    model, prompts = made(np.float32), [[1, 2, 3, 4, 5, 6, 7, 8, 9], [4], [7, 8]]
    found = model.generate(prompts, max_length=30, stop=9, **options)
    expected = model.generate(prompts, max_length=30, stop=9, cache=KVCache(), **options)
    assert [row.tolist() for row in found] == [row.tolist() for row in expected]


def test_a_failed_step_leaves_the_caches_as_they_were() -> None:
    model = made()
    tokens = np.random.default_rng(0).integers(0, 23, (1, 30))
    caches = model.new_caches()
    model(tokens[:, :20], caches=caches)
    broken = model.layers[2].feed_forward.compute
    model.layers[2].feed_forward.compute = lambda *_: 1 / 0
    with pytest.raises(ZeroDivisionError):
        model(tokens[:, 20:], caches=caches)
    model.layers[2].feed_forward.compute = broken
    found = model(tokens[:, 20:], caches=caches)
    np.testing.assert_allclose(found, model(tokens)[:, 20:], rtol=0, atol=1e-12)


def test_guided_and_watched_texts_have_all_keys() -> None:
    model = made()
    guidance = guide(["a", "b", "c"], attract="b", strength=3)
    with watch(model) as seen:
        plain = model.generate([[1, 2, 3]], max_length=8)
    assert seen["layers.0.self_attn"].shape[-1] > 5
    guided = model.generate([[1, 2, 3]], max_length=8, guidance=guidance)
    again = model.generate([[1, 2, 3]], max_length=8, guidance=guidance, cache=KVCache())
    assert guided[0].tolist() == again[0].tolist()
    assert model.generate([[1, 2, 3]], max_length=8)[0].tolist() == plain[0].tolist()
    caches = model.new_caches()
    message = r"watch needs caches that keep all keys: got one with the policy SinksAndWindow"
    with watch(model), pytest.raises(ValueError, match=message):
        model([[1, 2, 3]], caches=caches)
    assert isinstance(caches[0].policy, SinksAndWindow)
