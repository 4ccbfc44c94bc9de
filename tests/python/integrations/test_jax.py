"""attention within JAX: jit, grad, vmap, scan and remat transform it as JAX's own functions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from reference import attention as exact_attention
from reference import attention_backward as exact_gradients

jax: Any = pytest.importorskip("jax")
jnp: Any = jax.numpy

from heedful.integrations.jax import attention  # noqa: E402

pytestmark = [pytest.mark.peer, pytest.mark.once]

Array = np.ndarray[Any, Any]
SHAPES = (2, 4, 5, 3), (2, 2, 7, 3), (2, 2, 7, 6)
OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "causal": {"causal": True, "align": "upper_left"},
    "window": {"window": (2, 1), "align": "lower_right", "softcap": 2.0, "scale": 0.7},
    "lengths": {"kv_lengths": np.array([3, 7]), "q_lengths": np.array([5, 2])},
    "offsets": {"causal": True, "align": np.array([-1, 4])},
    "slopes": {"alibi_slopes": np.array([0.5, 0.1, 0.2, 0.0]), "align": 1},
    "top_k": {"top_k": 3},
}


@pytest.fixture(scope="module", autouse=True)
def _quick_compiler() -> Iterator[None]:
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)


@pytest.fixture
def arrays(rng: np.random.Generator) -> list[Array]:
    """query (2, 4, 5, 3), key (2, 2, 7, 3), value (2, 2, 7, 6), bias (4, 1, 7), sink (4)."""
    return [rng.standard_normal(shape, np.float32) for shape in (*SHAPES, (4, 1, 7), (4,))]


@pytest.fixture
def mask(rng: np.random.Generator) -> Array:
    """(5, 7); the second query attends to nothing."""
    seen = rng.random((5, 7)) < 0.7
    seen[0, 0], seen[1] = True, False
    return seen


def exact(
    query: Array,
    key: Array,
    value: Array,
    bias: Array | None = None,
    sink: Array | None = None,
    **options: Any,
) -> tuple[Array, list[Array]]:
    """out, and the gradients of the sum of its squares, in NumPy."""
    wide = [np.asarray(array, np.float64) for array in (query, key, value)]
    options |= {"bias": bias, "sink": sink}
    out = exact_attention(*wide, **options).out
    found = exact_gradients(2 * out, *wide, **options)
    return out, [gradient for gradient in found if gradient is not None]


def close(found: Any, expected: Any, rtol: float = 2e-5) -> None:
    for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        assert one.shape == other.shape
        np.testing.assert_allclose(
            np.asarray(one, np.float64), other, rtol=rtol, atol=rtol, equal_nan=False
        )


def square(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda *arrays: (function(*arrays) ** 2).sum()


def with_gradients(function: Callable[..., Any], count: int = 3) -> Callable[..., Any]:
    """(arrays) → out, gradients of the sum of its squares."""
    gradient = jax.grad(square(function), tuple(range(count)))
    return lambda *arrays: (function(*arrays), list(gradient(*arrays)))


@pytest.mark.parametrize("name", OPTIONS)
def test_every_option_gives_what_the_reference_gives(arrays: list[Array], name: str) -> None:
    options = OPTIONS[name]
    expected = exact_attention(*(x.astype(np.float64) for x in arrays[:3]), **options)
    found = jax.jit(lambda *x: attention(*x, **options, return_lse=True))(*arrays[:3])
    close(found, expected[:2])


@pytest.mark.parametrize("remat", [False, True])
def test_gradients_are_those_of_the_reference(
    arrays: list[Array], mask: Array, remat: bool
) -> None:
    def attend(query: Any, key: Any, value: Any, bias: Any, sink: Any) -> Any:
        return attention(query, key, value, bias=bias, sink=sink, mask=mask)

    attend = jax.checkpoint(attend) if remat else attend
    close(jax.jit(with_gradients(attend, 5))(*arrays), exact(*arrays, mask=mask))


def test_lse_has_a_gradient(arrays: list[Array]) -> None:
    wide = [array.astype(np.float64) for array in arrays[:3]]
    out, lse = exact_attention(*wide)[:2]
    expected = exact_gradients(np.zeros_like(out), *wide, dlse=np.ones_like(lse))

    @jax.jit
    def gradients(*inputs: Any) -> Any:
        return jax.grad(lambda *x: attention(*x, return_lse=True)[1].sum(), (0, 1, 2))(*inputs)

    close(gradients(*arrays[:3]), expected[:3])


AXES = [(0, 0, 0, 0), (0, None, None, None), (None, 0, 0, None), (None, None, None, 0)]


@pytest.mark.parametrize("axes", AXES, ids=str)
def test_vmap_is_a_loop(arrays: list[Array], mask: Array, axes: tuple[int | None, ...]) -> None:
    several = [
        array if axis is None else np.stack([array, 0.7 * array, -array])
        for array, axis in zip(arrays, axes, strict=False)
    ]

    def attend(query: Any, key: Any, value: Any, bias: Any) -> Any:
        return attention(query, key, value, bias=bias, mask=mask)

    items = [
        exact(*(x if axis is None else x[i] for x, axis in zip(several, axes, strict=True)),
              mask=mask)
        for i in range(3)
    ]  # fmt: skip
    out, gradients = jax.tree.map(lambda *x: np.stack(x), *items)
    close(jax.jit(jax.vmap(with_gradients(attend, 4), axes))(*several), (out, gradients))
    # one gradient of all items is their sum for what they share
    summed = [x if axis == 0 else x.sum(0) for x, axis in zip(gradients, axes, strict=True)]
    close(jax.jit(with_gradients(jax.vmap(attend, axes), 4))(*several), (out, summed))


def test_vmap_of_everything_else_is_a_loop(arrays: list[Array], mask: Array) -> None:
    query, key, value, _, sink = arrays
    cases: dict[str, tuple[Array, dict[str, Any]]] = {
        "mask": (np.stack([mask, ~mask]), {}),
        "kv_lengths": (np.array([[1, 7], [4, 0]]), {}),
        "align": (np.array([[0, 1], [2, -1]]), {"causal": True}),
        "alibi_slopes": (np.array([[1.0, 2, 3, 4], [0, 0, 1, 1]]), {"align": 0}),
        "sink": (np.stack([sink, sink + 1]), {}),
    }

    @jax.jit
    def all_cases(values: dict[str, Any]) -> list[Any]:
        return [
            jax.vmap(lambda x: attention(query, key, value, **{name: x}, **options))(values[name])  # noqa: B023
            for name, (_, options) in cases.items()
        ]

    expected = [
        np.stack([exact(query, key, value, **{name: x}, **options)[0] for x in values])
        for name, (values, options) in cases.items()
    ]
    close(all_cases({name: values for name, (values, _) in cases.items()}), expected)


def test_within_scan_it_is_repeated(arrays: list[Array]) -> None:
    x = arrays[0]

    @jax.jit
    @jax.value_and_grad
    def scanned(x: Any) -> Any:
        return jax.lax.scan(lambda x, _: (attention(x, x, x), None), x, None, length=3)[0].sum()

    outs = [x.astype(np.float64)]
    for _ in range(3):
        outs.append(exact_attention(*(outs[-1],) * 3).out)
    gradient = np.ones_like(outs[-1])
    for out in outs[2::-1]:
        found = exact_gradients(gradient, out, out, out)
        gradient = found.query + found.key + found.value
    close(scanned(x), (outs[-1].sum(), gradient), 1e-4)


def test_gradients_agree_with_finite_differences(arrays: list[Array]) -> None:
    from jax.test_util import check_grads

    def attend(query: Any, key: Any, value: Any, bias: Any, sink: Any) -> Any:
        return attention(query, key, value, bias=bias, sink=sink, softcap=3.0)

    inputs = tuple(jnp.asarray(array) for array in arrays)
    check_grads(jax.jit(attend), inputs, 1, ["rev"], atol=2e-2, rtol=2e-2)


def test_in_double_precision_results_are_double(arrays: list[Array]) -> None:
    inputs = [array.astype(np.float64) for array in arrays[:3]]
    enable_x64 = jax.enable_x64 if hasattr(jax, "enable_x64") else jax.experimental.enable_x64
    with enable_x64(True):
        found = jax.jit(with_gradients(attention))(*inputs)
    assert {array.dtype for array in jax.tree.leaves(found)} == {np.dtype(np.float64)}
    close(found, exact(*inputs), 1e-12)


def test_bfloat16_is_returned_with_gradients_in_bfloat16(arrays: list[Array]) -> None:
    inputs = [array.astype(jnp.bfloat16) for array in arrays[:4]]
    attend = with_gradients(lambda q, k, v, bias: attention(q, k, v, bias=bias), 4)
    found = jax.jit(attend)(*inputs)
    assert {array.dtype for array in jax.tree.leaves(found)} == {np.dtype(jnp.bfloat16)}
    close(found, exact(*(array.astype(np.float64) for array in inputs)), 2e-2)


def test_the_layout_of_jax_s_own_function(arrays: list[Array]) -> None:
    rows = [array.swapaxes(1, 2) for array in arrays[:3]]  # (B, L, H, D)
    rows[2] = rows[2][..., :3]
    found = attention(*rows, causal=True, align="upper_left", layout="blhd")
    close(found, np.asarray(jax.nn.dot_product_attention(*rows, is_causal=True)))


def test_inputs_of_two_axes_are_one_head(arrays: list[Array]) -> None:
    single = [array[0, 0] for array in arrays[:3]]
    expected = exact_attention(*(array.astype(np.float64) for array in single))
    for layout in ("bhld", "blhd"):
        close(attention(*single, layout=layout, return_lse=True), expected[:2])


def test_a_position_in_a_cache_may_be_traced(arrays: list[Array]) -> None:
    query, key, value = arrays[0][:, :, :1], *arrays[1:3]

    @jax.jit
    def decode(position: Any) -> Any:
        return attention(query, key, value, causal=True, align=jnp.full(2, position))

    for position in range(3):
        seen = slice(0, position + 1)
        close(decode(position), exact(query, key[:, :, seen], value[:, :, seen])[0])


def test_leading_axes_broadcast_and_empty_arrays_are_taken(arrays: list[Array]) -> None:
    query, key, value = arrays[0], arrays[1][0], arrays[2][:1]
    close(jax.jit(with_gradients(attention))(query, key, value), exact(query, key, value))
    assert attention(query[:, :, :0], key, value).shape == (2, 4, 0, 6)


def test_forward_mode_and_second_derivatives_are_refused(arrays: list[Array]) -> None:
    inputs = tuple(arrays[:3])
    with pytest.raises(TypeError, match="forward-mode"):
        jax.jvp(attention, inputs, inputs)
    inner = jax.grad(square(attention))
    with pytest.raises(ValueError, match="cannot be differentiated"):
        jax.grad(lambda *x: inner(*x).sum())(*inputs)
