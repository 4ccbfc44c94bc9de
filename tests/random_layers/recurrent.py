"""GRU, LSTM, Conv1d and PatchEmbed beside PyTorch's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from fuzz_campaign import Case
from hypothesis import strategies as st
from torch import nn

from heedful import layers
from random_layers.orders import ORDERS
from random_layers.pair import Pair
from random_layers.small import DTYPES

WIDTHS = st.sampled_from([1, 2, 3, 7, 8, 9, 17, 25, 33])


@dataclass(frozen=True)
class RecurrentCase(Case):
    kind: str
    batch: int
    length: int
    inputs: int
    width: int
    num_layers: int
    both: bool
    bias: bool
    counted: bool
    given: bool
    returned: bool
    dtype: str
    order: str
    frozen: int
    calls: int
    threads: int

    def check(self) -> None:
        rng = self.generator()
        sizes = self.inputs, self.width, self.num_layers, self.bias
        ours = getattr(layers, self.kind)(*sizes, bidirectional=self.both, dtype=self.dtype)
        theirs = getattr(nn, self.kind)(*sizes, batch_first=True, bidirectional=self.both)
        shapes = [(self.batch, self.length, self.inputs)]
        if self.given:
            state = (self.batch, self.num_layers * (1 + self.both), self.width)
            shapes += [state] * (2 if self.kind == "LSTM" else 1)
        arrays = [rng.standard_normal(shape).astype(self.dtype) for shape in shapes]
        lengths = rng.integers(1, self.length + 1, self.batch) if self.counted else None
        options: dict[str, Any] = {"lengths": lengths}
        if self.returned:
            options["return_state"] = True

        def run(module: Any, x: Any, *states: Any) -> Any:
            first = [one.transpose(0, 1).contiguous() for one in states]
            hx = None if not first else first[0] if self.kind == "GRU" else tuple(first)
            if lengths is not None:
                x = nn.utils.rnn.pack_padded_sequence(
                    x, torch.tensor(lengths), batch_first=True, enforce_sorted=False
                )
            y, last = module(x, hx)
            if lengths is not None:
                y, _ = nn.utils.rnn.pad_packed_sequence(
                    y, batch_first=True, total_length=self.length
                )
            last = last if isinstance(last, tuple) else (last,)
            return (y, *(one.transpose(0, 1) for one in last)) if self.returned else y

        Pair(
            ours, theirs, arrays, run, self.dtype, options, self.order, self.frozen, self.calls,
            self.threads,
        ).check(rng)  # fmt: skip


@st.composite
def recurrent_cases(draw: st.DrawFn) -> RecurrentCase:
    return RecurrentCase(
        seed=draw(st.integers(0, 2**32 - 1)),
        kind=draw(st.sampled_from(["GRU", "LSTM"])),
        batch=draw(st.sampled_from([1, 2, 5, 9, 19, 70])),
        length=draw(st.sampled_from([1, 2, 3, 7, 12])),
        inputs=draw(WIDTHS),
        width=draw(WIDTHS),
        num_layers=draw(st.integers(1, 3)),
        both=draw(st.booleans()),
        bias=draw(st.booleans()),
        counted=draw(st.booleans()),
        given=draw(st.booleans()),
        returned=draw(st.booleans()),
        dtype=draw(DTYPES),
        order=draw(st.sampled_from(ORDERS)),
        frozen=draw(st.integers(0, 2**16 - 1)),
        calls=draw(st.integers(1, 2)),
        threads=draw(st.integers(1, 3)),
    )


@dataclass(frozen=True)
class ConvolutionCase(Case):
    batch: int
    longer: int
    group_inputs: int
    group_outputs: int
    groups: int
    kernel: int
    stride: int
    padding: int | str
    dilation: int
    bias: bool
    dtype: str
    order: str
    frozen: int
    calls: int

    def check(self) -> None:
        rng = self.generator()
        inputs, outputs = self.group_inputs * self.groups, self.group_outputs * self.groups
        reach = self.dilation * (self.kernel - 1)
        padding = 0 if self.padding == "causal" else self.padding
        stride = 1 if padding == "same" else self.stride
        sizes = (inputs, outputs, self.kernel, stride)
        more = (self.dilation, self.groups, self.bias)
        ours = layers.Conv1d(*sizes, self.padding, *more, dtype=self.dtype)
        theirs = nn.Conv1d(*sizes, padding, *more)
        x = rng.standard_normal((self.batch, reach + self.longer, inputs)).astype(self.dtype)

        def run(module: Any, x: Any) -> Any:
            columns = x.transpose(1, 2)
            if self.padding == "causal":
                columns = nn.functional.pad(columns, (reach, 0))
            return module(columns).transpose(1, 2)

        Pair(
            ours, theirs, [x], run, self.dtype, {}, self.order, self.frozen, self.calls
        ).check(rng)  # fmt: skip


@st.composite
def convolution_cases(draw: st.DrawFn) -> ConvolutionCase:
    return ConvolutionCase(
        seed=draw(st.integers(0, 2**32 - 1)),
        batch=draw(st.integers(1, 5)),
        longer=draw(st.sampled_from([1, 2, 3, 8, 21])),
        group_inputs=draw(st.sampled_from([1, 2, 3, 9])),
        group_outputs=draw(st.sampled_from([1, 2, 5, 17])),
        groups=draw(st.integers(1, 3)),
        kernel=draw(st.integers(1, 5)),
        stride=draw(st.integers(1, 4)),
        padding=draw(st.sampled_from([0, 1, 3, "valid", "same", "causal"])),
        dilation=draw(st.integers(1, 3)),
        bias=draw(st.booleans()),
        dtype=draw(DTYPES),
        order=draw(st.sampled_from(ORDERS)),
        frozen=draw(st.integers(0, 3)),
        calls=draw(st.integers(1, 2)),
    )


@dataclass(frozen=True)
class PatchCase(Case):
    batch: int
    channels: int
    patch: tuple[int, int]
    grid: tuple[int, int]
    width: int
    bias: bool
    dtype: str
    order: str
    frozen: int

    def check(self) -> None:
        rng = self.generator()
        image = self.patch[0] * self.grid[0], self.patch[1] * self.grid[1]
        ours = layers.PatchEmbed(
            image, self.patch, self.channels, self.width, self.bias, dtype=self.dtype
        )
        theirs = nn.Conv2d(self.channels, self.width, self.patch, self.patch, bias=self.bias)
        x = rng.standard_normal((self.batch, self.channels, *image)).astype(self.dtype)

        def run(module: Any, x: Any) -> Any:
            return module(x).flatten(2).transpose(1, 2)

        Pair(ours, theirs, [x], run, self.dtype, {}, self.order, self.frozen).check(rng)


@st.composite
def patch_cases(draw: st.DrawFn) -> PatchCase:
    pairs = st.tuples(st.integers(1, 4), st.integers(1, 4))
    return PatchCase(
        seed=draw(st.integers(0, 2**32 - 1)),
        batch=draw(st.integers(1, 5)),
        channels=draw(st.integers(1, 3)),
        patch=draw(pairs),
        grid=draw(pairs),
        width=draw(WIDTHS),
        bias=draw(st.booleans()),
        dtype=draw(DTYPES),
        order=draw(st.sampled_from(ORDERS)),
        frozen=draw(st.integers(0, 3)),
    )
