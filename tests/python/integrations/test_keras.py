"""Keras on its NumPy backend gives the same with heedful's attention, which is put in and out."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

os.environ.setdefault("KERAS_BACKEND", "numpy")
keras: Any = pytest.importorskip("keras", exc_type=ImportError)
if keras.config.backend() != "numpy":
    pytest.skip("Keras has another backend than NumPy", allow_module_level=True)

import heedful.integrations.keras as heedful_keras  # noqa: E402

pytestmark = [pytest.mark.peer, pytest.mark.once]

Array = np.ndarray[Any, Any]
MODULE = sys.modules["keras.src.backend.numpy.nn"]
SEEN = np.array([[1, 0, 1, 1, 0, 1, 1]] * 5, bool)[None, None]
OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "causal": {"is_causal": True},
    "mask": {"mask": SEEN},
    "integer mask": {"mask": SEEN.astype(int), "is_causal": True},
    "bias": {"bias": np.linspace(-1, 1, 7, dtype=np.float32)[None, None, None], "scale": 0.3},
    "everything": {"bias": np.ones((2, 1, 5, 1), np.float32), "mask": SEEN, "is_causal": True},
}


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """Keras with heedful's attention; what it returned."""
    entered: list[Any] = []
    original = heedful_keras.attention

    def attention(*arrays: Any, **options: Any) -> Any:
        entered.append(original(*arrays, **options))
        return entered[-1]

    monkeypatch.setattr(heedful_keras, "attention", attention)
    heedful_keras.patch()
    yield entered
    heedful_keras.restore()


@pytest.fixture
def qkv(rng: np.random.Generator) -> list[Array]:
    """query (2, 5, 4, 8), key (2, 7, 4, 8), value (2, 7, 4, 6)."""
    shapes = (2, 5, 4, 8), (2, 7, 4, 8), (2, 7, 4, 6)
    return [rng.standard_normal(shape, np.float32) for shape in shapes]


def attend(*arrays: Any, **options: Any) -> Array:
    return np.asarray(keras.ops.dot_product_attention(*arrays, **options))


@pytest.mark.parametrize("name", OPTIONS)
def test_every_option_gives_what_keras_gives(calls: list[Any], qkv: list[Array], name: str) -> None:
    found = attend(*qkv, **OPTIONS[name])
    assert len(calls) == 1
    heedful_keras.restore()
    expected = attend(*qkv, **OPTIONS[name])
    assert found.dtype == expected.dtype
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("dtype", "steps"), [("float16", 2), ("bfloat16", 2)])
def test_types_of_16_bits_are_returned_in_their_own(
    calls: list[Any], qkv: list[Array], dtype: str, steps: int
) -> None:
    halves = [keras.ops.cast(array, dtype) for array in qkv]
    found = attend(*halves)
    assert len(calls) == 1
    assert found.dtype == halves[0].dtype
    heedful_keras.restore()
    step = 2.0 ** (-10 if dtype == "float16" else -7)
    wide = [np.asarray(array, np.float32) for array in (found, attend(*halves))]
    np.testing.assert_allclose(*wide, rtol=steps * step, atol=steps * step)


def test_heads_in_groups_work_which_keras_refuses(calls: list[Any], qkv: list[Array]) -> None:
    query, key, value = qkv
    found = attend(query, key[:, :, ::2], value[:, :, ::2])
    heedful_keras.restore()
    expected = attend(query, *(np.repeat(array[:, :, ::2], 2, 2) for array in (key, value)))
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    with pytest.raises(ValueError, match="broadcast"):
        attend(query, key[:, :, ::2], value[:, :, ::2])


def test_a_query_without_keys_gives_0_where_keras_gives_the_mean(
    calls: list[Any], qkv: list[Array]
) -> None:
    nothing = np.zeros((1, 1, 5, 7), bool)
    assert not attend(*qkv, mask=nothing).any()
    heedful_keras.restore()
    mean = np.broadcast_to(qkv[2].mean(1, keepdims=True), (2, 5, 4, 6))
    np.testing.assert_allclose(attend(*qkv, mask=nothing), mean, rtol=1e-5, atol=1e-6)


def test_what_keras_converts_or_refuses_is_left_to_it(calls: list[Any], qkv: list[Array]) -> None:
    mixed = attend(qkv[0], *(array.astype(np.float16) for array in qkv[1:]))
    assert mixed.dtype == np.float32
    with pytest.raises(ValueError, match="4D inputs"):
        attend(*(array[0] for array in qkv))
    assert not calls


LAYERS: dict[str, tuple[dict[str, Any], dict[str, Any], bool]] = {
    "plain": ({}, {}, True),
    "causal": ({}, {"use_causal_mask": True}, True),
    "masked": ({}, {"attention_mask": SEEN[0, :, :, :5]}, True),
    "with dropout": ({"dropout": 0.1}, {}, False),
    "with weights": ({}, {"return_attention_scores": True}, False),
}


@pytest.mark.parametrize("kind", ["MultiHeadAttention", "GroupQueryAttention"])
@pytest.mark.parametrize("name", LAYERS)
def test_layers_reach_it_unless_they_need_the_weights(
    calls: list[Any], rng: np.random.Generator, kind: str, name: str
) -> None:
    made, called, reached = LAYERS[name]
    if kind == "MultiHeadAttention":
        layer = keras.layers.MultiHeadAttention(num_heads=4, key_dim=3, **made)
    else:
        layer = keras.layers.GroupQueryAttention(3, 4, 2, **made)
    x = rng.standard_normal((2, 5, 12), np.float32)
    found = layer(x, x, **called)
    calls.clear()
    found = layer(x, x, **called)
    assert bool(calls) == reached
    heedful_keras.restore()
    for one, other in zip(found, layer(x, x, **called), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


def test_both_may_be_called_twice_and_leave_what_was_there() -> None:
    original = MODULE.dot_product_attention
    heedful_keras.restore()
    assert MODULE.dot_product_attention is original
    heedful_keras.patch()
    heedful_keras.patch()
    assert MODULE.dot_product_attention is not original
    heedful_keras.restore()
    heedful_keras.restore()
    assert MODULE.dot_product_attention is original


def test_a_function_that_is_not_known_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def other(query: Any, key: Any, value: Any, temperature: float) -> None: ...

    with monkeypatch.context() as context:
        context.setattr(MODULE, "dot_product_attention", other)
        with pytest.raises(RuntimeError, match="has query, key, value, temperature"):
            heedful_keras.patch()
        assert MODULE.dot_product_attention is other
    with monkeypatch.context() as context:
        context.setattr(keras.config, "backend", lambda: "jax")
        with pytest.raises(RuntimeError, match=r"must have the NumPy backend.*got 'jax'"):
            heedful_keras.patch()
    heedful_keras.patch()
    with monkeypatch.context() as context:
        context.setattr(MODULE, "dot_product_attention", other)
        with pytest.raises(RuntimeError, match="it was replaced since"):
            heedful_keras.restore()
    heedful_keras.restore()


@pytest.mark.parametrize("absent", ["keras", "scipy", "jax"])
def test_without_keras_one_sentence_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, absent: str
) -> None:
    _without(monkeypatch, absent)
    with pytest.raises(
        ImportError, match=r"needs the packages keras, scipy and jax, .*: pip install"
    ):
        heedful_keras.patch()


def test_a_backend_that_is_not_installed_is_not_the_one(monkeypatch: pytest.MonkeyPatch) -> None:
    _without(monkeypatch, "tensorflow")
    with pytest.raises(RuntimeError, match=r"must have the NumPy backend.*fails, no tensorflow"):
        heedful_keras.patch()


def _without(monkeypatch: pytest.MonkeyPatch, module: str) -> None:
    """An import of Keras that fails as it does where a module is not installed."""

    def find_spec(name: str, *_: Any) -> None:
        if name == "keras":
            raise ModuleNotFoundError(f"no {module}", name=module)

    monkeypatch.delitem(sys.modules, "keras")
    monkeypatch.setattr(sys, "meta_path", [SimpleNamespace(find_spec=find_spec), *sys.meta_path])


@pytest.mark.slow
def test_keras_own_tests_pass(tmp_path: Path) -> None:
    """Those of its attention layers, but for one that trains, which its NumPy backend cannot, and
    one that quantizes and takes long."""
    folder = Path(keras.__file__).parent / "src" / "layers" / "attention"
    files = [folder / f"{name}_attention_test.py" for name in ("multi_head", "grouped_query")]
    if not all(file.exists() for file in files):
        pytest.skip("this build of Keras has no tests")
    code = (
        "import sys, pytest; from heedful.integrations.keras import patch; patch();"
        "sys.exit(pytest.main(sys.argv[1:]))"
    )
    options = ["-q", "-p", "no:cacheprovider", "-c", os.devnull, "--rootdir", str(tmp_path)]
    left_out = ["-k", "not lora and not quantize_int8"]
    done = subprocess.run(
        [sys.executable, "-c", code, *options, *left_out, *files],
        capture_output=True, text=True, check=False, timeout=300, cwd=tmp_path,
        env={**os.environ, "KERAS_BACKEND": "numpy"},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    assert re.search(r"\b[6-9]\d passed", done.stdout)
