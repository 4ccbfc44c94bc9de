"""Functions on arrays of PyTorch, JAX and the array API give what they give on NumPy's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import heedful
from heedful.integrations.arrays import same_kind

pytestmark = [pytest.mark.peer, pytest.mark.once]

Array = np.ndarray[Any, Any]
attention = same_kind(heedful.attention)


def _torch(array: Array) -> Any:
    return pytest.importorskip("torch").from_numpy(array)


def _jax(array: Array) -> Any:
    return pytest.importorskip("jax").numpy.asarray(array)


def _strict(array: Array) -> Any:
    return pytest.importorskip("array_api_strict").asarray(array)


KINDS: dict[str, Callable[[Array], Any]] = {"torch": _torch, "jax": _jax, "array API": _strict}


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> Callable[[Array], Any]:
    return KINDS[request.param]


@pytest.fixture
def qkv(rng: np.random.Generator) -> list[Array]:
    """query (2, 4, 5, 3), key (2, 2, 7, 3), value (2, 2, 7, 6)."""
    shapes = (2, 4, 5, 3), (2, 2, 7, 3), (2, 2, 7, 6)
    return [rng.standard_normal(shape, np.float32) for shape in shapes]


def test_results_are_of_the_kind_that_is_given(
    kind: Callable[[Array], Any], qkv: list[Array]
) -> None:
    mask = np.arange(7) < 4
    expected = heedful.attention(*qkv, mask=mask, return_lse=True, return_weights=True)
    given = [kind(array) for array in qkv]
    found = attention(*given, mask=kind(mask), return_lse=True, return_weights=True)
    for one, other in zip(found, expected, strict=True):
        assert type(one) is type(given[0])
        np.testing.assert_array_equal(np.asarray(one), other)
    mixed = attention(given[0], *qkv[1:], mask=mask)  # NumPy's may be among them
    assert type(mixed) is type(given[0])


def test_so_are_those_of_a_pullback(kind: Callable[[Array], Any], qkv: list[Array]) -> None:
    expected, pullback = heedful.attention_vjp(*qkv)
    out, converted = same_kind(heedful.attention_vjp)(*map(kind, qkv))
    np.testing.assert_array_equal(np.asarray(out), expected)
    gradients = converted(out)
    assert type(gradients) is heedful.Gradients
    assert gradients.bias is None
    for one, other in zip(gradients[:3], pullback(expected), strict=False):
        assert type(one) is type(out)
        np.testing.assert_array_equal(np.asarray(one), other)


def test_arrays_within_lists_are_converted(kind: Callable[[Array], Any], qkv: list[Array]) -> None:
    outs, lses = zip(*[heedful.attention(*qkv, return_lse=True, scale=c) for c in (1, 2)],
                     strict=True)  # fmt: skip
    expected, _ = heedful.merge_attention(outs, lses)
    found, lse = same_kind(heedful.merge_attention)(list(map(kind, outs)), list(map(kind, lses)))
    assert type(found) is type(lse) is type(kind(qkv[0]))
    np.testing.assert_array_equal(np.asarray(found), expected)


def test_bfloat16_stays_bfloat16(qkv: list[Array]) -> None:
    bfloat16 = pytest.importorskip("ml_dtypes").bfloat16
    halves = [array.astype(bfloat16) for array in qkv]
    expected = heedful.attention(*halves).astype(np.float32)
    torch = pytest.importorskip("torch")
    found = attention(*(torch.from_numpy(array).bfloat16() for array in qkv))
    assert found.dtype == torch.bfloat16
    np.testing.assert_array_equal(found.float().numpy(), expected)
    jnp = pytest.importorskip("jax").numpy
    found = attention(*map(jnp.asarray, halves))
    assert found.dtype == bfloat16
    np.testing.assert_array_equal(np.asarray(found, np.float32), expected)


def test_a_negated_view_keeps_its_sign_and_out_is_written(qkv: list[Array]) -> None:
    torch = pytest.importorskip("torch")
    query, key, value = map(torch.from_numpy, qkv)
    found = attention(torch._neg_view(query), key, value)
    np.testing.assert_array_equal(found.numpy(), heedful.attention(-qkv[0], *qkv[1:]))
    out = torch.empty(2, 4, 5, 6)
    attention(query, key, value, out=out)
    np.testing.assert_array_equal(out.numpy(), heedful.attention(*qkv))


def test_numpy_arrays_and_other_results_are_left_as_they_are(qkv: list[Array]) -> None:
    assert type(attention(*qkv)) is np.ndarray
    torch = pytest.importorskip("torch")
    tensors = map(torch.from_numpy, qkv)
    out, skipped = attention(*tensors, min_weight=0.1, return_skipped=True)
    assert type(out) is torch.Tensor
    assert type(skipped) is float


def test_what_cannot_be_read_is_named(qkv: list[Array]) -> None:
    torch = pytest.importorskip("torch")
    query, key, value = map(torch.from_numpy, qkv)
    wrong: dict[str, Any] = {
        "key": key.clone().requires_grad_(),
        "value": value.to("meta"),
        "query": query.to_sparse(),
        "mask": torch.ones(5, 7, dtype=torch.bool, device="meta"),
    }
    for name, one in wrong.items():
        given = {"query": query, "key": key, "value": value} | {name: one}
        with pytest.raises(TypeError, match=rf"^{name} must be an array that NumPy can read: "):
            attention(**given)


def test_two_libraries_and_traced_arrays_are_refused(qkv: list[Array]) -> None:
    jax = pytest.importorskip("jax")
    query, key, value = map(jax.numpy.asarray, qkv)
    with pytest.raises(TypeError, match=r"^key must be an array that NumPy can read: .*[Tt]race"):
        jax.jit(lambda key: attention(query, key, value))(key)
    torch = pytest.importorskip("torch")
    with pytest.raises(TypeError, match=r"^value must be an array of the same library as query"):
        attention(query, key, torch.from_numpy(qkv[2]))
