"""ONNX's operator Attention, for onnx's reference evaluator.

Needs the package onnx.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from heedful.functional import attention, attention_scores, attention_weights

try:
    from onnx import TensorProto
    from onnx.reference.op_run import OpRun
except ModuleNotFoundError:
    raise ModuleNotFoundError(
        "heedful.integrations.onnx needs the package onnx: pip install onnx", name="onnx"
    ) from None

__all__ = ["Attention"]

Array = np.ndarray[Any, Any]


class Attention(OpRun):  # type: ignore[misc]  # without types where onnx is not installed
    """The operator Attention of opsets 23, 24 and 25, computed by heedful.

    ::

        Y = softmax(softcap(scale · Q Kᵀ) + attn_mask) V

    over the keys that `is_causal`, the window and `nonpad_kv_seqlen` leave to a query. Give it to
    the evaluator: ``ReferenceEvaluator(model, new_ops=[Attention])``. All other nodes remain
    onnx's.

    ====================  ====================================================================
    Q, K, V               (B, H, L, D), or (B, L, H · D) with `q_num_heads` and `kv_num_heads`
    attn_mask             bool or floating, broadcast to (B, H, Lq, Lk); hides keys past its end
    past_key, past_value  (B, Hkv, P, D): precede K and V; query i stands at P + i
    nonpad_kv_seqlen      (B,): valid keys of each item; query i stands at nonpad − Lq + i
    Y                     (B, H, Lq, Dv), or (B, Lq, H · Dv), in the type of Q
    present_key, …_value  (B, Hkv, Lk, D): past and new ones
    qk_matmul_output      (B, H, Lq, Lk): with `qk_matmul_output_mode` 0 scale · Q Kᵀ, 1 after
                          softcap, 2 what softmax sees, 3 the weights
    ====================  ====================================================================

    Raises
    ------
    ImportError
        When the module is imported: onnx is not installed.
    ValueError
        When the node is evaluated: shapes that do not fit, three axes without the number of heads,
        past_key without past_value, nonpad_kv_seqlen together with them.

    Notes
    -----
    The operator: https://onnx.ai/onnx/operators/onnx__Attention.html. float32 and float64 are
    computed as they are, 16-bit types in float32 and rounded once, where onnx's own evaluator
    rounds each intermediate result. `softmax_precision` therefore has an effect for double alone,
    in which everything is computed then. NaN in a hidden key or value does not reach Y. The matrix
    of scores exists only where qk_matmul_output is requested.

    Examples
    --------
    >>> import numpy as np
    >>> from onnx import TensorProto, helper
    >>> from onnx.reference import ReferenceEvaluator
    >>> from heedful.integrations.onnx import Attention
    >>> q, k, v, y = (
    ...     helper.make_tensor_value_info(name, TensorProto.FLOAT, (1, 1, 2, 2)) for name in "QKVY"
    ... )
    >>> node = helper.make_node("Attention", ["Q", "K", "V"], ["Y"], is_causal=1)
    >>> graph = helper.make_graph([node], "one_node", [q, k, v], [y])
    >>> model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 23)])
    >>> evaluator = ReferenceEvaluator(model, new_ops=[Attention])
    >>> x = np.eye(2, dtype=np.float32)[None, None]
    >>> evaluator.run(None, {"Q": x, "K": x, "V": x})[0].round(2)
    array([[[[1.  , 0.  ],
             [0.33, 0.67]]]], dtype=float32)
    """

    op_domain = ""

    def run(self, *args: Any, **kwargs: Any) -> tuple[Any, ...]:
        """The outputs of one evaluation, None for those that the node does not name."""
        # Outputs without a name must not be kept: the evaluator reads inputs that are left out
        # under the same empty name.
        results = super().run(*args, **kwargs)
        return tuple(
            result if name else None for name, result in zip(self.output, results, strict=True)
        )

    def _run(
        self,
        Q: Array,
        K: Array,
        V: Array,
        attn_mask: Any = None,
        past_key: Any = None,
        past_value: Any = None,
        nonpad_kv_seqlen: Any = None,
        *,
        scale: float | None = None,
        is_causal: int = 0,
        q_num_heads: int | None = None,
        kv_num_heads: int | None = None,
        softmax_precision: int | None = None,
        softcap: float = 0.0,
        qk_matmul_output_mode: int = 0,
        left_window_size: int = -1,
        right_window_size: int = -1,
    ) -> tuple[Array, ...]:
        _check_caches(past_key, past_value, nonpad_kv_seqlen)
        query = _with_heads("Q", Q, q_num_heads, "q_num_heads")  # (B, H, Lq, D)
        key = _with_heads("K", K, kv_num_heads, "kv_num_heads")  # (B, Hkv, L, D)
        value = _with_heads("V", V, kv_num_heads, "kv_num_heads")  # (B, Hkv, L, Dv)
        offset: Any = 0
        if past_key is not None:
            offset = past_key.shape[2]
            key = np.concatenate((past_key, key), axis=2)  # (B, Hkv, Lk, D)
            value = np.concatenate((past_value, value), axis=2)
        elif nonpad_kv_seqlen is not None:
            offset = nonpad_kv_seqlen - query.shape[2]
        present = key, value
        if softmax_precision == TensorProto.DOUBLE:
            query, key, value = (array.astype(np.float64) for array in (query, key, value))
        options: dict[str, Any] = {
            "causal": bool(is_causal),
            "window": (_limit(left_window_size), _limit(right_window_size)),
            "align": offset,
            "kv_lengths": nonpad_kv_seqlen,
            "scale": scale,
            "softcap": softcap or None,
            **_mask_or_bias(attn_mask, key.shape[2]),
        }
        if Q.ndim == 3:
            rows = (array.swapaxes(1, 2) for array in (query, key, value))  # (B, L, H, D)
            y = attention(*rows, layout="blhd", **options).reshape(*Q.shape[:2], -1)
        else:
            y = attention(query, key, value, **options)
        results = [y.astype(Q.dtype, copy=False), *present]
        if len(self.output) > 3:
            scores = _intermediate(qk_matmul_output_mode, query, key, options)
            with np.errstate(all="ignore"):  # they may exceed float16
                results.append(scores.astype(Q.dtype, copy=False))
        return tuple(results[: len(self.output)])


def _intermediate(mode: int, query: Array, key: Array, options: dict[str, Any]) -> Array:
    """The qk_matmul_output of a mode, (B, H, Lq, Lk)."""
    if mode == 3:
        return attention_weights(query, key, **options)
    if mode < 2:
        options = {name: options[name] for name in ("scale", "softcap")[: mode + 1]}
    return attention_scores(query, key, **options)


def _check_caches(past_key: Any, past_value: Any, nonpad_kv_seqlen: Any) -> None:
    if (past_key is None) != (past_value is None):
        given, missing = ("past_value", "past_key")[:: 1 if past_key is None else -1]
        raise ValueError(f"{missing} must be given together with {given}: got None")
    if past_key is not None and nonpad_kv_seqlen is not None:
        raise ValueError("nonpad_kv_seqlen must not be given together with past_key: got both")


def _with_heads(name: str, array: Array, num_heads: int | None, attribute: str) -> Array:
    """(B, L, H · D) → (B, H, L, D), a view; four axes are returned as they are."""
    if array.ndim == 4:
        return array
    if array.ndim != 3:
        raise ValueError(f"{name} must have three or four axes: got shape {array.shape}")
    if not num_heads or array.shape[2] % num_heads:
        raise ValueError(
            f"{attribute} must divide the last axis of {name}, {array.shape[2]}: got {num_heads}"
        )
    batch, length, width = array.shape
    heads: Array = array.reshape(batch, length, num_heads, width // num_heads).swapaxes(1, 2)
    return heads


def _limit(size: int) -> int | None:
    if size < -1:
        raise ValueError(f"the sizes of a window must be −1, for no limit, or more: got {size}")
    return None if size == -1 else size


def _mask_or_bias(attn_mask: Array | None, key_length: int) -> dict[str, Array]:
    """The mask as the option that it is, up to the last key."""
    if attn_mask is None:
        return {}
    boolean = attn_mask.dtype == np.bool_
    if attn_mask.dtype.kind in "iu":
        # not a TypeError, whose message the evaluator replaces by its own
        raise ValueError(f"attn_mask must be boolean or floating: got type {attn_mask.dtype}")
    missing = key_length - attn_mask.shape[-1]
    if missing > 0:  # an axis of one key is no exception: it does not broadcast
        axes = [(0, 0)] * (attn_mask.ndim - 1) + [(0, missing)]
        attn_mask = np.pad(attn_mask, axes, constant_values=False if boolean else -np.inf)
    return {"mask" if boolean else "bias": attn_mask}
