"""Taps: what watches or steers the attention layers of a model while it computes.

Attention layers ask for the taps of the context that cover them; outside a ``with`` there are none.
A context belongs to a thread: threads that share a model do not see each other's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from types import TracebackType
from typing import Any, TypeVar

from heedful.base._types import Array

Self = TypeVar("Self", bound="Tap")


class Tap:
    """What watches or steers some attention layers within a ``with``.

    layers : the layers that it covers, by dotted name
    wants_lse : whether it reads log-sum-exps too, of softmax over all keys
    """

    wants_lse = False

    def __init__(self, layers: Mapping[str, Any]) -> None:
        self.layers: dict[str, Any] = dict(layers)
        self._names = {id(layer): name for name, layer in self.layers.items()}

    def covers(self, layer: Any) -> bool:
        return id(layer) in self._names

    def name_of(self, layer: Any) -> str:
        return self._names[id(layer)]

    def steer(self, call: Any) -> None:
        """Changes the mask and the bias of an ``AttentionCall`` before it is computed."""

    def see(self, call: Any) -> None:
        """Reads a call with all that has been changed."""

    def see_lse(self, call: Any, lse: Array) -> None:
        """Reads the log-sum-exps (…, H, Lq) of a call after it was computed."""

    def see_gradient(self, call: Any, dheads: Array, dbias: Array | None) -> None:
        """Reads the gradients of a call: of its heads (…, Lq, H, D), and of its bias."""

    def query_key_gradients(self, call: Any) -> tuple[Array, Array] | None:
        """What the gradients of a call's query and key grow by, of their shapes."""
        return None

    def begin(self) -> None:
        active = _active.get()
        if any(tap is self for tap in active):
            raise RuntimeError(f"{type(self).__name__.lower()} is active already: make another one")
        _active.set((*active, self))

    def end(self) -> None:
        # not by a token: what began in between may go on
        _active.set(tuple(tap for tap in _active.get() if tap is not self))

    def __enter__(self: Self) -> Self:
        self.begin()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        self.end()


_active: ContextVar[tuple[Tap, ...]] = ContextVar("heedful_taps", default=())
_items: ContextVar[Any] = ContextVar("heedful_items", default=None)
_first: ContextVar[Any] = ContextVar("heedful_first_query", default=None)
_token_rows: ContextVar[Any] = ContextVar("heedful_token_rows", default=None)


def taps_of(layer: Any) -> tuple[Tap, ...]:
    """The active taps that cover a layer, in the order in which they began."""
    active = _active.get()
    return tuple(tap for tap in active if tap.covers(layer)) if active else active


def with_query_key_gradients(
    taps: tuple[Tap, ...], call: Any, dquery: Array, dkey: Array
) -> tuple[Array, Array]:
    """The gradients of a call's query and key with what taps add to them."""
    for tap in taps:
        added = tap.query_key_gradients(call)
        if added is not None:
            dquery, dkey = dquery + added[0], dkey + added[1]
    return dquery, dkey


@contextmanager
def batch_items(items: Array) -> Iterator[None]:
    """Within it, row i of a batch continues text ``items[i]`` of those a generation was given."""
    outer = _items.get()
    token = _items.set(items if outer is None else outer[items])
    try:
        yield
    finally:
        _items.reset(token)


@contextmanager
def first_query(first: Any) -> Iterator[None]:
    """Within it, the queries of attention to another sequence begin at this position of a text."""
    token = _first.set(first)
    try:
        yield
    finally:
        _first.reset(token)


@contextmanager
def token_rows(rows: Callable[[], Array]) -> Iterator[None]:
    """Within it, token j of item b is in row ``rows()[b, j]`` of the sequence, or −1 in none."""
    token = _token_rows.set(rows)
    try:
        yield
    finally:
        _token_rows.reset(token)


def current_items() -> Any:
    """See `batch_items`; None: row i is item i."""
    return _items.get()


def current_first() -> Any:
    """See `first_query`; None: not known."""
    return _first.get()


def current_token_rows() -> Array | None:
    """See `token_rows`; None: token i is in row i."""
    rows = _token_rows.get()
    return None if rows is None else rows()


def attention_layers(model: Any) -> dict[str, Any]:
    """The layers of a model that ask for taps, by their first dotted names."""
    first: dict[int, tuple[str, Any]] = {}
    for name, layer in model.named_layers():
        if getattr(type(layer), "score_kind", None) is not None:
            first.setdefault(id(layer), (name, layer))
    return dict(first.values())
