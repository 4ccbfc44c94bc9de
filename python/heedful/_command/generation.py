"""`python -m heedful generate FOLDER PROMPT`: a text continued, or answered, word by word."""

from __future__ import annotations

import argparse
import math
import re
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

from heedful._command.search import count
from heedful._printable import printable

DESCRIPTION = (
    "Continue a text with a language model, or answer it with an encoder-decoder such as T5, which "
    "is in a folder as save_pretrained of transformers writes it. Nothing is downloaded. Needs: "
    "pip install tokenizers safetensors, and for --chat jinja2."
)
_UNFINISHED = "\ufffd"  # what an unfinished character is decoded to


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", type=Path, help="with config.json, weights and tokenizer.json")
    parser.add_argument("prompt", help="the text to continue, or to answer")
    parser.add_argument(
        "--max-tokens", type=count, default=200, metavar="N",
        help="at most so many new tokens (default: 200)",
    )  # fmt: skip
    parser.add_argument(
        "--temperature", type=_temperature, metavar="T",
        help="draw tokens, the more freely the higher T is (default: take the most probable one)",
    )  # fmt: skip
    parser.add_argument(
        "--top-p",
        type=_top_p,
        metavar="P",
        help="draw of the most probable tokens that have the probability P together",
    )
    parser.add_argument(
        "--seed", type=_seed, metavar="S", help="of what is drawn: the same seed, the same text"
    )
    parser.add_argument(
        "--chat", action="store_true",
        help="take the prompt as a user's message, and print the answer alone",
    )  # fmt: skip


def _temperature(text: str) -> float:
    return _number(text, 0.0, math.inf, "a number from 0 on")


def _top_p(text: str) -> float:
    return _number(text, math.ulp(0.0), 1.0, "a number above 0, at most 1")


def _number(text: str, minimum: float, maximum: float, wanted: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not minimum <= number <= maximum or math.isinf(number):
        raise argparse.ArgumentTypeError(f"expected {wanted}, got {text}")
    return number


def _seed(text: str) -> int:
    if not (text.isascii() and text.isdecimal()):
        raise argparse.ArgumentTypeError(f"expected an integer from 0 on, got {text}")
    return int(text)


def run(arguments: argparse.Namespace) -> int:
    try:
        pieces = continuation(arguments)
    except (ValueError, TypeError) as error:  # of the folder's files
        raise OSError(str(error)) from None
    try:
        for piece in pieces:
            print(shown(piece), end="", flush=True)
    finally:  # after Ctrl-C, too
        print(flush=True)
    return 0


def continuation(arguments: argparse.Namespace) -> Iterator[str]:
    """The pieces of the text, as its tokens come: of one that is continued the prompt first."""
    from heedful.layers import Seq2SeqLM, stream
    from heedful.models import Tokenizer, from_pretrained

    tokenizer = Tokenizer.from_pretrained(arguments.folder)
    prompt = _prompt(tokenizer, arguments)
    if not prompt:
        raise ValueError("the prompt has no tokens: write a text")
    model: Any = from_pretrained(arguments.folder)
    options = {
        "max_length": arguments.max_tokens, "temperature": arguments.temperature,
        "top_p": arguments.top_p, "rng": arguments.seed,
    }  # fmt: skip
    if isinstance(model, Seq2SeqLM):
        start = [model.start]
        steps = model.steps([prompt])
        return decoded(tokenizer, start, stream(steps, start, stop=model.stop, **options))
    if not hasattr(model, "generation_steps"):
        raise ValueError(
            f"{arguments.folder} has a {type(model).__name__}, which does not generate text"
        )
    pieces = decoded(tokenizer, prompt, stream(model, prompt, **options))
    return pieces if arguments.chat else chain([arguments.prompt], pieces)


def _prompt(tokenizer: Any, arguments: argparse.Namespace) -> list[int]:
    if not arguments.chat:
        return tokenizer.encode(arguments.prompt)  # type: ignore[no-any-return]
    message = {"role": "user", "content": arguments.prompt}
    text = tokenizer.apply_chat_template([message], add_generation_prompt=True)
    return tokenizer.encode(text, add_special_tokens=False)  # type: ignore[no-any-return]


def decoded(tokenizer: Any, prompt: list[int], tokens: Iterable[int]) -> Iterator[str]:
    """What each token adds to the text; a character of several tokens comes with the last one.

    Some tokenizers drop the space before the first token, so the prompt's last one is decoded too.
    """
    begin = prompt[-1:]
    new: list[int] = []
    done = tokenizer.decode(begin, skip_special_tokens=True)
    for token in tokens:
        new.append(token)
        text = tokenizer.decode(begin + new, skip_special_tokens=True)
        if not text.endswith(_UNFINISHED):
            yield text[len(done) :]
            done = text
            if text.endswith("\n"):  # decoding again from here takes time that does not grow
                begin, new = new[-1:], []
                done = tokenizer.decode(begin, skip_special_tokens=True)
    rest = tokenizer.decode(begin + new, skip_special_tokens=True)[len(done) :]
    if rest:
        yield rest


def shown(text: str) -> str:
    """Without control sequences; line ends and tabs are kept."""
    return re.sub(r"[^\n\t]+", lambda part: printable(part[0]), text.replace("\r\n", "\n"))
