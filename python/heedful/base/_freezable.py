"""Freezable: which parameters of a layer learn."""

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
    """What every layer can do to its parameters, those that are made later included."""

    if TYPE_CHECKING:

        def named_parameters(self) -> Iterator[tuple[str, Parameter]]: ...
        def named_layers(self) -> Iterator[tuple[str, Node]]: ...

    def freeze(self, *names: str) -> None:
        """Leaves parameters as they are in training, all or those of patterns such as "encoder.*".

        What is made at the first call only, as in :class:`Dense`, is frozen then. Layers that are
        added later learn, such as a new head.
        """
        self._set_trainable(names, False)

    def unfreeze(self, *names: str) -> None:
        """Lets parameters learn again, all or those of patterns."""
        self._set_trainable(names, True)

    @property
    def trainable(self) -> bool:
        """Whether any parameter learns; assigning is `freeze` or `unfreeze` of all."""
        made = any(own.trainable for _, own in self.named_parameters())
        return made or any(True in layer.awaited.values() for _, layer in self.named_layers())

    @trainable.setter
    def trainable(self, given: bool) -> None:
        self._set_trainable((), flag("trainable", given))

    def _set_trainable(self, names: tuple[str, ...], trainable: bool) -> None:
        """Everything is checked first: after an error all is as it was."""
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
