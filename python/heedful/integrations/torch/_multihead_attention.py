"""torch.nn.MultiheadAttention, computed by heedful."""

from __future__ import annotations

from typing import Any

import torch

from heedful.integrations.torch._attention import attention
from heedful.integrations.torch._tensors import Tensor


class MultiheadAttention(torch.nn.MultiheadAttention):  # type: ignore[misc]
    """``torch.nn.MultiheadAttention`` with the attention of heedful.

    ::

        out = concat_h(softmax(Q_h K_hᵀ / √D + masks) V_h) Wᵀ + b      Q, K, V projections

    Parameters, arguments, results and the names in ``state_dict`` are PyTorch's; :func:`swap`
    changes the layers of an existing model. What is different:

    - ``need_weights=True``, the default, costs no memory of (N, num_heads, L, S): weights that are
      averaged over the heads are summed as they are computed. They have a gradient.
    - Dropout is computed without a matrix of weights. Its random bits, seeded by PyTorch's
      generator, are not PyTorch's.
    - A query whose keys are all masked gives 0, and weights of 0, where PyTorch gives NaN.
    - With the hint `is_causal` the causal mask is not read, also beside a `key_padding_mask`.

    PyTorch computes what heedful does not take: ``add_bias_kv``, ``add_zero_attn``, nested tensors
    and other devices.

    Parameters
    ----------
    embed_dim, num_heads, …, dtype
        As of ``torch.nn.MultiheadAttention``.

    Notes
    -----
    Vaswani et al. 2017, https://arxiv.org/abs/1706.03762. float32, float64, float16 and bfloat16.

    Examples
    --------
    >>> import torch
    >>> from heedful.integrations.torch import MultiheadAttention
    >>> layer = MultiheadAttention(8, 2, batch_first=True)
    >>> x = torch.ones(3, 5, 8)
    >>> out, weights = layer(x, x, x)
    >>> tuple(out.shape), weights[0, 0].detach().numpy().round(3)
    ((3, 5, 8), array([0.2, 0.2, 0.2, 0.2, 0.2], dtype=float32))
    """

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        key_padding_mask: Tensor | None = None,
        need_weights: bool = True,
        attn_mask: Tensor | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """As ``torch.nn.MultiheadAttention.forward``; masks are True where attention is hidden."""
        if not self._takes(query, key, value, key_padding_mask, attn_mask, is_causal):
            theirs: tuple[Tensor, Tensor | None] = super().forward(
                query, key, value, key_padding_mask, need_weights, attn_mask,
                average_attn_weights, is_causal,
            )  # fmt: skip
            return theirs
        batched = query.dim() == 3
        if not batched:
            axis = 0 if self.batch_first else 1
            query, key, value = (one.unsqueeze(axis) for one in (query, key, value))
            if key_padding_mask is not None:
                key_padding_mask = key_padding_mask.unsqueeze(0)
        heads = self._projected(query, key, value)
        mask, bias = self._restrictions(key_padding_mask, None if is_causal else attn_mask)
        found = attention(
            *heads, mask=mask, bias=bias, causal=is_causal, align="upper_left",
            dropout_p=self.dropout if self.training else 0.0, layout="blhd",
            return_weights=need_weights, average_heads=need_weights and average_attn_weights,
        )  # fmt: skip
        out, weights = found if need_weights else (found, None)
        out = (out if self.batch_first else out.transpose(0, 1)).flatten(-2)
        out = torch.nn.functional.linear(out, self.out_proj.weight, self.out_proj.bias)
        if weights is not None:
            weights = weights.to(out.dtype)
        if batched:
            return out, weights
        return out.squeeze(axis), None if weights is None else weights.squeeze(0)

    def _takes(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        key_padding_mask: Tensor | None,
        attn_mask: Tensor | None,
        is_causal: bool,
    ) -> bool:
        """Whether heedful computes this; wrong shapes are left to PyTorch, which names them."""
        inputs = (query, key, value)
        if self.bias_k is not None or self.bias_v is not None or self.add_zero_attn:
            return False
        if any(one.is_nested or one.device.type != "cpu" for one in inputs):
            return False
        if any(one.dim() != query.dim() for one in inputs) or query.dim() not in (2, 3):
            return False
        if is_causal and attn_mask is None:
            return False
        length, keys, batch = self._sizes(query, key)
        shapes = (length, keys), (batch * self.num_heads, length, keys)
        padding = (batch, keys) if query.dim() == 3 else (keys,)
        return (
            (attn_mask is None or tuple(attn_mask.shape) in shapes)
            and (key_padding_mask is None or tuple(key_padding_mask.shape) == padding)
            and query.shape[-1] == self.embed_dim
            and key.shape[-1] == self.kdim
            and value.shape[-1] == self.vdim
            and key.shape[:-1] == value.shape[:-1]
        )

    def _sizes(self, query: Tensor, key: Tensor) -> tuple[int, int, int]:
        """(L, S, N)."""
        if query.dim() == 2:
            return query.shape[0], key.shape[0], 1
        rows, items = (1, 0) if self.batch_first else (0, 1)
        return query.shape[rows], key.shape[rows], query.shape[items]

    def _projected(self, query: Tensor, key: Tensor, value: Tensor) -> list[Tensor]:
        """Query, key and value of each head, (N, L, num_heads, D)."""
        linear = torch.nn.functional.linear
        packed = self.in_proj_weight
        if packed is not None and query is key is value:
            found = linear(query, packed, self.in_proj_bias).chunk(3, -1)
        else:
            weights = (
                (self.q_proj_weight, self.k_proj_weight, self.v_proj_weight)
                if packed is None
                else packed.chunk(3)
            )
            biases = [None] * 3 if self.in_proj_bias is None else self.in_proj_bias.chunk(3)
            found = [
                linear(*three) for three in zip((query, key, value), weights, biases, strict=True)
            ]
        heads = [one.unflatten(-1, (self.num_heads, self.head_dim)) for one in found]
        return heads if self.batch_first else [one.transpose(0, 1) for one in heads]

    def _restrictions(
        self, key_padding_mask: Tensor | None, attn_mask: Tensor | None
    ) -> tuple[Tensor | None, Tensor | None]:
        """(mask, bias), which broadcast to (N, num_heads, L, S): True where a query may attend."""
        found: dict[bool, Any] = {True: None, False: None}
        if attn_mask is not None:
            if attn_mask.dim() == 3:
                attn_mask = attn_mask.unflatten(0, (-1, self.num_heads))
            boolean = attn_mask.dtype == torch.bool
            found[boolean] = ~attn_mask if boolean else attn_mask
        if key_padding_mask is not None:
            padding, boolean = key_padding_mask[:, None, None], key_padding_mask.dtype == torch.bool
            before = found[boolean]
            if boolean:
                found[True] = ~padding if before is None else before & ~padding
            else:
                found[False] = padding if before is None else before + padding
        return found[True], found[False]
