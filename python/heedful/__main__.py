"""`python -m heedful`, or `heedful`: digits, search, explanations, texts, settings, benchmarks."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import heedful
from heedful._command.terminal import any_text, drop_unwritten
from heedful._printable import printable

PICTURE = Path("heedful_digits.png")


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        super().error(printable(message))  # it may quote file names


def parser() -> argparse.ArgumentParser:
    from heedful._command import explanation, generation, search
    from heedful.benchmark import command as bench

    root = _Parser(
        prog=_program(),
        description="Attention for NumPy. Without a command: digits.",
    )
    root.add_argument("--version", action="version", version=f"heedful {heedful.__version__}")
    commands = root.add_subparsers(
        dest="command", required=True, metavar="{digits,search,explain,generate,config,bench}"
    )

    digits = commands.add_parser(
        "digits",
        help="classify handwritten digits by attention alone and show where it attends",
        description="Classify 898 handwritten digits by attention to 899 others, "
        "and show where it attends.",
    )
    digits.add_argument(
        "--show", type=test_image, nargs="+", default=[], metavar="NUMBER",
        help="the test images to show: odd numbers from 1 to 1795 (default: three examples)",
    )  # fmt: skip
    picture = digits.add_mutually_exclusive_group()
    picture.add_argument(
        "--picture",
        type=_picture_file,
        metavar="FILE",
        help=f"where to save the picture (default, if matplotlib is installed: {PICTURE})",
    )
    picture.add_argument("--no-picture", action="store_true", help="save no picture")

    search.add_arguments(
        commands.add_parser(
            "search",
            help="rank the passages of a folder's documents by their similarity to a question",
            description=search.DESCRIPTION,
        )
    )
    explanation.add_arguments(
        commands.add_parser(
            "explain",
            help="explain a passage that search finds, or a digit, in an HTML file",
            description=explanation.DESCRIPTION,
        ),
        test_image,
    )
    generation.add_arguments(
        commands.add_parser(
            "generate",
            help="continue a text with a language model from a folder",
            description=generation.DESCRIPTION,
        )
    )
    commands.add_parser("config", help="print version, processor level, threads and build")
    bench.add_arguments(
        commands.add_parser(
            "bench",
            help="compare the speed with that of installed libraries",
            description=bench.DESCRIPTION,
        )
    )
    return root


def _program() -> str:
    """The command as the user typed it: the script that pip installs, or the module."""
    started = Path(sys.argv[0] if sys.argv else "").stem
    return "heedful" if started == "heedful" else "python -m heedful"


def test_image(text: str) -> int:
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number % 2 == 0 or not 1 <= number <= 1795:
        raise argparse.ArgumentTypeError(f"expected an odd number from 1 to 1795, got {text!r}")
    return number


def _picture_file(text: str) -> Path:
    path = Path(text)
    if path.suffix.lower() not in (".png", ".pdf", ".svg"):
        raise argparse.ArgumentTypeError(f"expected a .png, .pdf or .svg file, got {text!r}")
    return path


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code: 0 done, 1 failed, 2 wrong usage."""
    words = list(sys.argv[1:] if argv is None else argv)
    if not words or (words[0].startswith("-") and words[0] not in ("-h", "--help", "--version")):
        words.insert(0, "digits")
    with any_text():
        try:
            return _flushed(words)
        except BrokenPipeError:  # the reader, such as `head`, has closed the pipe
            code = 1
        except (OSError, ImportError) as error:
            print(f"{_program()}: {printable(str(error))}", file=sys.stderr)
            code = 1
        except KeyboardInterrupt:
            code = 130
        drop_unwritten()
    return code


def _flushed(words: Sequence[str]) -> int:
    """Run and flush: here a closed pipe is distinguishable from other errors, at exit it is not."""
    try:
        return _run(parser().parse_args(words))
    finally:
        if sys.stdout is not None:
            sys.stdout.flush()


def _run(arguments: argparse.Namespace) -> int:
    if arguments.command == "digits":
        from heedful._command import report

        picture = None if arguments.no_picture else arguments.picture or PICTURE
        report.run(arguments.show, picture, insist=arguments.picture is not None)
        return 0
    if arguments.command == "search":
        from heedful._command import explanation, search

        return search.run(arguments)
    if arguments.command == "explain":
        from heedful._command import explanation

        return explanation.run(arguments)
    if arguments.command == "generate":
        from heedful._command import generation

        return generation.run(arguments)
    if arguments.command == "config":
        heedful.show_config()
        return 0
    from heedful.benchmark import command as bench

    return bench.run(arguments)


if __name__ == "__main__":
    sys.exit(main())
