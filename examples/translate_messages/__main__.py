"""Translate the messages of programs from English into German, by attention over a lexicon.

A program has a new version with new messages; somebody has to translate them. Debian's catalogues
hold what others have translated for other programs. A translation memory finds the most similar of
these messages; a model writes the translation.

    sh examples/translate_messages/download.sh catalogues
    python examples/translate_messages catalogues                  three seeds
    python examples/translate_messages catalogues --picture FILE   and where it looks, as a picture
    python examples/translate_messages catalogues --small          a few steps, as the tests run it

docs/applications/translate_messages.md explains it.
"""

import argparse
import sys
import time
from pathlib import Path

import numpy as np
from catalogues import Pairs, read, split
from learning import Learning
from lexicon import word_by_word
from pieces import START, padded
from sacrebleu import corpus_chrf
from translation_memory import recalled
from translator import Translator
from writing import translated

TEST = ["geany", "nautilus", "rhythmbox", "shotwell", "synaptic", "tar", "wget"]
VALIDATION = ["gettext-tools", "mc", "mutt"]


def drawn(pairs: Pairs, count: int) -> Pairs:
    """Some of them, always the same."""
    names = list(pairs)
    chosen = np.random.default_rng(5).permutation(len(names))[:count]
    return {names[i]: pairs[names[i]] for i in chosen}


def chrf(translations: list[str], references: list[str]) -> float:
    """F2 of all letter n-grams, n = 1 … 6, spaces left out, in percent (Popović 2015)."""
    return float(corpus_chrf(translations, [references]).score)


def draw(model: Translator, learning: Learning, messages: list[str], file: str) -> None:
    """Which piece of the message each piece of the translation looked up."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.6), layout="constrained")
    axes = figure.subplots(1, len(messages), squeeze=False)[0]
    for ax, message in zip(axes, messages, strict=True):
        source = padded(learning.pieces.rows([message]))
        text = translated(model, learning.lexicon, learning.pieces, [message])
        (target,) = learning.pieces.rows(text)
        _, weights = model(
            source, np.array([[START, *target[:-1]]]), lexicon=learning.lexicon,
            return_weights=True,
        )  # fmt: skip
        ax.imshow(weights[0], cmap="Greys", vmin=0, vmax=1, aspect="auto")
        ax.set_xticks(range(source.shape[1]), learning.pieces.words(source[0]), rotation=60)
        ax.set_yticks(range(len(target)), learning.pieces.words(target))
        ax.tick_params(length=0, labelsize=8)
    figure.savefig(file, dpi=100)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="translate_messages", description="Translate the messages of programs."
    )
    parser.add_argument("folder", type=Path, help="with LANGUAGE/LC_MESSAGES/*.mo anywhere in it")
    parser.add_argument("--language", default="de", help="into which, as gettext names it")
    parser.add_argument("--test", nargs="+", default=TEST, help="programs held out for testing")
    parser.add_argument("--validation", nargs="+", default=VALIDATION, help="those for choices")
    parser.add_argument("--measure", choices=["test", "validation"], default="test")
    parser.add_argument("--messages", type=int, default=1000, help="how many of them to translate")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--steps", type=int, default=1200)
    parser.add_argument("--pieces", type=int, default=6000, help="size of the vocabulary")
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--layers", type=int, default=1)
    parser.add_argument("--beams", type=int, default=1)
    parser.add_argument("--picture", help="file for where it looks, .png or .svg")
    parser.add_argument("--small", action="store_true", help="a few steps of a small model")
    options = parser.parse_args()
    if options.small:
        options.pieces, options.width, options.steps = 300, 32, 20
        options.messages, options.seeds = 20, options.seeds[:1]
    try:
        data = split(read(options.folder, options.language), options.validation, options.test)
    except ValueError as error:
        here = Path(__file__).parent
        sys.exit(f"{options.folder}: {error}: run `sh {here}/download.sh {options.folder}`")

    begin = time.process_time()
    learning = Learning(data.train, options.pieces)
    known = learning.known
    print(f"{len(known)} messages of {len(data.train)} programs for training, "
          f"{len(data.validation)} for choices, {len(data.test)} for testing")  # fmt: skip
    measured = drawn(getattr(data, options.measure), options.messages)
    messages, references = list(measured), list(measured.values())
    alone = word_by_word(learning.lexicon, learning.pieces.rows(messages))
    found = {
        "translation memory": [chrf(recalled(known, messages), references)],
        "lexicon, word by word": [chrf([learning.pieces.text(one) for one in alone], references)],
        "heedful": [],
    }
    print(f"prepared in {time.process_time() - begin:.0f} s of processor time")
    for seed in options.seeds:
        print(f"seed {seed}")
        begin = time.process_time()
        model = learning.trained(options.width, options.layers, options.steps, seed)
        trained = time.process_time() - begin
        texts = translated(model, learning.lexicon, learning.pieces, messages, options.beams)
        found["heedful"].append(chrf(texts, references))
        writing = time.process_time() - begin - trained
        print(f"  chrF {found['heedful'][-1]:.1f}; processor time: {trained:.0f} s for training, "
              f"{writing:.0f} s for the translations", flush=True)  # fmt: skip
    print(f"chrF of {len(messages)} messages of programs that were not trained on")
    for name, scores in found.items():
        spread = f" ± {np.std(scores):.1f} over {len(scores)} seeds" if len(scores) > 1 else ""
        print(f"  {name:<22} {np.mean(scores):.1f}{spread}")
    for message, text, reference in list(zip(messages, texts, references, strict=True))[:10]:
        print(f"  {message} → {text}  ({reference})")
    if options.picture:
        draw(model, learning, ["Could not open the selected file", messages[0]], options.picture)


if __name__ == "__main__":
    main()
