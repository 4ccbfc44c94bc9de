"""`python -m heedful`: the main job on real digits, the configuration, the speed beside others."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import heedful

COMMANDS = ("digits", "config", "bench")


def parser() -> argparse.ArgumentParser:
    from heedful.benchmark import command as bench

    root = argparse.ArgumentParser(
        prog="python -m heedful",
        description="Attention for NumPy. Without a command: digits.",
    )
    root.add_argument("--version", action="version", version=f"heedful {heedful.__version__}")
    commands = root.add_subparsers(dest="command", required=True, metavar="{digits,config,bench}")

    digits = commands.add_parser(
        "digits",
        help="classify handwritten digits by attention alone and show where it attends",
        description="Classify 898 handwritten digits by attention to 899 others, "
        "and show where it attends.",
    )
    digits.add_argument(
        "--show", type=_test_image, nargs="+", default=[], metavar="NUMBER",
        help="the test images to show: odd numbers from 1 to 1795 (default: three telling ones)",
    )  # fmt: skip
    digits.add_argument(
        "--picture", type=Path, default=Path("heedful_digits.png"), metavar="FILE",
        help="where to save the picture, if matplotlib is installed (default: %(default)s)",
    )  # fmt: skip
    digits.add_argument(
        "--no-picture", dest="picture", action="store_const", const=None, help="save no picture"
    )

    commands.add_parser("config", help="print version, processor level, threads and build")
    bench.add_arguments(
        commands.add_parser(
            "bench",
            help="compare the speed with the libraries that are installed",
            description=bench.DESCRIPTION,
        )
    )
    return root


def _test_image(text: str) -> int:
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number % 2 == 0 or not 1 <= number <= 1795:
        raise argparse.ArgumentTypeError(f"expected an odd number from 1 to 1795, got {text!r}")
    return number


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code: 0 done, 1 failed, 2 wrong usage."""
    words = list(sys.argv[1:] if argv is None else argv)
    if not words or (words[0].startswith("-") and words[0] not in ("-h", "--help", "--version")):
        words.insert(0, "digits")
    arguments = parser().parse_args(words)
    try:
        return _run(arguments)
    except OSError as error:
        if isinstance(error, BrokenPipeError):  # the reader, say `head`, has seen enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 1
        print(f"python -m heedful: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _run(arguments: argparse.Namespace) -> int:
    if arguments.command == "digits":
        from heedful._command import report

        report.run(arguments.show, arguments.picture)
        return 0
    if arguments.command == "config":
        print(heedful.show_config())
        return 0
    from heedful.benchmark import command as bench

    return bench.run(arguments)


if __name__ == "__main__":
    sys.exit(main())
