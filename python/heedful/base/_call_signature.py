"""CallSignature: what a call of a layer takes, for inspect.signature, editors and notebooks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from heedful.base._taps import attention_layers

if TYPE_CHECKING:
    from inspect import Signature


class CallSignature:
    """``inspect.signature(layer)``: that of its `compute` without the mode.

    ``inspect.signature(Linear)``, of the class, remains that of the constructor.
    """

    def __get__(self, layer: Any, kind: Any = None) -> Signature:
        if layer is None:
            raise AttributeError("__signature__")
        from inspect import Parameter  # only now: slow, and needed by people alone

        found: Signature = layer.call_signature()
        taken = list(found.parameters.values())
        forwards = any(one.kind is Parameter.VAR_KEYWORD for one in taken)
        if not forwards and "return_weights" not in found.parameters and attention_layers(layer):
            weights = Parameter("return_weights", Parameter.KEYWORD_ONLY, default=False)
            taken.append(weights.replace(annotation="bool"))
        return found.replace(parameters=taken, return_annotation=found.empty)
