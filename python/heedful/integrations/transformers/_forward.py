"""The attention of transformers' layers."""

from __future__ import annotations

from typing import Any

import torch

from heedful.integrations.torch import attention
from heedful.integrations.torch._tensors import Tensor
from heedful.integrations.transformers._pattern import carried


def forward(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    is_causal: bool | None = None,
    softcap: float | None = None,
    s_aux: Tensor | None = None,
    position_bias: Tensor | None = None,
    **options: Any,
) -> tuple[Tensor, Tensor | None]:
    """(out (B, Lq, H, Dv), weights (B, H, Lq, Lk) where they are asked for).

    `query` is (B, H, Lq, D), `key` (B, Hkv, Lk, D), `value` (B, Hkv, Lk, Dv); `s_aux` are the
    sinks (H,), and `position_bias`, which receives a gradient, broadcasts to the weights.
    """
    if options.get("sinks") is not None:  # of Inkling 2, one for each query
        raise NotImplementedError(
            'sinks of each query are not computed by "heedful": use attn_implementation="eager"'
        )
    if is_causal is None:
        is_causal = getattr(module, "is_causal", True)
    weighed = bool(options.get("output_attentions"))
    found = attention(
        # out is written in the order of memory that the layers need
        query.transpose(1, 2), key.transpose(1, 2), value.transpose(1, 2), layout="blhd",
        dropout_p=dropout, scale=scaling, softcap=softcap, sink=s_aux, return_weights=weighed,
        **_restrictions(attention_mask, position_bias, query.shape[2], is_causal),
    )  # fmt: skip
    if not weighed:
        return found, None
    out, weights = found
    return out, weights.to(query.dtype)


def _restrictions(
    mask: Tensor | None, bias: Tensor | None, length: int, is_causal: bool
) -> dict[str, Any]:
    """Which keys each query sees: the options mask, bias, causal, window and align."""
    if mask is None:
        # a single query comes after all keys, which need no restriction
        causal = bool(is_causal) if length > 1 else False
        return {"bias": bias, "causal": causal, "align": "upper_left"}
    pattern = carried(mask) if mask.dtype == torch.uint8 else None
    if pattern is not None:
        return {
            "bias": bias, "causal": pattern.causal, "window": pattern.window,
            "align": pattern.align, "mask": mask.view(torch.bool) if pattern.padded else None,
        }  # fmt: skip
    if mask.dtype == torch.bool:
        return {"bias": bias, "mask": mask}
    if mask.is_floating_point():
        return {"bias": mask if bias is None else bias + mask}
    raise TypeError(
        f"attention_mask must be of bool or floats: got {mask.dtype} of shape "
        f"{tuple(mask.shape)}; a mask that the model changed after it was made can be had with "
        'attn_implementation="sdpa"'
    )
