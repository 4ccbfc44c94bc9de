"""Described: the arguments, results and output activation of a layer, and its text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from inspect import Signature


class Described:
    """Describes a layer, its calls by the signature of its `compute`."""

    if TYPE_CHECKING:
        compute: Any

    def call_signature(self) -> Signature:
        """What a call of this layer takes."""
        from inspect import signature  # only now: slow, and rarely needed

        found = signature(self.compute)
        _, *taken = found.parameters.values()  # mode is passed by the layer
        return found.replace(parameters=taken)

    def output_count(self, options: Mapping[str, Any]) -> int | None:
        """The number of results of a call with these options; None: one, or not known before."""
        return 2 if options.get("return_weights") is True else None

    def ends_in(self, before: str | None) -> str | None:
        """The output activation by name: "sigmoid", "softmax"; "linear" for none, "constant" where
        the output is always the same; None where it is unknown.

        `before` is that of x, which layers such as Dropout pass through.
        """
        return None

    def extra_repr(self) -> str:
        """The text in the brackets of the representation."""
        return ""
