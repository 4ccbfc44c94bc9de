"""Penalties of attention weights and scores that a layer adds to the loss while it is trained."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, TypeAlias

from numpy.typing import ArrayLike

from heedful.base._mode import Mode
from heedful.base._types import Array
from heedful.functional import check_penalties, penalised_attention_vjp
from heedful.layers._typed import Typed

Penalties: TypeAlias = Mapping[str, float | ArrayLike] | None


class PenalisedLayer(Typed):
    """An attention layer whose penalties may be set."""

    _weights_type: Array  # type: ignore[assignment] # its own, and no list
    # of a layer that an earlier version pickled
    _penalties: Mapping[str, float | Array] = MappingProxyType({})

    @property
    def penalties(self) -> dict[str, float | Array]:
        """The weight of each kind of penalty; may be set, to None for none."""
        return dict(self._penalties)

    @penalties.setter
    def penalties(self, given: Penalties) -> None:
        self._penalties = self._check_penalties(given)

    def _check_penalties(self, given: Any) -> dict[str, float | Array]:
        return _check_layer_penalties(self, given)


def _check_layer_penalties(layer: Any, given: Any) -> dict[str, float | Array]:
    """The weight of each kind, one for all heads or (H,)."""
    found = {} if given is None else check_penalties(given, getattr(layer, "num_heads", 1))
    if not found:
        return found
    normalizer = getattr(layer, "normalizer", "softmax")
    if normalizer != "softmax":
        raise ValueError(
            "penalties must be None where normalizer is not 'softmax': they are of its weights: "
            f"got {normalizer!r}"
        )
    for name in ("top_k", "sink", "hard", "adaptive_span"):
        value = getattr(layer, name, None)
        if value is not None and value is not False:
            raise ValueError(
                f"penalties must be None with {name}: they are of the weights of all visible keys, "
                "which sum to 1"
            )
    return found


def penalised_vjp(
    penalties: dict[str, float | Array], mode: Mode, penalised: Any = penalised_attention_vjp
) -> Callable[..., tuple[Any, Callable[..., Any]]]:
    """A vjp whose gradients include those of the penalties, which are added to the mode."""

    def run(*arrays: Array, **options: Any) -> tuple[Any, Callable[..., Any]]:
        out, penalty, pullback = penalised(*arrays, penalties, **options)
        mode.add_penalty(penalty)
        return out, pullback

    return run


def penalties_shown(penalties: Mapping[str, float | Array]) -> str:
    """The end of a representation."""
    if not penalties:
        return ""
    parts = (
        f"{kind!r}: {weight:g}" if isinstance(weight, float) else f"{kind!r}: {weight.tolist()}"
        for kind, weight in penalties.items()
    )
    return f", penalties={{{', '.join(parts)}}}"
