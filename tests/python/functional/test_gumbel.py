"""Gumbel noise: what it is bit by bit, how it chooses, and that it is not stored."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from typing import Any

import numpy as np
import pytest
from closeness import assert_same_bits
from numpy.typing import NDArray
from philox import gumbel_noise

import heedful

Array = NDArray[Any]
SEEDS = [0, 1, 2**32 - 1, 2**32, 2**63 + 12345, 2**64 - 1]
SHAPES = [(1, 1, 1, 1), (2, 3, 5, 7), (1, 2, 33, 97), (2, 1, 197, 389), (3, 4, 1, 1025)]


def draw(rng: np.random.Generator, shape: tuple[int, int, int, int], dtype: Any) -> list[Array]:
    items, heads, queries, keys = shape
    shapes = (items, heads, queries, 8), (items, heads, keys, 8), (items, heads, keys, 3)
    return [rng.standard_normal(shape).astype(dtype) for shape in shapes]


# --- the noise


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_the_noise_is_that_of_the_counters(
    shape: tuple[int, int, int, int], seed: int, rng: np.random.Generator
) -> None:
    """Where all scores are equal, logarithms of weights are differences of noise."""
    query, key, value = draw(rng, shape, np.float64)
    _, lse, weights = heedful.attention(
        query, key, value, scale=0.0, gumbel_temperature=1.0, rng=seed, return_lse=True,
        return_weights=True,
    )  # fmt: skip
    items, heads, queries, keys = shape
    noise = gumbel_noise(np.arange(items), heads, queries, keys, seed)
    np.testing.assert_allclose(np.log(weights) + lse[..., None], noise, rtol=1e-13, atol=1e-13)


def test_the_noise_does_not_depend_on_type_or_processor_level(
    rng: np.random.Generator, dtype: np.dtype[Any]
) -> None:
    query, key, value = draw(rng, (2, 2, 33, 97), dtype)
    _, weights = heedful.attention(
        query, key, value, scale=0.0, gumbel_temperature=0.5, rng=3, return_weights=True
    )
    noise = gumbel_noise(np.arange(2), 2, 33, 97, 3)
    exact = np.exp(2 * (noise - noise.max(-1, keepdims=True)))
    exact /= exact.sum(-1, keepdims=True)
    np.testing.assert_allclose(weights, exact, rtol=3e-6, atol=1e-30)


def test_restrictions_do_not_move_the_noise(rng: np.random.Generator) -> None:
    query, key, _ = draw(rng, (1, 2, 97, 97), np.float64)
    options = {"gumbel_temperature": 0.7, "rng": 1}
    dense = heedful.attention_weights(query, key, **options)
    seen = np.tri(97, dtype=bool) & ~np.tri(97, k=-21, dtype=bool)
    expected = np.where(seen, dense, 0)
    expected /= expected.sum(-1, keepdims=True)
    windowed = heedful.attention_weights(query, key, causal=True, window=(20, None), **options)
    np.testing.assert_allclose(windowed, expected, rtol=1e-11)
    np.testing.assert_allclose(
        heedful.attention_weights(query, key, mask=seen, **options), expected, rtol=1e-11
    )
    rows = heedful.attention_weights(query, key, rows=[3, 96], **options)
    np.testing.assert_allclose(rows, dense[..., [3, 96], :], rtol=1e-12)


def test_dropout_and_noise_of_one_seed_are_independent(rng: np.random.Generator) -> None:
    query, key, value = draw(rng, (4, 4, 97, 97), np.float32)
    options = {"gumbel_temperature": 1.0, "key_dropout_p": 0.3, "dropout_p": 0.5, "rng": 9}
    _, weights = heedful.attention(query, key, value, scale=0.0, return_weights=True, **options)
    seen = heedful.attention_weights(query, key, scale=0.0, key_dropout_p=0.3, rng=9) > 0
    kept, noise = weights > 0, gumbel_noise(np.arange(4), 4, 97, 97, 9)
    count = noise.size
    assert abs(np.corrcoef(kept[seen], noise[seen])[0, 1]) < 4 / np.sqrt(0.7 * count)
    assert abs(np.corrcoef(seen.ravel(), noise.ravel())[0, 1]) < 4 / np.sqrt(count)
    assert abs(kept[seen].mean() - 0.5) < 4 * 0.5 / np.sqrt(0.7 * count)


@pytest.mark.parametrize("axis", ["item", "head", "query", "key", "seed"])
def test_neighbours_have_independent_noise(axis: str) -> None:
    """With one key and no score, lse is the noise."""
    many = np.zeros((40, 40, 64, 1), np.float32)
    keys = np.zeros((40, 40, 2, 1), np.float32)

    def noise(seed: int, key: int) -> Array:
        _, lse = heedful.attention(
            many, keys, keys, gumbel_temperature=1.0, rng=seed, return_lse=True,
            mask=np.arange(2) == key,
        )  # fmt: skip
        return lse

    first = noise(1, 0)
    second = {
        "item": lambda: np.roll(first, 1, 0), "head": lambda: np.roll(first, 1, 1),
        "query": lambda: np.roll(first, 1, 2), "key": lambda: noise(1, 1),
        "seed": lambda: noise(2, 0),
    }[axis]()  # fmt: skip
    assert abs(np.corrcoef(first.ravel(), second.ravel())[0, 1]) < 4 / np.sqrt(first.size)
    assert abs(first.mean() - 0.5772157) < 4 * np.pi / np.sqrt(6 * first.size)


# --- seeds


def test_the_pullback_and_attention_backward_have_the_noise_of_the_call(
    rng: np.random.Generator,
) -> None:
    query, key, value = draw(rng, (1, 2, 33, 97), np.float64)
    dout = rng.standard_normal((1, 2, 33, 3))
    generator = np.random.default_rng(4)
    options = {"gumbel_temperature": 0.5, "key_dropout_p": 0.2}
    (out, lse), pullback = heedful.attention_vjp(
        query, key, value, rng=generator, return_lse=True, **options
    )
    seed = int(np.random.default_rng(4).integers(0, 2**64, dtype=np.uint64))
    again = heedful.attention_backward(dout, query, key, value, out, lse, rng=seed, **options)
    for found, expected in zip(pullback(dout)[:3], again[:3], strict=True):
        assert_same_bits(found, expected)


@pytest.mark.parametrize("seed", [None, np.random.default_rng(0)], ids=["none", "generator"])
@pytest.mark.parametrize("options", [{"gumbel_temperature": 0.5}, {"key_dropout_p": 0.5}], ids=str)
def test_attention_backward_requires_the_seed_as_an_integer(
    options: dict[str, Any], seed: Any
) -> None:
    array = np.ones((1, 1, 3, 2))
    out, lse = heedful.attention(array, array, array, rng=1, return_lse=True, **options)
    with pytest.raises(ValueError, match=r"\Arng must be "):
        heedful.attention_backward(array, array, array, array, out, lse, rng=seed, **options)


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        ({"gumbel_temperature": 0.5}, ValueError,
         "rng must be a seed or a generator with gumbel_temperature: got None"),
        ({"gumbel_temperature": 0, "rng": 1}, ValueError,
         "gumbel_temperature must be finite and above 0: got 0"),
        ({"gumbel_temperature": -1.0, "rng": 1}, ValueError,
         "gumbel_temperature must be finite and above 0: got -1.0"),
        ({"gumbel_temperature": np.nan, "rng": 1}, ValueError,
         "gumbel_temperature must be finite and above 0: got nan"),
        ({"gumbel_temperature": np.inf, "rng": 1}, ValueError,
         "gumbel_temperature must be finite and above 0: got inf"),
        ({"gumbel_temperature": "cold", "rng": 1}, TypeError,
         "gumbel_temperature must be a number: got 'cold'"),
        ({"key_dropout_p": 1.0}, ValueError, r"key_dropout_p must lie in \[0, 1\): got 1.0"),
        ({"key_dropout_p": np.nan}, ValueError, r"key_dropout_p must lie in \[0, 1\): got nan"),
    ],
)  # fmt: skip
def test_wrong_values_are_refused_in_one_sentence(
    options: dict[str, Any], kind: type[Exception], message: str
) -> None:
    x = np.ones((1, 1, 3, 2))
    for call in (heedful.attention, heedful.attention_vjp):
        with pytest.raises(kind, match=rf"\A{message}\Z"):
            call(x, x, x, **options)
    with pytest.raises(kind, match=rf"\A{message}\Z"):
        heedful.additive_attention(x, x, x, np.ones(2), **options)


# --- memory


MEASURE = """
    import numpy as np
    import heedful

    def peak(name):
        with open("/proc/self/status") as status:
            return next(int(line.split()[1]) * 1024 for line in status if name in line)

    heedful.set_num_threads(2)  # each has scratch of its own
    options = {options}
    rng = np.random.default_rng(0)
    small = np.ones((1, 1, 64, 16), np.float32)
    heedful.attention_vjp(small, small, small, **options)[1](small)
    x = rng.standard_normal((4, 1, 1, 16384, 16), dtype=np.float32)
    before = peak("VmRSS")
    with open("/proc/self/clear_refs", "w") as clear:
        clear.write("5")  # the peak starts here
    out, pullback = heedful.attention_vjp(*x[:3], **options)
    made = pullback(x[3])
    print(peak("VmHWM") - before - out.nbytes - sum(one.nbytes for one in made[:3]))
"""


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
@pytest.mark.parametrize(
    "options",
    ["{'gumbel_temperature': 0.5, 'rng': 1}", "{'key_dropout_p': 0.5, 'rng': 1}"],
    ids=["noise", "dropout of keys"],
)
def test_16384_queries_and_keys_need_little_memory(options: str) -> None:
    """The noise alone would be 1.1 GB."""
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(MEASURE).replace("{options}", options)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert int(result.stdout) < 32 * 2**20
