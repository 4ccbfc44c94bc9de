"""Calls: a layer called for inference, and forward, which keeps what its backward pass needs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Literal, overload

from heedful._checks import flag, named
from heedful.base._call_mismatch import call_mismatch
from heedful.base._call_signature import CallSignature
from heedful.base._described import Described
from heedful.base._finite_check import checking
from heedful.base._mode import INFERENCE, Mode
from heedful.base._rollback import rollback
from heedful.base._single_use import single_use
from heedful.base._types import Array, Backward, Rng, generator
from heedful.base._watch import asks_for_weights, with_weights
from heedful.base.tape._traced import active, recorder_of

if TYPE_CHECKING:
    from heedful.base._call_types import Attends, Computes, P, Result, Weights
    from heedful.base._module import Module


class Calls(Described):
    """A function of arrays, written as `compute`."""

    __signature__: CallSignature = CallSignature()

    if TYPE_CHECKING:
        # the type of what return_weights=True adds to the result
        @property
        def _weights_type(self) -> list[Array]: ...

        def named_layers(self) -> Iterator[tuple[str, Module]]: ...

    def compute(self, mode: Mode, *inputs: Any, **options: Any) -> tuple[Any, Backward]:
        """The result, and the function from its gradient to those of the inputs."""
        raise TypeError(f"{type(self).__name__} has no compute")

    def computed(self, mode: Mode, /, *inputs: Any, **options: Any) -> tuple[Any, Backward]:
        """What `compute` returns, if it is a result and a function: a user may have written it."""
        try:
            found: Any = self.compute(mode, *inputs, **options)
        except TypeError:
            wrong = call_mismatch(self.__signature__, mode.training, inputs, options)
            if wrong is None:
                raise
            raise TypeError(f"{type(self).__name__} {wrong}") from None
        if isinstance(found, tuple) and len(found) == 2 and callable(found[1]):
            return found[0], found[1]
        raise TypeError(
            f"{type(self).__name__}.compute must return (y, backward): got {named(found)}"
        )

    @overload
    def __call__(
        self, *inputs: Any, return_weights: bool, hidden_states: bool, **options: Any
    ) -> Any: ...
    @overload
    def __call__(
        self: Attends[Result, Weights], *inputs: Any, return_weights: Literal[True], **options: Any
    ) -> tuple[Result, Weights]: ...
    @overload
    def __call__(
        self: Attends[Result, Weights], *inputs: Any, hidden_states: Literal[True], **options: Any
    ) -> tuple[Result, list[Array]]: ...
    @overload
    def __call__(self, *inputs: Any, return_weights: bool, **options: Any) -> Any: ...
    @overload
    def __call__(self, *inputs: Any, hidden_states: bool, **options: Any) -> Any: ...
    @overload
    def __call__(self: Computes[P, Result], *inputs: P.args, **options: P.kwargs) -> Result: ...
    def __call__(self, *inputs: Any, **options: Any) -> Any:
        """The result alone: nothing is kept for a backward pass, and dropout is inactive.

        Shapes are those of `compute`. Any number of threads may call at the same time. A call that
        raises leaves the caches passed to it unchanged.

        With ``return_weights=True`` a model returns (y, weights): the attention weights of each
        layer inside, (…, H, Lq, Lk), in the order of the computation. See
        :func:`heedful.explain.watch` for those of some layers, heads and rows.

        On an :class:`heedful.layers.Input`, and in a :class:`heedful.layers.Tape`, it is recorded.
        """
        recorder = recorder_of(inputs, options)
        if recorder is not None:
            return recorder.call(self, inputs, options)
        if asks_for_weights(self, options):
            return with_weights(self, self.__call__, inputs, options)
        if "cache" in options or "caches" in options:
            with rollback(options.get("cache"), options.get("caches")):
                return self.computed(INFERENCE, *inputs, **options)[0]
        return self.computed(INFERENCE, *inputs, **options)[0]

    @overload
    def forward(
        self, *inputs: Any, rng: Rng = None, check: bool = False, return_weights: bool,
        hidden_states: bool, **options: Any,
    ) -> tuple[Any, Backward]: ...  # fmt: skip
    @overload
    def forward(
        self: Attends[Result, Weights], *inputs: Any, rng: Rng = None, check: bool = False,
        return_weights: Literal[True], **options: Any,
    ) -> tuple[tuple[Result, Weights], Backward]: ...  # fmt: skip
    @overload
    def forward(
        self: Attends[Result, Weights], *inputs: Any, rng: Rng = None, check: bool = False,
        hidden_states: Literal[True], **options: Any,
    ) -> tuple[tuple[Result, list[Array]], Backward]: ...  # fmt: skip
    @overload
    def forward(
        self, *inputs: Any, rng: Rng = None, check: bool = False, return_weights: bool,
        **options: Any,
    ) -> tuple[Any, Backward]: ...  # fmt: skip
    @overload
    def forward(
        self, *inputs: Any, rng: Rng = None, check: bool = False, hidden_states: bool,
        **options: Any,
    ) -> tuple[Any, Backward]: ...  # fmt: skip
    @overload
    def forward(
        self: Computes[..., Result], *inputs: Any, rng: Rng = None, check: bool = False,
        **options: Any,
    ) -> tuple[Result, Backward]: ...  # fmt: skip
    def forward(
        self, *inputs: Any, rng: Rng = None, check: bool = False, **options: Any
    ) -> tuple[Any, Backward]:
        """The result, and a function that propagates gradients back through this computation, once.

        Shapes are those of `compute`; a gradient has the shape of what it is the gradient of. Any
        number of threads may call, and run their backward functions one after another: they share
        the gradients of the parameters.

        Parameters
        ----------
        rng : None, int or numpy.random.Generator
            Generator of dropout and noise: seeded by the system, by an integer, or the given one.
        check : bool, default False
            Look for NaN and infinities in each layer, forward and backward: a FloatingPointError
            names the layer, the item and the position where the first one arises.
        return_weights : bool, default False
            Return ((y, weights), backward), the weights as a call of the model returns them:
            without dropout and noise, and constant in the backward pass.
        """
        if active.get() is not None:
            raise RuntimeError("within a tape, or in call, write layer(x): its backward is derived")
        if flag("check", check):
            with checking(self):
                return self.forward(*inputs, rng=rng, **options)
        if asks_for_weights(self, options):
            options["rng"] = rng
            (y, backward), weights = with_weights(self, self.forward, inputs, options)
            return (y, weights), backward
        penalties: list[float] = []
        mode = Mode(True, generator(rng), penalties)
        y, backward = self.computed(mode, *inputs, **options)
        if penalties or "_attention_penalty" in vars(self):
            object.__setattr__(self, "_attention_penalty", sum(penalties))
        return y, single_use(y, backward)

    @property
    def attention_penalty(self) -> float:
        """By what penalties of attention in this model add to the loss: at its latest `forward`.

        See ``penalties`` of :class:`heedful.layers.MultiHeadAttention`. The backward function adds
        their gradients; they are not computed in inference.
        """
        return float(vars(self).get("_attention_penalty", 0.0))
