"""PrunedEncoder: an encoder that keeps the tokens which receive the most attention."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, overload

import numpy as np
from numpy.typing import ArrayLike

from heedful._checks import flag, int64_array
from heedful.base._mode import Mode
from heedful.base._types import Array, Backward
from heedful.layers import Encoder, MultiHeadAttention
from heedful.pruning._received import received_attention
from heedful.pruning._rows import put_back, taken
from heedful.pruning._schedule import Keep, keep_schedule, remaining
from heedful.pruning._shortening import Observed, Shortening
from heedful.pruning._tokens import Tokens

if TYPE_CHECKING:
    from heedful.base._call_types import Computes, P


class PrunedEncoder(Shortening):
    """An encoder that keeps the tokens which receive the most attention, fewer in each layer.

    ::

        x ← attention sublayer(x)
        received[j] = Σ over heads and tokens i of weights[i, j]
        x ← x[the first token, and those of the greatest received]      keep of the layer, in order
        x ← feed-forward sublayer(x)

    Parameters
    ----------
    encoder : Encoder
        Its layers and norm are shared, not copied, with the names of their parameters. Positions
        must be added to its input: it must not be causal, rotary or with alibi.
    keep : sequence of int, or of float
        For each layer the number of tokens that it passes on, or the fraction of the tokens of each
        item in the input, rounded up. None may be larger than the one before. An item with fewer
        tokens keeps all of them.

    Notes
    -----
    Goyal et al. 2020, PoWER-BERT, https://arxiv.org/abs/2001.08950, with a schedule that is given
    instead of learned. Of tokens that receive the same the first are kept. The choice is constant
    in the backward pass: gradients flow through the tokens that were kept, and through the keys and
    values of the others in the layers where they still were. Weights are not stored: what a token
    receives takes one more pass over queries and keys, in a layer that drops any, with memory
    linear in L.
    Computes in the type of the encoder, dtype, whatever the input; threads may share it, see
    :class:`Layer`.

    Examples
    --------
    >>> import numpy as np
    >>> from heedful.layers import Encoder
    >>> from heedful.pruning import PrunedEncoder
    >>> encoder = PrunedEncoder(Encoder(3, 8, 2, dff=16, rng=0), keep=[6, 4, 2])
    >>> x = np.random.default_rng(0).standard_normal((5, 9, 8))
    >>> y, positions = encoder(x, return_positions=True)
    >>> y.shape, positions.shape, bool((positions[:, 0] == 0).all())
    ((5, 2, 8), (5, 2), True)
    """

    def __init__(self, encoder: Encoder, keep: Sequence[Keep]) -> None:
        super().__init__(encoder)
        self.keep: list[Keep] = keep_schedule(keep, len(self.layers))

    if TYPE_CHECKING:

        @overload  # type: ignore[override]
        def __call__(
            self, *inputs: Any, return_positions: bool, return_weights: bool, **options: Any
        ) -> Any: ...
        @overload
        def __call__(
            self, *inputs: Any, return_positions: Literal[True], **options: Any
        ) -> tuple[Array, Array]: ...
        @overload
        def __call__(self, *inputs: Any, return_positions: bool, **options: Any) -> Any: ...
        @overload
        def __call__(
            self, *inputs: Any, return_weights: Literal[True], **options: Any
        ) -> tuple[Array, list[Array]]: ...
        @overload
        def __call__(self: Computes[P, Array], *inputs: P.args, **options: P.kwargs) -> Array: ...
        def __call__(self, *inputs: Any, **options: Any) -> Any: ...

    def compute(
        self,
        mode: Mode,
        x: Any,
        *,
        mask: Any = None,
        kv_lengths: Any = None,
        return_positions: bool = False,
    ) -> tuple[Any, Backward]:
        """x (B, L, E) → y (B, K, E), of the tokens that are left, in their order.

        K is what the last layer keeps of L tokens. An item of which fewer are left has them first;
        its rows past them are undefined.

        Parameters
        ----------
        mask : array_like of bool, (B, 1, 1, L), optional
            Which tokens count; others are neither attended to nor kept.
        kv_lengths : array_like of int, (B,), optional
            The number of tokens of each item, the first ones.
        return_positions : bool, default False
            Return (y, positions), the positions (B, K) in x of the rows of y; −1 past the last.
        """
        return_positions = flag("return_positions", return_positions)
        return self.run(
            mode, x, mask, kv_lengths, lambda tokens: _Selection(tokens, self.keep),
            return_positions,
        )  # fmt: skip

    def rows_left(self, counts: ArrayLike) -> Array:
        return remaining(self.keep[-1], int64_array("counts", counts))

    def extra_repr(self) -> str:
        return f"keep={self.keep}"


class _Selection:
    def __init__(self, tokens: Tokens, keep: list[Keep]) -> None:
        self.tokens, self.keep = tokens, keep
        self.counts, self.length = tokens.valid.sum(1), tokens.valid.shape[1]  # of the input
        self.places = np.where(tokens.valid, np.arange(self.length), -1)

    def options(self) -> dict[str, Any]:
        return self.tokens.options

    def shortens(self, index: int, length: int) -> bool:
        return int(remaining(self.keep[index], self.length)) < length

    def token_rows(self) -> Array:
        rows = np.full((len(self.places), self.length), -1)
        items, kept = np.nonzero(self.places >= 0)
        rows[items, self.places[items, kept]] = kept
        return rows

    def shorten(
        self, index: int, layer: MultiHeadAttention, x: Array, observed: Observed
    ) -> tuple[Array, Backward]:
        received = received_attention(layer, *observed, self.tokens.valid)
        kept, length = int(remaining(self.keep[index], self.length)), x.shape[1]
        counts = remaining(self.keep[index], self.counts)
        rows = selected(received, self.tokens.valid, counts, kept)
        self.tokens = Tokens.leading(counts, kept)
        self.places = np.where(self.tokens.valid, taken(self.places, rows), -1)
        return taken(x, rows), lambda dy: put_back(dy, rows, length)


def selected(received: Array, valid: Array, counts: Array, kept: int) -> Array:
    """Of each item the first token and the `counts` − 1 others that receive the most.

    received, valid (B, L), counts (B,) → rows (B, kept), ascending; after them any others, where
    counts < kept. Of equal ones the first is taken.
    """
    order = np.where(valid, received, -np.inf)
    order[:, 0] = np.where(valid[:, 0], np.inf, -np.inf)
    ranked = np.argsort(-order, axis=1, kind="stable")[:, :kept]
    chosen = np.zeros(valid.shape, np.bool_)
    np.put_along_axis(chosen, ranked, np.arange(kept) < counts[:, None], axis=1)
    return np.argsort(~chosen, axis=1, kind="stable")[:, :kept]
