"""The cases of bench_layers, in heedful and in PyTorch: the same layers, weights and inputs.

A case has, for each library, one or more ways to compute it; the fastest of a library counts.
Ways return an array to check that both compute the same.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

import heedful
from heedful.layers import Encoder, EncoderLayer, Linear
from heedful.training import Adam, MeanSquaredError

Array = NDArray[Any]
Way = Callable[[], Array]


@dataclasses.dataclass(frozen=True)
class Case:
    """One line of the table."""

    kind: str  # encoder, decode, train, sentences or linear
    what: str
    ratio: float | None  # to torch; None: measured and not judged
    sizes: tuple[int, ...] = ()  # B, L or rows in the cache, d_model, heads, dff, layers
    rate: float = 0.0
    fraction: float | None = None  # of the FMA peak
    memory: bool = False

    @property
    def operations(self) -> float | None:
        if self.kind != "linear":
            return None
        rows, inputs, outputs = self.sizes
        return 2.0 * rows * inputs * outputs


CASES = [
    Case("encoder", "encoder layer, B 8, L 512, d_model 768", 1.5, (8, 512, 768, 12, 3072, 1)),
    Case("encoder", "encoder layer, B 1, L 128, d_model 768", 1.5, (1, 128, 768, 12, 3072, 1)),
    Case("decode", "decoder step, B 1, cache of 1,024", 1.5, (1, 1024, 768, 12, 3072, 1)),
    Case("decode", "decoder step, B 8, cache of 1,024", 1.5, (8, 1024, 768, 12, 3072, 1)),
    Case("train", "training step, 6 layers, d_model 384, B 32, L 128", 1.3,
         (32, 128, 384, 6, 1536, 6), memory=True),
    Case("train", "the same with dropout 0.1", None, (32, 128, 384, 6, 1536, 6), rate=0.1),
    Case("sentences", "MiniLM, 64 sentences", 1.5),
    Case("linear", "linear layer (4096, 768)·(768, 3072)", None, (4096, 768, 3072), fraction=0.85),
]  # fmt: skip


def ways_of(library: str, case: Case) -> dict[str, Way]:
    """Ways by name, ready to be called repeatedly."""
    return (_own if library == "heedful" else _torch)(case)


def sentences() -> list[str]:
    """64 passages of Python's documentation, of different lengths."""
    from pydoc_data.topics import topics

    found = [
        " ".join(part.split())
        for name in sorted(topics)
        for part in topics[name].split("\n\n")
        if 4 <= len(part.split()) <= 60
    ]
    return found[:: len(found) // 64][:64]


def _drawn(*shape: int) -> Array:
    return np.random.default_rng(7).standard_normal(shape, dtype=np.float32)


def _own_model(case: Case) -> Encoder:
    _, _, d_model, heads, dff, layers = case.sizes
    return Encoder(
        layers, d_model, heads, dff, case.rate, activation="gelu", norm=False,
        causal=case.kind == "decode", rng=0,
    )  # fmt: skip


def _own(case: Case) -> dict[str, Way]:
    if case.kind == "sentences":
        from heedful.integrations.sentences import SentenceEncoder, find_minilm

        encoder, texts = SentenceEncoder(find_minilm()), sentences()
        return {"": lambda: encoder.encode(texts)}
    if case.kind == "linear":
        rows, inputs, outputs = case.sizes
        linear, x = Linear(inputs, outputs, rng=0), _drawn(rows, inputs)
        return {"": lambda: np.asarray(linear(x))}
    batch, length, d_model = case.sizes[:3]
    model = _own_model(case)
    if case.kind == "train":
        return {"": _own_step(case, model)}
    layer: EncoderLayer = model.layers[0]
    if case.kind == "encoder":
        x = _drawn(batch, length, d_model)
        return {"": lambda: np.asarray(layer(x))}
    x = _drawn(batch, length + 1, d_model)
    cache = heedful.KVCache(length + 1)
    layer(x[:, :length], cache=cache)
    full, last = cache.lengths, np.ascontiguousarray(x[:, length:])

    def step() -> Array:
        cache.lengths = full  # the row of the previous step is overwritten
        return np.asarray(layer(last, cache=cache))

    return {"": step}


def _own_step(case: Case, model: Encoder) -> Way:
    x, target = _drawn(*case.sizes[:3]), _drawn(*case.sizes[:3])[::-1].copy()
    optimizer, loss_fn, rng = Adam(model, lr=1e-3), MeanSquaredError(), np.random.default_rng(0)

    def step() -> Array:
        y, backward = model.forward(x, rng=rng)
        loss, dy = loss_fn(target, y)
        model.zero_grad()
        backward(dy)
        optimizer.step()
        return np.array(loss)

    return step


def _torch(case: Case) -> dict[str, Way]:
    torch = _import("torch")

    if case.kind == "sentences":
        return _torch_sentences()
    if case.kind == "linear":
        rows, inputs, outputs = case.sizes
        own = Linear(inputs, outputs, rng=0)
        linear = torch.nn.Linear(inputs, outputs).requires_grad_(False)
        linear.load_state_dict(_as_torch(own.state_dict()))
        x = torch.from_numpy(_drawn(rows, inputs))
        return {"nn.Linear": _inference(lambda: linear(x))}
    batch, length, d_model, heads, dff, layers = case.sizes
    own_model = _own_model(case)
    layer = torch.nn.TransformerEncoderLayer(
        d_model, heads, dff, case.rate, "gelu", batch_first=True
    )
    model = torch.nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)
    model.load_state_dict(_as_torch(own_model.state_dict()))
    if case.kind == "train":
        return {"fused Adam": _torch_step(case, model)}
    model.eval().requires_grad_(False)
    one = model.layers[0]
    if case.kind == "encoder":
        x = torch.from_numpy(_drawn(batch, length, d_model))
        return {
            "module": _inference(lambda: one(x)),  # its own fast path for inference
            "by hand": _inference(lambda: _layer_by_hand(one, x)),
        }
    rows = torch.from_numpy(_drawn(batch, length + 1, d_model))
    key, value = (torch.empty(batch, heads, length + 1, d_model // heads) for _ in range(2))
    _inference(lambda: _layer_by_hand(one, rows[:, :length], (key, value), 0))()
    last = rows[:, length:].contiguous()
    return {"by hand": _inference(lambda: _layer_by_hand(one, last, (key, value), length))}


def _layer_by_hand(layer: Any, x: Any, cache: Any = None, first: int = 0) -> Any:
    """The layer in PyTorch's fused operations; keys and values are cached from row `first` on."""
    functional = _import("torch.nn.functional")
    attn = layer.self_attn
    batch, length, width = x.shape
    projected = functional.linear(x, attn.in_proj_weight, attn.in_proj_bias)
    shape = (batch, length, 3, attn.num_heads, width // attn.num_heads)
    query, key, value = projected.view(shape).permute(2, 0, 3, 1, 4)
    if cache is not None:
        for buffer, new in zip(cache, (key, value), strict=True):
            buffer[:, :, first : first + length] = new
        key, value = (buffer[:, :, : first + length] for buffer in cache)
    y = functional.scaled_dot_product_attention(
        query, key, value, is_causal=cache is not None and length > 1
    )
    x = layer.norm1(x + attn.out_proj(y.transpose(1, 2).reshape(batch, length, width)))
    inner = functional.gelu(layer.linear1(x))
    return layer.norm2(x + layer.linear2(inner))


def _torch_step(case: Case, model: Any) -> Way:
    torch = _import("torch")

    x, target = _drawn(*case.sizes[:3]), _drawn(*case.sizes[:3])[::-1].copy()
    tx, ttarget = torch.from_numpy(x), torch.from_numpy(target)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, fused=True)
    model.train()

    def step() -> Array:
        loss = torch.nn.functional.mse_loss(model(tx), ttarget)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return np.array(loss.item())

    return step


def _torch_sentences() -> dict[str, Way]:
    """sentence-transformers, with a batch of its own choice and with one of all sentences."""
    from heedful.integrations.sentences import find_minilm

    package, texts = _import("sentence_transformers"), sentences()
    encoder = package.SentenceTransformer(str(find_minilm()), device="cpu")

    def way(size: int) -> Way:
        return lambda: np.asarray(
            encoder.encode(
                texts, batch_size=size, normalize_embeddings=True, show_progress_bar=False
            )
        )

    return {f"batches of {size}": way(size) for size in (16, 32, 64)}


def _inference(call: Callable[[], Any]) -> Way:
    torch = _import("torch")

    def run() -> Array:
        with torch.inference_mode():
            return np.asarray(call().numpy())

    return run


def _import(name: str) -> Any:
    """A module that type checkers need not have."""
    return import_module(name)


def _as_torch(state: dict[str, Array]) -> dict[str, Any]:
    torch = _import("torch")

    return {name: torch.from_numpy(array) for name, array in state.items()}
