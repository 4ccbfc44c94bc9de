"""attention for tensors against NumPy in float64: every option, results and gradients."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from case import Call, Case
from cases import CASES, ENTMAX_CASES

import heedful
import reference

# PyTorch warns of parts of its own that it will drop
pytestmark = [pytest.mark.peer, pytest.mark.filterwarnings("ignore::DeprecationWarning")]

torch = pytest.importorskip("torch")

from heedful.integrations.torch import attention  # noqa: E402
from heedful.integrations.torch._tensors import as_array, as_tensor  # noqa: E402

INPUTS = ("query", "key", "value", "bias", "sink")
Array = np.ndarray[Any, Any]


def tensors_of(call: Call) -> tuple[list[Any], dict[str, Any]]:
    """Query, key, value, bias and sink that require gradients, and all options."""
    options = {
        name: torch.from_numpy(given) if isinstance(given, np.ndarray) else given
        for name, given in call.options.items()
    }
    inputs = [as_tensor(array).requires_grad_() for array in call.inputs]
    for name in ("bias", "sink"):
        if name in options:
            inputs.append(options[name].requires_grad_())
    return inputs, options


@pytest.mark.parametrize("case", [case for case in CASES if case.Lq * case.Lk < 2500], ids=str)
def test_results_and_gradients_are_those_of_numpy(case: Case) -> None:
    call = case.draw()
    inputs, options = tensors_of(call)
    transposed = len(case.name) % 2 == 1
    given = [one.transpose(-2, -3) if transposed else one for one in inputs[:3]]
    layout = "blhd" if transposed else "bhld"
    out, lse = attention(*given, **options, layout=layout, return_lse=True)
    assert out.is_contiguous()
    out = out.transpose(-2, -3) if transposed else out
    dout, dlse = torch.from_numpy(call.dout), torch.from_numpy(call.dlse)
    loss = (out * dout).sum() + torch.where(lse > -torch.inf, lse * dlse, 0).sum()
    gradients = torch.autograd.grad(loss, inputs)
    expected = call.run(reference.attention)
    close(out, expected.out)
    close(lse, expected.lse)
    true = reference.attention_backward(
        call.dout, *call.inputs, dlse=call.dlse, **call.options
    )  # fmt: skip
    for gradient, wanted in zip(gradients, (one for one in true if one is not None), strict=True):
        close(gradient, wanted)


def close(found: Any, expected: Array) -> None:
    assert found.shape == expected.shape
    found = found.detach().numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("name", ["everything", "grouped", "lengths_and_sink", "top_k"])
def test_weights_and_their_gradients_are_those_of_numpy(name: str) -> None:
    call = next(case for case in CASES if case.name == name).draw()
    inputs, options = tensors_of(call)
    out, lse, weights = attention(*inputs[:3], **options, return_lse=True, return_weights=True)
    close(weights, call.run(reference.attention).weights)
    loss = (out * torch.from_numpy(call.dout)).sum()
    loss = loss + (weights * torch.from_numpy(call.dweights)).sum()
    gradients = torch.autograd.grad(loss, inputs)
    true = reference.attention_backward(
        call.dout, *call.inputs, dweights=call.dweights, **call.options
    )
    for gradient, wanted in zip(gradients, (one for one in true if one is not None), strict=True):
        close(gradient, wanted)
    assert lse.shape == out.shape[:-1]


@pytest.mark.parametrize("case", [case for case in ENTMAX_CASES if case.Lq < 90], ids=str)
def test_another_normalizer_gives_numpys_results_and_gradients(case: Case) -> None:
    call = case.draw()
    inputs, options = tensors_of(call)
    out = attention(*inputs[:3], **options)
    gradients = torch.autograd.grad(out, inputs, torch.from_numpy(call.dout))
    close(out, call.run(reference.attention).out)
    true = call.run(
        lambda *arrays, **rest: reference.attention_backward(call.dout, *arrays, **rest)
    )
    for gradient, wanted in zip(gradients, (one for one in true if one is not None), strict=True):
        np.testing.assert_allclose(gradient.numpy(), wanted, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("axes", [(1, 2, 2), (2, 2, 2), (3, 2, 2), (4, 3, 4)])
@pytest.mark.parametrize("layout", ["bhld", "blhd"])
def test_axes_may_be_left_out_as_in_the_function_of_arrays(axes: Any, layout: str) -> None:
    torch.manual_seed(0)
    sizes = [(2, 3, 5, 7)[4 - n :] if at else (2, 3, 4, 7)[4 - n :] for at, n in enumerate(axes)]
    given = [torch.randn(size, dtype=torch.float64) for size in sizes]
    if layout == "blhd":
        given = [one.transpose(-2, -3) if one.dim() > 2 else one for one in given]
    options = {"layout": layout, "return_lse": True, "return_weights": True}
    found = attention(*given, **options)
    expected = heedful.attention(*(one.numpy() for one in given), **options)  # type: ignore[call-overload]
    for mine, other in zip(found, expected, strict=True):
        assert mine.shape == other.shape
        assert (mine.numpy() == other).all()


@pytest.mark.parametrize("kind", ["bfloat16", "float16"])
def test_gradients_of_16_bits_are_formed_from_an_output_that_was_not_rounded(kind: str) -> None:
    """With a common offset of the values they are differences that a rounded one would lose."""
    torch.manual_seed(0)
    query, key, value = (torch.randn(1, 2, n, 16).to(getattr(torch, kind)) for n in (19, 33, 33))
    value = value + 30
    inputs = [one.requires_grad_() for one in (query, key, value)]
    out, lse = attention(*inputs, return_lse=True)
    assert out.dtype == query.dtype
    assert lse.dtype == torch.float32
    dout = torch.randn(out.shape).to(out.dtype)
    found = torch.autograd.grad(out, inputs, dout)
    wide = [one.double().detach().numpy() for one in inputs]
    true = reference.attention_backward(dout.double().numpy(), *wide)
    step = torch.finfo(out.dtype).eps
    for gradient, wanted in zip(found, true[:3], strict=True):
        assert gradient.dtype == out.dtype
        error = np.abs(gradient.double().numpy() - wanted).max()
        assert error <= 2 * step * np.abs(wanted).max()


def test_a_wide_query_leaves_key_and_value_in_16_bits() -> None:
    query, key = torch.randn(2, 5, 8), torch.randn(2, 7, 8).bfloat16()
    inputs = [query.requires_grad_(), key.requires_grad_()]
    out = attention(query, key, key)
    assert out.dtype == torch.float32
    gradients = torch.autograd.grad(out.sum(), inputs)
    assert [one.dtype for one in gradients] == [torch.float32, torch.bfloat16]
    expected = heedful.attention(*(as_array("x", one) for one in (query, key, key)))
    assert (out.detach().numpy() == expected).all()


def test_other_types_are_promoted_and_their_gradients_are_not() -> None:
    query, key = torch.randn(5, 8, requires_grad=True), torch.randn(7, 8, dtype=torch.float64)
    out = attention(query, key, torch.ones(7, 3, dtype=torch.int64))
    assert out.dtype == torch.float64
    assert torch.autograd.grad(out.sum(), query)[0].dtype == torch.float32
    with pytest.raises(TypeError, match=r"^query, key and value must not mix"):
        attention(query.half(), key.bfloat16(), key.bfloat16())


def test_autocast_casts_query_key_and_value() -> None:
    x = torch.randn(2, 5, 8, requires_grad=True)
    with torch.autocast("cpu", torch.bfloat16):
        out = attention(x, x, x)
        wide = attention(x.double(), x.double(), x.double())
    assert out.dtype == torch.bfloat16
    assert wide.dtype == torch.float64
    assert torch.autograd.grad(out.sum(), x)[0].dtype == torch.float32


def test_dropout_follows_pytorchs_generator() -> None:
    x = torch.randn(2, 5, 8)

    def draw(seed: int | None = None, **options: Any) -> Any:
        if seed is not None:
            torch.manual_seed(seed)
        return attention(x, x, x, dropout_p=0.5, **options)

    assert torch.equal(draw(1), draw(1))
    assert not torch.equal(draw(1), draw())
    generator = torch.Generator()
    first = draw(rng=generator.manual_seed(3))
    assert torch.equal(draw(rng=generator.manual_seed(3)), first)
    array = x.numpy()
    expected = heedful.attention(array, array, array, dropout_p=0.5, rng=2**64 - 1)
    assert (draw(rng=2**64 - 1).numpy() == expected).all()
    torch.manual_seed(1)
    before = torch.get_rng_state()
    attention(x, x, x)  # nothing is random
    assert torch.equal(torch.get_rng_state(), before)


WRONG: dict[str, tuple[Any, str]] = {
    "query": (np.ones((5, 8)), "TypeError: query must be a torch.Tensor: got an array"),
    "mask": (torch.ones(5, 5), "TypeError: mask must be boolean"),
    "bias": ([1.0], "TypeError: bias must be a torch.Tensor: got"),
    "block_mask": (torch.ones(5, 5), "TypeError: block_mask must be a heedful.BlockMask"),
    "causal": (1, "TypeError: causal must be True or False"),
    "window": ((-1, 2), "TypeError: window|ValueError: window"),
    "align": ("left", "ValueError: align must be 'upper_left' or 'lower_right'"),
    "q_lengths": ("five", "TypeError: q_lengths must be integers"),
    "kv_lengths": ([9], "ValueError: kv_lengths must lie between 0 and 5"),
    "top_k": (0, "ValueError: top_k must be at least 1"),
    "normalizer": ("hardmax", "ValueError: normalizer must be"),
    "scale": ("x", "TypeError: scale must be a number"),
    "softcap": (0, "ValueError: softcap must be finite and above 0"),
    "alibi_slopes": (torch.ones(3), "ValueError: alibi_slopes must have shape"),
    "sink": (torch.ones(3), "ValueError: sink must have shape"),
    "dropout_p": (1.5, "ValueError: dropout_p must lie between 0 and 1"),
    "key_dropout_p": (1.0, r"ValueError: key_dropout_p must lie in \[0, 1\)"),
    "gumbel_temperature": (0.0, "ValueError: gumbel_temperature must be finite and above 0"),
    "min_weight": (2.0, r"ValueError: min_weight must lie in \[0, 1\)"),
    "rng": (np.random.default_rng(0), "TypeError: rng must be None, an integer or a torch"),
    "layout": ("hbld", "ValueError: layout must be 'bhld' or 'blhd'"),
    "return_lse": (1, "TypeError: return_lse must be True or False"),
    "return_weights": (None, "TypeError: return_weights must be True or False"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_argument_is_named_in_one_sentence(name: str) -> None:
    given, words = WRONG[name]
    arguments = dict.fromkeys(("query", "key", "value"), torch.randn(1, 2, 5, 8))
    with pytest.raises((TypeError, ValueError)) as raised:
        attention(**{**arguments, name: given})
    assert re.match(words, f"{raised.type.__name__}: {raised.value}")
    assert "\n" not in str(raised.value)


@pytest.mark.filterwarnings("ignore")  # PyTorch warns of its prototypes
def test_tensors_without_elements_are_refused() -> None:
    x = torch.randn(5, 8)
    for given, words in ((x.to_sparse(), "dense"), (torch.nested.nested_tensor([x]), "nested")):
        with pytest.raises(TypeError, match=rf"^key must (not )?be {words}"):
            attention(x, given, x)


def test_meta_tensors_have_shapes_alone() -> None:
    x = torch.empty(2, 5, 3, 8, device="meta")
    out, lse = attention(x, x, x[..., :7], layout="blhd", return_lse=True)
    assert (out.device.type, out.shape, lse.shape) == ("meta", (2, 5, 3, 7), (2, 3, 5))
