"""Encoders and decoders, layers and stacks of them, compared with PyTorch's Transformer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from fuzz_campaign import Case
from hypothesis import strategies as st
from torch import nn

from heedful import layers
from random_layers.activations import ACTIVATIONS
from random_layers.attention import LEADING, Scores, distances, scores, takes
from random_layers.orders import ORDERS
from random_layers.pair import Pair
from random_layers.restrictions import Restrictions, Written, additive, restrictions
from random_layers.small import DTYPES
from random_layers.torch_attention import TorchAttention, as_heads_of_torch

LENGTHS = st.sampled_from([1, 2, 3, 5, 7, 9, 17, 33])


@dataclass(frozen=True)
class Block:
    """What each layer of a stack is made with."""

    heads: int
    group: int
    depth: int
    dff: int
    activation: str
    norm_first: bool
    eps: float
    bias: bool
    rotary: bool | float
    scores: Scores
    rate: float  # of dropout, which inference does not apply

    @property
    def width(self) -> int:
        return self.heads * self.group * self.depth

    @property
    def num_heads(self) -> int:
        return self.heads * self.group

    def options(self, kind: Any) -> dict[str, Any]:
        """Of a layer here, as far as it has them."""
        given: dict[str, Any] = {
            "activation": self.activation, "norm_first": self.norm_first, "eps": self.eps,
            "bias": self.bias,
        }  # fmt: skip
        if self.group > 1 and takes(kind, "num_kv_heads"):
            given["num_kv_heads"] = self.heads
        if self.rotary and takes(kind, "rotary"):
            given["rotary"] = self.rotary
        return given | self.scores.known(kind, num_heads=self.num_heads)

    def torch_options(self) -> dict[str, Any]:
        return {
            "dim_feedforward": self.dff, "dropout": 0.0, "batch_first": True,
            "activation": ACTIVATIONS[self.activation], "norm_first": self.norm_first,
            "layer_norm_eps": self.eps, "bias": self.bias,
        }  # fmt: skip

    def final_norm(self) -> nn.LayerNorm:
        return nn.LayerNorm(self.width, self.eps, bias=self.bias)

    def replaced(self, module: nn.Module, options: dict[str, Any], empty: bool) -> None:
        """With another attention inside, where PyTorch's lacks an option, or would give NaN."""
        known = {
            name: options.get(name) for name in ("scale", "softcap", "sink") if name in options
        }
        grouped = options.get("num_kv_heads")
        rotary = options.get("rotary", 0.0)
        if not (empty or known or grouped or rotary):
            return
        for layer in module.modules():
            if isinstance(layer, (nn.TransformerEncoderLayer, nn.TransformerDecoderLayer)):
                base = 10000.0 if rotary is True else float(rotary)
                of = {"num_kv_heads": grouped, "bias": self.bias, **known}
                layer.self_attn = TorchAttention(self.width, self.num_heads, rotary=base, **of)
                if isinstance(layer, nn.TransformerDecoderLayer):
                    layer.multihead_attn = TorchAttention(self.width, self.num_heads, **of)


def full(written: Written, options: dict[str, Any], num_heads: int) -> Any:
    """The mask of all scores, what ALiBi subtracts included."""
    if "alibi" in options:
        queries, keys = written.allowed.shape[-2:]
        far = distances(options["alibi"], written.offset, queries, keys, num_heads)
        written = written._replace(added=written.added - far)
    return torch.tensor(additive(written, np.float64))


def flat(x: Any, leading: tuple[int, ...]) -> Any:
    """(…, L, E) with one leading axis, as PyTorch requires it."""
    return x.expand(*leading, *x.shape[-2:]).reshape(-1, *x.shape[-2:])


@dataclass(frozen=True)
class EncoderCase(Case):
    stack: int  # 0: an encoder layer
    norm: bool | None
    leading: tuple[int, ...]
    length: int
    block: Block
    restrictions: Restrictions
    dtype: str
    order: str
    frozen: int
    calls: int
    threads: int

    def check(self) -> None:
        rng, block, dtype = self.generator(), self.block, np.dtype(self.dtype)
        kind: Any = layers.Encoder if self.stack else layers.EncoderLayer
        options = block.options(layers.EncoderLayer)
        size = (block.width, block.num_heads, block.dff, block.rate)
        theirs: nn.Module = nn.TransformerEncoderLayer(
            block.width, block.num_heads, **block.torch_options()
        )
        if self.stack:
            ours = kind(self.stack, *size, norm=self.norm, dtype=self.dtype, **options)
            normed = block.norm_first if self.norm is None else self.norm
            norm = block.final_norm() if normed else None
            theirs = nn.TransformerEncoder(theirs, self.stack, norm, enable_nested_tensor=False)
        else:
            ours = kind(*size, dtype=self.dtype, **options)
        written = self.restrictions.written(
            rng, self.leading, block.num_heads, self.length, self.length, dtype
        )
        block.replaced(theirs, options, not written.allowed.any(-1).all())
        mask = as_heads_of_torch(full(written, options, block.num_heads))
        x = rng.standard_normal((*self.leading, self.length, block.width)).astype(dtype)

        def run(module: nn.Module, x: Any) -> Any:
            given = {"mask" if self.stack else "src_mask": mask.to(x.dtype)}
            return module(flat(x, self.leading), **given).reshape(x.shape)

        Pair(
            ours, theirs, [x], run, self.dtype, written.options, self.order, self.frozen,
            self.calls, self.threads, trained=not block.rate,
        ).check(rng)  # fmt: skip


@dataclass(frozen=True)
class DecoderCase(Case):
    stack: int  # 0: a decoder layer
    norm: bool | None
    leading: tuple[int, ...]
    shared_memory: bool
    length: int
    memory_length: int
    block: Block
    own: Restrictions
    memory: Restrictions
    dtype: str
    order: str
    frozen: int
    calls: int
    threads: int

    def check(self) -> None:
        rng, block, dtype = self.generator(), self.block, np.dtype(self.dtype)
        kind: Any = layers.Decoder if self.stack else layers.DecoderLayer
        options = block.options(layers.DecoderLayer)
        size = (block.width, block.num_heads, block.dff, block.rate)
        theirs: nn.Module = nn.TransformerDecoderLayer(
            block.width, block.num_heads, **block.torch_options()
        )
        if self.stack:
            ours = kind(self.stack, *size, norm=self.norm, dtype=self.dtype, **options)
            normed = block.norm_first if self.norm is None else self.norm
            theirs = nn.TransformerDecoder(
                theirs, self.stack, block.final_norm() if normed else None
            )
        else:
            ours = kind(*size, dtype=self.dtype, **options)
        shape = (self.leading, block.num_heads, self.length)
        own = self.own.written(rng, *shape, self.length, dtype)
        memory = self.memory.written(rng, *shape, self.memory_length, dtype)
        empty = not (own.allowed.any(-1).all() and memory.allowed.any(-1).all())
        block.replaced(theirs, options, empty)
        mask = as_heads_of_torch(full(own, options, block.num_heads))
        memory_mask = as_heads_of_torch(torch.tensor(additive(memory, np.float64)))
        begin = () if self.shared_memory else self.leading
        shapes = [(*self.leading, self.length, block.width), (*begin, self.memory_length,
                                                              block.width)]  # fmt: skip
        arrays = [rng.standard_normal(shape).astype(dtype) for shape in shapes]
        names = {"mask": "mask", "kv_lengths": "lengths"}
        given = {new: own.options[old] for old, new in names.items() if old in own.options}
        given |= {f"memory_{new}": memory.options[old] for old, new in names.items()
                  if old in memory.options}  # fmt: skip
        given["causal"] = self.own.causal

        def run(module: nn.Module, x: Any, memory: Any) -> Any:
            y = module(
                flat(x, self.leading), flat(memory, self.leading), tgt_mask=mask.to(x.dtype),
                memory_mask=memory_mask.to(x.dtype),
            )  # fmt: skip
            return y.reshape(x.shape)

        Pair(
            ours, theirs, arrays, run, self.dtype, given, self.order, self.frozen, self.calls,
            self.threads, trained=not block.rate,
        ).check(rng)  # fmt: skip


@st.composite
def blocks(draw: st.DrawFn) -> Block:
    rotary = draw(st.sampled_from([False, False, True, 100.0]))
    return Block(
        heads=draw(st.integers(1, 3)),
        group=draw(st.integers(1, 2)),
        depth=draw(st.sampled_from([4, 6] if rotary else [3, 5])),  # norms of 2 are all but ±1
        dff=draw(st.sampled_from([1, 3, 8, 17])),
        activation=draw(st.sampled_from(list(ACTIVATIONS))),
        norm_first=draw(st.booleans()),
        eps=draw(st.sampled_from([1e-5, 1e-3])),
        bias=draw(st.booleans()),
        rotary=rotary,
        scores=draw(scores()),
        rate=draw(st.sampled_from([0.0, 0.0, 0.0, 0.3])),
    )


@st.composite
def encoder_cases(draw: st.DrawFn) -> EncoderCase:
    return EncoderCase(
        seed=draw(st.integers(0, 2**32 - 1)),
        stack=draw(st.integers(0, 2)),
        norm=draw(st.sampled_from([None, False, True])),
        leading=draw(LEADING),
        length=draw(LENGTHS),
        block=draw(blocks()),
        restrictions=draw(restrictions(True)),
        dtype=draw(DTYPES),
        order=draw(st.sampled_from(ORDERS)),
        frozen=draw(st.integers(0, 2**12 - 1) | st.just(0)),
        calls=draw(st.integers(1, 2)),
        threads=draw(st.integers(1, 2)),
    )


@st.composite
def decoder_cases(draw: st.DrawFn) -> DecoderCase:
    length, memory_length = draw(LENGTHS), draw(LENGTHS)
    return DecoderCase(
        seed=draw(st.integers(0, 2**32 - 1)),
        stack=draw(st.integers(0, 2)),
        norm=draw(st.sampled_from([None, False, True])),
        leading=draw(LEADING),
        shared_memory=draw(st.booleans()),
        length=length,
        memory_length=memory_length,
        block=draw(blocks()),
        own=draw(masks_and_lengths(causal=True)),
        memory=draw(masks_and_lengths(causal=False)),
        dtype=draw(DTYPES),
        order=draw(st.sampled_from(ORDERS)),
        frozen=draw(st.integers(0, 2**12 - 1) | st.just(0)),
        calls=draw(st.integers(1, 2)),
        threads=draw(st.integers(1, 2)),
    )


@st.composite
def masks_and_lengths(draw: st.DrawFn, causal: bool) -> Restrictions:
    found = draw(restrictions(True))
    return Restrictions(
        mask=found.mask, mask_is_added=found.mask_is_added, kv_lengths=found.kv_lengths,
        causal=causal and found.causal,
    )  # fmt: skip
