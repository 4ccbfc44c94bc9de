"""Named shapes of real models, cases with these shapes, and their inputs."""

import dataclasses
import math
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from heedful.benchmark.layout import NAMES, Layout, laid_out

Array = NDArray[Any]


@dataclass(frozen=True)
class Shape:
    """The sizes of one call and what restricts it: B items, H query heads, Hkv key/value heads."""

    name: str
    B: int
    H: int
    Hkv: int
    Lq: int
    Lk: int
    D: int
    causal: bool = False
    bias: bool = False  # floating, (1, 1, Lq, Lk)
    mask: bool = False  # boolean, (1, 1, Lq, Lk), nine of ten entries True
    padding: tuple[int, int] | None = None  # each item's number of keys, uniform in [low, high]
    window: tuple[int, int] | None = None  # visible keys before and after each query's position
    ragged: str = ""  # queries have the keys' lengths, too: "padded", or "packed" end to end

    def __str__(self) -> str:
        heads = f"{self.H}" if self.Hkv == self.H else f"{self.H}/{self.Hkv}"
        lengths = f"{self.Lq}x{self.Lk}"
        extras = [
            *(["causal"] if self.causal else []),
            *(["bias"] if self.bias else []),
            *(["mask"] if self.mask else []),
            *([f"lengths {self.padding[0]} to {self.padding[1]}"] if self.padding else []),
            *([f"window {self.window[0]}, {self.window[1]}"] if self.window else []),
            *([self.ragged] if self.ragged else []),
        ]
        return ", ".join([str(self.B), heads, lengths, str(self.D), *extras])

    @property
    def flops(self) -> float:
        """Of the two products: half if causal, those inside a window, all with other masks."""
        pairs = self.Lq * self.Lk * (0.5 if self.causal else 1.0)
        if self.window is not None:
            left, right = self.window
            row = np.arange(self.Lq)
            pairs = float((np.minimum(row + right + 1, self.Lk) - np.maximum(row - left, 0)).sum())
        return 4.0 * self.B * self.H * pairs * self.D

    @property
    def rows(self) -> tuple[int, int]:
        """Minimum number of queries and of keys of an item."""
        if self.padding is None:
            return self.Lq, self.Lk
        low = self.padding[0]
        return (low if self.ragged else self.Lq), low

    @property
    def cache_elements(self) -> int:
        """Elements of keys and values, which a decoding step reads."""
        return 2 * self.B * self.Hkv * self.Lk * self.D


FORWARD = (
    Shape("sq4096_d128", 1, 8, 8, 4096, 4096, 128),
    Shape("sd_4096_d40", 1, 8, 8, 4096, 4096, 40),
    Shape("bert_384_pad", 16, 12, 12, 384, 384, 64, padding=(96, 384)),
    Shape("vit_b", 8, 12, 12, 197, 197, 64),
    Shape("gpt2_1k", 1, 12, 12, 1024, 1024, 64, causal=True),
    Shape("llama_2k", 1, 32, 8, 2048, 2048, 128, causal=True),
    Shape("additive_1k", 1, 12, 12, 1024, 1024, 64, bias=True),
    Shape("long_8k", 1, 8, 8, 8192, 8192, 64, causal=True),
    Shape("tiny_32", 64, 8, 8, 32, 32, 64),
    Shape("cross_77", 2, 10, 10, 1024, 77, 64),
    Shape("swin_49", 256, 4, 4, 49, 49, 32, bias=True),
)
DECODE = (
    Shape("decode_8k_gqa", 1, 32, 8, 1, 8192, 128),
    Shape("decode_b8_2k", 8, 12, 12, 1, 2048, 64),
)
OVERHEAD = (Shape("overhead", 1, 1, 1, 4, 4, 8),)

MASKS = (
    Shape("open_2k", 4, 8, 8, 2048, 2048, 64),
    Shape("causal_2k", 4, 8, 8, 2048, 2048, 64, causal=True),
    Shape("window_2k", 4, 8, 8, 2048, 2048, 64, window=(256, 256)),
    Shape("lengths_2k", 4, 8, 8, 2048, 2048, 64, padding=(256, 768)),
    Shape("bias_2k", 4, 8, 8, 2048, 2048, 64, bias=True),
    Shape("mask_2k", 4, 8, 8, 2048, 2048, 64, mask=True),
)
ONE_HEAD = Shape("one_head_4k", 1, 1, 1, 4096, 4096, 64)
PADDED = Shape("padded_512", 24, 12, 12, 512, 512, 64, padding=(32, 512), ragged="padded")
PACKED = dataclasses.replace(PADDED, name="packed_512", ragged="packed")

SHAPES = {
    shape.name: shape for shape in (*FORWARD, *DECODE, *OVERHEAD, *MASKS, ONE_HEAD, PADDED, PACKED)
}


@dataclass(frozen=True)
class Case:
    """One thing to measure: a shape, a dtype, whether gradients are computed too, the memory."""

    shape: Shape
    dtype: str = "float32"
    backward: bool = False
    dropout_p: float = 0.0
    layout: Layout = "bhld"

    def __str__(self) -> str:
        kind = "forward + backward" if self.backward else "forward"
        dropout = f", dropout {self.dropout_p:g}" if self.dropout_p else ""
        memory = "" if self.layout == "bhld" else f", {NAMES[self.layout]}"
        return f"{self.shape.name} ({self.shape}), {self.dtype}, {kind}{dropout}{memory}"

    def laid_out(self, layouts: Iterable[Layout]) -> "list[Case]":
        """The case in each layout; with a single head both are the same memory.

        A case that is not contiguous by itself is left so.
        """
        own = ["bhld", *(["blhd"] if self.shape.H > 1 else [])]
        allowed = own if self.layout == "bhld" else [self.layout]
        return [dataclasses.replace(self, layout=one) for one in layouts if one in allowed]

    @property
    def flops(self) -> float:
        """Backward recomputes the scores and has four more products: 5 to the 2 of forward."""
        return self.shape.flops * (3.5 if self.backward else 1.0)

    @property
    def reads_memory(self) -> bool:
        """Whether the case is memory-bound: a decoding step is, all others are compute-bound."""
        return self.shape.Lq == 1

    def rate(self, seconds: float) -> float:
        """GFLOP/s, or GB/s of keys and values read."""
        if self.reads_memory:
            return self.shape.cache_elements * numpy_dtype(self.dtype).itemsize / seconds * 1e-9
        return self.flops / seconds * 1e-9

    def fraction(self, seconds: float, gflops: float, bandwidth: float | None) -> float | None:
        """The rate as a fraction of the machine's peak.

        None if unknown: without a measured bandwidth, or with products that padding saves.
        """
        limit = bandwidth if self.reads_memory else gflops
        if limit is None or self.shape.padding is not None:
            return None
        return self.rate(seconds) / limit

    @property
    def limit_name(self) -> str:
        if self.reads_memory:
            return "memory bandwidth"
        return "peak" if self.dtype == "float32" else "float32 peak"


@dataclass(frozen=True)
class Inputs:
    """The same in every process and layout, as the seed is derived from the sizes."""

    query: Array  # (B, H, Lq, D)
    key: Array  # (B, Hkv, Lk, D)
    value: Array  # (B, Hkv, Lk, D)
    dout: Array  # (B, H, Lq, D)
    bias: Array | None  # (1, 1, Lq, Lk)
    mask: NDArray[np.bool_] | None  # (1, 1, Lq, Lk)
    kv_lengths: NDArray[np.int64] | None  # (B,)
    q_lengths: NDArray[np.int64] | None  # equal to kv_lengths if the shape is ragged
    window: tuple[int, int] | None

    @property
    def seen(self) -> NDArray[np.bool_] | None:
        """Mask, lengths and window as one boolean mask (B or 1, 1, Lq or 1, Lk)."""
        query_place = np.arange(self.query.shape[2])[:, None]
        key_place = np.arange(self.key.shape[2])
        seen = self.mask
        if self.kv_lengths is not None:
            within = key_place < self.kv_lengths[:, None, None, None]
            seen = within if seen is None else seen & within
        if self.window is not None:
            left, right = self.window
            near = (key_place >= query_place - left) & (key_place <= query_place + right)
            seen = near[None, None] if seen is None else seen & near
        return seen


def numpy_dtype(name: str) -> np.dtype[Any]:
    dtype: Any = name
    if name == "bfloat16":
        import ml_dtypes

        dtype = ml_dtypes.bfloat16
    found: np.dtype[Any] = np.dtype(dtype)
    return found


def make_inputs(case: Case) -> Inputs:
    shape, dtype = case.shape, numpy_dtype(case.dtype)
    sizes = dataclasses.replace(shape, name="", ragged="")  # the same values, ragged or not
    rng = np.random.default_rng(zlib.crc32(repr(sizes).encode()))

    def normal(*sizes: int) -> Array:
        return rng.standard_normal(sizes, dtype=np.float32).astype(dtype, copy=False)

    def heads(*sizes: int) -> Array:
        return laid_out(normal(*sizes), case.layout)

    query = heads(shape.B, shape.H, shape.Lq, shape.D)
    key = heads(shape.B, shape.Hkv, shape.Lk, shape.D)
    value = heads(shape.B, shape.Hkv, shape.Lk, shape.D)
    bias = normal(1, 1, shape.Lq, shape.Lk) if shape.bias else None
    mask = None
    if shape.mask:
        mask = rng.random((1, 1, shape.Lq, shape.Lk), dtype=np.float32) < 0.9
        np.einsum("...ii->...i", mask[..., : min(shape.Lq, shape.Lk), : min(shape.Lq, shape.Lk)])[
            :
        ] = True
    lengths = None
    if shape.padding is not None:
        low, high = shape.padding
        lengths = rng.integers(low, high + 1, size=shape.B)
    dout = heads(shape.B, shape.H, shape.Lq, shape.D) if case.backward else query
    q_lengths = lengths if shape.ragged else None
    return Inputs(query, key, value, dout, bias, mask, lengths, q_lengths, shape.window)


def kept(case: Case) -> float:
    """The fraction of all pairs of a query and a key that is not masked."""
    shape, inputs = case.shape, make_inputs(case)
    if inputs.q_lengths is not None:
        return float((inputs.q_lengths**2).mean()) / (shape.Lq * shape.Lk)
    causal = 0.5 if shape.causal else 1.0
    return causal if inputs.seen is None else causal * float(inputs.seen.mean())


def default_scale(shape: Shape) -> float:
    return 1.0 / math.sqrt(shape.D)
