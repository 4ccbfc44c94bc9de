"""bias=False, norm_first and activations: PyTorch's state loads, and outputs are the same."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from heedful import layers

pytestmark = [pytest.mark.peer, pytest.mark.filterwarnings("ignore:enable_nested_tensor is True")]
torch = pytest.importorskip("torch")
nn = torch.nn

B, L, M, E, H, F = 3, 5, 7, 12, 2, 17
COMBINATIONS = list(itertools.product([False, True], [False, True], ["relu", "gelu"]))


def _causal() -> Any:
    return nn.Transformer.generate_square_subsequent_mask(L, dtype=torch.float64)


def _norm(bias: bool) -> Any:
    return nn.LayerNorm(E, bias=bias)


# PyTorch's module, the layer, lengths of the inputs, PyTorch's options
CASES: dict[str, Any] = {
    "transformer": (
        lambda **o: nn.Transformer(E, H, 2, 1, F, 0.0, batch_first=True, **o),
        lambda **o: layers.EncoderDecoder(E, H, 2, 1, F, 0.0, **o), (M, L),
        lambda: {"tgt_mask": _causal()},
    ),
    "encoder_layer": (
        lambda **o: nn.TransformerEncoderLayer(E, H, F, 0.0, batch_first=True, **o),
        lambda **o: layers.EncoderLayer(E, H, F, 0.0, **o), (L,), dict,
    ),
    "decoder_layer": (
        lambda **o: nn.TransformerDecoderLayer(E, H, F, 0.0, batch_first=True, **o),
        lambda **o: layers.DecoderLayer(E, H, F, 0.0, **o), (L, M),
        lambda: {"tgt_mask": _causal()},
    ),
    "encoder": (
        lambda bias, **o: nn.TransformerEncoder(
            nn.TransformerEncoderLayer(E, H, F, 0.0, batch_first=True, bias=bias, **o), 2,
            _norm(bias), enable_nested_tensor=False),
        lambda **o: layers.Encoder(2, E, H, F, 0.0, norm=True, **o), (L,), dict,
    ),
    "decoder": (
        lambda bias, **o: nn.TransformerDecoder(
            nn.TransformerDecoderLayer(E, H, F, 0.0, batch_first=True, bias=bias, **o), 2,
            _norm(bias)),
        lambda **o: layers.Decoder(2, E, H, F, 0.0, norm=True, **o), (L, M),
        lambda: {"tgt_mask": _causal()},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize(("bias", "norm_first", "activation"), COMBINATIONS)
def test_states_and_results_are_those_of_torch(
    name: str, bias: bool, norm_first: bool, activation: str, rng: np.random.Generator
) -> None:
    theirs, ours, lengths, options = CASES[name]
    shared = {"bias": bias, "norm_first": norm_first, "activation": activation}
    torch.manual_seed(0)
    module, layer = theirs(**shared).double(), ours(dtype=np.float64, **shared)
    for parameter in module.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    _compare(module, layer, lengths, options(), rng)


def _compare(module: Any, layer: Any, lengths: Any, options: Any, rng: Any) -> None:
    state = {name: array.numpy() for name, array in module.state_dict().items()}
    layer.load_state_dict(state)
    again = layer.state_dict()
    assert set(again) == set(state)
    module.load_state_dict({name: torch.tensor(array) for name, array in again.items()})
    arrays = [rng.standard_normal((B, length, E)) for length in lengths]
    leaves = [torch.tensor(array, requires_grad=True) for array in arrays]
    expected = module(*leaves, **options)
    expected = expected[0] if isinstance(expected, tuple) else expected
    y, backward = layer.forward(*arrays)
    np.testing.assert_allclose(y, expected.detach().numpy(), rtol=1e-10, atol=1e-10)
    dy = rng.standard_normal(y.shape)
    expected.backward(torch.tensor(dy))
    found = backward(dy)
    for gradient, leaf in zip(found if isinstance(found, tuple) else [found], leaves, strict=True):
        np.testing.assert_allclose(gradient, leaf.grad.numpy(), rtol=1e-9, atol=1e-9)
    for name, parameter in module.named_parameters():
        np.testing.assert_allclose(layer.grads[name], parameter.grad.numpy(), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("kdim", [None, E - 1])
def test_attention_without_a_bias(kdim: int | None, rng: np.random.Generator) -> None:
    module = nn.MultiheadAttention(E, H, bias=False, kdim=kdim, batch_first=True).double()
    layer = layers.MultiHeadAttention(E, H, bias=False, kdim=kdim, dtype=np.float64)
    layer.load_state_dict({name: array.numpy() for name, array in module.state_dict().items()})
    query, key, value = (
        rng.standard_normal((B, n, w)) for n, w in ((L, E), (M, kdim or E), (M, E))
    )
    expected = module(*(torch.tensor(array) for array in (query, key, value)))[0]
    np.testing.assert_allclose(layer(query, key, value), expected.detach().numpy(), rtol=1e-10)


def test_simple_layers_without_a_bias(rng: np.random.Generator) -> None:
    x = rng.standard_normal((B, L, E))
    for module, layer in (
        (nn.LayerNorm(E, bias=False), layers.LayerNorm(E, bias=False, dtype=np.float64)),
        (nn.Linear(E, F, bias=False), layers.Linear(E, F, bias=False, dtype=np.float64)),
    ):
        state = {name: array.double().numpy() for name, array in module.state_dict().items()}
        layer.load_state_dict(state)
        expected = module.double()(torch.tensor(x)).detach().numpy()
        np.testing.assert_allclose(layer(x), expected, rtol=1e-10, atol=1e-12)
    assert list(layers.FeedForward(E, F, bias=False).parameters()) == [
        "linear1.weight", "linear2.weight"
    ]  # fmt: skip
