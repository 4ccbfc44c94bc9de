"""LSTM: long short-term memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal, overload

import numpy as np
from numpy.typing import DTypeLike

from heedful._core import native
from heedful._core._memory import empty
from heedful.base._mode import Mode
from heedful.base._types import Array, Backward, Rng
from heedful.layers.blocks.recurrent._packed import Packed
from heedful.layers.blocks.recurrent._recurrent import Recurrent, States, StepsBackward

if TYPE_CHECKING:
    from heedful.base._call_types import Computes, P


class LSTM(Recurrent):
    """Long short-term memory: a cell that gates write to, erase and read.

    ::

        i = σ(W_ii x + b_ii + W_hi h + b_hi)      how much is written
        f = σ(W_if x + b_if + W_hf h + b_hf)      how much of the cell is kept
        g = tanh(W_ig x + b_ig + W_hg h + b_hg)   what is written
        o = σ(W_io x + b_io + W_ho h + b_ho)      how much is read
        c ← f · c + i · g
        h ← o · tanh(c)                           y[t] = h after position t

    Parameters
    ----------
    input_size : int
        E, the width of x.
    hidden_size : int
        H, the width of the state h and of the cell c.
    num_layers : int, default 1
        Layers, each of which reads the results of the one before it.
    bias : bool, default True
    dropout : float, default 0
        Of the results of every layer but the last, in training.
    bidirectional : bool, default False
        Each layer has a second one that reads the sequence from its end; their results are side by
        side.
    dtype : {float32, float64}
    rng : None, int or numpy.random.Generator
        For the initial parameters: uniform within ±1/√H, as in PyTorch.

    Attributes
    ----------
    weight_ih_l0, weight_hh_l0 : numpy.ndarray, (4 H, E) and (4 H, H)
        Of the first layer, the rows of i, f, g and o one after another; ``weight_ih_l1`` and so on
        of others; ``weight_ih_l0_reverse`` and so on from the end.
    bias_ih_l0, bias_hh_l0 : numpy.ndarray, (4 H,), or None

    Notes
    -----
    Hochreiter and Schmidhuber 1997, https://doi.org/10.1162/neco.1997.9.8.1735, with the forget
    gate of Gers et al. 2000. Named ``nn.LSTM`` in PyTorch, with the same parameters; here the batch
    is the first axis, of states too, h and c are arguments one after the other, and y comes without
    them unless they are asked for.
    Position by position with the states passed on gives what the whole sequence gives, up to the
    order of sums: see :class:`Linear` about 8 rows and more.
    Computes in `dtype`, whatever the input; threads may share it, see :class:`Layer`.

    Examples
    --------
    >>> import numpy as np
    >>> from heedful.layers import LSTM
    >>> layer = LSTM(3, 4, rng=0)
    >>> x = np.random.default_rng(0).standard_normal((2, 5, 3))
    >>> y, state, cell = layer(x, lengths=[5, 3], return_state=True)
    >>> y.shape, state.shape, cell.shape
    ((2, 5, 4), (2, 1, 4), (2, 1, 4))
    >>> y, state, cell = layer(x, state, cell, return_state=True)
    """

    gates: ClassVar[int] = 4
    names: ClassVar[tuple[str, ...]] = ("state", "cell")

    def __init__(
        self, input_size: int, hidden_size: int, num_layers: int = 1, bias: bool = True,
        dropout: float = 0.0, bidirectional: bool = False, *, dtype: DTypeLike = np.float32,
        rng: Rng = None,
    ) -> None:  # fmt: skip
        super().__init__(
            input_size, hidden_size, num_layers, bias, dropout, bidirectional, dtype, rng
        )

    if TYPE_CHECKING:

        @overload  # type: ignore[override]
        def __call__(
            self, *inputs: Any, return_state: Literal[True], **options: Any
        ) -> tuple[Array, Array, Array]: ...
        @overload
        def __call__(self, *inputs: Any, return_state: bool, **options: Any) -> Any: ...
        @overload
        def __call__(self: Computes[P, Array], *inputs: P.args, **options: P.kwargs) -> Array: ...
        def __call__(self, *inputs: Any, **options: Any) -> Any: ...

    def compute(
        self, mode: Mode, x: Any, state: Any = None, cell: Any = None, *, lengths: Any = None,
        return_state: bool = False,
    ) -> tuple[Any, Backward]:  # fmt: skip
        """x (…, L, E) → y (…, L, H), or (…, L, 2 H) in both directions.

        Parameters
        ----------
        state, cell : array_like, (…, num_layers · directions, H), optional
            h and c before the first position, layer by layer, in each first those of the forward
            direction; None is 0.
        lengths : array_like of int, (…), optional
            Number of valid positions of each sequence, the first ones. The others are not read,
            their y is 0, and the backward direction begins at the last valid one.
        return_state : bool, default False
            Return (y, state, cell): h and c after the last valid position, of the shape of `state`.

        Returns
        -------
        y, backward
            ``backward(dy)`` returns the gradient of x, or of (x, state, cell) where one of the
            states was given; with return_state it is ``backward(dy, dstate=None, dcell=None)``.
        """
        return self.run(mode, x, (state, cell), lengths, return_state)

    def int8_names(self) -> tuple[str, ...]:
        # a subclass with a computation of its own may read the weights in another way
        return self.weight_names() if type(self).compute is LSTM.compute else ()

    def named_backward(self, backward: Backward) -> Backward:
        def call(dy: Any, dstate: Any = None, dcell: Any = None) -> Any:
            return backward(dy, dstate, dcell)

        return call

    def steps(
        self, packed: Packed, reverse: bool, gates: Array, weight: Array, scale: Array | None,
        bias: Array | None, first: States, y: Array,
    ) -> tuple[States, StepsBackward]:  # fmt: skip
        counts, begins = packed.counts, packed.begins
        cells = empty((packed.rows, self.hidden_size), self.dtype)
        native.lstm_forward(
            gates, weight, scale, bias, counts, begins, reverse, first[0], first[1], cells, y
        )

        def backward(dy: Array, dstates: States) -> tuple[Array, list[Array]]:
            native.lstm_backward(
                gates, weight, counts, begins, reverse, first[1], cells, dy, dstates[0], dstates[1]
            )
            return gates, [gates]

        return (packed.last(first[0], y, reverse), packed.last(first[1], cells, reverse)), backward
