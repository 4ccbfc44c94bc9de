"""HeadSizes: how many heads an attention layer has, and how wide each is."""

from __future__ import annotations

from typing import Any, NamedTuple

from heedful._checks import size


class HeadSizes(NamedTuple):
    """H heads of queries in Hkv equal groups, each group with one head of keys and values.

    depth : width D of every head
    """

    num_heads: int
    num_kv_heads: int
    depth: int

    @classmethod
    def of(cls, d_model: int, num_heads: Any, num_kv_heads: Any, head_dim: Any) -> HeadSizes:
        """From the arguments of a layer; head_dim None is d_model / num_heads."""
        heads = size("num_heads", num_heads)
        if head_dim is None and d_model % heads:
            raise ValueError(
                f"num_heads must divide d_model: got d_model={d_model}, num_heads={num_heads}"
            )
        kv_heads = size("num_kv_heads", heads if num_kv_heads is None else num_kv_heads)
        if heads % kv_heads:
            raise ValueError(
                "num_kv_heads must divide num_heads: "
                f"got num_heads={num_heads}, num_kv_heads={num_kv_heads}"
            )
        depth = d_model // heads if head_dim is None else size("head_dim", head_dim)
        return cls(heads, kv_heads, depth)

    def shown(self, d_model: int) -> str:
        """The start of a representation: settings that differ from the defaults."""
        text = f"{d_model}, {self.num_heads}"
        if self.num_kv_heads != self.num_heads:
            text += f", num_kv_heads={self.num_kv_heads}"
        return text if self.num_heads * self.depth == d_model else text + f", head_dim={self.depth}"
