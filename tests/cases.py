"""The one table of cases: it drives forward, gradients, dtypes, strides, threads, every level.

A new option is tested everywhere by adding a row. Sizes are primes and off-by-ones of what the
kernel splits by: vectors of 4, 8, 16 lanes, query panels of 12, 24, 48, row tiles of 192 queries,
tiles of 256 keys (one tile up to 384), key splits for few queries from 1024 keys on.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

import heedful

Array = NDArray[Any]


@dataclass(frozen=True)
class Case:
    """Shapes and options of one call. mask and bias name their axes: "B1QK" is (B…, 1, Lq, Lk)."""

    name: str
    B: tuple[int, ...] = (2,)
    H: int = 2
    Hkv: int = 0  # 0: same as H
    Lq: int = 5
    Lk: int = 7
    D: int = 11
    Dv: int = 3
    mask: str = ""
    density: float = 0.7  # of the mask
    blocks: str = ""  # the leading axes of a block mask, "" for none, "1" for one of all heads
    block_size: tuple[int, int] = (16, 16)
    bias: str = ""
    bias_density: float = 1.0  # all others are −inf
    alibi: str = ""  # "H" or "BH"
    sink: bool = False
    sink_level: float = 0.0
    options: dict[str, Any] = field(default_factory=dict)  # plain values
    batches: tuple[tuple[int, ...], ...] = ()  # leading axes of query, key, value where they differ
    large: bool = False  # left out where time matters

    def __str__(self) -> str:
        return self.name

    def draw(self, dtype: Any = np.float64) -> Call:
        """Arrays for this case, always the same ones, rounded to dtype."""
        rng = np.random.default_rng(zlib.crc32(self.name.encode()))
        kv_heads = self.Hkv or self.H

        def normal(*shape: int) -> Array:
            return rng.standard_normal(shape).astype(dtype)

        def axes(letters: str) -> tuple[int, ...]:
            sizes = {"H": (self.H,), "Q": (self.Lq,), "K": (self.Lk,), "1": (1,), "B": self.B}
            return tuple(size for letter in letters for size in sizes[letter])

        batches = self.batches or (self.B,) * 3
        query = normal(*batches[0], self.H, self.Lq, self.D)
        key = normal(*batches[1], kv_heads, self.Lk, self.D)
        value = normal(*batches[2], kv_heads, self.Lk, self.Dv)
        options = dict(self.options)
        if self.mask:
            options["mask"] = rng.random(axes(self.mask)) < self.density
        if self.blocks:
            options["block_mask"] = self._block_mask(rng, axes(self.blocks))
        if self.bias:
            bias = normal(*axes(self.bias))
            bias[rng.random(bias.shape) >= self.bias_density] = -np.inf
            options["bias"] = bias
        if self.alibi:
            options["alibi_slopes"] = 2.0 ** -rng.uniform(0, 6, axes(self.alibi))
        if self.sink:
            options["sink"] = normal(self.H) + np.asarray(self.sink_level, dtype)
        shape = (*self.B, self.H, self.Lq)
        computing = np.float64 if np.dtype(dtype) == np.float64 else np.float32
        return Call(
            query, key, value, options,
            dout=normal(*shape, self.Dv),
            dlse=normal(*shape).astype(computing),
            dweights=normal(*shape, self.Lk).astype(computing),
        )  # fmt: skip

    def _block_mask(self, rng: np.random.Generator, leading: tuple[int, ...]) -> heedful.BlockMask:
        """Of the blocks, some are empty, some full, the others random."""
        rows, columns = self.block_size
        shape = (*leading, -(-self.Lq // rows), -(-self.Lk // columns))
        kinds = rng.choice(3, shape, p=(1 - self.density, self.density * 0.6, self.density * 0.4))
        kinds = kinds.repeat(rows, -2)[..., : self.Lq, :].repeat(columns, -1)[..., : self.Lk]
        dense = (kinds == 1) | ((kinds == 2) & (rng.random(kinds.shape) < 0.7))
        return heedful.BlockMask.from_mask(dense, block_size=self.block_size)


@dataclass(frozen=True)
class Call:
    """The arrays of a case."""

    query: Array
    key: Array
    value: Array
    options: dict[str, Any]
    dout: Array
    dlse: Array
    dweights: Array

    @property
    def inputs(self) -> tuple[Array, Array, Array]:
        return self.query, self.key, self.value

    def run(self, function: Callable[..., Any], **more: Any) -> Any:
        """function(query, key, value, **options)."""
        return function(*self.inputs, **{**self.options, **more})


def C(name: str, options: dict[str, Any] | None = None, **fields: Any) -> Case:
    return Case(name, options=options or {}, **fields)


CAUSAL = {"causal": True, "align": "upper_left"}
CAUSAL_AT_THE_END = {"causal": True, "align": "lower_right"}
DROPOUT = {"dropout_p": 0.3, "rng": 2**63 + 12345}
GUMBEL = {"gumbel_temperature": 0.7, "rng": 2**63 + 12345}
KEY_DROPOUT = {"key_dropout_p": 0.3, "rng": 2**63 + 12345}
LENGTHS = {"q_lengths": (13, 0, 33, 7), "kv_lengths": (29, 17, 0, 97)}  # for B=4, Lq=33, Lk=97

CASES = [
    # sizes
    C("one_of_everything", B=(1,), H=1, Lq=1, Lk=1, D=1, Dv=1),
    C("depth_one", B=(2,), H=1, Lq=3, Lk=5, D=1, Dv=1),
    C("tiny_and_odd", B=(3,), H=5, Lq=3, Lk=5, D=7, Dv=11),
    # a query that sees one key alone would have a gradient of 0 without a sink
    C("one_key", sink=True, H=3, Lq=17, Lk=1, D=5, Dv=7),
    C("past_one_vector", Lq=17, Lk=33, D=17, Dv=33),
    C("short_of_one_vector", Lq=15, Lk=31, D=15, Dv=31),
    C("past_one_panel", H=3, Lq=49, Lk=97, D=40, Dv=24),
    C("short_of_two_panels", H=1, Lq=95, Lk=47, D=8, Dv=16),
    C("vit", B=(1,), H=1, Lq=197, Lk=197, D=64, Dv=64),
    C("past_one_row_tile", B=(1,), H=1, Lq=193, Lk=129, D=32, Dv=5),
    C("one_long_key_tile", B=(1,), H=2, Lq=25, Lk=384, D=16, Dv=16),
    C("past_one_key_tile", B=(1,), H=2, Lq=97, Lk=385, D=13, Dv=19),
    C("many_tiles", B=(1,), H=1, Lq=385, Lk=1025, D=24, Dv=40, large=True),
    C("deep", B=(1,), H=2, Lq=33, Lk=97, D=300, Dv=17),
    C("wide_value", B=(1,), H=2, Lq=33, Lk=97, D=3, Dv=300),
    C("head_of_128", B=(1,), H=1, Lq=65, Lk=129, D=128, Dv=128),
    C("three_leading_axes", B=(2, 1, 3), H=2, Lq=5, Lk=7, D=4, Dv=3),
    C("no_leading_axes", B=(), H=3, Lq=11, Lk=13, D=5, Dv=2),
    C("broadcast_leading_axes", B=(2, 3), batches=((2, 1), (3,), ()), H=2, Lq=7, Lk=19, D=6, Dv=5),
    C("one_query_for_all_items", B=(3,), batches=((1,), (3,), (3,)), H=2, Lq=5, Lk=37, D=6, Dv=5),
    # few queries against many keys
    C("decode", B=(2,), H=3, Lq=1, Lk=197, D=32, Dv=32),
    C("decode_split", B=(1,), H=2, Lq=1, Lk=1025, D=40, Dv=24),
    C("decode_grouped_split", B=(1,), H=8, Hkv=2, Lq=1, Lk=2049, D=33, Dv=16),
    C("decode_three_rows", CAUSAL_AT_THE_END, B=(1,), H=6, Hkv=2, Lq=3, Lk=1283, D=16, Dv=33),
    C("decode_with_everything",
      {**CAUSAL_AT_THE_END, **DROPOUT, "window": (900, None), "softcap": 2.5,
       "kv_lengths": (1200, 0, 7)},
      B=(3,), H=4, Hkv=2, Lq=1, Lk=1283, D=32, Dv=24, mask="B11K", bias="H1K", alibi="H",
      sink=True),
    C("decode_many_parts", B=(1,), H=2, Lq=1, Lk=4801, D=40, Dv=24),
    C("few_rows_split", {**CAUSAL_AT_THE_END, **DROPOUT}, B=(1,), H=5, Hkv=1, Lq=5, Lk=2113,
      D=8, Dv=9, mask="HQK"),
    # many queries against few keys
    C("many_queries", B=(1,), H=2, Hkv=1, Lq=2113, Lk=33, D=8, Dv=9),
    C("many_queries_masked", {**CAUSAL_AT_THE_END, **DROPOUT}, B=(1,), H=1, Lq=1931, Lk=300, D=4,
      Dv=3, mask="QK", sink=True),
    # heads
    C("grouped", H=6, Hkv=2, Lq=17, Lk=33, D=11, Dv=9),
    C("multi_query", H=7, Hkv=1, Lq=5, Lk=97, D=16, Dv=20),
    C("grouped_past_a_tile", B=(1,), H=4, Hkv=2, Lq=197, Lk=97, D=20, Dv=12),
    # scale
    C("unscaled", {"scale": 1.0}, Lq=33, Lk=65, D=16, Dv=5),
    C("scale_zero", {"scale": 0.0}, Lq=7, Lk=29, D=8, Dv=5),
    C("scale_negative", {"scale": -0.37}, Lq=17, Lk=29, D=8, Dv=5),
    # mask
    C("mask_keys", mask="K", Lq=19, Lk=65, D=8, Dv=9),
    C("mask_square", mask="QK", Lq=33, Lk=97, D=8, Dv=9),
    C("mask_padding", mask="B11K", B=(3,), Lq=49, Lk=385, D=8, Dv=9),
    C("mask_queries", mask="B1Q1", B=(3,), Lq=49, Lk=65, D=8, Dv=9),
    C("mask_heads", mask="HQK", B=(3,), H=3, Lq=25, Lk=65, D=8, Dv=9),
    C("mask_full", mask="BHQK", B=(2,), H=3, Lq=33, Lk=129, D=8, Dv=9),
    C("mask_with_empty_rows", mask="BHQK", density=0.02, B=(2,), H=3, Lq=49, Lk=65, D=8, Dv=9),
    C("mask_of_everything", mask="BHQK", density=0.0, B=(2,), H=1, Lq=5, Lk=17, D=8, Dv=9),
    # block mask
    C("blocks", blocks="1", density=0.6, Lq=97, Lk=129, D=8, Dv=9),
    C("blocks_heads", blocks="BH", density=0.4, B=(2,), H=4, Hkv=2, Lq=49, Lk=97, D=16, Dv=12),
    C("blocks_past_tiles", {"causal": True}, blocks="H", density=0.4, block_size=(128, 128), B=(1,),
      H=2, Lq=397, Lk=397, D=16, Dv=12),
    C("blocks_uneven", blocks="1", density=0.5, block_size=(20, 36), Lq=197, Lk=389, D=8, Dv=9),
    C("blocks_of_nothing", blocks="1", density=0.0, sink=True, Lq=33, Lk=65, D=8, Dv=9),
    C("blocks_decode_split", blocks="BH", density=0.4, block_size=(1, 64), B=(2,), H=8, Hkv=2, Lq=1,
      Lk=2049, D=16, Dv=16),
    C("blocks_and_everything",
      {**CAUSAL_AT_THE_END, **DROPOUT, **LENGTHS, "window": (40, None), "softcap": 3.0},
      B=(4,), H=4, Hkv=2, Lq=33, Lk=97, D=13, Dv=9, mask="B1QK", density=0.8, bias="1HQK",
      bias_density=0.9, alibi="BH", sink=True, blocks="H"),
    # bias
    C("bias_square", bias="QK", Lq=33, Lk=97, D=8, Dv=9),
    C("bias_heads", bias="HQK", H=3, Lq=65, Lk=49, D=8, Dv=9),
    C("bias_full", bias="BHQK", Lq=25, Lk=385, D=8, Dv=9),
    C("bias_keys", bias="B11K", B=(3,), Lq=25, Lk=97, D=8, Dv=9),
    # a bias that is the same for all keys would have a gradient of 0 without a strong sink
    C("bias_queries", bias="BHQ1", sink=True, sink_level=5, B=(3,), Lq=25, Lk=97, D=8, Dv=9),
    C("bias_one_number", bias="1", sink=True, sink_level=3, Lq=7, Lk=9, D=8, Dv=9),
    C("bias_with_minus_infinity", bias="B1QK", bias_density=0.1, Lq=33, Lk=97, D=8, Dv=9),
    C("bias_and_mask", bias="HQK", mask="B11K", B=(3,), Lq=33, Lk=97, D=8, Dv=9),
    C("bias_leading_axes", bias="BH1K", B=(2, 3), Lq=7, Lk=19, D=4, Dv=5),
    C("bias_past_a_tile", bias="1QK", B=(2,), H=2, Lq=197, Lk=389, D=8, Dv=9),
    # causal
    C("causal_square", {"causal": True}, Lq=97, Lk=97, D=16, Dv=12),
    C("causal_wide", CAUSAL, Lq=49, Lk=193, D=16, Dv=12),
    C("causal_tall", CAUSAL, Lq=193, Lk=49, D=16, Dv=12),
    C("causal_wide_at_the_end", CAUSAL_AT_THE_END, Lq=49, Lk=193, D=16, Dv=12),
    C("causal_tall_at_the_end", CAUSAL_AT_THE_END, Lq=193, Lk=49, D=16, Dv=12),
    C("causal_past_tiles", {"causal": True}, B=(1,), H=2, Hkv=1, Lq=401, Lk=401, D=16, Dv=12),
    C("causal_offset", {"causal": True, "align": 37}, Lq=33, Lk=97, D=16, Dv=12),
    C("causal_offset_negative", {"causal": True, "align": -5}, Lq=33, Lk=97, D=16, Dv=12),
    C("causal_offsets", {"causal": True, "align": (0, -40, 53)}, B=(3,), Lq=33, Lk=97, D=16, Dv=12),
    # window
    C("window_both", {"window": (11, 5), "align": "upper_left"}, Lq=97, Lk=193, D=16, Dv=12),
    C("window_left", {"window": (29, None), "causal": True}, B=(1,), H=1,
      Lq=401, Lk=401, D=16, Dv=12),
    C("window_right", {"window": (None, 3)}, Lq=65, Lk=65, D=16, Dv=12),
    C("window_of_one", {"window": (0, 0)}, sink=True, Lq=65, Lk=65, D=16, Dv=12),
    C("window_beside_the_keys", {"window": (2, 2), "align": 1000}, Lq=17, Lk=65, D=16, Dv=12),
    C("window_at_the_end", {"window": (300, 7), "align": "lower_right"}, B=(1,), H=1, Lq=97,
      Lk=601, D=16, Dv=12),
    # without the key at the query's own position
    C("self_excluded", {"exclude_self": True}, H=3, Lq=65, Lk=65, D=16, Dv=12),
    C("self_excluded_past_tiles", {"exclude_self": True, "align": 250}, B=(1,), H=2, Hkv=1, Lq=101,
      Lk=401, D=16, Dv=12),
    C("self_excluded_causal", {**CAUSAL_AT_THE_END, "exclude_self": True}, mask="B1QK",
      density=0.9, Lq=33, Lk=97, D=16, Dv=12),
    C("self_excluded_of_one", {"exclude_self": True, "window": (0, 0)}, sink=True, H=2, Lq=33,
      Lk=33, D=16, Dv=12),
    C("self_excluded_decode_split", {"exclude_self": True, "align": 517}, B=(1,), H=4, Hkv=1, Lq=1,
      Lk=1031, D=8, Dv=4),
    C("self_excluded_top_k", {"exclude_self": True, "top_k": 7}, bias="HQK", Lq=65, Lk=65, D=16,
      Dv=12),
    # ALiBi
    C("alibi", {"causal": True}, alibi="H", H=3, Lq=65, Lk=65, D=16, Dv=12),
    C("alibi_per_item", {"align": "lower_right"}, alibi="BH", B=(3,), H=2, Lq=33, Lk=97, D=16,
      Dv=12),
    # lengths
    C("lengths", LENGTHS, B=(4,), Lq=33, Lk=97, D=16, Dv=12),
    C("lengths_leading_axes", {"kv_lengths": ((5, 0, 19), (1, 18, 7))}, B=(2, 3), Lq=7, Lk=19, D=4,
      Dv=5),
    C("lengths_causal_at_the_end", {**CAUSAL_AT_THE_END, **LENGTHS}, B=(4,), Lq=33, Lk=97, D=16,
      Dv=12),
    C("lengths_and_sink", LENGTHS, sink=True, B=(4,), Lq=33, Lk=97, D=16, Dv=12),
    C("lengths_past_a_tile", {"kv_lengths": (390, 256, 31)}, B=(3,), H=1, Lq=97, Lk=513, D=16,
      Dv=12),
    C("length_without_leading_axes", {"q_lengths": 4, "kv_lengths": 9}, B=(), H=2, Lq=11, Lk=13,
      D=4, Dv=5),
    # softcap, sink
    C("softcap", {"softcap": 1.5}, Lq=33, Lk=97, D=16, Dv=12),
    C("softcap_bias_causal", {"softcap": 0.8, **CAUSAL}, bias="HQK", Lq=33, Lk=97, D=16, Dv=12),
    C("sink", sink=True, H=5, Lq=33, Lk=97, D=16, Dv=12),
    C("sink_and_empty_rows", sink=True, mask="BHQK", density=0.03, H=3, Lq=33, Lk=65, D=16, Dv=12),
    # dropout
    C("dropout", DROPOUT, B=(3,), H=2, Lq=33, Lk=97, D=16, Dv=12),
    C("dropout_half_past_tiles", {"dropout_p": 0.5, "rng": 7}, B=(1,), H=2, Hkv=1, Lq=197, Lk=397,
      D=8, Dv=4),
    C("dropout_of_everything", {"dropout_p": 1.0, "rng": 7}, Lq=7, Lk=29, D=8, Dv=4),
    C("dropout_decode_split", DROPOUT, B=(1,), H=4, Hkv=1, Lq=1, Lk=1031, D=8, Dv=4),
    # the highest-scoring keys
    C("top_k", {"top_k": 7}, Lq=33, Lk=97, D=16, Dv=12),
    C("top_k_one", {"top_k": 1}, sink=True, H=3, Lq=17, Lk=33, D=5, Dv=7),
    C("top_k_past_tiles", {"top_k": 37}, B=(1,), H=4, Hkv=2, Lq=101, Lk=1030, D=24, Dv=40,
      large=True),
    C("top_k_nearly_all", {"top_k": 400}, B=(1,), H=1, Lq=25, Lk=401, D=8, Dv=33),
    C("top_k_causal", {**CAUSAL_AT_THE_END, "top_k": 20}, B=(1,), H=2, Lq=97, Lk=601, D=16, Dv=12),
    C("top_k_decode", {"top_k": 40}, B=(2,), H=4, Hkv=2, Lq=1, Lk=1283, D=32, Dv=24),
    C("top_k_many_queries", {"top_k": 3}, B=(1,), H=2, Hkv=1, Lq=1123, Lk=33, D=8, Dv=9),
    C("top_k_shared_bias", {"softcap": 2.5, "top_k": 9}, bias="HQK", bias_density=0.9, B=(3,),
      H=2, Lq=25, Lk=65, D=8, Dv=9),
    C("top_k_bias_keys", {"top_k": 9}, bias="B11K", B=(3,), Lq=25, Lk=65, D=8, Dv=9),
    C("top_k_bias_queries", {"top_k": 5}, bias="BHQ1", sink=True, sink_level=5, B=(3,), Lq=25,
      Lk=65, D=8, Dv=9),
    C("top_k_with_everything",
      {**CAUSAL_AT_THE_END, **DROPOUT, **LENGTHS, "window": (40, None), "exclude_self": True,
       "softcap": 3.0, "scale": 0.4, "top_k": 11},
      B=(4,), H=4, Hkv=2, Lq=33, Lk=97, D=13, Dv=9, mask="B1QK", density=0.9, bias="1HQK",
      bias_density=0.9, alibi="BH", sink=True),
    # noise and dropout of keys
    C("gumbel", GUMBEL, B=(3,), H=2, Lq=33, Lk=97, D=16, Dv=12),
    C("gumbel_past_tiles", {"gumbel_temperature": 2.0, "rng": 7}, B=(1,), H=2, Hkv=1, Lq=197,
      Lk=397, D=8, Dv=4),
    C("gumbel_unscaled_at_odd_keys", {**GUMBEL, "scale": 1.0, "window": (9, 5)}, Lq=65, Lk=65, D=8,
      Dv=4),
    C("gumbel_decode_split", GUMBEL, B=(1,), H=4, Hkv=1, Lq=1, Lk=1031, D=8, Dv=4),
    C("gumbel_top_k", {**GUMBEL, "top_k": 7}, sink=True, Lq=33, Lk=97, D=16, Dv=12),
    C("gumbel_sink", {**GUMBEL, "dropout_p": 0.2}, sink=True, mask="BHQK", density=0.1, H=3, Lq=33,
      Lk=65, D=16, Dv=12),
    C("key_dropout", KEY_DROPOUT, B=(3,), H=2, Lq=33, Lk=97, D=16, Dv=12),
    C("key_dropout_past_tiles", {"key_dropout_p": 0.5, "rng": 7}, B=(1,), H=2, Hkv=1, Lq=197,
      Lk=397, D=8, Dv=4),
    C("key_dropout_of_nearly_everything", {"key_dropout_p": 0.97, "rng": 7}, B=(1,), sink=True,
      Lq=49, Lk=29, D=8, Dv=4),
    C("key_dropout_decode_split", KEY_DROPOUT, B=(1,), H=4, Hkv=1, Lq=1, Lk=1031, D=8, Dv=4),
    C("key_dropout_top_k", {**KEY_DROPOUT, "top_k": 7}, Lq=33, Lk=97, D=16, Dv=12),
    C("gumbel_with_everything",
      {**CAUSAL_AT_THE_END, **DROPOUT, **LENGTHS, **KEY_DROPOUT, **GUMBEL, "window": (40, None),
       "softcap": 3.0, "scale": 0.4},
      B=(4,), H=4, Hkv=2, Lq=33, Lk=97, D=13, Dv=9, mask="B1QK", density=0.9, bias="1HQK",
      bias_density=0.9, alibi="BH", sink=True, blocks="H"),
    C("gumbel_decode_with_everything",
      {**CAUSAL_AT_THE_END, **DROPOUT, **KEY_DROPOUT, **GUMBEL, "window": (900, None),
       "softcap": 2.5, "kv_lengths": (1200, 0, 7)},
      B=(3,), H=4, Hkv=2, Lq=1, Lk=1283, D=32, Dv=24, mask="B11K", bias="H1K", alibi="H",
      sink=True),
    # all together
    C("everything",
      {**CAUSAL_AT_THE_END, **DROPOUT, **LENGTHS, "window": (40, None), "exclude_self": True,
       "softcap": 3.0, "scale": 0.4},
      B=(4,), H=4, Hkv=2, Lq=33, Lk=97, D=13, Dv=9, mask="B1QK", density=0.9, bias="1HQK",
      bias_density=0.9, alibi="BH", sink=True),
]  # fmt: skip
# other normalisers, which have no lse: tests/python/functional/test_entmax.py and its neighbours
ENTMAX_CASES = [
    C("sparsemax", {"normalizer": "sparsemax"}, Lq=33, Lk=97, D=16, Dv=12),
    C("entmax15", {"normalizer": "entmax15"}, Lq=33, Lk=97, D=16, Dv=12),
    C("entmax_other", {"normalizer": 1.3}, Lq=33, Lk=97, D=16, Dv=12),
    C("entmax_nearly_softmax", {"normalizer": 1.02}, Lq=17, Lk=33, D=5, Dv=7),
    C("entmax_per_head", {"normalizer": (1.5, 2.0, 1.25, 1.75)}, H=4, Hkv=2, Lq=7, Lk=65, D=8,
      Dv=9),
    C("entmax15_past_tiles", {"normalizer": "entmax15"}, B=(1,), H=4, Hkv=2, Lq=101, Lk=1030, D=24,
      Dv=40, large=True),
    C("sparsemax_nearly_dense", {"normalizer": "sparsemax", "scale": 1e-3}, B=(1,), H=1, Lq=25,
      Lk=401, D=8, Dv=33),
    C("entmax15_of_large_scores", {"normalizer": "entmax15", "scale": 40.0}, B=(1,), H=2, Lq=65,
      Lk=601, D=16, Dv=12),
    C("entmax15_causal", {**CAUSAL_AT_THE_END, "normalizer": "entmax15"}, B=(1,), H=2, Lq=97,
      Lk=601, D=16, Dv=12),
    C("sparsemax_decode", {"normalizer": "sparsemax"}, B=(2,), H=4, Hkv=2, Lq=1, Lk=1283, D=32,
      Dv=24),
    C("entmax15_many_queries", {"normalizer": "entmax15"}, B=(1,), H=2, Hkv=1, Lq=1123, Lk=33, D=8,
      Dv=9),
    C("entmax15_blocks", {"normalizer": "entmax15"}, blocks="H", density=0.5, Lq=65, Lk=97, D=16,
      Dv=12),
    C("entmax15_shared_bias", {"softcap": 2.5, "normalizer": "entmax15"}, bias="HQK",
      bias_density=0.9, B=(3,), H=2, Lq=25, Lk=65, D=8, Dv=9),
    C("sparsemax_bias_keys", {"normalizer": "sparsemax"}, bias="B11K", B=(3,), Lq=25, Lk=65, D=8,
      Dv=9),
    C("entmax_bias_queries", {"normalizer": 1.3}, bias="BHQ1", B=(3,), Lq=25, Lk=65, D=8, Dv=9),
    C("entmax_with_everything",
      {**CAUSAL_AT_THE_END, **DROPOUT, **LENGTHS, "window": (40, None), "softcap": 3.0,
       "scale": 0.9, "normalizer": (1.5, 1.2, 2.0, 1.5)},
      B=(4,), H=4, Hkv=2, Lq=33, Lk=97, D=13, Dv=9, mask="B1QK", density=0.9, bias="1HQK",
      bias_density=0.9, alibi="BH"),
]  # fmt: skip
CASE = {case.name: case for case in CASES}
SMALL_CASES = [case for case in CASES if not case.large]
assert len(CASE) == len(CASES), "two cases have the same name"
