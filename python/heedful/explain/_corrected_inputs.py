"""What corrections say of an input: a bias of its keys, a target of its weights, or a region."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from heedful.base._types import Array
from heedful.explain._correction import AVOID, LOOK, PAINTED, PREFERRED, Correction, name_of
from heedful.explain._marks import Positions


def bias_of(corrections: Iterable[Correction], tokens: Any, example: Any) -> Array | None:
    """(Lk,), None where nothing is said; added up in an order of what was said, not of when."""
    total: Array | None = None
    positions, example = Positions("tokens", tokens), name_of("example", example)
    for correction, marked in _about(corrections, positions, example):
        if correction.kind == PREFERRED:  # the odds between both change by e^strength
            marked = (marked - correction.rivals(positions)) / 2
        sign = -1.0 if correction.kind == AVOID else 1.0
        part = sign * correction.strength * marked
        total = part if total is None else total + part
    return total


class Aims(NamedTuple):
    """target, inside and among (B, 1, 1, Lk), as of `attention_prior`."""

    target: Array
    inside: Array
    among: Array

    @classmethod
    def of(
        cls, corrections: Iterable[Correction], tokens: Any, examples: Sequence[Any] | None
    ) -> Aims:
        """Of a batch of inputs: the tokens of all or of each, and their names, if they have any."""
        names = (
            [None] if examples is None else [name_of("each of examples", one) for one in examples]
        )
        each = isinstance(tokens, (list, tuple)) and not all(isinstance(t, str) for t in tokens)
        texts = list(tokens) if each else [tokens] * len(names)
        if len(texts) != len(names):
            raise ValueError(
                f"tokens must be of each of {len(names)} examples, or of all: got {len(texts)}"
            )
        places = [Positions("tokens", text) for text in texts]
        keys = max(one.count for one in places)
        target = np.zeros((len(places), 1, 1, keys))
        inside, among = np.zeros((2, len(places), 1, 1, keys), np.bool_)
        said: dict[Any, list[Correction]] = {}  # by input; None: of all
        for correction in corrections:
            said.setdefault(correction.example, []).append(correction)
        for row, (one, name) in enumerate(zip(places, names, strict=True)):
            avoided, rivals = np.zeros((2, one.count), np.bool_)
            here, wanted = target[row, 0, 0, : one.count], inside[row, 0, 0, : one.count]
            only_preferred = True
            about = said.get(None, []) + ([] if name is None else said.get(name, []))
            for correction, marked in _about(about, one, name):
                only_preferred = only_preferred and correction.kind == PREFERRED
                if correction.kind == PAINTED:
                    here += marked
                elif correction.kind in (LOOK, PREFERRED):
                    wanted |= marked > 0
                    rivals |= correction.rivals(one) > 0
                else:
                    avoided |= marked > 0
            if avoided.any() and not wanted.any():
                wanted[...] = True
            wanted &= ~avoided
            if only_preferred:  # with others, all keys compete
                among[row, 0, 0, : one.count] = wanted | rivals
        return cls(target, inside, among)


def _about(
    corrections: Iterable[Correction], positions: Positions, example: Any
) -> Iterator[tuple[Correction, Array]]:
    about = (one for one in corrections if one.example is None or one.example == example)
    for correction in sorted(about, key=lambda one: one.place):  # of many, those of few inputs
        marked = correction.marked(positions, example)
        if marked is not None:
            yield correction, marked
