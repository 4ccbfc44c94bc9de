"""GRU: gated recurrent units."""

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


class GRU(Recurrent):
    """Gated recurrent units: a state that each position updates by as much as its gates let it.

    ::

        r = σ(W_ir x + b_ir + W_hr h + b_hr)            how much of the state the candidate reads
        z = σ(W_iz x + b_iz + W_hz h + b_hz)            how much of the state is kept
        n = tanh(W_in x + b_in + r · (W_hn h + b_hn))   the candidate
        h ← (1 − z) · n + z · h                         y[t] = h after position t

    Parameters
    ----------
    input_size : int
        E, the width of x.
    hidden_size : int
        H, the width of the state.
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
    weight_ih_l0, weight_hh_l0 : numpy.ndarray, (3 H, E) and (3 H, H)
        Of the first layer, the rows of r, z and n one after another; ``weight_ih_l1`` and so on of
        others; ``weight_ih_l0_reverse`` and so on from the end.
    bias_ih_l0, bias_hh_l0 : numpy.ndarray, (3 H,), or None

    Notes
    -----
    Cho et al. 2014, https://arxiv.org/abs/1406.1078, with the reset gate after the product as in
    cuDNN. Named ``nn.GRU`` in PyTorch, with the same parameters; here the batch is the first axis,
    of states too, and y comes without the state unless it is asked for. Keras's GRU has the same
    equations.
    Position by position with the state passed on gives what the whole sequence gives, up to the
    order of sums: see :class:`Linear` about 8 rows and more.
    Computes in `dtype`, whatever the input; threads may share it, see :class:`Layer`.

    Examples
    --------
    >>> import numpy as np
    >>> from heedful.layers import GRU
    >>> layer = GRU(3, 4, rng=0)
    >>> x = np.random.default_rng(0).standard_normal((2, 5, 3))
    >>> layer(x).shape
    (2, 5, 4)
    >>> y, state = layer(x, lengths=[5, 3], return_state=True)
    >>> bool((state[1, 0] == y[1, 2]).all() and (y[1, 3:] == 0).all())
    True

    One position at a time, the state passed on:

    >>> state = None
    >>> for t in range(5):
    ...     y, state = layer(x[:, t : t + 1], state, return_state=True)
    >>> bool(np.allclose(y[:, 0], layer(x)[:, 4], atol=1e-6))
    True
    """

    gates: ClassVar[int] = 3
    names: ClassVar[tuple[str, ...]] = ("state",)

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
        ) -> tuple[Array, Array]: ...
        @overload
        def __call__(self, *inputs: Any, return_state: bool, **options: Any) -> Any: ...
        @overload
        def __call__(self: Computes[P, Array], *inputs: P.args, **options: P.kwargs) -> Array: ...
        def __call__(self, *inputs: Any, **options: Any) -> Any: ...

    def compute(
        self, mode: Mode, x: Any, state: Any = None, *, lengths: Any = None,
        return_state: bool = False,
    ) -> tuple[Any, Backward]:  # fmt: skip
        """x (…, L, E) → y (…, L, H), or (…, L, 2 H) in both directions.

        Parameters
        ----------
        state : array_like, (…, num_layers · directions, H), optional
            The state before the first position, layer by layer, in each first that of the forward
            direction; None is 0.
        lengths : array_like of int, (…), optional
            Number of valid positions of each sequence, the first ones. The others are not read,
            their y is 0, and the backward direction begins at the last valid one.
        return_state : bool, default False
            Return (y, state): the state after the last valid position, of the shape of `state`.

        Returns
        -------
        y, backward
            ``backward(dy)`` returns the gradient of x, or of (x, state) where a state was given;
            with return_state it is ``backward(dy, dstate=None)``.
        """
        return self.run(mode, x, (state,), lengths, return_state)

    def int8_names(self) -> tuple[str, ...]:
        # a subclass with a computation of its own may read the weights in another way
        return self.weight_names() if type(self).compute is GRU.compute else ()

    def named_backward(self, backward: Backward) -> Backward:
        def call(dy: Any, dstate: Any = None) -> Any:
            return backward(dy, dstate)

        return call

    def steps(
        self, packed: Packed, reverse: bool, gates: Array, weight: Array, scale: Array | None,
        bias: Array | None, first: States, y: Array,
    ) -> tuple[States, StepsBackward]:  # fmt: skip
        counts, begins = packed.counts, packed.begins
        update = empty((packed.rows, self.hidden_size), self.dtype)  # W_hn h + b_hn
        native.gru_forward(gates, weight, scale, bias, counts, begins, reverse, first[0], update, y)

        def backward(dy: Array, dstates: States) -> tuple[Array, list[Array]]:
            native.gru_backward(
                gates, weight, counts, begins, reverse, first[0], update, y, dy, dstates[0]
            )
            return gates, [gates[:, : 2 * self.hidden_size], update]

        return (packed.last(first[0], y, reverse),), backward
