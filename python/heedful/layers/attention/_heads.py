"""The heads of MultiHeadAttention: attention between its projections, and its gradients."""

from __future__ import annotations

from typing import Any

from heedful.base._argument_names import argument_names
from heedful.base._mode import Mode
from heedful.base._shared_bias import SharedBias
from heedful.base._taps import taps_of, with_query_key_gradients
from heedful.base._types import Array, Backward
from heedful.functional import KVCache, attention, attention_vjp
from heedful.layers.attention._adaptive_span import check_span, tapped_options, with_span
from heedful.layers.attention._attention_call import AttentionCall
from heedful.layers.attention._cached import append, check_cache, read, refuse_without_keys
from heedful.layers.attention._input_projections import Projections
from heedful.layers.attention._noise import drop_heads, hard_vjp, random_options
from heedful.layers.attention._normalizer import logit_gradient
from heedful.layers.attention._penalties import penalised_vjp
from heedful.layers.attention._query_key import normalized_key, normalized_query, rotated


def attend(
    layer: Any, mode: Mode, projections: Projections, options: dict[str, Any],
    cache: KVCache | None, bias: Any = None,
) -> tuple[Array, list[Array], Backward]:  # fmt: skip
    """Heads (…, Lq, H, D), weights if they are requested, and the function of their gradients.

    `options` are those of the call, to which the layer's are added. ``backward(dheads, dweights)``
    returns the gradients of the inputs that were given, and adds that of the bias to `bias`, if it
    is a SharedBias; it is for training alone.
    """
    taps = taps_of(layer)
    options["scale"], options["softcap"], options["alibi_slopes"] = layer.scores
    options["return_lse"] = bool(taps) and any(tap.wants_lse for tap in taps)
    options["sink"] = layer.optional("sink", (layer.num_heads,))
    alphas = layer.alphas
    if alphas is not None:
        options["normalizer"] = alphas if layer.normalizer == "entmax" else layer.normalizer
    if layer.adaptive_span is not None:
        refused = {name: options.get(name) for name in ("align", "block_mask", "return_weights")}
        check_span(projections.is_self, cache, **refused)
    k: Any = None
    v: Any = None
    if cache is not None:
        check_cache(cache, mode)
        refuse_without_keys(
            cache, top_k=layer.top_k, block_mask=options.get("block_mask"),
            hard=True if layer.hard else None,
            normalizer=None if alphas is None else layer.normalizer,
        )  # fmt: skip
        q = append(layer, cache, projections, options)
        counts = layer.top_k is not None or layer.hard
        keys = int(cache.lengths.max(initial=0)) if counts else 0
    else:
        q, k, v = projections.project()
        q, back_q = normalized_query(layer, mode, q)
        k, back_k = normalized_key(layer, mode, k)
        q, k, keys = rotated(layer, q, 0), rotated(layer, k, 0), k.shape[-3]
    if layer.top_k is not None and layer.top_k < keys:
        options["top_k"] = layer.top_k
    if taps:
        call = AttentionCall(
            layer, q, k, v, tapped_options(layer, options), training=mode.training,
            is_self=projections.is_self, cache=cache, chooses=layer.hard and not mode.training,
        )  # fmt: skip
        options |= call.steered(taps)
        call.seen(taps)
    out: Any
    pullback: Any = None
    run = attention_function(layer, mode, options, keys)
    with argument_names(alibi_slopes="alibi"):
        if cache is not None:
            out = read(layer, cache, q, options)
        elif layer.adaptive_span is not None:
            out, pullback = with_span(layer, run, q, k, v, options)
        else:
            out = run(q, k, v, **options)
            out, pullback = out if mode.training else (out, None)
    heads, *more = out if isinstance(out, tuple) else (out,)
    if options["return_lse"]:
        lse = more.pop(0)
        for tap in taps:
            tap.see_lse(call, lse)
    dropped, shape = drop_heads(layer, mode, heads), heads.shape

    def backward(dheads: Array, dweights: Any = None) -> Any:
        dheads = dropped(dheads.reshape(shape))
        # as large as the scores, and of a constant bias nobody reads it
        is_read = bool(taps) or isinstance(bias, SharedBias)
        gradients = pullback(dheads, dweights=dweights, bias_gradient=is_read)
        for tap in taps:
            tap.see_gradient(call, dheads, gradients.bias)
        if isinstance(bias, SharedBias):
            bias.add(gradients.bias)
        if gradients.sink is not None:
            layer.add_gradient("sink", gradients.sink)
        if alphas is not None and layer.normalizer == "entmax":
            dlogits = logit_gradient(alphas, gradients.normalizer)
            layer.add_gradient("alpha_logits", dlogits.astype(layer.dtype))
        dq, dk = gradients[:2]
        if taps:
            dq, dk = with_query_key_gradients(taps, call, dq, dk)
        dq, dk = (rotated(layer, d, 0, inverse=True) for d in (dq, dk))
        return projections.backward(back_q(dq), back_k(dk), gradients.value)

    return dropped(heads), more, backward


def attention_function(layer: Any, mode: Mode, options: dict[str, Any], keys: int) -> Any:
    """The function of queries, keys and values, to whose options it adds its own."""
    if mode.training:
        options |= random_options(layer, mode)
        if layer.hard and "gumbel_temperature" in options:
            return hard_vjp
        if layer.penalties:
            return penalised_vjp(layer.penalties, mode)
    if layer.hard and keys > 0:
        options["top_k"] = 1
    return attention_vjp if mode.training else attention


def no_backward(*_: Any) -> None:
    raise AssertionError("an inference has no backward")
