"""Additive attention with penalties of it, and the pullback of both in one pass."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from heedful._core import native
from heedful.functional._additive import (
    additive_attention_vjp,
    additive_forwards,
    additive_pullback,
    check_weight,
)
from heedful.functional._backward import AdditiveGradients
from heedful.functional._call import check_call
from heedful.functional._forward import forward_for_gradients, returned
from heedful.functional._penalties import (
    check_penalised,
    check_penalties,
    penalised,
    statistics_of,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import ArrayLike


def penalised_additive_attention_vjp(
    query: ArrayLike,
    key: ArrayLike,
    value: ArrayLike,
    weight: ArrayLike,
    penalties: Mapping[str, float | ArrayLike],
    **options: Any,
) -> tuple[Any, float, Callable[..., AdditiveGradients]]:
    """Additive attention, the sum of penalties of it, and the pullback of both in one pass.

    ::

        out, penalty, pullback = penalised_additive_attention_vjp(q, k, v, weight, {"l2": 0.01})
        gradients = pullback(dout)        # of Σ dout ∘ out + penalty

    Parameters
    ----------
    query, key, value, weight
        As in :func:`additive_attention_vjp`.
    penalties
        As in :func:`penalised_attention_vjp`.
    **options
        As in :func:`additive_attention_vjp`, without sink and out.

    Returns
    -------
    out : numpy.ndarray, or a tuple
        As of :func:`additive_attention_vjp`.
    penalty : float
    pullback : callable
        As of :func:`additive_attention_vjp`; the gradients include those of the penalty.

    Raises
    ------
    ValueError, TypeError, MemoryError
        As :func:`additive_attention_vjp` does, and as :func:`penalised_attention_vjp` does for
        penalties and a sink.

    Examples
    --------
    >>> import numpy as np
    >>> from heedful.functional import penalised_additive_attention_vjp
    >>> x, weight = np.eye(3), np.zeros(3)
    >>> out, penalty, pullback = penalised_additive_attention_vjp(x, x, x, weight, {"l2": 1.0})
    >>> round(penalty, 4)
    0.3333
    >>> pullback(np.zeros_like(out)).weight.shape
    (3,)
    """
    return_lse, return_weights = check_penalised(
        penalised_additive_attention_vjp, additive_attention_vjp, options
    )
    call = check_call(query, key, value, scale=1.0, **options)
    checked = check_weight(weight, call, None)
    weights = check_penalties(penalties, call.plan.axes.heads)
    compiled_forward = additive_forwards(checked)
    result = forward_for_gradients(call, None, return_weights, compiled=compiled_forward)
    statistics = statistics_of(
        call, result.lse, weights, partial(native.additive_row_statistics, checked.read)
    )
    found = penalised(result.lse, statistics, weights)

    def compiled(*arguments: Any) -> bool:
        weight, dweight, *rest = arguments
        native.additive_penalised_backward(weight, dweight, found.coefficients, None, *rest)
        return False  # sums are not computed again at a smaller scale: penalties have their own

    pullback = additive_pullback(call, checked, result, compiled)
    return returned(call, result, return_lse, return_weights), found.value, pullback
