"""Catalogues: messages of programs and their translations, as gettext stores them."""

import gettext
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

Pairs = dict[str, str]  # message → translation


class Split(NamedTuple):
    """Messages of some programs for training, of others for validation and for testing.

    A message that is also one of training's is left out of the other two: a translation memory
    has it.
    """

    train: dict[str, Pairs]  # program → messages
    validation: Pairs
    test: Pairs


def plain(text: str) -> str:
    """Without the mark of the key to press (_Open, E&xit), line breaks and repeated spaces."""
    for mark in "_&":
        before, found, after = text.partition(mark)
        if found and after[:1].isalnum() and mark not in after:
            text = before + after
    return " ".join(text.split())


def read(folder: Path, language: str = "de", longest: int = 60) -> dict[str, Pairs]:
    """Messages of up to `longest` letters from PROGRAM.mo in folders LANGUAGE/LC_MESSAGES.

    Names that stay as they are, and messages without a word in lower case, are left out.
    """
    programs: dict[str, Pairs] = {}
    for path in sorted(folder.rglob(f"{language}/LC_MESSAGES/*.mo")):
        pairs = programs.setdefault(path.stem, {})
        with path.open("rb") as file:
            catalogue = gettext.GNUTranslations(file)._catalog  # type: ignore[attr-defined]
        for key, translated in catalogue.items():
            message, plural = key if isinstance(key, tuple) else (key, 0)
            english, other = plain(message.split("\x04")[-1]), plain(translated)
            if plural or not other or english == other or not any(map(str.islower, english)):
                continue
            if max(len(english), len(other)) <= longest:
                pairs[english] = other
    return programs


def split(programs: dict[str, Pairs], validation: Sequence[str], test: Sequence[str]) -> Split:
    """By programs. Raises ValueError if `programs` lacks one that is named."""
    missing = sorted({*validation, *test} - programs.keys())
    if missing:
        raise ValueError(f"there is no catalogue of {', '.join(missing)}")
    train = {name: one for name, one in programs.items() if name not in (*validation, *test)}
    known = {message for pairs in train.values() for message in pairs}

    def unseen(names: Sequence[str]) -> Pairs:
        return {
            message: translation
            for name in names
            for message, translation in programs[name].items()
            if message not in known
        }

    return Split(train, unseen(validation), unseen(test))
