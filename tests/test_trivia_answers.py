"""What the quiz of examples/trivia_answers reads and learns: a dictionary, keys, questions."""

from __future__ import annotations

import runpy
import sys
from collections.abc import Iterator
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


@pytest.fixture
def program(parts: None) -> Any:
    """The names of __main__."""
    return SimpleNamespace(**runpy.run_path(str(QUIZ / "__main__.py"), run_name="trivia"))


def lengths(texts: list[str]) -> np.ndarray:
    """Vectors of length 1 that tell texts apart, in place of MiniLM."""
    found = np.array([np.cos(np.arange(8) * (1 + sum(map(ord, text)) % 97)) for text in texts])
    return (found / np.linalg.norm(found, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture
def task(program: Any, senses: Any) -> Any:
    pytest.importorskip("sklearn")
    pairs = [("Young of what is a squab?", "Pigeon"), ("What is soft?", "Talc"),
             ("What is solid?", "Mineral"), ("What is white?", "Talc"),
             ("Which bird?", "Pigeon"), ("Any rock?", "Mineral")]  # fmt: skip
    return program.make_task(pairs, senses, lengths)


def test_every_key_stands_for_its_answer(task: Any) -> None:
    assert task.answers == ["Mineral", "Pigeon", "Talc"]
    assert task.right.tolist() == [1, 2, 0, 2, 1, 0]
    owner = [task.answers[place] for place in task.keys.value.argmax(1)]
    own = [bool(one) for one in task.keys.mention == 0]
    for text, answer, is_own in zip(task.texts, owner, own, strict=True):
        assert text.startswith(answer) == is_own, text
    assert ("squab: an unfledged pigeon", "Pigeon") in zip(task.texts, owner, strict=True)
    counts = [sum(name == answer for name, is_own in zip(owner, own, strict=True) if is_own)
              for answer in owner]  # fmt: skip
    np.testing.assert_allclose(task.keys.many, np.log(counts), rtol=1e-6)
    np.testing.assert_allclose(task.keys.answer, lengths(owner))
    np.testing.assert_allclose(task.keys.said, lengths(task.texts))


def test_a_quarter_is_learned_without_its_questions(program: Any, task: Any) -> None:
    known, test = np.array([0, 1, 2, 5]), np.array([3, 4])
    layer, popular = program.run_quarter(task, known, 20)
    other = task._replace(right=task.right.copy(), inputs=[x.copy() for x in task.inputs])
    other.right[test] = 0
    for x in other.inputs:
        x[test] += 1
    again, as_popular = program.run_quarter(other, known, 20)
    np.testing.assert_array_equal(popular, as_popular)
    for name, value in layer.state_dict().items():
        np.testing.assert_array_equal(value, again.state_dict()[name])

    def loss(rounds: int) -> float:
        found, popular = program.run_quarter(task, known, rounds)
        p = found(*(x[known] for x in task.inputs), popular=popular)
        return float(-np.log(p[np.arange(4), task.right[known]]).mean())

    assert loss(20) < loss(0) - 0.05


def test_popular_are_answers_to_which_many_known_questions_come_close(parts: None) -> None:
    """By loops: the ten closest of thirteen; keys on something else do not count."""
    from pile import Keys, popularity

    rng = np.random.default_rng(0)
    owner, mention = np.array([0, 1, 1, 0]), np.array([0, 0, 0, 1])
    answer, said, kind = rng.standard_normal((3, 4, 5))
    said[3] *= 100
    known = rng.standard_normal((13, 5))
    found = popularity(known, Keys(answer, said, kind, np.eye(2)[owner], mention, mention))
    for key in range(4):
        own = [k for k in range(4) if owner[k] == owner[key] and not mention[k]]
        best = sorted(max(question @ (answer[k] + said[k]) for k in own) for question in known)
        assert found[key] == pytest.approx(np.mean(best[3:]), rel=1e-6)


def test_the_nearest_key_and_the_first_answer(program: Any, task: Any) -> None:
    nearest = program.baselines(task)["MiniLM's nearest key"]
    owner, close = task.keys.value.argmax(1), task.inputs[0] @ task.keys.said.T
    for row in range(6):
        best = [max(close[row, owner == place]) for place in range(3)]
        np.testing.assert_allclose(nearest[row], best, atol=1e-6)
    scores = np.array([[3, 2, 1], [3, 2, 1], [1, 2, 2], [1, 2, 2]])
    assert program.first(scores, np.array([0, 1, 1, 2])) == 0.75


def test_words_of_an_answer_that_its_question_holds(parts: None) -> None:
    from quiz import repeated

    found = repeated(["Who wrote Old King Cole?"], ["The King", "King Arthur", "Talc"])
    np.testing.assert_array_equal(found, [[1, 0.5, 0]])


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
