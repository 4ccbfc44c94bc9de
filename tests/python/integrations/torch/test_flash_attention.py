"""PyTorch's attention computed by heedful: results and gradients, masks, layouts, compiled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

# PyTorch warns of parts of its own that it will drop
pytestmark = [
    pytest.mark.peer, pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.usefixtures("restored"),
]  # fmt: skip

torch = pytest.importorskip("torch")

import heedful.integrations.torch as heedful_torch  # noqa: E402
from heedful.integrations.torch import _flash_attention  # noqa: E402

sdpa = torch.nn.functional.scaled_dot_product_attention


def draw(*shape: int, dtype: Any = torch.float32, layout: str = "blhd") -> Any:
    tensor = torch.randn(shape, dtype=torch.float64).to(dtype)
    return tensor if layout == "bhld" else tensor.transpose(1, 2).contiguous().transpose(1, 2)


def mask(*shape: int) -> Any:
    found = torch.rand(shape) < 0.7
    found[..., 0, :] = False  # a row with nothing to attend
    return found


# query, key, value and the options of each call, and the path that PyTorch takes
CALLS: dict[str, tuple[Callable[[Any], tuple[Any, Any, Any]], Callable[[], dict[str, Any]]]] = {
    "plain": (lambda t: (draw(2, 3, 5, 11, dtype=t), *pair(t, 3)), dict),
    "contiguous": (
        lambda t: tuple(draw(2, 3, n, 11, dtype=t, layout="bhld") for n in (5, 7, 7)), dict
    ),
    "causal": (lambda t: (draw(2, 3, 7, 11, dtype=t), *pair(t, 3)), lambda: {"is_causal": True}),
    "causal, fewer queries": (
        lambda t: (draw(2, 3, 5, 11, dtype=t), *pair(t, 3)), lambda: {"is_causal": True}
    ),
    "scale": (lambda t: (draw(2, 3, 5, 11, dtype=t), *pair(t, 3)), lambda: {"scale": 0.7}),
    "mask": (
        lambda t: (draw(2, 3, 5, 11, dtype=t), *pair(t, 3)), lambda: {"attn_mask": mask(2, 1, 5, 7)}
    ),
    "padding": (
        lambda t: (draw(2, 3, 5, 11, dtype=t), *pair(t, 3)),
        lambda: {"attn_mask": (torch.arange(7) < torch.tensor([[7], [3]]))[:, None, None]},
    ),
    "mask of two axes": (
        lambda t: (draw(2, 3, 5, 11, dtype=t), *pair(t, 3)), lambda: {"attn_mask": mask(5, 7)}
    ),
    "grouped heads": (
        lambda t: (draw(2, 6, 5, 11, dtype=t), *pair(t, 3)), lambda: {"enable_gqa": True}
    ),
    "one query": (lambda t: (draw(2, 3, 1, 11, dtype=t), *pair(t, 3)), dict),
    "one repeated query": (lambda t: (draw(2, 3, 1, 11, dtype=t).expand(2, 3, 5, 11), *pair(t, 3)),
                           dict),
}  # fmt: skip


def pair(dtype: Any, heads: int) -> tuple[Any, Any]:
    return draw(2, heads, 7, 11, dtype=dtype), draw(2, heads, 7, 11, dtype=dtype)


def run(inputs: Any, options: dict[str, Any], upstream: Any, attend: Any = sdpa) -> list[Any]:
    """out and the gradients of query, key and value."""
    inputs = [tensor.detach().clone(memory_format=torch.preserve_format).requires_grad_()
              for tensor in inputs]  # fmt: skip
    out = attend(*inputs, **options)
    return [out, *torch.autograd.grad(out, inputs, upstream.to(out.dtype))]


def truth(inputs: Any, options: dict[str, Any], upstream: Any) -> list[Any]:
    """The same by PyTorch's mathematics in float64; rows with nothing to attend are 0."""
    options = dict(options)
    seen, chosen = options.get("attn_mask"), 1.0
    if seen is not None:
        chosen = seen.any(-1, keepdim=True).double()
        options["attn_mask"] = seen | ~seen.any(-1, keepdim=True)  # the mathematics gives NaN
    wide = [tensor.double() for tensor in inputs]
    with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
        out, *gradients = run(wide, options, upstream.double() * chosen)
    return [out * chosen, *gradients]


@pytest.mark.parametrize("kind", ["float32", "float64", "bfloat16", "float16"])
@pytest.mark.parametrize("name", CALLS)
def test_results_and_gradients_are_those_of_float64(name: str, kind: str, entered: Any) -> None:
    make, options_of = CALLS[name]
    inputs, options = make(getattr(torch, kind)), options_of()
    upstream = torch.randn(*inputs[0].shape)
    expected = truth(inputs, options, upstream)
    theirs = run(inputs, options, upstream)
    with heedful_torch.activate():
        found = run(inputs, options, upstream)
    assert entered == ["attention", "attention_backward"]
    step = torch.finfo(getattr(torch, kind)).eps
    for mine, other, true in zip(found, theirs, expected, strict=True):
        assert mine.dtype == other.dtype
        assert mine.stride() == other.stride()
        error, bound = (mine.double() - true).abs().max(), 4 * step * true.abs().max()
        assert error <= max(bound, 2 * (other.double() - true).abs().max())


@pytest.mark.usefixtures("every_size")
def test_the_memory_of_lse_is_ordered_as_pytorch_promises() -> None:
    """torch.compile relies on it."""
    inputs = (draw(2, 3, 5, 11), *pair(torch.float32, 3))
    attend = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
    _, expected = attend(*inputs)
    with heedful_torch.activate():
        _, found = attend(*inputs)
    assert torch.allclose(found, expected, atol=2e-6)
    assert found.stride() == attend(*(tensor.to("meta") for tensor in inputs))[1].stride()


def test_a_mask_of_booleans_is_one_again(monkeypatch: pytest.MonkeyPatch, entered: Any) -> None:
    """PyTorch writes it out as floats."""
    given: list[dict[str, Any]] = []
    attend = _flash_attention.heedful.attention

    def noted(*arrays: Any, **options: Any) -> Any:
        given.append(options)
        return attend(*arrays, **options)

    monkeypatch.setattr(_flash_attention.heedful, "attention", noted)
    inputs = (draw(2, 3, 5, 11), *pair(torch.float32, 3))
    padding = (torch.arange(7) < torch.tensor([[7], [3]]))[:, None, None]
    with heedful_torch.activate():
        sdpa(*inputs, attn_mask=mask(5, 7))
        sdpa(*inputs, attn_mask=padding.expand(2, 1, 5, 7))
        sdpa(*inputs, attn_mask=torch.zeros(5, 7).index_fill(1, torch.tensor([3]), 1.0))
        sdpa(*inputs, attn_mask=torch.zeros(5, 7).index_fill(0, torch.tensor([3]), 1.0))
    assert [options["mask"].shape[-2:] for options in given[:2]] == [(5, 7), (1, 7)]
    assert all("mask" not in options and "bias" in options for options in given[2:])


def test_a_mask_of_floats_is_added(entered: list[str]) -> None:
    inputs = (draw(2, 3, 5, 11), *pair(torch.float32, 3))
    added = torch.randn(2, 3, 5, 7).masked_fill(torch.rand(2, 1, 5, 7) < 0.3, -torch.inf)
    expected = sdpa(*inputs, attn_mask=added)
    with heedful_torch.activate():
        assert torch.allclose(sdpa(*inputs, attn_mask=added), expected, atol=2e-6)
    assert entered == ["attention"]


@pytest.mark.usefixtures("every_size")
def test_no_gradient_is_formed_of_a_mask_of_floats(monkeypatch: pytest.MonkeyPatch) -> None:
    inputs = [draw(2, 3, 5, 11).requires_grad_() for _ in range(3)]
    added = torch.randn(5, 5)
    expected = torch.autograd.grad(sdpa(*inputs, attn_mask=added).sum(), inputs)
    given: list[Any] = []
    differentiate = _flash_attention.heedful.attention_backward

    def noted(*arrays: Any, **options: Any) -> Any:
        given.append(differentiate(*arrays, **options))
        return given[-1]

    monkeypatch.setattr(_flash_attention.heedful, "attention_backward", noted)
    with heedful_torch.activate():
        found = torch.autograd.grad(sdpa(*inputs, attn_mask=added).sum(), inputs)
    assert [gradients.bias for gradients in given] == [None]
    for mine, other in zip(found, expected, strict=True):
        assert torch.allclose(mine, other, atol=1e-5)


def test_small_calls_are_passed_to_pytorch() -> None:
    query, out = torch.randn(2, 3, 5, 11), None
    out = sdpa(query, query, query)
    with heedful_torch.activate():
        assert torch.equal(sdpa(query, query, query), out)


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_compiled_programs_enter_it_in_both_directions(entered: list[str]) -> None:
    def loss(query: Any, key: Any) -> Any:
        return sdpa(query * 2, key, key, is_causal=True).square().sum()

    inputs = [tensor.requires_grad_() for tensor in (draw(2, 3, 5, 11), draw(2, 3, 7, 11))]
    expected = torch.autograd.grad(loss(*inputs), inputs)
    torch._dynamo.reset()
    compiled = torch.compile(loss, fullgraph=True, backend="aot_eager")
    with heedful_torch.activate():
        found = torch.autograd.grad(compiled(*inputs), inputs)
    assert entered == ["attention", "attention_backward"]
    for mine, other in zip(found, expected, strict=True):
        assert torch.allclose(mine, other, atol=1e-4)
