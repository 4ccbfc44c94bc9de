"""What layers refuse of top_k, block masks and caches: one sentence, and nothing is changed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from heedful import BlockMask, HeavyHitters, KVCache, QuestPages, SinksAndWindow
from heedful import layers as L

X = np.random.default_rng(0).standard_normal((2, 5, 6)).astype(np.float32)
MAKERS: dict[str, Callable[..., Any]] = {
    "MultiHeadAttention": lambda top_k: L.MultiHeadAttention(6, 2, top_k=top_k),
    "EncoderLayer": lambda top_k: L.EncoderLayer(6, 2, 8, 0.0, top_k=top_k),
    "Encoder": lambda top_k: L.Encoder(1, 6, 2, 8, 0.0, top_k=top_k),
    "Decoder": lambda top_k: L.Decoder(1, 6, 2, 8, 0.0, top_k=top_k),
    "Transformer": lambda top_k: L.Transformer(9, 9, 6, 2, 1, 8, top_k=top_k),
    "LanguageModel": lambda top_k: L.LanguageModel(9, 6, 2, 1, 8, top_k=top_k),
}
TOP_K: list[tuple[Any, type[Exception], str]] = [
    (0, ValueError, "top_k must be at least 1: got 0"),
    (-2, ValueError, "top_k must be at least 1: got -2"),
    (2**70, ValueError, "top_k must be at most 9223372036854775807: got 1180591620717411303424"),
    (1.5, TypeError, "top_k must be an integer: got 1.5"),
    (np.float64(3), TypeError, "top_k must be an integer: got "),
    (True, TypeError, "top_k must be an integer: got True"),
    ("3", TypeError, "top_k must be an integer: got '3'"),
    ([3], TypeError, "top_k must be an integer: got [3]"),
    (np.nan, TypeError, "top_k must be an integer: got nan"),
]


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
@pytest.mark.parametrize(("top_k", "error", "message"), TOP_K, ids=[repr(one[0]) for one in TOP_K])
def test_what_is_no_number_of_keys(
    make: Callable[..., Any], top_k: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error) as caught:
        make(top_k)
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


def full(heads: int = 2, depth: int = 3, items: int = 2, **options: Any) -> KVCache:
    """A cache with rows of other sizes, or of other types."""
    cache = KVCache(**{name: value for name, value in options.items() if name != "rows"})
    rows = options.get("rows", np.float32)
    cache.append(*np.ones((2, items, heads, 4, depth), rows))
    return cache


KINDS: dict[str, dict[str, Any]] = {
    "contiguous": {}, "paged": {"kind": "paged"}, "int8": {"dtype": "int8"},
    "sinks": {"policy": SinksAndWindow(2, 9)}, "heavy": {"policy": HeavyHitters(9, 9)},
    "quest": {"policy": QuestPages(9)},
}  # fmt: skip
WRONG: dict[str, tuple[Callable[[dict[str, Any]], Any], type[Exception], str]] = {
    "other heads": (lambda kind: {"cache": full(heads=1, **kind)}, ValueError,
                    "key must have shape (2, 1, L, 3) as before: got (2, 2, 5, 3)"),
    "other depth": (lambda kind: {"cache": full(depth=2, **kind)}, ValueError,
                    "key must have shape (2, 2, L, 2) as before: got (2, 2, 5, 3)"),
    "other items": (lambda kind: {"cache": full(items=3, **kind)}, ValueError,
                    "query must have shape (3, L, 6) with this cache: got (2, 5, 6)"),
    "a block mask of the new rows": (
        lambda kind: {"cache": full(**kind), "block_mask": BlockMask.causal(5)}, ValueError,
        "block_mask "),
    "no block mask": (lambda kind: {"cache": full(**kind), "block_mask": np.ones((5, 9), bool)},
                      (TypeError, ValueError), "block_mask "),
    "lengths": (lambda kind: {"cache": full(**kind), "kv_lengths": [6, 1]}, ValueError,
                "lengths must lie in [0, 5]: got 6"),
    "window": (lambda kind: {"cache": full(**kind), "window": (-1, 0)}, ValueError, "window "),
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
@pytest.mark.parametrize(("options", "error", "message"), WRONG.values(), ids=WRONG)
def test_a_cache_that_does_not_fit_is_left_as_it_was(
    options: Callable[[dict[str, Any]], Any], error: Any, message: str, kind: dict[str, Any]
) -> None:
    given = options(kind)
    cache = given["cache"]
    before = cache.lengths.tolist(), cache.key.tolist(), cache.value.tolist()
    with pytest.raises(error) as caught:
        L.MultiHeadAttention(6, 2, rng=0)(X, **given)
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)
    assert (cache.lengths.tolist(), cache.key.tolist(), cache.value.tolist()) == before


def test_types_that_do_not_meet_in_a_cache() -> None:
    cache = full(rows=np.float16)
    with pytest.raises(TypeError, match="float16 and bfloat16"):
        cache.append(*np.ones((2, 2, 2, 1, 3), ml_dtypes.bfloat16))
    assert cache.lengths.tolist() == [4, 4]


OTHERS: dict[str, tuple[Any, type[Exception], str]] = {
    "a class": (KVCache, TypeError, "cache must be a KVCache: got "),
    "a list": ([KVCache()], TypeError, "cache must be a KVCache: got [KVCache(empty)]"),
    "a word": ("paged", TypeError, "cache must be a KVCache: got 'paged'"),
    "a policy": (SinksAndWindow(), TypeError, "cache must be a KVCache: got "),
}


@pytest.mark.parametrize(("cache", "error", "message"), OTHERS.values(), ids=OTHERS)
def test_what_is_no_cache(cache: Any, error: type[Exception], message: str) -> None:
    for call in (
        lambda: L.MultiHeadAttention(6, 2)(X, cache=cache),
        lambda: L.LanguageModel(9, 6, 2, 1).generate([[1]], cache=cache),
        lambda: L.Transformer(9, 9, 6, 2, 1, 8).generate([[1]], start=0, cache=cache),
    ):
        with pytest.raises(error) as caught:
            call()
        assert str(caught.value).startswith(message)


def test_a_generation_starts_with_an_empty_cache() -> None:
    with pytest.raises(ValueError, match=r"^cache must be empty, each layer gets one like it: got"):
        L.LanguageModel(9, 6, 2, 1).generate([[1]], cache=full())


def test_a_mixer_with_a_state_takes_no_cache() -> None:
    model = L.LanguageModel(9, 6, 2, 1, mixer="linear", max_length=20)
    with pytest.raises(ValueError, match=r"^cache must be None: LinearAttention has a state "):
        model.generate([[1]], max_length=5, cache=KVCache(kind="paged"))
