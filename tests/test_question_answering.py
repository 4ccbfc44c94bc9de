"""What the question-answering examples read: a dictionary, questions, texts with their answers."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"
QUIZ = EXAMPLES / "trivia_answers"

# WordNet: "offset file kind count (word sense)* pointers (mark offset kind place)* | gloss"
LICENCE = "  1 This is the licence.\n"
NOUNS = """\
00000001 03 n 02 talc 0 talcum 0 001 @ 00000002 n 0000 | a soft mineral; "talc is white"
00000002 03 n 01 mineral 0 001 @ 00000003 n 0000 | a solid of definite composition; is found
00000003 03 n 01 material 0 000 | what things are made of
00000004 15 n 01 Cape_Verde 0 001 @i 00000002 n 0000 | an island country
00000005 05 n 01 squab 0 001 @ 00000006 n 0000 | an unfledged pigeon
00000006 05 n 01 pigeon 0 000 | a bird
00000007 06 n 01 mineral 0 000 | any rock
"""
ADJECTIVES = "00000001 00 a 01 white(a) 0 000 | of the colour of talc\n"
# "name kind count of senses … their offsets", the most frequent sense first
NOUN_INDEX = """\
cape_verde n 1 1 @i 1 0 00000004
material n 1 0 1 0 00000003
mineral n 2 1 @ 2 0 00000007 00000002
pigeon n 1 0 1 0 00000006
squab n 1 1 @ 1 0 00000005
talc n 1 1 @ 1 0 00000001
talcum n 1 1 @ 1 0 00000001
"""
ADJECTIVE_INDEX = "white a 1 0 1 0 00000001\n"


@pytest.fixture
def parts() -> Iterator[None]:
    """The folder of the application, whose modules import each other by name."""
    before = set(sys.modules)
    sys.path.insert(0, str(QUIZ))
    yield
    sys.path.remove(str(QUIZ))
    for name in set(sys.modules) - before:
        if (QUIZ / f"{name}.py").exists():
            del sys.modules[name]


@pytest.fixture
def senses(tmp_path: Path, parts: None) -> Any:
    from wordnet import read_wordnet

    files = {"data.noun": NOUNS, "data.adj": ADJECTIVES,
             "index.noun": NOUN_INDEX, "index.adj": ADJECTIVE_INDEX}  # fmt: skip
    for name, text in files.items():
        (tmp_path / name).write_text(LICENCE + text, encoding="utf-8")
    return read_wordnet(tmp_path)


def example(name: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(EXAMPLES))
    monkeypatch.setattr(sys, "argv", [name])
    try:
        return import_module(name)
    except SystemExit:
        pytest.skip(f"{name} needs packages")


def test_no_tested_question_is_known(parts: None) -> None:
    from quiz import quarters

    found = quarters(26, seed=0)
    for known, tested in found:
        assert sorted([*known, *tested]) == list(range(26))
        assert not set(known) & set(tested)
    assert sorted(np.concatenate([tested for _, tested in found])) == list(range(26))


def test_a_dictionary_is_read_with_names_kinds_and_the_frequent_sense_first(senses: Any) -> None:
    assert senses["talcum"] == [(["talc", "talcum"], "a soft mineral", "mineral, material", False)]
    assert [one.gloss for one in senses["mineral"]] == [
        "any rock",
        "a solid of definite composition; is found",
    ]
    assert senses["cape verde"][0].instance
    assert senses["white"][0].names == ["white"]


@pytest.mark.parametrize(
    ("answer", "names"),
    [
        ("The minerals", ["mineral", "mineral"]),  # both senses of the singular
        ("Talc and Cape Verde", ["talc", "Cape Verde"]),
        ("Old Cape Verde", ["Cape Verde"]),
        ("White talc", ["talc"]),  # the last words
        ("White Talc", []),  # a name, perhaps of a band: not the mineral
        ("Pigeon 1", ["pigeon"]),
        ("Talc: white, soft", ["talc"]),
        ("Unheard of", []),
    ],
)
def test_an_answer_is_looked_up(answer: str, names: list[str], senses: Any) -> None:
    from answer_keys import senses_of

    assert [one.names[0] for one in senses_of(answer, senses)] == names


def test_the_keys_of_an_answer_are_its_name_glosses_and_kinds(senses: Any) -> None:
    from answer_keys import keys_of

    assert keys_of(7, "Talc", senses) == [
        (7, "Talc", "mineral, material", False),
        (7, "Talc: a soft mineral", "mineral, material", False),
        (7, "Talc, talc, talcum, mineral, material", "mineral, material", False),
    ]
    assert keys_of(0, "1963", senses) == [(0, "1963", "a year, a date", False)]
    assert keys_of(0, "7", senses) == [(0, "7", "a number", False)]
    assert keys_of(0, "Unheard of", senses) == [(0, "Unheard of", "Unheard of", False)]


def test_an_entry_for_a_word_of_a_question_is_a_key_of_the_answer_it_names(senses: Any) -> None:
    from answer_keys import mentions, words_of

    question = "Whose young is ‘squab’, and the pigeon’s food?"
    assert {"squab", "pigeon", "food"} <= words_of([question])
    assert not {"the", "is", "and the"} & words_of([question])
    assert mentions([question], ["Talc", "The pigeon"], senses) == [
        (1, "pigeon: a bird", "a bird", True),
        (1, "squab: an unfledged pigeon", "a bird", True),
    ]
    assert mentions(["What is squab?"], ["Pige", "Igeon"], senses) == []  # no part of a word


def test_what_an_entry_may_call_an_answer(senses: Any) -> None:
    from answer_keys import names_of

    assert names_of("Talc", senses) == {"talc", "talcum"}
    assert names_of("Old minerals", senses) == {
        "old minerals",
        "old mineral",
        "minerals",
        "mineral",
    }
    assert names_of("12", senses | {"12": [senses["talc"][0]._replace(names=["twelve"])]}) == {
        "12",
        "twelve",
    }
    assert names_of("1963", senses) == {"1963"}


def test_rare_words_in_common_count_more(parts: None) -> None:
    pytest.importorskip("sklearn")
    from words import shared

    glosses = ["red apple", "red cherry", "red mineral", "soft mineral"]
    found = shared(["red cherry", "stone"], ["cherry pie", "red pie", "red cherry"], glosses)
    assert found.shape == (2, 3)
    assert found[0, 0] > found[0, 1] > 0
    np.testing.assert_allclose(found[0], [found[0, 0], 1 - found[0, 0], 1], atol=1e-6)
    assert not found[1].any()


def test_attention_over_keys_is_the_softmax_that_the_page_names(parts: None) -> None:
    """Against plain NumPy in float64, with finite differences for the nine numbers."""
    from pile import Keys, Pile

    rng = np.random.default_rng(0)
    owner = np.array([0, 1, 1, 2, 2, 2])
    vectors = rng.standard_normal((3, 6, 4))
    keys = Keys(*vectors, np.eye(3)[owner], rng.random(6), rng.random(6))
    layer = Pile(Keys(*(x.astype(np.float32) for x in keys)))
    question, asked = rng.standard_normal((2, 5, 4))
    repeats, shares = rng.random((2, 5, 6))
    popular = rng.random(6)

    def p(v: dict[str, Any]) -> Any:
        scale = np.exp(v["log_scale"])
        score = question @ (keys.answer + v["said_weight"] * keys.said).T
        score += asked @ (v["kind_weight"] * keys.kind + v["asked_weight"] * keys.said).T
        score += v["shared"] * shares - v["hub"] * popular - v["repeat"] * repeats
        score = scale * score - v["many"] * keys.many - v["mention"] * keys.mention
        weights = np.exp(score - score.max(1, keepdims=True))
        return (weights / weights.sum(1, keepdims=True)) @ keys.value

    inputs = [x.astype(np.float32) for x in (question, asked, repeats, shares)]
    found, backward = layer.forward(*inputs, popular=popular.astype(np.float32))
    numbers = {name: value.astype(float) for name, value in layer.state_dict().items()}
    assert len(numbers) == 9
    np.testing.assert_allclose(found, p(numbers), atol=2e-5)
    dp = rng.standard_normal(found.shape)
    layer.zero_grad()
    backward(dp.astype(np.float32))
    for name, gradient in layer.grads.items():
        change = [np.sum(dp * p(numbers | {name: numbers[name] + d})) for d in (1e-5, -1e-5)]
        np.testing.assert_allclose(gradient, (change[0] - change[1]) / 2e-5, atol=2e-3)


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("Who wrote it?", "a person"),
        ("In which European city is it?", "european city is"),
        ("What is the softest mineral in the world?", "the softest mineral in the"),
        ("How many eyes does a bee have?", "a number"),
        ("Name a colour.", "Name a colour."),
    ],
)
def test_what_a_question_asks_for(question: str, expected: str, parts: None) -> None:
    from quiz import asked

    assert asked(question) == expected


@pytest.mark.peer
def test_the_answer_stands_where_the_example_says(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = example("country_texts", monkeypatch)
    names = ["c", *texts.TEMPLATES]
    countries = [{name: f"{name}-{number}" for name in names} for number in range(5)]
    found = {
        unseen: texts.make(countries, 60, np.random.default_rng(0), unseen)
        for unseen in (False, True)
    }
    for one in [*found[False], *found[True]]:
        assert one.text[one.place :].startswith(one.answer)
        assert one.answer.split("-")[1] in one.question  # of the same country
    sentences = [
        {re.sub(r"-\d|\.$", "", part) for one in examples for part in one.text.split(". ")}
        for examples in found.values()
    ]
    assert not sentences[0] & sentences[1]  # no wording is shared


@pytest.mark.peer
def test_the_answer_is_a_span_of_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    reader = example("answers_in_a_text", monkeypatch)

    def encode_batch(pairs: list[tuple[str, str]]) -> list[SimpleNamespace]:
        """Words as tokens, numbered by their length."""
        found = []
        for pair in pairs:
            words = [(part, word) for part in (0, 1) for word in re.finditer(r"\w+", pair[part])]
            found.append(SimpleNamespace(
                ids=[len(word[0]) for _, word in words], sequence_ids=[part for part, _ in words],
                offsets=[word.span() for _, word in words], tokens=[word[0] for _, word in words],
            ))  # fmt: skip
        return found

    text = "A Finn says Etelä Korea for it."
    made = reader.Example("How says it?", text, "Etelä Korea", text.index("Etelä"))
    rows = reader.read(SimpleNamespace(encode_batch=encode_batch), [made])
    assert rows.names[0][rows.start[0] : rows.end[0] + 1] == ["Etelä", "Korea"]
    assert rows.segments.tolist() == [[0, 0, 0, 1, 2, 2, 1, 1, 2, 2]]
