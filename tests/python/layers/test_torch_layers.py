"""Layers that PyTorch has too: its parameters load, and outputs and gradients are the same."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from heedful import layers, training

pytestmark = pytest.mark.peer
torch = pytest.importorskip("torch")
nn = torch.nn

B, L, M, E, H, F = 3, 5, 7, 12, 2, 17


def state_of(module: Any) -> dict[str, Any]:
    return {name: array.numpy() for name, array in module.state_dict().items()}


def double(module: Any) -> Any:
    return module.double()


def padding(lengths: list[int], count: int) -> Any:
    return torch.arange(count) >= torch.tensor(lengths)[:, None]


def causal_mask() -> Any:
    return nn.Transformer.generate_square_subsequent_mask(L, dtype=torch.float64)


LAYER = {"dim_feedforward": F, "dropout": 0.0, "batch_first": True}
# name, PyTorch's, ours, shapes of inputs, PyTorch's options, ours
CASES: list[tuple[str, Any, Any, list[tuple[int, ...]], dict[str, Any], dict[str, Any]]] = [
    ("linear", lambda: nn.Linear(E, F), lambda **o: layers.Linear(E, F, **o), [(B, L, E)], {}, {}),
    ("layer_norm", lambda: nn.LayerNorm(E), lambda **o: layers.LayerNorm(E, **o), [(B, L, E)], {},
     {}),
    ("rms_norm", lambda: nn.RMSNorm(E), lambda **o: layers.RMSNorm(E, **o), [(B, L, E)], {}, {}),
    *[
        (name, kind, lambda name=name, **o: layers.Activation(name, **o), [(B, L, E)], {}, {})
        for name, kind in [
            ("relu", nn.ReLU), ("gelu", nn.GELU), ("silu", nn.SiLU), ("tanh", nn.Tanh),
            ("sigmoid", nn.Sigmoid), ("gelu_tanh", lambda: nn.GELU(approximate="tanh")),
        ]
    ],
    ("softmax", lambda: nn.Softmax(-1), lambda **o: layers.Softmax(**o), [(B, L, E)], {}, {}),
    ("multi_head", lambda: nn.MultiheadAttention(E, H, batch_first=True),
     lambda **o: layers.MultiHeadAttention(E, H, **o), [(B, L, E), (B, M, E), (B, M, E)],
     {"key_padding_mask": padding([7, 3, 1], M)}, {"kv_lengths": [7, 3, 1]}),
    ("multi_head_widths", lambda: nn.MultiheadAttention(E, H, kdim=5, vdim=8, batch_first=True),
     lambda **o: layers.MultiHeadAttention(E, H, kdim=5, vdim=8, **o),
     [(B, L, E), (B, M, 5), (B, M, 8)], {}, {}),
    ("encoder_layer", lambda: nn.TransformerEncoderLayer(E, H, **LAYER),
     lambda **o: layers.EncoderLayer(E, H, F, 0.0, **o), [(B, L, E)],
     {"src_key_padding_mask": padding([5, 3, 1], L)}, {"kv_lengths": [5, 3, 1]}),
    ("encoder_layer_norm_first",
     lambda: nn.TransformerEncoderLayer(E, H, **LAYER, norm_first=True, activation="gelu"),
     lambda **o: layers.EncoderLayer(E, H, F, 0.0, norm_first=True, activation="gelu", **o),
     [(B, L, E)], {"src_mask": causal_mask(), "is_causal": True}, {"causal": True}),
    ("decoder_layer", lambda: nn.TransformerDecoderLayer(E, H, **LAYER),
     lambda **o: layers.DecoderLayer(E, H, F, 0.0, **o), [(B, L, E), (B, M, E)],
     {"tgt_mask": causal_mask(), "memory_key_padding_mask": padding([7, 3, 1], M)},
     {"memory_lengths": [7, 3, 1]}),
    ("decoder_layer_norm_first", lambda: nn.TransformerDecoderLayer(E, H, **LAYER, norm_first=True),
     lambda **o: layers.DecoderLayer(E, H, F, 0.0, norm_first=True, **o), [(B, L, E), (B, M, E)],
     {"tgt_mask": causal_mask()}, {}),
    ("transformer", lambda: nn.Transformer(E, H, 2, 2, **LAYER),
     lambda **o: layers.EncoderDecoder(E, H, 2, 2, F, 0.0, **o), [(B, M, E), (B, L, E)],
     {"tgt_mask": causal_mask()}, {}),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case[0])
def test_output_and_gradients_are_those_of_torch(case: Any, rng: np.random.Generator) -> None:
    _, theirs, ours, shapes, their_options, our_options = case
    torch.manual_seed(0)
    module, layer = double(theirs()), ours(dtype=np.float64)
    for parameter in module.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    layer.load_state_dict(state_of(module))
    arrays = [rng.standard_normal(shape) for shape in shapes]
    leaves = [torch.tensor(array, requires_grad=True) for array in arrays]
    expected = module(*leaves, **their_options)
    expected = expected[0] if isinstance(expected, tuple) else expected
    y, backward = layer.forward(*arrays, **our_options)
    np.testing.assert_allclose(y, expected.detach().numpy(), rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(layer(*arrays, **our_options), y, rtol=1e-10, atol=1e-10)
    dy = rng.standard_normal(y.shape)
    expected.backward(torch.tensor(dy))
    found = backward(dy)
    for gradient, leaf in zip(found if isinstance(found, tuple) else [found], leaves, strict=True):
        np.testing.assert_allclose(gradient, leaf.grad.numpy(), rtol=1e-10, atol=1e-10)
    for name, parameter in module.named_parameters():
        expected_grad = parameter.grad.numpy()
        np.testing.assert_allclose(layer.grads[name], expected_grad, rtol=1e-10, atol=1e-10)


def test_an_embedding_is_that_of_torch(rng: np.random.Generator) -> None:
    module = double(nn.Embedding(11, 4, padding_idx=3))
    layer = layers.Embedding(11, 4, 3, dtype=np.float64)
    layer.load_state_dict(state_of(module))
    tokens = rng.integers(0, 11, (5, 7))
    y, backward = layer.forward(tokens)
    expected = module(torch.tensor(tokens))
    np.testing.assert_array_equal(y, expected.detach().numpy())
    dy = rng.standard_normal(y.shape)
    expected.backward(torch.tensor(dy))
    backward(dy)
    np.testing.assert_allclose(
        layer.grads["weight"], module.weight.grad.numpy(), rtol=1e-12, atol=1e-12
    )


def test_float32_logits_are_close_to_those_of_torch(rng: np.random.Generator) -> None:
    torch.manual_seed(0)
    module = nn.Transformer(32, 4, 2, 2, 64, 0.0, batch_first=True)
    model = layers.EncoderDecoder(32, 4, 2, 2, 64, 0.0)
    model.load_state_dict(state_of(module))
    source, target = (rng.standard_normal((4, n, 32)).astype(np.float32) for n in (9, L))
    mask = nn.Transformer.generate_square_subsequent_mask(L)
    with torch.no_grad():
        expected = module(torch.tensor(source), torch.tensor(target), tgt_mask=mask).numpy()
    np.testing.assert_allclose(model(source, target), expected, rtol=1e-5, atol=1e-5)


OPTIMIZERS = [
    ("adam", lambda m: training.Adam(m, 1e-3), lambda p: torch.optim.Adam(p, 1e-3)),
    ("adam_decay", lambda m: training.Adam(m, 1e-3, weight_decay=0.1),
     lambda p: torch.optim.Adam(p, 1e-3, weight_decay=0.1)),
    ("adamw", lambda m: training.AdamW(m, 1e-3), lambda p: torch.optim.AdamW(p, 1e-3)),
    ("sgd", lambda m: training.SGD(m, 0.1), lambda p: torch.optim.SGD(p, 0.1)),
    ("momentum", lambda m: training.SGD(m, 0.1, momentum=0.9, weight_decay=0.01),
     lambda p: torch.optim.SGD(p, 0.1, 0.9, weight_decay=0.01)),
    ("nesterov", lambda m: training.SGD(m, 0.1, momentum=0.9, nesterov=True),
     lambda p: torch.optim.SGD(p, 0.1, 0.9, nesterov=True)),
    ("clipped", lambda m: training.Adam(m, 1e-3, clip_norm=0.05),
     lambda p: torch.optim.Adam(p, 1e-3)),
]  # fmt: skip


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("case", OPTIMIZERS, ids=lambda case: case[0])
def test_twenty_steps_end_at_the_weights_of_torch(
    case: Any, dtype: str, rng: np.random.Generator
) -> None:
    name, ours, theirs = case
    torch.manual_seed(0)
    module = nn.Transformer(8, 2, 1, 1, 16, 0.0, batch_first=True).to(getattr(torch, dtype))
    model = layers.EncoderDecoder(8, 2, 1, 1, 16, 0.0, dtype=dtype)
    model.load_state_dict(state_of(module))
    optimizer, peer = ours(model), theirs(module.parameters())
    source, target, wanted = (rng.standard_normal((4, n, 8)).astype(dtype) for n in (6, 5, 5))
    mask = nn.Transformer.generate_square_subsequent_mask(5, dtype=getattr(torch, dtype))
    loss_fn = training.MeanSquaredError()
    for _ in range(20):
        y, backward = model.forward(source, target)
        loss, dy = loss_fn(wanted, y)
        model.zero_grad()
        backward(dy)
        optimizer.step()
        peer.zero_grad()
        out = module(torch.tensor(source), torch.tensor(target), tgt_mask=mask)
        expected = nn.functional.mse_loss(out, torch.tensor(wanted))
        expected.backward()
        if name == "clipped":
            nn.utils.clip_grad_norm_(module.parameters(), 0.05)
        peer.step()
    close = 1e-4 if dtype == "float32" else 1e-6
    assert loss == pytest.approx(expected.item(), rel=close)
    for key, parameter in module.named_parameters():
        found, wanted = model.parameters()[key], parameter.detach().numpy()
        if key.endswith("in_proj_bias"):
            # nothing depends on the keys' bias: its gradient is rounding, which Adam magnifies
            found, wanted = (np.delete(array, slice(8, 16)) for array in (found, wanted))
        np.testing.assert_allclose(found, wanted, rtol=0, atol=close)
