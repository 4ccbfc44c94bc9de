"""PyTorch's fused attention operator for the processor, forward and backward, on heedful.

    aten::_scaled_dot_product_flash_attention_for_cpu, …_backward

query, out (B, H, Lq, D), key and value (B, Hkv, Lk, D), lse (B, H, Lq). PyTorch calls it from
scaled_dot_product_attention where query, key and value have four axes and equal D, there is no
dropout and the mask needs no gradient; is_causal starts at the upper left. Its fake kernels, from
which torch.compile allocates, promise the order of the axes in memory: out as query, lse as
(B, Lq, H), gradients as (B, L, H, D).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

import heedful
from heedful.integrations.torch._tensors import Tensor, as_array, as_tensor
from heedful.integrations.torch._threads import on_torch_threads

NAME = "_scaled_dot_product_flash_attention_for_cpu"
# Calls of fewer multiplications are passed to PyTorch's own kernel: entering it costs 25 µs less
# forward and 150 µs backward. By whether elements have 16 bits, which PyTorch is slow at backward.
SMALL_FORWARD = {False: 4 << 20, True: 3 << 20}
SMALL_BACKWARD = {False: 16 << 20, True: 1 << 16}


def forward(own: Any) -> Callable[..., tuple[Tensor, Tensor]]:
    """The forward operator; small calls are passed to `own`, PyTorch's kernel."""

    def attend(
        keys: Any,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        dropout_p: float = 0.0,
        is_causal: bool = False,
        *,
        attn_mask: Tensor | None = None,
        scale: float | None = None,
    ) -> tuple[Tensor, Tensor]:
        if work(query, key) < SMALL_FORWARD[query.itemsize == 2]:
            small: tuple[Tensor, Tensor] = own.call_boxed(
                keys, query, key, value, dropout_p, is_causal, attn_mask=attn_mask, scale=scale
            )
            return small
        out = torch.empty_like(query)
        with on_torch_threads():
            _, lse = heedful.attention(
                as_array("query", query),
                as_array("key", key),
                as_array("value", value),
                out=as_array("out", out),
                return_lse=True,
                **_options(is_causal, attn_mask, scale),
            )
        return out, as_tensor(lse).transpose(1, 2).contiguous().transpose(1, 2)

    return attend


def backward(own: Any) -> Callable[..., tuple[Tensor, Tensor, Tensor]]:
    """The backward operator; small calls are passed to `own`, PyTorch's kernel."""

    def differentiate(
        keys: Any,
        grad_out: Tensor,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        out: Tensor,
        logsumexp: Tensor,
        dropout_p: float,
        is_causal: bool,
        *,
        attn_mask: Tensor | None = None,
        scale: float | None = None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        if work(query, key) < SMALL_BACKWARD[query.itemsize == 2]:
            small: tuple[Tensor, Tensor, Tensor] = own.call_boxed(
                keys, grad_out, query, key, value, out, logsumexp, dropout_p, is_causal,
                attn_mask=attn_mask, scale=scale,
            )  # fmt: skip
            return small
        # seen as (B, L, H, D): so the gradients are allocated in the order that is promised
        with on_torch_threads():
            dquery, dkey, dvalue, _, _ = heedful.attention_backward(
                as_array("grad_out", grad_out.transpose(1, 2)),
                as_array("query", query.transpose(1, 2)),
                as_array("key", key.transpose(1, 2)),
                as_array("value", value.transpose(1, 2)),
                as_array("out", out.transpose(1, 2)),
                as_array("logsumexp", logsumexp),
                layout="blhd",
                bias_gradient=False,
                **_options(is_causal, attn_mask, scale),
            )
        return (
            as_tensor(dquery).transpose(1, 2),
            as_tensor(dkey).transpose(1, 2),
            as_tensor(dvalue).transpose(1, 2),
        )

    return differentiate


def work(query: Tensor, key: Tensor) -> int:
    """Multiplications of both products, forward."""
    count: int = 2 * query.numel() * key.shape[2]
    return count


def _options(is_causal: bool, attn_mask: Tensor | None, scale: float | None) -> dict[str, Any]:
    options: dict[str, Any] = {"causal": is_causal, "align": "upper_left", "scale": scale}
    if attn_mask is not None:
        seen = _visible(attn_mask)
        if seen is None:
            options["bias"] = as_array("attn_mask", attn_mask)
        else:
            options["mask"] = as_array("attn_mask", seen)
    return options


def _visible(attn_mask: Tensor) -> Tensor | None:
    """A boolean mask again, True where a query may attend; None for a mask of other numbers.

    PyTorch has replaced a boolean mask by one of 0 and −∞ with all rows written out. As a boolean
    one, and with one row for all queries, as a mask of padding has, hidden keys are not read:
    looking is cheap beside that.
    """
    if attn_mask.dtype == torch.bool:
        seen = attn_mask
    elif _is_zero_or_hidden(attn_mask[..., :1, :]) and _is_zero_or_hidden(attn_mask):
        seen = attn_mask == 0
    else:
        return None
    first = seen[..., :1, :]
    same = torch.equal(seen[..., -1:, :], first) and torch.equal(seen, first.expand_as(seen))
    return first if same else seen


def _is_zero_or_hidden(numbers: Tensor) -> bool:
    return bool(((numbers == 0) | (numbers == -torch.inf)).all())
