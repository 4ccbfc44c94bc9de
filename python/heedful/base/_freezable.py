"""Freezable: which parameters of a layer are trained."""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from heedful._checks import flag, named
from heedful.base._tree import dotted

if TYPE_CHECKING:
    from heedful.base._node import Node
    from heedful.base._parameter import Parameter


class Freezable:
    """Freezes and unfreezes the parameters of a layer, also those that are created later."""

    if TYPE_CHECKING:

        def named_parameters(self) -> Iterator[tuple[str, Parameter]]: ...
        def named_layers(self) -> Iterator[tuple[str, Node]]: ...

    def freeze(self, *names: str) -> None:
        """Keeps parameters constant in training, all or those of patterns such as "encoder.*".

        Parameters that are created at the first call, as in :class:`Dense`, are frozen then. Layers
        that are added later, such as a new head, are trained.
        """
        self._set_trainable(names, False)

    def unfreeze(self, *names: str) -> None:
        """Makes parameters trainable again, all or those of patterns."""
        self._set_trainable(names, True)

    @property
    def trainable(self) -> bool:
        """Whether any parameter is trainable; assigning freezes or unfreezes all."""
        made = any(own.trainable for _, own in self.named_parameters())
        return made or any(True in layer.awaited.values() for _, layer in self.named_layers())

    @trainable.setter
    def trainable(self, given: bool) -> None:
        self._set_trainable((), flag("trainable", given))

    def _set_trainable(self, names: tuple[str, ...], trainable: bool) -> None:
        """Everything is checked first: after an error nothing has changed."""
        found: list[Parameter] = []
        later: list[tuple[Node, str]] = []
        for pattern in names or ("*",):
            if not isinstance(pattern, str):
                raise TypeError(f"names must be patterns such as 'encoder.*': got {named(pattern)}")
            made = [own for name, own in self.named_parameters() if fnmatchcase(name, pattern)]
            unmade = [
                (layer, own)
                for name, layer in self.named_layers()
                for own in layer.awaited
                if fnmatchcase(dotted(name, own), pattern)
            ]
            if not made and not unmade and pattern != "*":
                raise ValueError(f"names must match a parameter: got {pattern!r}")
            found += made
            later += unmade
        for layer, own in later:
            layer.awaited = {**layer.awaited, own: trainable}
        for parameter in found:
            if trainable:
                parameter.trainable = True
            else:
                parameter.freeze()
