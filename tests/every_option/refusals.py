"""Refusals: collects, for one function, which wrong values are not refused as they should be."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

import heedful
from every_option.options import assert_refused
from heedful import layers, training

PUBLIC = {*layers.__all__, *training.__all__, *heedful.__all__} - {"attention"}


class Refusals:
    """`owner` is what the caller called, its arguments are `own`; `everywhere` has those of all."""

    def __init__(self, owner: str, own: Iterable[str], everywhere: Iterable[str]) -> None:
        self.owner, self.own, self.everywhere = owner, list(own), set(everywhere)
        self.wrong: list[str] = []

    def check(self, call: Any, kind: type[Exception], name: str, value: Any) -> None:
        try:
            assert_refused(call, kind, name, self.own, self.everywhere, self.owner, PUBLIC)
        except Exception as error:
            said = str(error) if isinstance(error, AssertionError) else repr(error)
            self.wrong.append(f"{self.owner}: {name}={short(value)} {said}")

    def tell(self) -> None:
        assert not self.wrong, "\n".join(["", *self.wrong])


def short(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return f"an array {value.shape} of {value.dtype} {'masked' * np.ma.isMaskedArray(value)}"
    return " ".join(f"{value!r:.60}".split())
