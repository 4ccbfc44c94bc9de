"""Ten questions to the documentation of Python, and the pieces of it that may answer them."""

from __future__ import annotations

from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
WORDS = 120  # of a piece of text, which is about 128 tokens and more

# Written before any answer was looked at: a question, and the topic that answers it.
QUESTIONS = {
    "how do I leave a loop early?": "break",
    "how can I skip to the next iteration?": "continue",
    "how do I handle an error that was raised?": "try",
    "how do I define a function?": "function",
    "what does an inheritance list of a class mean?": "class",
    "how do I check a condition while debugging?": "assert",
    "which rounding happens when integers are divided?": "binary",
    "how do I repeat something as long as a condition holds?": "while",
    "how do I import a module under another name?": "import",
    "how do I remove a name from a namespace?": "del",
}
OTHERS = ("numbers", "typesseq", "strings", "lambda", "global")


def pieces() -> tuple[list[str], list[str]]:
    """Texts, and the topic of each."""
    from pydoc_data.topics import topics

    texts, labels = [], []
    for name in (*QUESTIONS.values(), *OTHERS):
        words = topics[name].split()
        parts = [" ".join(words[first : first + WORDS]) for first in range(0, len(words), WORDS)]
        texts += parts
        labels += [name] * len(parts)
    return texts, labels


def answers(questions: Array, vectors: Array, labels: list[str]) -> tuple[Array, int]:
    """The closest text for each question, and how many are of the topic that answers it."""
    closest: Array = (questions @ vectors.T).argmax(1)
    found = np.array(labels)[closest]
    return closest, int((found == list(QUESTIONS.values())).sum())
