"""attention for tensors, with gradients."""

from __future__ import annotations

from typing import Any

import torch

from heedful import BlockMask
from heedful._checks import flag, named, one_of, real
from heedful.integrations.torch._arguments import (
    aligned,
    check_tensors,
    integer_tensor,
    kept,
    limits,
    normalizer_of,
    optional_real,
    promoted,
    seed_of,
    with_axes,
    without_axes,
)
from heedful.integrations.torch._block_masks import NONE, numbered
from heedful.integrations.torch._call import Tensors, Values, is_softmax
from heedful.integrations.torch._derivative import attend
from heedful.integrations.torch._tensors import Tensor


def attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    *,
    mask: Tensor | None = None,
    bias: Tensor | None = None,
    block_mask: BlockMask | None = None,
    min_weight: float = 0.0,
    causal: bool = False,
    window: tuple[int | None, int | None] | None = None,
    exclude_self: bool = False,
    align: Any = None,
    q_lengths: Any = None,
    kv_lengths: Any = None,
    top_k: int | None = None,
    normalizer: Any = "softmax",
    scale: float | None = None,
    softcap: float | None = None,
    alibi_slopes: Tensor | None = None,
    sink: Tensor | None = None,
    dropout_p: float = 0.0,
    key_dropout_p: float = 0.0,
    gumbel_temperature: float | None = None,
    rng: Any = None,
    layout: str = "bhld",
    return_lse: bool = False,
    return_weights: bool = False,
    average_heads: bool = False,
) -> Any:
    """:func:`heedful.attention` for tensors, with gradients.

    ::

        out = softmax(scale · query keyᵀ + bias) value

    with every option of :func:`heedful.attention`, which describes them.

    Parameters
    ----------
    query : torch.Tensor, (B…, H, Lq, D)
        On the processor, as all tensors. Of two axes (Lq, D) and of one (D,) as in
        :func:`heedful.attention`.
    key : torch.Tensor, (B…, Hkv, Lk, D)
    value : torch.Tensor, (B…, Hkv, Lk, Dv)
    mask : torch.Tensor of bool, optional
    bias : torch.Tensor of floats, optional
        It receives a gradient.
    block_mask : heedful.BlockMask, optional
        Compiled programs break their graph at a call with one.
    min_weight, causal, window, exclude_self, top_k, scale, softcap
        As in :func:`heedful.attention`.
    align : {"upper_left", "lower_right"}, int or tensor of int (B…), optional
    q_lengths, kv_lengths : tensor or sequence of int (B…), optional
    normalizer : {"softmax", "entmax15", "sparsemax"}, float or tensor, (H,)
        A tensor receives a gradient.
    alibi_slopes : torch.Tensor, (H,) or (B…, H), optional
    sink : torch.Tensor, (H,), optional
        It receives a gradient.
    dropout_p, key_dropout_p, gumbel_temperature : float
        As in :func:`heedful.attention`. They apply whenever they are given: pass
        ``dropout_p=p if self.training else 0.0``.
    rng : None, int or torch.Generator
        The seed of dropout and noise. None draws it from PyTorch's generator for the processor,
        which ``torch.manual_seed`` sets.
    layout : {"bhld", "blhd"}
        The order of the last three axes of query, key, value and out.
    return_lse, return_weights : bool, default False
        Return a tuple (out, lse?, weights?). lse and weights have gradients, too.
    average_heads : bool, default False
        Weights as their mean over the heads, accumulated as they are computed.

    Returns
    -------
    out : torch.Tensor, (B…, H, Lq, Dv), or (B…, Lq, H, Dv) with "blhd"
    lse : torch.Tensor, (B…, H, Lq), if `return_lse`
        float64 for float64, otherwise float32.
    weights : torch.Tensor, (B…, H, Lq, Lk), if `return_weights`, (B…, Lq, Lk) if averaged
        In the type of lse, after dropout.

    Raises
    ------
    TypeError
        What is no tensor, or one that is not on the processor, sparse, nested or quantized.
    ValueError
        As :func:`heedful.attention` does.
    NotImplementedError
        Forward-mode derivatives, and second ones.

    Notes
    -----
    It works under ``torch.compile`` with ``fullgraph=True``, ``torch.export``, ``torch.func``
    (grad, vjp, jacrev, vmap and their compositions), checkpointing and autocast, which casts query,
    key and value. Query, key and value of different types are promoted, a float32 query may have
    16-bit keys and values. For their gradients a 16-bit call keeps out in float32.

    Memory is linear in the lengths, except for returned weights and the gradient of a bias. Where
    weights have a gradient, and with another normalizer than softmax, the backward pass repeats the
    forward pass. vmap adds its axis to the leading ones; where there is noise, or a sink or an α of
    each item, it computes one item after the other.

    Vaswani et al. 2017, https://arxiv.org/abs/1706.03762; :func:`heedful.attention` names the
    source of each option.

    Examples
    --------
    >>> import torch
    >>> from heedful.integrations.torch import attention
    >>> x = torch.eye(3, requires_grad=True)
    >>> out = attention(x, x, x, causal=True, softcap=2.0, sink=torch.zeros(1))
    >>> out.detach().numpy().round(3)
    array([[0.637, 0.   , 0.   ],
           [0.266, 0.467, 0.   ],
           [0.21 , 0.21 , 0.369]], dtype=float32)
    >>> out.sum().backward()
    >>> tuple(x.grad.shape)
    (3, 3)
    """
    check_tensors(
        query=query, key=key, value=value, mask=mask, bias=bias, alibi_slopes=alibi_slopes,
        sink=sink,
    )  # fmt: skip
    one_of("layout", layout, ("bhld", "blhd"))
    axes = max(query.dim(), key.dim(), value.dim())
    # of H and Lq, how many axes the results lack
    missing = 2 if query.dim() == 1 else 1 if axes == 2 else 0
    query, key, value = promoted(query, key, value)
    alphas, alpha = normalizer_of(normalizer)
    left, right = limits(window)
    kind, offset, offsets = aligned(align)
    dropout_p, key_dropout_p = real("dropout_p", dropout_p), real("key_dropout_p", key_dropout_p)
    random = dropout_p != 0 or key_dropout_p != 0 or gumbel_temperature is not None
    tensors = Tensors(
        with_axes(query, axes, layout), with_axes(key, axes, layout),
        with_axes(value, axes, layout), mask, bias, alibi_slopes, sink, alphas,
        integer_tensor("q_lengths", q_lengths), integer_tensor("kv_lengths", kv_lengths), offsets,
        seed_of(rng, random),
    )  # fmt: skip
    gradients = torch.is_grad_enabled() and any(
        tensor is not None and tensor.requires_grad for tensor in tensors
    )
    # within a transform only the transform knows what it differentiates by
    of_bias = bias is not None and (
        bias.requires_grad or torch._C._are_functorch_transforms_active()
    )
    values = Values(
        flag("causal", causal), left, right, flag("exclude_self", exclude_self), kind, offset, NONE,
        real("min_weight", min_weight), kept(top_k), alpha, optional_real("scale", scale),
        optional_real("softcap", softcap), dropout_p, key_dropout_p,
        optional_real("gumbel_temperature", gumbel_temperature), layout,
        flag("return_weights", return_weights), flag("average_heads", average_heads), gradients,
        of_bias,
    )  # fmt: skip
    if flag("return_lse", return_lse) and not is_softmax(tensors, values):
        raise ValueError(
            "return_lse must be False where normalizer is not 'softmax': rows have a threshold"
        )
    if block_mask is None:
        out, lse, weights, _ = attend(tensors, values)
    else:
        out, lse, weights, _ = _attend_to_blocks(block_mask, tensors, values)
    out = without_axes(out, missing, 0 if layout == "bhld" else -2)
    found = [without_axes(lse, missing, 0)] if return_lse else []
    if return_weights:
        # the mean has no axis of heads
        found.append(without_axes(weights, missing - average_heads, 0))
    return (out, *found) if found else out


@torch.compiler.disable  # type: ignore[untyped-decorator]
def _attend_to_blocks(block_mask: Any, tensors: Tensors, values: Values) -> tuple[Tensor, ...]:
    if not isinstance(block_mask, BlockMask):
        raise TypeError(f"block_mask must be a heedful.BlockMask: got {named(block_mask)}")
    with numbered(block_mask) as number:
        return attend(tensors, values._replace(block_mask=number))
