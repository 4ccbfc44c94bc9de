"""What layers pass to "heedful", against PyTorch in float64."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

pytestmark = [
    pytest.mark.peer, pytest.mark.once, pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]  # fmt: skip

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from heedful.integrations.transformers._forward import forward  # noqa: E402

LAYER = SimpleNamespace(is_causal=False)


@pytest.fixture
def inputs() -> list[Any]:
    """Query, key, value; grouped heads, and values of another depth."""
    generator = torch.Generator().manual_seed(0)
    shapes = ((2, 4, 7, 5), (2, 2, 9, 5), (2, 2, 9, 3))
    return [torch.randn(one, generator=generator, dtype=torch.float64) for one in shapes]


def softmax_of(inputs: list[Any], added: Any = 0.0, sinks: Any = None) -> tuple[Any, Any]:
    """(out (B, Lq, H, Dv), weights), with what is added to the scores."""
    query, key, value = inputs
    key, value = (one.repeat_interleave(2, 1) for one in (key, value))
    scores = query @ key.mT * 5**-0.5 + added
    if sinks is not None:
        scores = torch.cat([scores, sinks[:, None, None].expand(2, 4, 7, 1)], -1)
    weights = scores.softmax(-1)[..., :9]
    return (weights @ value).transpose(1, 2), weights


def minus(seen: Any) -> Any:
    return torch.where(seen, 0.0, -torch.inf).double()


def test_out_is_contiguous_and_weights_come_on_request(inputs: list[Any]) -> None:
    expected, weights = softmax_of(inputs)
    out, none = forward(LAYER, *inputs, None, position_ids=None, cu_seq_lens_q=None)
    assert none is None
    assert out.is_contiguous()
    torch.testing.assert_close(out, expected)
    out, found = forward(LAYER, *inputs, None, output_attentions=True)
    torch.testing.assert_close(out, expected)
    torch.testing.assert_close(found, weights)


def test_causal_layers_start_at_the_first_key(inputs: list[Any]) -> None:
    """A cache with empty places, without padding."""
    seen = torch.arange(9) <= torch.arange(7)[:, None]
    expected, _ = softmax_of(inputs, minus(seen))
    for layer, said in ((SimpleNamespace(is_causal=True), None), (SimpleNamespace(), None),
                        (LAYER, True)):  # fmt: skip
        torch.testing.assert_close(forward(layer, *inputs, None, is_causal=said)[0], expected)
    one = [inputs[0][:, :, -1:], *inputs[1:]]
    everything, _ = softmax_of(inputs)
    found = forward(SimpleNamespace(is_causal=True), *one, None)[0]
    torch.testing.assert_close(found, everything[:, -1:])


@pytest.mark.parametrize("kind", ["bool", "float", "keys"])
def test_masks_of_the_caller_reach_the_layers(inputs: list[Any], kind: str) -> None:
    """Also one row for all queries, which means no more than it says in a causal layer."""
    seen = torch.rand(2, 1, 1 if kind == "keys" else 7, 9) < 0.7
    seen[..., 0] = True
    expected, _ = softmax_of(inputs, minus(seen))
    given = minus(seen) if kind == "float" else seen
    found = forward(SimpleNamespace(is_causal=True), *inputs, given)[0]
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("masked", ["no", "bool", "float", "causal"])
def test_a_position_bias_and_sinks_have_gradients(inputs: list[Any], masked: str) -> None:
    bias = torch.randn(1, 4, 7, 9, dtype=torch.float64, requires_grad=True)
    sinks = torch.randn(4, dtype=torch.float64, requires_grad=True)
    seen = torch.rand(2, 1, 7, 9) < 0.7
    added = {
        "no": torch.zeros(1), "causal": minus(torch.arange(9) <= torch.arange(7)[:, None]),
        "bool": minus(seen), "float": minus(seen),
    }[masked]  # fmt: skip
    given = {"bool": seen, "float": minus(seen)}.get(masked)
    leaves = [one.requires_grad_() for one in inputs] + [bias, sinks]
    expected, _ = softmax_of(inputs, bias + added, sinks)
    true = torch.autograd.grad(expected.square().sum(), leaves)
    found, _ = forward(
        LAYER, *inputs, given, is_causal=masked == "causal", position_bias=bias, s_aux=sinks
    )
    torch.testing.assert_close(found, expected)
    gradients = torch.autograd.grad(found.square().sum(), leaves)
    for gradient, one in zip(gradients, true, strict=True):
        torch.testing.assert_close(gradient, one)


def test_a_mask_that_lost_its_pattern_is_refused(inputs: list[Any]) -> None:
    from heedful.integrations.transformers._masks import mask

    seen = torch.arange(9) >= torch.tensor([[0], [2]])
    made = mask(2, 9, 9, attention_mask=seen)
    assert made.shape == (2, 1, 1, 9)
    with pytest.raises(TypeError, match=r"^attention_mask must be of bool or floats: got torch\."):
        forward(LAYER, *inputs, made.clone())


def test_sinks_of_each_query_are_refused(inputs: list[Any]) -> None:
    with pytest.raises(NotImplementedError, match="use attn_implementation="):
        forward(LAYER, *inputs, None, sinks=torch.zeros(2, 4, 7, 1))
