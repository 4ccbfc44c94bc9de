"""Policies of a KVCache: which rows are kept, or read, where memory or time is bounded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np

from heedful._checks import count, size
from heedful.functional._cache_store import CacheStore, Rows
from heedful.functional._dtypes import Array
from heedful.functional._heavy_hitters_store import HeavyHittersStore
from heedful.functional._quest_store import QuestStore
from heedful.functional._sinks_and_window_store import SinksAndWindowStore
from heedful.functional._window_store import WindowStore

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


class CachePolicy(Protocol):
    """What decides which rows a cache keeps or reads."""

    def store(self, rows: Rows, items: int, capacity: int | None) -> CacheStore:
        """A store without rows: `rows` have no pages (0, Hkv, R, D) yet."""


class SinksAndWindow:
    """Keeps the first rows and the last ones of each item: memory and time do not grow.

    ::

        query p sees the rows     0 … sinks − 1   and   p − window + 1 … p
        at the distances          min(p, sinks + window − 1) − j        p − j

    The distances to the sinks are those within the cache, so a model never meets a distance that it
    was not trained with, however long the text is.

    Trade-off: what lies between the sinks and the window is forgotten; the cost of a token is
    that of sinks + window rows, for ever. Models put a large weight on the first tokens, whatever
    they are, and fail when these are dropped: without sinks (a plain window) the loss rises as soon
    as the first row leaves the window, unless the model was trained with that window.

    Parameters
    ----------
    sinks : int, default 4
        From 0 on.
    window : int, default 1020
        With the query's own row.

    Notes
    -----
    Xiao et al. 2024, https://arxiv.org/abs/2309.17453. Rotary embeddings: rotate keys and queries
    by their positions, and the queries again by :meth:`positions` for ``query_of_sinks`` of
    :meth:`KVCache.attend`, as the layers do. With ALiBi the distances above are used as they are.
    The last rows lie on pages, so up to a page more than the window is kept; without sinks they lie
    one after another, in room for twice the window. Models that were trained with a window need no
    sinks, and give the same results as with a cache of all rows.

    Examples
    --------
    >>> import numpy as np
    >>> import heedful
    >>> cache = heedful.KVCache(policy=heedful.SinksAndWindow(sinks=1, window=16))
    >>> row = np.ones((1, 2, 1, 4), np.float32)
    >>> for _ in range(1000):
    ...     before = cache.append(row, row)
    >>> cache.lengths, cache.nbytes
    (array([1000]), 2112)
    """

    sinks: int
    window: int

    def __init__(self, sinks: int = 4, window: int = 1020) -> None:
        self.sinks, self.window = count("sinks", sinks), size("window", window)

    def positions(self, positions: ArrayLike) -> Array:
        """The positions of queries as the sinks see them: within the cache."""
        return np.minimum(positions, self.sinks + self.window - 1)

    def store(self, rows: Rows, items: int, capacity: int | None) -> CacheStore:
        if not self.sinks:
            none = (each.resized(items, 0, 0, each.dtype) for each in rows)
            return WindowStore((next(none), next(none)), items, self.window)
        return SinksAndWindowStore(rows, items, self.sinks, self.window)

    def __repr__(self) -> str:
        return f"SinksAndWindow(sinks={self.sinks}, window={self.window})"


class HeavyHitters:
    """Keeps the last rows, and of the others those that received the most weight so far.

    ::

        received[j] = Σ_queries Σ_heads of the group  weight[query, j]        for each key head

    Each head keeps rows of its own. Rows stay at their positions: distances are those of the text.

    Trade-off: a bounded memory that keeps what earlier queries looked at, wherever it stands; what
    becomes important later may be gone. Every call computes its scores twice, once for the output
    and once for the weights, so a step takes about one and a half times as long per row as without.

    Parameters
    ----------
    heavy : int, default 512
        Rows kept by weight.
    recent : int, default 512
        Last rows, which are always kept.

    Notes
    -----
    Zhang et al. 2023, https://arxiv.org/abs/2306.14048. A prompt is attended to as a whole, before
    rows are dropped. Rows are dropped when there are (heavy + recent) / 8 too many, so a step does
    not copy the others each time. Window and ALiBi, which depend on the rows between, are refused.

    Examples
    --------
    >>> import numpy as np
    >>> import heedful
    >>> rng = np.random.default_rng(0)
    >>> cache = heedful.KVCache(policy=heedful.HeavyHitters(heavy=8, recent=8))
    >>> for row in rng.standard_normal((100, 1, 2, 1, 4), dtype=np.float32):
    ...     before = cache.append(row, row)
    ...     out = cache.attend(row, align=before)
    >>> cache.lengths, cache.key.shape[2] <= 18
    (array([100]), True)
    """

    heavy: int
    recent: int

    def __init__(self, heavy: int = 512, recent: int = 512) -> None:
        self.heavy, self.recent = size("heavy", heavy), size("recent", recent)

    def store(self, rows: Rows, items: int, capacity: int | None) -> CacheStore:
        return HeavyHittersStore(rows, items, self.heavy, self.recent)

    def __repr__(self) -> str:
        return f"HeavyHitters(heavy={self.heavy}, recent={self.recent})"


class QuestPages:
    """Keeps all rows, and reads only the pages that can matter most to the query.

    ::

        bound[page] = Σ_d max(query[d] · low[page, d], query[d] · high[page, d])

    low and high are the minimum and maximum of the page's keys, so no score of the page is higher.
    The pages with the highest bounds are read, for each key head the maximum of its group, and
    always the last page.

    Trade-off: memory grows with the text, but the time of a step reads `pages` pages and the bounds
    of all, a small part of the keys. Nothing is forgotten: the next query may choose other pages.

    Parameters
    ----------
    pages : int, default 64

    Notes
    -----
    Tang et al. 2024, https://arxiv.org/abs/2406.10774. Calls with more than one query for an item,
    and those with a mask, a bias, a window, ALiBi or a sink, read all pages.

    Examples
    --------
    >>> import numpy as np
    >>> import heedful
    >>> rng = np.random.default_rng(0)
    >>> key = rng.standard_normal((1, 2, 640, 8), dtype=np.float32)
    >>> cache = heedful.KVCache(policy=heedful.QuestPages(pages=10))
    >>> before = cache.append(key, key)
    >>> query = 100 * key[:, :, 100:101]
    >>> whole = heedful.attention(query, key, key)
    >>> bool(np.abs(cache.attend(query) - whole).max() < 0.01)
    True
    """

    def __init__(self, pages: int = 64) -> None:
        self.pages: int = size("pages", pages)

    def store(self, rows: Rows, items: int, capacity: int | None) -> CacheStore:
        return QuestStore(rows, items, capacity, self.pages)

    def __repr__(self) -> str:
        return f"QuestPages(pages={self.pages})"


POLICIES = (SinksAndWindow, HeavyHitters, QuestPages)
