"""MergedEncoder: an encoder that merges similar tokens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, overload

import numpy as np
from numpy.typing import ArrayLike

from heedful._checks import flag, int64_array
from heedful.base._mode import Mode
from heedful.base._types import Array, Backward
from heedful.layers import Encoder, MultiHeadAttention
from heedful.pruning._matching import matching, most_merged
from heedful.pruning._merge import Merge
from heedful.pruning._schedule import merge_schedule
from heedful.pruning._shortening import Observed, Shortening
from heedful.pruning._tokens import Tokens

if TYPE_CHECKING:
    from heedful.base._call_types import Computes, P


class MergedEncoder(Shortening):
    """An encoder that merges similar tokens into their mean, some in each layer.

    ::

        x ← attention sublayer(x), with log(size[j]) added to the scores of token j
        each token at an even place but the first is paired with the token at an odd place whose
        key has the greatest cosine similarity; the `merge` most similar pairs are merged:
        x[j] ← Σ size · x / Σ size,   size[j] ← Σ size      over token j and those merged into it
        x ← feed-forward sublayer(x)

    Parameters
    ----------
    encoder : Encoder
        Its layers and norm are shared, not copied, with the names of their parameters. Positions
        must be added to its input: it must not be causal, rotary or with alibi.
    merge : int, or sequence of int
        How many tokens are merged into others in each layer, or in every layer: at most half of the
        tokens that an item still has.

    Notes
    -----
    Bolya et al. 2023, Token Merging: Your ViT But Faster, https://arxiv.org/abs/2210.09461; keys
    are averaged over the heads, sizes are 1 in the first layer. The first token, which may be a
    class token, is not merged into another, though others may be merged into its neighbours. Rows
    stay in order, a merged one at the place of its odd token. The choice of the pairs is constant
    in the backward pass; gradients flow through all tokens. Similarities are computed some rows at
    a time, memory is linear in L.
    Computes in the type of the encoder, dtype, whatever the input; threads may share it, see
    :class:`Layer`.

    Examples
    --------
    >>> import numpy as np
    >>> from heedful.layers import Encoder
    >>> from heedful.pruning import MergedEncoder
    >>> encoder = MergedEncoder(Encoder(3, 8, 2, dff=16, rng=0), merge=2)
    >>> x = np.random.default_rng(0).standard_normal((5, 9, 8))
    >>> y, rows = encoder(x, return_rows=True)
    >>> y.shape, rows.shape
    ((5, 3, 8), (5, 9))

    How many tokens each row of the first item has:

    >>> int(np.bincount(rows[0]).sum())
    9
    """

    def __init__(self, encoder: Encoder, merge: int | Sequence[int]) -> None:
        super().__init__(encoder)
        self.merge: list[int] = merge_schedule(merge, len(self.layers))

    if TYPE_CHECKING:

        @overload  # type: ignore[override]
        def __call__(
            self, *inputs: Any, return_rows: bool, return_weights: bool, **options: Any
        ) -> Any: ...
        @overload
        def __call__(
            self, *inputs: Any, return_rows: Literal[True], **options: Any
        ) -> tuple[Array, Array]: ...
        @overload
        def __call__(self, *inputs: Any, return_rows: bool, **options: Any) -> Any: ...
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
        return_rows: bool = False,
    ) -> tuple[Any, Backward]:
        """x (B, L, E) → y (B, K, E), of the tokens that are left, in their order.

        K is what is left of L tokens. An item of which fewer are left has them first; its rows past
        them are undefined.

        Parameters
        ----------
        mask : array_like of bool, (B, 1, 1, L), optional
            Which tokens count; others are neither attended to nor merged.
        kv_lengths : array_like of int, (B,), optional
            The number of tokens of each item, the first ones.
        return_rows : bool, default False
            Return (y, rows), the row (B, L) of y that each token of x is in; −1 for those that do
            not count.
        """
        return_rows = flag("return_rows", return_rows)
        return self.run(
            mode, x, mask, kv_lengths, lambda tokens: _Merging(tokens, self.merge), return_rows
        )

    def rows_left(self, counts: ArrayLike) -> Array:
        left = int64_array("counts", counts)
        for merge in self.merge:
            left = left - np.minimum(merge, most_merged(left))
        return left

    def extra_repr(self) -> str:
        return f"merge={self.merge}"


class _Merging:
    def __init__(self, tokens: Tokens, merge: list[int]) -> None:
        self.tokens, self.merge = tokens, merge
        self.places = np.where(tokens.valid, np.arange(tokens.valid.shape[1]), -1)
        self.sizes: Array | None = None  # (B, L), None while all are 1

    def options(self) -> dict[str, Any]:
        if self.sizes is None:
            return self.tokens.options
        return {**self.tokens.options, "bias": np.log(self.sizes)[:, None, None]}

    def shortens(self, index: int, length: int) -> bool:
        return min(self.merge[index], int(most_merged(length))) > 0

    def token_rows(self) -> Array:
        return self.places

    def shorten(
        self, index: int, layer: MultiHeadAttention, x: Array, observed: Observed
    ) -> tuple[Array, Backward]:
        keys = np.einsum("blhd->bld", observed.key)  # a sum: its length does not matter
        pairs = matching(keys, self.tokens.valid, self.merge[index])
        merge = Merge(pairs, self.tokens.valid, self.sizes)
        self.tokens = Tokens.leading(merge.counts, merge.length)
        self.places = np.where(
            self.places < 0, -1, np.take_along_axis(merge.rows, np.maximum(self.places, 0), 1)
        )
        self.sizes = merge.sizes.astype(x.dtype)
        return merge(x), merge.backward
