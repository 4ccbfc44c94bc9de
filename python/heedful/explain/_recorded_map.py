"""An AttentionMap of what was recorded of a model's attention, with labels at all positions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from heedful.base._types import Array
from heedful.explain._attention_map import AttentionMap
from heedful.explain._layer_weights import LayerWeights
from heedful.explain._token_labels import TokenLabels


class Recorded(Protocol):
    """One call of an attention layer: weights (1, H, R, Lk) or (H, R, Lk) of `rows` (R,)."""

    @property
    def name(self) -> str: ...
    @property
    def weights(self) -> Array: ...
    @property
    def heads(self) -> tuple[int, ...]: ...
    @property
    def rows(self) -> Array: ...
    @property
    def length(self) -> int: ...
    @property
    def is_self(self) -> bool: ...
    @property
    def token_rows(self) -> Array | None: ...


def recorded_map(
    calls: Sequence[Recorded], tokens: Any, targets: set[str], kinds: Mapping[str, str]
) -> AttentionMap:
    """The map of calls in their order.

    `targets` are the blocks whose queries are of the second sequence of tokens, `kinds` those of
    the layers, by name.
    """
    if not calls:
        raise ValueError("layers must be computed by this call of the model: none of them was")
    labels = TokenLabels(tokens)
    counts: dict[str, int] = {}
    found = []
    for call in calls:
        counts[call.name] = counts.get(call.name, 0) + 1
        again = f" ({counts[call.name]})" if counts[call.name] > 1 else ""
        target = block(call.name) in targets
        found.append(_layer_weights(call, call.name + again, kinds.get(call.name), target, labels))
    labels.check()
    return AttentionMap(found)


def block(name: str) -> str:
    """The layer that an attention layer is in."""
    return name.rpartition(".")[0]


def _layer_weights(
    call: Recorded, name: str, kind: str | None, target: bool, labels: TokenLabels
) -> LayerWeights:
    weights = call.weights[0] if call.weights.ndim == 4 else call.weights
    if weights.ndim != 3:
        raise ValueError(
            "model must have one axis of items in front of each sequence: the weights of "
            f"{name!r} have shape {call.weights.shape}"
        )
    if call.token_rows is not None:
        row_tokens = labels.joined(call.token_rows[0], call.length)
        kept = call.rows < len(row_tokens)
        positions = call.rows[kept].tolist()
        return LayerWeights(
            name, weights[:, kept, : len(row_tokens)], call.heads, tuple(positions),
            tuple(row_tokens[position] for position in positions), row_tokens,
            is_self=call.is_self,
        )  # fmt: skip
    keys = int(target) if call.is_self else 0
    # learned queries, and features, have no tokens
    queries = None if kind in ("pooling", "features") else int(target)
    # padding attends to padding, but no token does
    of_tokens = weights[:, call.rows < labels.count(queries, call.length)]
    past = of_tokens[..., labels.count(keys, weights.shape[-1]) :]
    key_tokens = labels.of(keys, weights.shape[-1], padded=not past.any())
    cut = len(key_tokens) < weights.shape[-1]
    query_tokens = labels.of(queries, call.length, padded=cut or not call.is_self)
    kept = call.rows < len(query_tokens)
    positions = call.rows[kept].tolist()
    return LayerWeights(
        name, weights[:, kept, : len(key_tokens)], call.heads, tuple(positions),
        tuple(query_tokens[position] for position in positions), key_tokens,
        is_self=call.is_self,
    )  # fmt: skip
