"""Queries and keys that a block mask is made from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from heedful.functional._dtypes import accepted_type, as_array
from heedful.functional._layout import check_layout
from heedful.functional._shapes import check_axes

if TYPE_CHECKING:
    from heedful.functional._dtypes import Array
    from heedful.functional._shapes import Axes


def check_inputs(query: Any, key: Any, layout: Any) -> tuple[Array, Array, Axes]:
    query, key = as_array("query", query), as_array("key", key)
    for name, array in (("query", query), ("key", key)):
        accepted_type(name, array)
    no_value = (*key.shape[:-1], 0)
    axes = check_axes(query.shape, key.shape, no_value, check_layout(layout), ("query", "key"))
    if axes.layout.axes == 1:
        raise ValueError(f"query must have two axes at least: got shape {query.shape}")
    if 0 in (axes.query_length, axes.key_length):
        raise ValueError(
            "query and key must have a row at least: "
            f"query has shape {query.shape}, key has {key.shape}"
        )
    return query, key, axes
