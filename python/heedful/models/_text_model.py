"""TextModel: an encoder of the BERT family with a head on it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

from heedful._checks import named
from heedful.base._mode import Mode
from heedful.base._types import Array, Backward
from heedful.layers import BertEncoder
from heedful.layers._typed import Typed

# from y (B, L, E) to the outputs, and from their gradients to dy
Head = Callable[[Mode, Array], tuple[tuple[Array, ...], Backward]]


class TextModel(Typed, ABC):
    """The base of heads on a :class:`BertEncoder`; a subclass writes `head`."""

    bert: BertEncoder

    def __init__(self, bert: BertEncoder) -> None:
        if not isinstance(bert, BertEncoder):
            raise TypeError(f"bert must be a BertEncoder: got {named(bert)}")
        super().__init__(bert.dtype)
        self.bert = bert

    @abstractmethod
    def head(self, mode: Mode, y: Array) -> tuple[tuple[Array, ...], Backward]:
        """y (B, L, E) → outputs, and the function from their gradients to dy."""

    def compute(
        self, mode: Mode, tokens: Any, *, lengths: Any = None, mask: Any = None,
        segments: Any = None, hidden_states: bool = False,
    ) -> tuple[Any, Backward]:  # fmt: skip
        """tokens (B, L) → what the class says.

        Parameters
        ----------
        lengths, mask, segments
            See ``BertEncoder.compute``.
        hidden_states : bool, default False
            Return also, as the last, a list of the encoder's input and of the output of each of its
            layers. They are constant in the backward pass.
        """
        y, back_encoder = self.bert.compute(
            mode, tokens, lengths=lengths, mask=mask, segments=segments, hidden_states=hidden_states
        )
        y, *states = y if hidden_states else (y,)
        found, back_head = self.head(mode, y)
        outputs = (*found, *states)

        def backward(*gradients: Any) -> None:
            back_encoder(back_head(*gradients))

        return outputs if len(outputs) > 1 else outputs[0], backward
