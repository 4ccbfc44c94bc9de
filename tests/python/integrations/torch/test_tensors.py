"""Tensors that heedful cannot read are refused in one sentence; the others share their memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import heedful

# PyTorch warns of parts of its own that it will drop
pytestmark = [
    pytest.mark.peer, pytest.mark.once, pytest.mark.filterwarnings("ignore::DeprecationWarning")
]  # fmt: skip

torch = pytest.importorskip("torch")

from heedful.integrations.torch._tensors import as_array, as_tensor  # noqa: E402

# how to make a tensor from one of shape (5, 3); what the sentence says of it after its name
WITHOUT_DATA: dict[str, tuple[Callable[[Any], Any], str]] = {
    "meta": (lambda x: x.to("meta"), "must hold data"),
    "sparse": (lambda x: x.to_sparse(), "must be dense"),
    "sparse rows": (lambda x: x.to_sparse_csr(), "must be dense"),
    "nested": (lambda x: torch.nested.nested_tensor([x, x]), "must not be nested"),
    "quantized": (
        lambda x: torch.quantize_per_tensor(x, 0.1, 0, torch.qint8), "must not be quantized"
    ),
    "8 bits": (lambda x: x.to(torch.float8_e4m3fn), "must be a tensor that NumPy can read"),
}  # fmt: skip
NOT_AS_IT_IS: dict[str, tuple[Callable[[Any], Any], str]] = {
    "gradient": (lambda x: x.clone().requires_grad_(), "must not require a gradient"),
    "parameter": (lambda x: torch.nn.Parameter(x.clone()), "must not require a gradient"),
    "negated": (torch._neg_view, "must not be a negated view"),
    "bfloat16": (lambda x: x.bfloat16(), "must not be a tensor of type bfloat16"),
}


@pytest.fixture
def x() -> Any:
    return torch.arange(15.0).reshape(5, 3) / 7


@pytest.mark.filterwarnings("ignore")  # PyTorch warns of its prototypes and of quantization
@pytest.mark.parametrize("name", ["query", "bias"])
@pytest.mark.parametrize("kind", [*WITHOUT_DATA, *NOT_AS_IT_IS])
def test_functions_of_arrays_refuse_them(kind: str, name: str, x: Any) -> None:
    make, words = {**WITHOUT_DATA, **NOT_AS_IT_IS}[kind]
    given = {"query": x, "key": x, "value": x, "bias": torch.zeros(5, 3)}
    given[name] = make(given[name])
    with pytest.raises(TypeError, match=f"^{name} {words}") as raised:
        heedful.attention(given["query"], given["key"], given["value"], bias=given["bias"])
    assert "\n" not in str(raised.value)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", WITHOUT_DATA)
def test_the_conversion_refuses_what_has_no_elements(kind: str, x: Any) -> None:
    make, words = WITHOUT_DATA[kind]
    with pytest.raises(TypeError, match=f"^query {words}"):
        as_array("query", make(x))


def test_a_dual_tensor_is_refused_because_its_tangent_would_be_lost(x: Any) -> None:
    with torch.autograd.forward_ad.dual_level():
        dual = torch.autograd.forward_ad.make_dual(x, x)
        with pytest.raises(TypeError, match=r"^query must have no tangent"):
            heedful.attention(dual, x.numpy(), x.numpy())
        with pytest.raises(TypeError, match=r"^query must have no tangent"):
            as_array("query", dual)
        assert as_array("key", x).shape == (5, 3)


def test_a_plain_tensor_is_an_array_for_functions_of_arrays(x: Any) -> None:
    assert (heedful.attention(x, x, x) == heedful.attention(*[x.numpy()] * 3)).all()


@pytest.mark.parametrize("kind", ["float16", "bfloat16", "float32", "float64", "bool", "int64"])
def test_arrays_and_tensors_share_their_memory_whatever_the_strides(kind: str, x: Any) -> None:
    tensor = (x * 7).to(getattr(torch, kind)).t()[:, 1:]
    array = as_array("query", tensor)
    assert array.dtype.name == kind
    assert array.astype(float).tolist() == tensor.double().tolist()
    assert array.__array_interface__["data"][0] == tensor.data_ptr()
    back = as_tensor(array)
    assert back.dtype == tensor.dtype
    assert back.data_ptr() == tensor.data_ptr()
    assert back.stride() == tensor.stride()


def test_views_with_other_signs_than_their_memory_keep_them(x: Any) -> None:
    assert as_array("query", torch._neg_view(x)).tolist() == (-x).tolist()
    part = torch.complex(x, x).conj().imag
    assert part.is_neg()
    assert as_array("query", part).tolist() == (-x).tolist()


def test_a_gradient_is_not_recorded(x: Any) -> None:
    assert as_array("query", x.requires_grad_()).tolist() == x.tolist()


def test_what_is_no_tensor_is_named() -> None:
    with pytest.raises(TypeError, match=r"^query must be a torch\.Tensor: got ndarray$"):
        as_array("query", np.ones(3))
