"""Options of attention with every kind of cache: they compute the same, or are refused by name.

Keys and values are integers whose largest is 127, so int8 stores them exactly; and policies have
room for all rows, so every cache gives what attention gives without one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray

import heedful
from heedful import BlockMask, HeavyHitters, KVCache, QuestPages, SinksAndWindow
from heedful import layers as L

Array = NDArray[Any]
LENGTH = 19
STEPS = [(0, 7), (7, 8), (8, 16), (16, 19)]  # a prompt, a token, several
CACHES: dict[str, Callable[[], KVCache]] = {
    "contiguous": KVCache,
    "paged": lambda: KVCache(kind="paged", page_size=4),
    "int8": lambda: KVCache(dtype="int8"),
    "paged int8": lambda: KVCache(dtype="int8", kind="paged", page_size=4),
    "SinksAndWindow": lambda: KVCache(policy=SinksAndWindow(2, 50), page_size=4),
    "HeavyHitters": lambda: KVCache(policy=HeavyHitters(40, 40), page_size=4),
    "QuestPages": lambda: KVCache(policy=QuestPages(50), page_size=4),
}
DENSE: Array = np.random.default_rng(1).random((LENGTH, LENGTH)) < 0.7
BIAS: Array = np.random.default_rng(2).standard_normal((LENGTH, LENGTH))


class Option(NamedTuple):
    layer: dict[str, Any]  # arguments of the constructor
    call: Callable[[slice, slice], dict[str, Any]]  # of a call, for these queries and keys
    refused: tuple[str, ...] = ()  # the caches that refuse it


def always(**options: Any) -> Callable[[slice, slice], dict[str, Any]]:
    return lambda queries, keys: options


REMOVING = ("SinksAndWindow", "HeavyHitters")
OPTIONS = {
    "plain": Option({}, always()),
    "mask": Option({}, lambda q, k: {"mask": DENSE[q, k]}, REMOVING),
    "bias": Option({}, lambda q, k: {"bias": BIAS[q, k]}, REMOVING),
    "block_mask": Option(
        {}, lambda q, k: {"block_mask": BlockMask.from_mask(DENSE[q, k], block_size=3)}, REMOVING
    ),
    "window": Option({}, always(window=(5, 0)), ("HeavyHitters",)),
    "exclude_self": Option({}, always(exclude_self=True), ("HeavyHitters",)),
    "alibi": Option({"alibi": True}, always(), ("HeavyHitters",)),
    "softcap": Option({"softcap": 2.0}, always()),
    "sink": Option({"sink": True}, always()),
    "top_k": Option({"top_k": 3}, always(), REMOVING),
    "return_weights": Option({}, always(return_weights=True), REMOVING),
}


def made(**options: Any) -> L.MultiHeadAttention:
    """Queries, keys and values are the input itself."""
    layer = L.MultiHeadAttention(
        8, 2, bias=False, causal=True, scale=1e-4, dtype=np.float64, rng=0, **options
    )
    layer.in_proj_weight[...] = np.tile(np.eye(8), (3, 1))
    if layer.sink is not None:
        layer.sink[...] = 0.5, -1.0
    return layer


def tokens() -> Array:
    x = np.random.default_rng(0).integers(-60, 61, (2, LENGTH, 8)).astype(float)
    x[..., ::4] = np.where(x[..., ::4] < 0, -127, 127)  # the largest of each head
    return x


def distances() -> Array:
    return np.arange(LENGTH)[:, None] - np.arange(LENGTH)


CASES = [(cache, option) for cache in CACHES for option in OPTIONS]


@pytest.mark.parametrize(("cache_name", "name"), CASES, ids=[f"{c}-{o}" for c, o in CASES])
def test_a_cache_gives_the_same_or_refuses(cache_name: str, name: str) -> None:
    option, x, cache = OPTIONS[name], tokens(), CACHES[cache_name]()
    layer, everything = made(**option.layer), slice(0, LENGTH)
    if cache_name in option.refused:
        rows, keys = slice(*STEPS[0]), slice(0, STEPS[0][1])
        message = f"^{name}(_slopes)? cannot be combined with {cache_name}"
        with pytest.raises(ValueError, match=message):
            layer(x[:, rows], cache=cache, **option.call(rows, keys))
        assert len(cache.lengths) == 0
        return
    options = option.call(everything, everything)
    if (cache_name, name) == ("SinksAndWindow", "window"):  # its sinks are seen all the same
        options = {"mask": (distances() <= 5) | (np.arange(LENGTH) < 2)}
    whole = layer(x, **options)
    whole = whole[0] if isinstance(whole, tuple) else whole
    for first, last in STEPS:
        rows, keys = slice(first, last), slice(0, last)
        found = layer(x[:, rows], cache=cache, **option.call(rows, keys))
        found = found[0] if isinstance(found, tuple) else found
        np.testing.assert_allclose(found, whole[:, rows], rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("cache_name", REMOVING)
@pytest.mark.parametrize("name", ["top_k", "block_mask"])
def test_the_refusal_says_what_to_do(cache_name: str, name: str) -> None:
    layer = made(**OPTIONS[name].layer)
    options = OPTIONS[name].call(slice(0, 5), slice(0, 5))
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the whole message is compared
        layer(tokens()[:, :5], cache=CACHES[cache_name](), **options)
    assert str(caught.value) == (
        f"{name} cannot be combined with {cache_name}, which removes keys: "
        "use a cache without a policy, or with QuestPages"
    )


@pytest.mark.parametrize("cache_name", [name for name in CACHES if name not in REMOVING])
def test_a_block_mask_for_other_lengths_is_refused(cache_name: str) -> None:
    layer, cache, x = made(), CACHES[cache_name](), tokens()
    layer(x[:, :7], cache=cache)
    for wrong in (BlockMask.causal(5), BlockMask.causal((5, 7), align=7)):  # without earlier keys
        with pytest.raises(ValueError, match=r"^block_mask must have the lengths .* = \(5, 12\)"):
            layer(x[:, 7:12], cache=cache, block_mask=wrong)
        assert cache.lengths.tolist() == [7, 7]


def test_a_block_mask_is_of_the_longest_item() -> None:
    layer, x = made(), tokens()
    cache = KVCache(kind="paged", page_size=4)
    layer(x[:, :9], cache=cache, kv_lengths=[9, 4])
    mask = BlockMask.from_mask(DENSE[9:11, :11], block_size=3)
    found = layer(x[:, 9:11], cache=cache, block_mask=mask)
    for item, length in enumerate((9, 4)):
        own = np.concatenate([x[item, :length], x[item, 9:11]])[None]
        q, k, v = (np.moveaxis(own.reshape(1, -1, 2, 4), 1, 2) for _ in range(3))
        seen = DENSE[9:11, : length + 2] & np.tri(2, length + 2, length, dtype=bool)
        heads = heedful.attention(q[:, :, length:], k, v, mask=seen, scale=1e-4)
        expected = np.moveaxis(heads, 2, 1).reshape(2, 8) @ layer.out_proj.weight.T
        np.testing.assert_allclose(found[item], expected, atol=1e-10)


@pytest.mark.parametrize("name", ["contiguous", "paged", "int8", "paged int8", "QuestPages"])
def test_min_weight_reads_the_rows_of_a_cache(name: str) -> None:
    """No layer has the option: attention takes the rows of a cache that keeps them all."""
    cache, rows = CACHES[name](), np.moveaxis(tokens().reshape(2, LENGTH, 2, 4), 1, 2)
    cache.append(rows, rows)
    with pytest.raises(TypeError, match="min_weight"):
        made()(tokens(), min_weight=0.1)
    found = heedful.attention(
        rows, cache.key, cache.value, kv_lengths=cache.lengths, min_weight=1e-3
    )
    limit = 2 * 1e-3 * LENGTH * 127
    np.testing.assert_allclose(found, heedful.attention(rows, rows, rows), atol=limit)


@pytest.mark.parametrize("policy", [SinksAndWindow(2, 5), HeavyHitters(2, 5)], ids=repr)
def test_a_model_with_top_k_generates_with_what_keeps_all_keys(policy: Any) -> None:
    model = L.LanguageModel(11, 8, 2, 2, rate=0.0, top_k=3, rng=0)
    with pytest.raises(ValueError, match=r"^top_k cannot be combined with "):
        model.generate([[1, 2, 3]], max_length=4, cache=KVCache(policy=policy))
    expected = model.generate([[1, 2, 3]], max_length=4)
    for cache in (KVCache(kind="paged"), KVCache(policy=QuestPages(50))):
        assert np.array_equal(model.generate([[1, 2, 3]], max_length=4, cache=cache), expected)
