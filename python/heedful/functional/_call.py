"""One checked call: its arrays, and what the compiled functions are told beside them."""

from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from heedful._checks import positive
from heedful.functional._dtypes import FLOAT64, Array, DType, as_array
from heedful.functional._layout import Shape
from heedful.functional._plan import INPUTS, Given, Names, Plan, Rules, find_plan
from heedful.functional._positions import Items, check_items
from heedful.functional._random import check_dropout
from heedful.functional._restrictions import check_alibi_slopes
from heedful.functional._scale import check_scale

NO_VALUE = object()  # stands for a value of depth 0, where scores or weights are all that is wanted


Shared: TypeAlias = tuple[
    Rules,
    Items | None,
    float,
    float,
    NDArray[np.bool_] | None,
    Array | None,
    NDArray[np.float64] | None,
]


class Call(NamedTuple):
    """In the order of the compiled functions' arguments, from rules to alibi_slopes `shared`."""

    query: Array  # with the axes as they were given
    key: Array
    value: Array
    rules: Rules
    items: Items | None
    scale: float
    softcap: float
    mask: NDArray[np.bool_] | None
    bias: Array | None
    alibi_slopes: NDArray[np.float64] | None
    sink: NDArray[np.float64] | None  # (H,)
    dropout_p: float
    seed: int
    plan: Plan
    given: Given | None

    @property
    def shared(self) -> Shared:
        return self[3:10]

    @property
    def dtype(self) -> DType:
        """The type of the output."""
        return self.plan.dtype


def check_call(
    query: Any,
    key: Any,
    value: Any,
    mask: Any,
    bias: Any,
    causal: Any,
    window: Any,
    align: Any,
    q_lengths: Any,
    kv_lengths: Any,
    scale: Any,
    softcap: Any,
    alibi_slopes: Any,
    sink: Any,
    dropout_p: Any,
    rng: Any,
    layout: str,
) -> Call:
    """Every rule for arrays with leading axes."""
    names: Names = INPUTS
    if value is NO_VALUE:
        key, names = as_array("key", key), INPUTS[:2]
        value = key[..., :0] if key.ndim else key
    plan, given = find_plan(
        query, key, value, mask, bias, alibi_slopes, sink, causal, window, align, layout, names
    )
    items = None
    if q_lengths is not None or kv_lengths is not None or plan.by_item:
        items = check_items(plan.diagonal, plan.axes, plan.rules[2], q_lengths, kv_lengths)
    return finish_call(
        plan, given, plan.rules, items, plan.axes.batch, scale, softcap, dropout_p, rng
    )


def finish_call(
    plan: Plan,
    given: Given,
    rules: Rules,
    items: Items | None,
    batch: Shape,
    scale: Any,
    softcap: Any,
    dropout_p: Any,
    rng: Any,
) -> Call:
    """What depends on numbers and on what arrays hold, and the arrays in types that can be read."""
    query, key, value, mask, bias, alibi_slopes, sink = given
    if plan.converts:
        query, key, value, bias = plan.convert((query, key, value, bias))
    if alibi_slopes is not None:
        alibi_slopes = check_alibi_slopes(alibi_slopes, plan.axes.heads, batch)
    if sink is not None:
        sink = np.require(sink, FLOAT64, ["C", "ALIGNED"])
    seed = 0
    if rng is not None or type(dropout_p) is not float or dropout_p:
        dropout_p, seed = check_dropout(dropout_p, rng)
    # as Call(…) does, in a third of the time
    return tuple.__new__(Call, (
        query, key, value, rules, items,
        plan.scale if scale is None else check_scale(scale, plan.computing),
        0.0 if softcap is None else positive("softcap", softcap),
        mask, bias, alibi_slopes, sink, dropout_p, seed, plan, given,
    ))  # fmt: skip
