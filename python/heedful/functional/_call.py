"""One checked call: its arrays, and the other arguments of the compiled functions."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from heedful._checks import positive
from heedful._core import native
from heedful.functional._block_mask import check_block_mask, longest
from heedful.functional._dropped_blocks import Blocks, check_min_weight, droppable
from heedful.functional._dtypes import FLOAT64, Array, DType, as_array
from heedful.functional._normalizer import (
    Normalizer,
    check_normalizer,
    refuse_with_normalizer,
)
from heedful.functional._options import INPUTS
from heedful.functional._packed import check_packed
from heedful.functional._plan import Geometry, Names, Plan, find_plan, plans
from heedful.functional._positions import Items, check_items
from heedful.functional._random import check_random
from heedful.functional._restrictions import check_alibi_slopes
from heedful.functional._scale import check_scale

_NOT_RANDOM = 0.0, 0, 0.0, 0.0
NO_VALUE = object()  # stands for a value of depth 0 where only scores or weights are computed


class Call(NamedTuple):
    """In the order of the compiled functions' arguments, from geometry to alibi_slopes `shared`."""

    query: Array  # with the axes as they were given
    key: Array
    value: Array
    geometry: Geometry
    items: Items | None
    scale: float
    softcap: float
    mask: NDArray[np.bool_] | None
    bias: Array | None
    block_mask: Blocks | None
    alibi_slopes: NDArray[np.float64] | None
    sink: NDArray[np.float64] | None  # (H,)
    dropout_p: float
    seed: int
    key_dropout_p: float
    gumbel_temperature: float  # 0: no noise
    plan: Plan
    normalizer: Normalizer | None  # None: softmax
    inputs: tuple[Any, ...] | None  # the arrays as they were given, see ARRAY_NAMES

    @property
    def shared(self) -> tuple[Any, ...]:
        return self[3:11]

    @property
    def random(self) -> tuple[float, int, float, float]:
        return self[12:16]

    @property
    def is_random(self) -> bool:
        return self.dropout_p > 0 or self.changes_scores

    @property
    def changes_scores(self) -> bool:
        """Whether scores are random, and not the weights alone."""
        return self.key_dropout_p > 0 or self.gumbel_temperature > 0

    @property
    def score_slope(self) -> float:
        """What scores that enter the softmax are multiplied by."""
        return 1 / self.gumbel_temperature if self.gumbel_temperature else 1.0

    @property
    def dtype(self) -> DType:
        """The type of the output."""
        return self.plan.dtype


def check_call(
    query: Any,
    key: Any,
    value: Any,
    mask: Any = None,
    bias: Any = None,
    block_mask: Any = None,
    min_weight: Any = 0.0,
    causal: Any = False,
    window: Any = None,
    exclude_self: Any = False,
    align: Any = None,
    q_lengths: Any = None,
    kv_lengths: Any = None,
    top_k: Any = None,
    normalizer: Any = "softmax",
    scale: Any = None,
    softcap: Any = None,
    alibi_slopes: Any = None,
    sink: Any = None,
    dropout_p: Any = 0.0,
    key_dropout_p: Any = 0.0,
    gumbel_temperature: Any = None,
    rng: Any = None,
    layout: str = "bhld",
    starts: tuple[Any, Any] | None = None,
) -> Call:
    """Check all arguments; the options are described in `_options`.

    `starts` are cu_seqlens of query and key, for packed sequences.
    """
    names: Names = INPUTS
    if value is NO_VALUE:
        key, names = as_array("key", key), INPUTS[:2]
        value = key[..., :0] if key.ndim else key
    # in the order of _options
    arrays = query, key, value, mask, bias, alibi_slopes, sink
    values = causal, window, exclude_self, align, top_k, layout, starts is not None
    plan = plans.get(native.describe(arrays, values))
    if plan is None:  # otherwise they are arrays already
        plan, arrays = find_plan(arrays, values, names)
        query, key, value, mask, bias, alibi_slopes, sink = arrays
    geometry, items = plan.geometry, None
    if starts is not None:
        geometry, items = check_packed(plan, starts, q_lengths, kv_lengths)
    elif q_lengths is not None or kv_lengths is not None or plan.by_item:
        items = check_items(plan.diagonal, plan.axes, geometry.offset, q_lengths, kv_lengths)
    if plan.converts:
        query, key, value, bias = plan.convert((query, key, value, bias))
    if block_mask is not None or type(min_weight) is not float or min_weight:
        block_mask = _check_blocks(
            block_mask, min_weight, plan, geometry, None if starts is None else items
        )
    if alibi_slopes is not None:
        alibi_slopes = check_alibi_slopes(alibi_slopes, plan.axes.heads, geometry.batch)
    if sink is not None:
        sink = np.require(sink, FLOAT64, ["C", "ALIGNED"])
    random = _NOT_RANDOM
    if (
        rng is not None or gumbel_temperature is not None
        or type(dropout_p) is not float or dropout_p
        or type(key_dropout_p) is not float or key_dropout_p
    ):  # fmt: skip
        random = check_random(dropout_p, key_dropout_p, gumbel_temperature, rng)
    sparse = None
    if type(normalizer) is not str or normalizer != "softmax":
        sparse = check_normalizer(normalizer, plan.axes.heads)
        if sparse is not None:
            refuse_with_normalizer(top_k, sink, min_weight, gumbel_temperature)
    # as Call(…) does, in a third of the time
    return tuple.__new__(Call, (
        query, key, value, geometry, items,
        plan.scale if scale is None else check_scale(scale, plan.computing),
        0.0 if softcap is None else positive("softcap", softcap),
        mask, bias, block_mask, alibi_slopes, sink, *random, plan, sparse, arrays,
    ))  # fmt: skip


def _check_blocks(
    block_mask: Any, min_weight: Any, plan: Plan, geometry: Geometry, packed: Items | None
) -> Blocks | None:
    axes, batch, blocks = plan.axes, geometry.batch, None
    lengths = longest(axes, packed)
    if block_mask is not None:
        blocks = check_block_mask(block_mask, axes, batch, lengths, packed is not None)
    min_weight = check_min_weight(min_weight)
    if min_weight > 0 and plan.top_k:
        raise ValueError(f"min_weight must be 0 where top_k is given: got {min_weight}")
    if min_weight > 0:
        return droppable(blocks, min_weight, axes, batch, lengths, plan.computing.itemsize)
    return blocks
