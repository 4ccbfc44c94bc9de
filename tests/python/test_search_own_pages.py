"""Ten questions of a stranger about heedful's own pages: the right section comes first."""

from __future__ import annotations

from pathlib import Path

import pytest

from heedful._command import search as command
from heedful._command.passages import Passage

DOCS = Path(__file__).parents[2] / "docs"

# Written before any answer was looked at: a question, the page and the section that answers it.
QUESTIONS = {
    "Why can I not import the package after installing it?": (
        "installing", "When the import fails",
    ),
    "Which operating systems and versions of Python are supported?": (
        "installing", "Tested systems",
    ),
    "How can I remove attention heads that a trained model does not need?": ("cheaper", "Heads"),
    "How do I check that the gradient of my own layer is correct?": (
        "writing_a_layer", "Is the gradient right?",
    ),
    "What comes out when a query may not attend to any key?": ("masks", "Nothing to attend to"),
    "How do several processes train one model together?": (
        "several_machines", "Learning together",
    ),
    "How can I correct a model that looks at the wrong place?": ("explainable", "Correct it"),
    "In which cases is another library faster?": ("speed", "Where heedful is slower"),
    "How do I generate text with a Llama model?": ("models", "Generation"),
    "How do I stop the memory of the cache from growing while text is generated?": (
        "cheaper", "Caches that stay small",
    ),
}  # fmt: skip


def section(passage: Passage) -> tuple[str, str]:
    """The page, and the heading that stands directly above."""
    return passage.path.stem, passage.title.split("\n\n")[-1].lstrip("# ")


@pytest.mark.peer
@pytest.mark.slow
def test_ten_questions_find_their_section() -> None:
    pytest.importorskip("tokenizers")
    from heedful._command.splitting import Splitter
    from heedful.integrations.sentences import SentenceEncoder, find_minilm

    try:
        encoder = SentenceEncoder(find_minilm())
    except ModuleNotFoundError as error:
        pytest.skip(str(error))
    passages = list(Splitter(encoder).split(command.read_passages(DOCS, (".md",))))
    assert set(QUESTIONS.values()) <= set(map(section, passages))
    close = command.closeness(encoder, passages, list(QUESTIONS))
    first = {
        question: section(passages[row.argmax()])
        for question, row in zip(QUESTIONS, close, strict=True)
    }
    right = [first[question] == place for question, place in QUESTIONS.items()]
    assert sum(right) >= 8, first
