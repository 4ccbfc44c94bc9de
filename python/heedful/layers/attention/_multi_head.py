"""MultiHeadAttention: several attention heads in parallel, between learned projections."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from heedful._checks import below_one, flag, size
from heedful.base._mode import Mode
from heedful.base._parameter import Parameter
from heedful.base._types import Array, Backward, Rng, generator
from heedful.functional import KVCache
from heedful.layers.attention._adaptive_span import make_span
from heedful.layers.attention._head_sizes import HeadSizes
from heedful.layers.attention._heads import attend, no_backward
from heedful.layers.attention._input_projections import Projections, joined, make_projections
from heedful.layers.attention._masks import check_mask_of_heads, mask_or_bias, of_heads_left
from heedful.layers.attention._multi_head_settings import MultiHeadSettings
from heedful.layers.attention._noise import make_noise
from heedful.layers.attention._normalizer import Normalizer, make_normalizer
from heedful.layers.attention._penalties import Penalties
from heedful.layers.attention._query_key import make_query_key
from heedful.layers.attention._rotary_angles import RotaryAngles
from heedful.layers.attention._scores import Scores
from heedful.layers.blocks._initial import kaiming
from heedful.layers.blocks._int8 import refuse_training
from heedful.layers.blocks._linear import Linear


class MultiHeadAttention(MultiHeadSettings):
    """Attention of H heads between linear projections.

    ::

        head[h] = attention(query Wq[h]ᵀ, key Wk[h]ᵀ, value Wv[h]ᵀ)      h = 0 … H − 1
        y       = concatenate(head) Woᵀ                                  each W with its bias

    with the scores of a head, whose softmax weighs its values ::

        score[i, j] = cap(scale · logit_scale · q[i] · k[j]) − slope · abs(p − j)
        weight      = exp(score) / (exp(sink) + Σ_j exp(score))

    where p is the position of query i; logit_scale, cap, slope and sink are there if given. Or with
    another normalizer of the scores.

    Parameters
    ----------
    d_model : int
        Width E of query and of y.
    num_heads : int
        H; it must divide d_model where head_dim is None.
    num_kv_heads : int, optional
        Heads of key and value, which must divide H; query heads share them in groups. None is H.
    head_dim : int, optional
        Width D of a head; None is E / H.
    kdim, vdim : int, optional
        Widths of key and value; None is E.
    dropout, key_dropout, head_dropout : float, default 0
        In training, the probabilities with which single weights are dropped; with which keys are
        hidden from single queries before the softmax, so that the other keys share their weight
        ("DropKey"); and with which whole heads of an item are dropped. What is left of weights and
        heads is divided by 1 − probability. A query whose keys are all hidden attends to nothing.
    gumbel_temperature : float, optional
        In training, the weights are softmax((score + g) / gumbel_temperature) with Gumbel noise g:
        random choices of keys, the harder the lower the temperature, which
        :class:`heedful.training.AnnealTemperature` lowers step by step. In inference there is no
        noise and no temperature: the weights are softmax(score), the frequencies of the choices.
    hard : bool, default False
        With a `gumbel_temperature`: each query attends to one key, in training the one of the
        largest weight, in inference that of the highest score. The gradient is "straight-through":
        that of value is of the choice itself, all others are those of the soft weights.
    penalties : mapping of str to float or array_like, (H,), optional
        In training, the loss grows by Σ weight · penalty, such as {"entropy": 0.01, "z": 1e-4}:
        the kinds of :func:`heedful.attention_penalty` but "target", of this layer's heads, with a
        weight for all or for each; of the weights before dropout. `backward` adds the gradients,
        `forward` sets ``attention_penalty`` of the model that was called to the sum of its layers,
        and ``fit`` adds it to the loss. Not with top_k, sink or hard.
    bias : bool, default True
    causal : bool, default False
        Default of calls.
    rotary : bool, float or RotaryAngles, default False
        Rotate queries and keys by their positions before the dot products; a number is the base of
        the angles, see :func:`heedful.rotary_embedding`, :class:`RotaryAngles` has their other
        rules.
    qk_norm : {None, "rms", "l2"}
        Normalize queries and keys before the dot products, so that scores cannot grow with them:
        "rms" by a :class:`RMSNorm` of each head, whose weights all heads share; "l2" to length 1,
        which makes the scores cosines times `logit_scale`.
    logit_scale : bool, optional
        Whether each head learns a factor of its dot products, an inverse temperature; None: with
        ``qk_norm="l2"`` alone.
    adaptive_span, span_ramp, span_penalty : int, float, float, optional
        With an `adaptive_span` S, each head learns how far it attends: the weight of a key at
        distance x is multiplied by clip((span_ramp + z − x) / span_ramp, 0, 1), 0 ≤ z ≤ S, and the
        weights of a query divided by their sum. Keys out of reach cost nothing. In fit,
        `span_penalty` · Σ z is added to the loss. For self-attention.
    scale : float, optional
        Factor of the dot products; None is 1 / √D, or 1 with ``qk_norm="l2"``.
    softcap : float, optional
        cap(s) = softcap · tanh(s / softcap).
    top_k : int, optional
        Each query attends to the keys of its highest scores alone, at most this many: see
        :func:`heedful.attention`. None is all.
    normalizer : {"softmax", "entmax15", "sparsemax", "entmax"} or float
        What converts scores to weights, see :func:`heedful.attention`; "entmax" learns an α between
        1 and 2 for each head: 1.5, that of "entmax15", at first. Other normalizers than softmax go
        with neither top_k, sink nor gumbel_temperature.
    sink : bool, default False
        Whether each head learns a score without a value, so that it may attend to nothing.
    alibi : bool or array_like, (H,), default False
        Whether distances are subtracted from the scores, with slopes 2^(−8/H), 2^(−16/H), …, 2^(−8)
        of the heads where H is a power of 2, see the paper for other H; or the slopes themselves.
        `align` gives the positions of the queries.
    dtype : {float32, float64}
    rng : None, int or numpy.random.Generator

    Attributes
    ----------
    in_proj_weight : numpy.ndarray, (H · D + 2 · Hkv · D, E)
        Wq, Wk and Wv, stacked; if kdim or vdim differ from E there are
        q_proj_weight, k_proj_weight and v_proj_weight instead. Of int8 after `quantize`, each with
        its scales, such as in_proj_weight_scale (H · D + 2 · Hkv · D,).
    in_proj_bias : numpy.ndarray, (H · D + 2 · Hkv · D,), or None
    out_proj : Linear, from H · D to E
    q_norm, k_norm : RMSNorm, of width D
        With ``qk_norm="rms"``.
    logit_scale : numpy.ndarray, (H,), or None
        1 at first, with ``qk_norm="l2"`` 10.
    span : numpy.ndarray, (H,)
        z / S with an `adaptive_span`, clipped to [0, 1] where it is read; 0 at first.
    sink : numpy.ndarray, (H,), or None
        0 at first.
    alpha_logits : numpy.ndarray, (H,), or None
        With "entmax" α = 1 + 1 / (1 + exp(−alpha_logits)); 0 at first.
    alphas : numpy.ndarray, (H,), or None
        α of each head, None with softmax.
    pruned_heads, pruned_kv_heads : tuple of int
        Heads that the layer had and has lost, see :func:`heedful.pruning.prune_heads`.

    Notes
    -----
    Vaswani et al. 2017, https://arxiv.org/abs/1706.03762. Named ``nn.MultiheadAttention`` in
    PyTorch, with the same parameters; there True in a mask hides a key, here False does.
    Grouped heads: Ainslie et al. 2023, https://arxiv.org/abs/2305.13245. ALiBi: Press et al. 2022,
    https://arxiv.org/abs/2108.12409. Top-k: Gupta et al. 2021, https://arxiv.org/abs/2106.06899.
    Sinks: Xiao et al. 2024, https://arxiv.org/abs/2309.17453.
    Normalized queries and keys: Henry et al. 2020, https://arxiv.org/abs/2010.04245 ("l2", with one
    factor for all heads; one for each in Swin V2, Liu et al. 2022,
    https://arxiv.org/abs/2111.09883) and Dehghani et al. 2023, https://arxiv.org/abs/2302.05442;
    named q_norm and k_norm in transformers' Qwen3.
    Adaptive span: Sukhbaatar et al. 2019, https://arxiv.org/abs/1905.07799.
    Dropout of keys: Li et al. 2023, https://arxiv.org/abs/2208.02646, of heads: Zhou et al. 2020,
    https://arxiv.org/abs/2004.13342. Gumbel-softmax and straight-through gradients: Jang et al.
    2017, https://arxiv.org/abs/1611.01144, with `hard` as ``nn.functional.gumbel_softmax`` of
    PyTorch has it, which has noise in inference, too. Learned α: Correia et al. 2019,
    https://arxiv.org/abs/1909.00015.
    Computes in `dtype`, whatever the input; threads may share it, see :class:`Layer`.

    Examples
    --------
    >>> import numpy as np
    >>> from heedful.layers import MultiHeadAttention
    >>> layer = MultiHeadAttention(8, 2, rng=0)
    >>> x = np.ones((3, 5, 8), np.float32)
    >>> layer(x).shape
    (3, 5, 8)
    >>> y, weights = layer(x, x, x, causal=True, return_weights=True)
    >>> weights.shape
    (3, 2, 5, 5)
    >>> y, backward = layer.forward(x, np.ones((3, 7, 8)))
    >>> dquery, dkey = backward(np.ones_like(y))
    """

    num_heads: int
    num_kv_heads: int
    depth: int

    def __init__(
        self, d_model: int, num_heads: int, *, num_kv_heads: int | None = None,
        head_dim: int | None = None, kdim: int | None = None, vdim: int | None = None,
        dropout: float = 0.0, bias: bool = True, causal: bool = False,
        rotary: bool | float | RotaryAngles = False, scale: float | None = None,
        softcap: float | None = None, top_k: int | None = None, normalizer: Normalizer = "softmax",
        key_dropout: float = 0.0, head_dropout: float = 0.0,
        gumbel_temperature: float | None = None, hard: bool = False,
        penalties: Penalties = None, qk_norm: str | None = None, logit_scale: bool | None = None,
        adaptive_span: int | None = None, span_ramp: float = 32.0, span_penalty: float = 0.0,
        sink: bool = False, alibi: bool | ArrayLike = False, dtype: DTypeLike = np.float32,
        rng: Rng = None,
    ) -> None:  # fmt: skip
        super().__init__(dtype)
        self.d_model: int = size("d_model", d_model)
        sizes = HeadSizes.of(self.d_model, num_heads, num_kv_heads, head_dim)
        self.num_heads, self.num_kv_heads, self.depth = sizes
        self.kdim: int = self.d_model if kdim is None else size("kdim", kdim)
        self.vdim: int = self.d_model if vdim is None else size("vdim", vdim)
        make_noise(self, dropout, key_dropout, gumbel_temperature, hard, sink)
        self.head_dropout: float = below_one("head_dropout", head_dropout)
        self.causal: bool = flag("causal", causal)
        make_query_key(self, qk_norm, logit_scale, rotary)
        make_span(self, adaptive_span, span_ramp, span_penalty)
        if scale is None and self.qk_norm == "l2":
            scale = 1.0
        self.scores: Scores = Scores.of(self.num_heads, scale, softcap, alibi)
        self.top_k: int | None = None if top_k is None else size("top_k", top_k)
        self.sink = Parameter(np.zeros(self.num_heads, self.dtype)) if flag("sink", sink) else None
        make_normalizer(self, normalizer, top_k, sink, gumbel_temperature, adaptive_span)
        self.penalties = penalties
        rng = generator(rng)
        make_projections(self, flag("bias", bias), rng)
        width = self.num_heads * self.depth
        self.out_proj: Linear = Linear(width, d_model, bias=bias, dtype=dtype, rng=rng)
        if bias:
            self.out_proj.bias = np.zeros(d_model, self.dtype)
        else:
            self.out_proj.weight = kaiming(rng, (d_model, width), width, self.dtype)

    def compute(
        self,
        mode: Mode,
        query: Any,
        key: Any = None,
        value: Any = None,
        *,
        mask: Any = None,
        bias: Any = None,
        block_mask: Any = None,
        causal: bool | None = None,
        window: Any = None,
        exclude_self: bool = False,
        align: Any = None,
        q_lengths: Any = None,
        kv_lengths: Any = None,
        cache: KVCache | None = None,
        residual: Array | None = None,
        return_weights: bool = False,
    ) -> tuple[Array, Backward]:
        """query (…, Lq, E), key (…, Lk, kdim), value (…, Lk, vdim) → y (…, Lq, E).

        Parameters
        ----------
        key, value : array_like, optional
            Without key: self-attention. Without value: key is the value.
        mask : array_like, optional
            Boolean, True where a query may attend, or floating: added to the scores. (Lq, Lk), the
            same for all, or with the axes of all scores: (B, 1, Lq, Lk), (1, H, Lq, Lk), …. Three
            axes are an error, as the first could be items or heads. Padding (B, Lk) is
            ``mask[:, None, None, :]``, or `kv_lengths`.
        bias, block_mask, window, exclude_self, align, q_lengths, kv_lengths
            As in :func:`heedful.attention`; bias may be a :class:`SharedBias`.
        causal : bool, optional
            None is the layer's default.
        cache : KVCache, optional
            Without key: keys and values of query are appended to the cache, and query attends to
            all; `kv_lengths` is the number of valid new rows. With key: its keys and values are
            computed at the first call and read from the cache afterwards. Not in training. Masks,
            `block_mask` too, are of all keys, these included: Lk is the length of the longest item.
            `block_mask` and `top_k` read paged and int8 caches by a copy of their rows.
        residual : numpy.ndarray, (…, Lq, E), optional
            Added to y; its gradient is that of y.
        return_weights : bool, default False
            Return (y, weights), the weights (…, H, Lq, Lk).

        Returns
        -------
        y, backward
            ``backward(dy)`` returns the gradient of query, or of (query, key), or of (query, key,
            value): of the arguments given. With `return_weights` it is ``backward(dy, dweights)``,
            where dweights may be None.
        """
        refuse_training(mode, self.own_parameters())
        projections = Projections(self, query, key, value)
        queries, keys, _ = projections.inputs
        mask = check_mask_of_heads(mask, queries.shape, keys.shape, keys_are_known=cache is None)
        bias = of_heads_left(self, bias)
        options: dict[str, Any] = {
            "causal": self.causal if causal is None else causal, "window": window,
            "exclude_self": exclude_self, "align": align, "layout": "blhd", "q_lengths": q_lengths,
            "kv_lengths": kv_lengths, "return_weights": return_weights,
        } | mask_or_bias(mask, bias)  # fmt: skip
        if block_mask is not None:
            options["block_mask"] = block_mask
        heads, weights, back_heads = attend(self, mode, projections, options, cache, bias)
        y, back_out = self.out_proj.compute(mode, joined(heads), residual)
        result: Any = (y, *weights) if return_weights else y
        if not mode.training:
            return result, no_backward
        return result, lambda dy, dweights=None: back_heads(back_out(dy), dweights)

    def int8_names(self) -> tuple[str, ...]:
        # a subclass with a computation of its own may read the weights in another way
        if type(self).compute is not MultiHeadAttention.compute:
            return ()
        return tuple(name for name in self.own_parameters() if name.endswith("proj_weight"))

    def new_cache(self, capacity: int | None = None) -> KVCache:
        """An empty cache for the keys and values of earlier tokens."""
        return KVCache(capacity)
