"""Models of whole sequences: EncoderDecoder, Transformer, LanguageModel and BertEncoder."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from fuzz_campaign import Case
from hypothesis import strategies as st
from torch import nn

from heedful import layers
from random_layers.attention import Scores, takes
from random_layers.pair import Pair
from random_layers.restrictions import Restrictions
from random_layers.small import DTYPES
from random_layers.torch_attention import as_heads_of_torch
from random_layers.torch_models import TorchBert, TorchLanguageModel, TorchTranslator
from random_layers.transformer import LENGTHS, Block, blocks, full


@dataclass(frozen=True)
class ModelCase(Case):
    kind: str
    block: Block
    layers: tuple[int, int]
    items: int
    lengths: tuple[int, int]  # of the source, and of the target or of the tokens
    vocabulary: int
    counted: tuple[bool, bool]  # whether lengths say what counts
    causal: bool
    positions: str
    window: int | None
    segments: int
    first: int
    padding: int | None
    tied: bool
    dtype: str
    frozen: int
    calls: int

    def check(self) -> None:
        getattr(self, self.kind)(self.generator())

    def mask(self, rng: Any, rules: Restrictions, queries: int, keys: int, options: Any) -> Any:
        """Also the lengths that were drawn."""
        written = rules.written(
            rng, (self.items,), self.block.num_heads, queries, keys, self.dtype, shortest=1
        )
        lengths = written.options.get("kv_lengths")
        return as_heads_of_torch(full(written, options, self.block.num_heads)), lengths

    def pair(self, rng: Any, ours: Any, theirs: Any, arrays: Any, run: Any, **options: Any) -> None:
        Pair(
            ours, theirs, arrays, run, self.dtype, options, frozen=self.frozen, calls=self.calls
        ).check(rng)  # fmt: skip

    def encoder(self, count: int, options: dict[str, Any], norm: bool) -> nn.Module:
        block = self.block
        layer = nn.TransformerEncoderLayer(block.width, block.num_heads, **block.torch_options())
        last = block.final_norm() if norm else None
        stack = nn.TransformerEncoder(layer, count, last, enable_nested_tensor=False)
        block.replaced(stack, options, False)
        return stack

    def transformer(self, options: dict[str, Any]) -> nn.Transformer:
        block = self.block
        size = (block.width, block.num_heads, *self.layers)
        with warnings.catch_warnings():  # of a faster path that is not available
            warnings.simplefilter("ignore")
            found = nn.Transformer(*size, **block.torch_options())
        block.replaced(found, options, False)
        return found

    def masks(self, rng: Any, options: dict[str, Any], source: Any = None) -> Any:
        """Of the encoder, of the decoder and between them, and the lengths of both."""
        m, n = self.lengths
        given = (self.items,)
        counts = rng.integers(1, m + 1, given) if source is None else source
        targets = rng.integers(1, n + 1, given) if self.counted[1] else np.full(given, n)
        heads = self.block.num_heads
        found = []
        for queries, keys, counted, causal in (
            (m, m, counts, False), (n, n, targets, self.causal), (n, m, counts, False)
        ):  # fmt: skip
            rules = Restrictions(causal=causal)
            written = rules.written(rng, given, heads, queries, keys, self.dtype)
            seen = written.allowed & (np.arange(keys) < counted[:, None, None, None])
            alone = {} if len(found) == 2 else options
            mask = full(written._replace(allowed=seen), alone, heads)
            found.append(as_heads_of_torch(mask))
        return found, counts, targets

    def encoder_decoder(self, rng: Any) -> None:
        block = self.block
        options = block.options(layers.EncoderDecoder)
        ours = layers.EncoderDecoder(
            block.width, block.num_heads, *self.layers, block.dff, 0.0, dtype=self.dtype, **options
        )
        masks, sources, targets = self.masks(rng, options)
        arrays = [
            rng.standard_normal((self.items, length, block.width)).astype(self.dtype)
            for length in self.lengths
        ]

        def run(module: nn.Module, source: Any, target: Any) -> Any:
            own, causal, memory = (mask.to(source.dtype) for mask in masks)
            return module(source, target, src_mask=own, tgt_mask=causal, memory_mask=memory)

        given = {"source_lengths": sources, "causal": self.causal}
        if self.counted[1]:
            given["target_lengths"] = targets
        self.pair(rng, ours, self.transformer(options), arrays, run, **given)

    def translator(self, rng: Any) -> None:
        block, source, target = self.block, self.vocabulary, self.vocabulary + 2
        options = block.options(layers.Transformer)
        padding = None if self.padding is None else self.padding % source
        ours = layers.Transformer(
            source, target, block.width, block.num_heads, self.layers[0], block.dff, 0.0,
            padding_idx=padding, tied=self.tied, dtype=self.dtype, **options,
        )  # fmt: skip
        sizes = zip((source, target), self.lengths, strict=True)
        tokens = [rng.integers(0, count, (self.items, length)) for count, length in sizes]
        given: dict[str, Any] = {"causal": self.causal}
        counts = np.full(self.items, self.lengths[0])
        if padding is not None:  # what ends in padding is shorter; something is left of each
            tokens[0][:, 0] = (padding + 1) % source
            counts = rng.integers(1, self.lengths[0] + 1, self.items)
            tokens[0][np.arange(self.lengths[0]) >= counts[:, None]] = padding
            unlike = tokens[0] != padding
            counts = self.lengths[0] - np.argmax(unlike[:, ::-1], 1)
            counts = np.where(unlike.any(1), counts, 0)
            if not counts.all():
                return
        masks, _, targets = self.masks(rng, options, counts)
        if self.counted[1]:
            given["target_lengths"] = targets
        halved = replace(self, layers=(self.layers[0],) * 2)
        theirs = TorchTranslator(source, target, halved.transformer(options), padding, self.tied)
        self.pair(rng, ours, theirs, tokens, lambda module, *x: module(*x, masks), **given)

    def language_model(self, rng: Any) -> None:
        block = replace(self.block, norm_first=True, bias=True, eps=1e-5)
        case = replace(self, block=block)
        known = block.options(layers.LanguageModel)
        for name in ("norm_first", "bias", "eps"):
            known.pop(name)
        positions = self.positions
        if positions == "alibi" and not takes(layers.MultiHeadAttention, "alibi"):
            positions = "learned"
        if positions == "rotary" and block.depth % 2:
            positions = "sinusoidal"
        longest = self.lengths[1] + 3
        ours = layers.LanguageModel(
            self.vocabulary, block.width, block.num_heads, self.layers[0], block.dff, longest, 0.0,
            positions=positions, tied=self.tied, window=self.window, dtype=self.dtype, **known,
        )  # fmt: skip
        inside = dict(known)
        inside |= {"rotary": True} if positions == "rotary" else {}
        inside |= {"alibi": True} if positions == "alibi" else {}
        window = None if self.window is None else (self.window, 0)
        rules = Restrictions(causal=True, window=window)
        mask, _ = case.mask(rng, rules, self.lengths[1], self.lengths[1], inside)
        encoder = case.encoder(self.layers[0], inside, True)
        theirs = TorchLanguageModel(
            self.vocabulary, block.width, positions, longest, encoder, self.tied
        )
        tokens = rng.integers(0, self.vocabulary, (self.items, self.lengths[1]))
        self.pair(rng, ours, theirs, [tokens], lambda module, x: module(x, mask))

    def bert(self, rng: Any) -> None:
        block = replace(self.block, norm_first=False, bias=True, group=1, rotary=False,
                        scores=Scores())  # fmt: skip
        case = replace(self, block=block)
        length = self.lengths[1]
        ours = layers.BertEncoder(
            self.vocabulary, block.width, block.num_heads, self.layers[0], block.dff,
            length + self.first, self.segments, 0.0, activation=block.activation, eps=block.eps,
            first_position=self.first, dtype=self.dtype,
        )  # fmt: skip
        rules = Restrictions(kv_lengths=self.counted[0])
        mask, lengths = case.mask(rng, rules, length, length, {})
        given: dict[str, Any] = {}
        if lengths is not None and self.counted[1]:  # the same, as a mask
            given["mask"] = np.arange(length) < lengths[:, None]
        elif lengths is not None:
            given["lengths"] = lengths
        kinds = np.zeros((self.items, length), np.int64)
        if self.segments:
            kinds = rng.integers(0, self.segments, kinds.shape)
            given["segments"] = kinds
        theirs = TorchBert(
            self.vocabulary, block.width, length + self.first, self.segments, block.eps, self.first,
            case.encoder(self.layers[0], {}, False),
        )  # fmt: skip
        tokens = rng.integers(0, self.vocabulary, kinds.shape)

        def run(module: nn.Module, tokens: Any) -> Any:
            return module(tokens, tokens.new_tensor(kinds), mask)

        self.pair(rng, ours, theirs, [tokens], run, **given)


@st.composite
def model_cases(draw: st.DrawFn) -> ModelCase:
    kinds = ["encoder_decoder", "translator", "language_model", "bert"]
    return ModelCase(
        seed=draw(st.integers(0, 2**32 - 1)),
        kind=draw(st.sampled_from(kinds)),
        block=replace(draw(blocks()), rate=0.0),
        layers=(draw(st.integers(1, 2)), draw(st.integers(1, 2))),
        items=draw(st.integers(1, 3)),
        lengths=(draw(LENGTHS), draw(LENGTHS)),
        vocabulary=draw(st.sampled_from([2, 3, 11])),
        counted=(draw(st.booleans()), draw(st.booleans())),
        causal=draw(st.booleans()),
        positions=draw(st.sampled_from(["learned", "sinusoidal", "rotary", "alibi"])),
        window=draw(st.none() | st.integers(1, 5)),
        segments=draw(st.integers(0, 3)),
        first=draw(st.sampled_from([0, 2])),
        padding=draw(st.none() | st.integers(0, 10)),
        tied=draw(st.booleans()),
        dtype=draw(DTYPES),
        frozen=draw(st.just(0) | st.integers(0, 2**16 - 1)),
        calls=draw(st.integers(1, 2)),
    )
