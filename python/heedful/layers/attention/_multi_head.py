"""MultiHeadAttention: several attention heads in parallel, between learned projections."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from heedful._checks import below_one, flag, probability, size
from heedful.base._argument_names import argument_names
from heedful.base._mode import Mode
from heedful.base._parameter import Parameter
from heedful.base._taps import taps_of, with_query_key_gradients
from heedful.base._types import Array, Backward, Rng, generator
from heedful.functional import KVCache, attention, attention_vjp
from heedful.layers._typed import Typed
from heedful.layers.attention._adaptive_span import (
    check_span,
    make_span,
    span_shown,
    tapped_options,
    with_span,
)
from heedful.layers.attention._attention_call import AttentionCall
from heedful.layers.attention._cached import append, check_cache, read, refuse_without_keys
from heedful.layers.attention._head_sizes import HeadSizes
from heedful.layers.attention._input_projections import Projections, joined, make_projections
from heedful.layers.attention._masks import check_mask_of_heads, mask_or_bias
from heedful.layers.attention._noise import (
    check_hard,
    check_temperature,
    drop_heads,
    hard_vjp,
    noise_shown,
    random_options,
)
from heedful.layers.attention._normalizer import (
    Normalizer,
    alphas_of,
    check_layer_normalizer,
    logit_gradient,
)
from heedful.layers.attention._penalties import (
    Penalties,
    check_layer_penalties,
    penalised_vjp,
    penalties_shown,
)
from heedful.layers.attention._query_key import (
    make_query_key,
    normalized_key,
    normalized_query,
    query_key_shown,
    rotated,
)
from heedful.layers.attention._scores import Scores
from heedful.layers.blocks._initial import kaiming
from heedful.layers.blocks._int8 import int8_shown, refuse_training
from heedful.layers.blocks._linear import Linear
from heedful.layers.blocks._norm import RMSNorm


class MultiHeadAttention(Typed):
    """Attention of H heads between linear projections.

    ::

        head[h] = attention(query Wq[h]ᵀ, key Wk[h]ᵀ, value Wv[h]ᵀ)      h = 0 … H − 1
        y       = concatenate(head) Woᵀ                                  each W with its bias

    with the scores of a head, whose softmax weighs its values ::

        score[i, j] = cap(scale · logit_scale · q[i] · k[j]) − slope · abs(p − j)
        weight      = exp(score) / (exp(sink) + Σ_j exp(score))

    where p is the position of query i; logit_scale, cap, slope and sink are there if given.

    or another normalizer of the scores.

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
    rotary : bool or float, default False
        Rotate queries and keys by their positions before the dot products; a number is the base of
        the angles, see :func:`heedful.rotary_embedding`.
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
        with neither top_k nor sink.
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

    out_proj: Linear
    in_proj_weight: Any  # a Parameter when assigned, an array when read
    in_proj_bias: Any
    sink: Any
    alpha_logits: Any
    logit_scale: Any
    span: Any
    q_norm: RMSNorm
    k_norm: RMSNorm
    # of a layer that an earlier version pickled
    top_k: int | None = None
    normalizer: Normalizer = "softmax"
    key_dropout = head_dropout = 0.0
    gumbel_temperature: float | None = None
    hard = False
    _penalties: Mapping[str, float | Array] = MappingProxyType({})
    qk_norm: str | None = None
    adaptive_span: int | None = None
    score_kind: ClassVar[str] = "dot product"
    pruned_heads: tuple[int, ...] = ()
    pruned_kv_heads: tuple[int, ...] = ()

    def __init__(
        self,
        d_model: int,
        num_heads: int,
        *,
        num_kv_heads: int | None = None,
        head_dim: int | None = None,
        kdim: int | None = None,
        vdim: int | None = None,
        dropout: float = 0.0,
        bias: bool = True,
        causal: bool = False,
        rotary: bool | float = False,
        scale: float | None = None,
        softcap: float | None = None,
        top_k: int | None = None,
        normalizer: Normalizer = "softmax",
        key_dropout: float = 0.0,
        head_dropout: float = 0.0,
        gumbel_temperature: float | None = None,
        hard: bool = False,
        penalties: Penalties = None,
        qk_norm: str | None = None,
        logit_scale: bool | None = None,
        adaptive_span: int | None = None,
        span_ramp: float = 32.0,
        span_penalty: float = 0.0,
        sink: bool = False,
        alibi: bool | ArrayLike = False,
        dtype: DTypeLike = np.float32,
        rng: Rng = None,
    ) -> None:
        super().__init__(dtype)
        self.d_model = size("d_model", d_model)
        sizes = HeadSizes.of(self.d_model, num_heads, num_kv_heads, head_dim)
        self.num_heads, self.num_kv_heads, self.depth = sizes
        self.kdim = self.d_model if kdim is None else size("kdim", kdim)
        self.vdim = self.d_model if vdim is None else size("vdim", vdim)
        self.dropout = probability("dropout", dropout)
        self.key_dropout = below_one("key_dropout", key_dropout)
        self.head_dropout = below_one("head_dropout", head_dropout)
        self.gumbel_temperature = check_temperature(gumbel_temperature)
        self.hard = check_hard(hard, self.gumbel_temperature, flag("sink", sink))
        self.causal = flag("causal", causal)
        make_query_key(self, qk_norm, logit_scale, rotary)
        make_span(self, adaptive_span, span_ramp, span_penalty)
        if scale is None and self.qk_norm == "l2":
            scale = 1.0
        self.scores = Scores.of(self.num_heads, scale, softcap, alibi)
        self.top_k = None if top_k is None else size("top_k", top_k)
        self.sink = Parameter(np.zeros(self.num_heads, self.dtype)) if flag("sink", sink) else None
        self.normalizer = check_layer_normalizer(
            normalizer, top_k, sink, gumbel_temperature, adaptive_span
        )
        learns = normalizer == "entmax"
        self.alpha_logits = Parameter(np.zeros(self.num_heads, self.dtype)) if learns else None
        self.penalties = penalties
        rng = generator(rng)
        make_projections(self, flag("bias", bias), rng)
        width = self.num_heads * self.depth
        self.out_proj = Linear(width, d_model, bias=bias, dtype=dtype, rng=rng)
        if bias:
            self.out_proj.bias[...] = 0
        else:
            self.out_proj.weight = kaiming(rng, (d_model, width), width, self.dtype)

    @property
    def penalties(self) -> dict[str, float | Array]:
        """The weight of each kind of penalty; may be set, to None for none."""
        return dict(self._penalties)

    @penalties.setter
    def penalties(self, given: Penalties) -> None:
        self._penalties = check_layer_penalties(self, given)

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
        align: Any = None,
        q_lengths: Any = None,
        kv_lengths: Any = None,
        cache: KVCache | None = None,
        residual: Array | None = None,
        return_weights: bool = False,
    ) -> tuple[Any, Backward]:
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
        bias, block_mask, window, align, q_lengths, kv_lengths
            As in :func:`heedful.attention`.
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
        causal = self.causal if causal is None else causal
        refuse_training(mode, self.own_parameters())
        taps = taps_of(self)
        projections = Projections(self, query, key, value)
        shapes = [array.shape for array in projections.inputs]
        mask = check_mask_of_heads(mask, shapes[0], shapes[1], keys_are_known=cache is None)
        options: dict[str, Any] = {
            "causal": causal, "window": window, "align": align, "layout": "blhd",
            "q_lengths": q_lengths, "kv_lengths": kv_lengths, "return_weights": return_weights,
            "return_lse": any(tap.wants_lse for tap in taps),
            "sink": self.optional("sink", (self.num_heads,)),
            **self.scores._asdict(), **mask_or_bias(mask, bias),
        }  # fmt: skip
        alphas = self.alphas
        if alphas is not None:
            options["normalizer"] = alphas if self.normalizer == "entmax" else self.normalizer
        if self.adaptive_span is not None:
            check_span(
                projections.is_self, cache, align=align, block_mask=block_mask,
                return_weights=return_weights,
            )  # fmt: skip
        k: Any = None
        v: Any = None
        if cache is not None:
            check_cache(cache, mode)
            refuse_without_keys(
                cache, top_k=self.top_k, block_mask=block_mask, hard=True if self.hard else None,
                normalizer=None if alphas is None else self.normalizer,
            )  # fmt: skip
            q = append(self, cache, projections, options)
            keys = int(cache.lengths.max(initial=0))
        else:
            q, k, v = projections.project()
            q, back_q = normalized_query(self, mode, q)
            k, back_k = normalized_key(self, mode, k)
            q, k, keys = rotated(self, q, 0), rotated(self, k, 0), k.shape[-3]
        if block_mask is not None:
            options["block_mask"] = block_mask
        if self.top_k is not None and self.top_k < keys:
            options["top_k"] = self.top_k
        if taps:
            call = AttentionCall(
                self, q, k, v, tapped_options(self, options), training=mode.training,
                is_self=projections.is_self, cache=cache, chooses=self.hard and not mode.training,
            )  # fmt: skip
            options |= call.steered(taps)
            call.seen(taps)
        out: Any
        pullback: Any = None
        run: Any = attention_vjp if mode.training else attention
        if mode.training:
            options |= random_options(self, mode)
        if mode.training and self._penalties:
            run = penalised_vjp(self.penalties, mode)
        if self.hard and "gumbel_temperature" in options:
            run = hard_vjp
        elif self.hard and keys > 0:
            options["top_k"] = 1
        with argument_names(alibi_slopes="alibi"):
            if cache is not None:
                out = read(self, cache, q, options)
            elif self.adaptive_span is not None:
                out, pullback = with_span(self, run, q, k, v, options)
            else:
                out = run(q, k, v, **options)
                out, pullback = out if mode.training else (out, None)
        heads, *more = out if isinstance(out, tuple) else (out,)
        if options["return_lse"]:
            lse = more.pop(0)
            for tap in taps:
                tap.see_lse(call, lse)
        dropped = drop_heads(self, mode, heads)
        y, back_out = self.out_proj.compute(mode, joined(dropped(heads)), residual)
        result: Any = (y, *more) if return_weights else y
        if not mode.training:
            return result, _no_backward

        def backward(dy: Any, dweights: Any = None) -> Any:
            dheads = dropped(back_out(dy).reshape(heads.shape))
            gradients = pullback(dheads, dweights=dweights)
            for tap in taps:
                tap.see_gradient(call, dheads, gradients.bias)
            if gradients.sink is not None:
                self.add_gradient("sink", gradients.sink)
            if alphas is not None and self.normalizer == "entmax":
                dlogits = logit_gradient(alphas, gradients.normalizer)
                self.add_gradient("alpha_logits", dlogits.astype(self.dtype))
            dq, dk = gradients[:2]
            if taps:
                dq, dk = with_query_key_gradients(taps, call, dq, dk)
            dq, dk = (rotated(self, d, 0, inverse=True) for d in (dq, dk))
            return projections.backward(back_q(dq), back_k(dk), gradients.value)

        return result, backward

    @property
    def alphas(self) -> Array | None:
        """α of each head, None with softmax."""
        if self.normalizer == "softmax":
            return None
        if self.normalizer == "entmax":
            logits = self.optional("alpha_logits", (self.num_heads,))
            assert logits is not None
            return alphas_of(logits)
        alpha = {"entmax15": 1.5, "sparsemax": 2.0}.get(str(self.normalizer), self.normalizer)
        return np.full(self.num_heads, alpha, np.float64)

    def int8_names(self) -> tuple[str, ...]:
        # a subclass with a computation of its own may read the weights in another way
        if type(self).compute is not MultiHeadAttention.compute:
            return ()
        return tuple(name for name in self.own_parameters() if name.endswith("proj_weight"))

    def new_cache(self, capacity: int | None = None) -> KVCache:
        """An empty cache for the keys and values of earlier tokens."""
        return KVCache(capacity)

    def extra_repr(self) -> str:
        shown = HeadSizes(self.num_heads, self.num_kv_heads, self.depth).shown(self.d_model)
        for name, width in (("kdim", self.kdim), ("vdim", self.vdim)):
            shown += "" if width == self.d_model else f", {name}={width}"
        shown += f", dropout={self.dropout:g}" if self.dropout else ""
        shown += "" if self.top_k is None else f", top_k={self.top_k}"
        if self.normalizer != "softmax":
            shown += f", normalizer={self.normalizer!r}"
        shown += noise_shown(self) + penalties_shown(self._penalties)
        shown += query_key_shown(self) + span_shown(self)
        shown += self.scores.shown() + ("" if self.sink is None else ", sink=True")
        return shown + int8_shown(self.own_parameters().values())


def _no_backward(*_: Any) -> None:
    raise AssertionError("an inference has no backward")
