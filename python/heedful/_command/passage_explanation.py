"""Why a passage is similar to a question: the part of each of its tokens, and its attention."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from heedful._command.progress import Progress
from heedful._command.search import Ranked, headline, location, ranked
from heedful._printable import printable
from heedful.explain import attention_map, html
from heedful.explain.html import Page

SHOWN = 8  # tokens that are printed
_MAX_TITLE = 90


def explain_passage(folder: Path, endings: Sequence[str], question: str, rank: int) -> Page:
    found = ranked(folder, endings, question)
    if rank > len(found.passages):
        raise FileNotFoundError(f"{folder} has {len(found.passages)} passages: got --rank {rank}")
    index = found.order[rank - 1]
    passage = found.passages[index]
    tokens, each = contributions(found, passage.whole)
    print(headline(found, folder, rank, index))
    if passage.title:  # see `closeness`
        above = float(found.encoder.encode(passage.title) @ found.encoder.encode(found.question))
        print(f"   {each.sum():.3f} the passage, {above:.3f} its headings alone")
    print(f"\nThe similarity {each.sum():.3f} is the sum of what each token's vector adds:")
    order = np.argsort(-each, kind="stable")[:SHOWN]
    for token in order:
        print(f"  {each[token]:+.3f}  {printable(tokens[token])}")
    others = np.delete(each, order)
    print(f"  {others.sum():+.3f}  the {len(others)} others")
    print("Vectors of the last layer: each holds what its token read of the others.")
    with Progress() as progress:
        progress.say("drawing its attention")
        seen = attention_map(found.encoder, passage.whole, average_heads=True)
    title = f"{found.question[:_MAX_TITLE]} → {location(passage, folder)}"
    return html.tokens(seen, scores=each, title=title)


def contributions(found: Ranked, text: str) -> tuple[list[str], Any]:
    """The tokens of a text, and how much of its similarity to the question each adds (L,).

    similarity = question · Σ_i y_i / |Σ_i y_i|, so token i adds question · y_i / |Σ_i y_i|.
    """
    numbers, tokens = found.encoder.tokens(text)
    vectors = found.encoder.model(np.array([numbers]))[0]  # (L, E)
    length = np.linalg.norm(vectors.sum(0))
    return tokens, vectors @ found.encoder.encode(found.question) / length
