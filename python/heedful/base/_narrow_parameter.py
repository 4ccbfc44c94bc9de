"""NarrowParameter: a weight in fewer bits than the one of float32 that it was made of."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar
from weakref import ref

from heedful.base._parameter import Parameter
from heedful.base._types import Array


class NarrowParameter(Parameter, ABC):
    """A weight that is not trained; subclasses hold its elements.

    Attributes
    ----------
    kind : str
        "int8" or "bfloat16".
    trainable : bool
        False; True may be assigned for the weight that `dequantised` makes.
    """

    __slots__ = ("_original", "_was_trainable")

    kind: ClassVar[str]

    def _take(self, weight: Parameter) -> None:
        """All but the elements of the weight that this one is made of."""
        self.grad = self._spare = None
        self.regularizer: Any = weight.regularizer
        self._was_trainable: bool = weight.trainable
        if isinstance(weight, NarrowParameter):
            self._was_trainable = weight._was_trainable
        self._original: Callable[[], Parameter | None] = ref(weight)

    def __getstate__(self) -> tuple[None, dict[str, Any]]:
        return None, {
            "regularizer": self.regularizer, "was_trainable": self._was_trainable,
            "original": self._original(),
        }  # fmt: skip

    def __setstate__(self, state: tuple[None, dict[str, Any]]) -> None:
        held = state[1]
        self.grad = self._spare = None
        self.regularizer, self._was_trainable = held["regularizer"], held["was_trainable"]
        original = held["original"]
        self._original = (lambda: None) if original is None else ref(original)

    @property
    def trainable(self) -> bool:
        return False

    @trainable.setter
    def trainable(self, given: bool) -> None:
        self._was_trainable = given

    @property
    def original(self) -> Parameter | None:
        """The parameter that this was made of, if another layer still has it."""
        return self._original()

    @abstractmethod
    def widened(self) -> Array:
        """A new array of its elements in float32."""

    def dequantised(self) -> Parameter:
        """A parameter of float32."""
        made = Parameter(self.widened())
        made.trainable, made.regularizer = self._was_trainable, self.regularizer
        return made
