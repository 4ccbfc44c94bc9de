"""`python -m heedful explain`: why a passage was found, or why a digit was recognised, as HTML."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

from heedful._command import search
from heedful._printable import printable
from heedful._whole_file import check_target

DESCRIPTION = (
    "Explain what `search` finds: which tokens of a passage make it similar to the question, and "
    "where its attention goes; or with --digit what makes a test image similar to the training "
    "images that it attends to. Writes one HTML file, which needs no network, and says where."
)
FILE = Path("heedful_explanation.html")


def add_arguments(parser: argparse.ArgumentParser, test_image: Callable[[str], int]) -> None:
    parser.add_argument("question", nargs="?")
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument(
        "--digit", type=test_image, metavar="NUMBER",
        help="explain a test image instead: an odd number from 1 to 1795",
    )  # fmt: skip
    parser.add_argument(
        "--rank", type=search.count, default=1, metavar="N",
        help="which of the passages found, the first is the closest (default: 1)",
    )  # fmt: skip
    parser.add_argument(
        "--html", type=_html_file, default=FILE, metavar="FILE",
        help=f"where to write the page (default: {FILE})",
    )  # fmt: skip
    search.add_endings(parser)
    parser.set_defaults(refuse=parser.error)


def _html_file(text: str) -> Path:
    path = Path(text)
    if path.suffix.lower() not in (".html", ".htm"):
        raise argparse.ArgumentTypeError(f"expected an .html file, got {text!r}")
    return path


def run(arguments: argparse.Namespace) -> int:
    if arguments.digit is None and arguments.folder is None:
        arguments.refuse("give a question and a folder, or --digit and a number")
    if arguments.digit is not None and arguments.question is not None:
        arguments.refuse("give a question and a folder, or --digit and a number: got both")
    check_target(arguments.html)
    if arguments.digit is not None:
        from heedful._command.digit_explanation import explain

        page = explain(arguments.digit)
    else:
        from heedful._command.passage_explanation import explain_passage

        page = explain_passage(
            arguments.folder, arguments.endings, arguments.question, arguments.rank
        )
    print(f"\nPage: {printable(str(page.save(arguments.html)))}")
    return 0
