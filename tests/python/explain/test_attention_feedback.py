"""AttentionFeedback: what corrections hold for, the same bits again, and files that are none."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from heedful import layers as L
from heedful.explain import AttentionFeedback, watch
from heedful.training.files._tensors import read_tensors, write_tensors

pytestmark = pytest.mark.once
Array = NDArray[Any]
TOKENS = ["The", "bank", "of", "the", "river", "was", "steep"]
OTHER = ["No", "river", ",", "no", "bank"]
VOCABULARY = sorted({*TOKENS, *OTHER})
PAINTED = [0, 1, 4, 0, 2, 0, 0]


def model(width: int = 8) -> L.Encoder:
    return L.Encoder(2, width, 2, 16, 0.0, dtype=np.float64, rng=0)


def feedback(**options: Any) -> AttentionFeedback:
    return AttentionFeedback(model(), VOCABULARY, **options)


def bias(given: AttentionFeedback, *about: Any) -> Any:
    return given.guide(*about).bias


def filled() -> AttentionFeedback:
    found = feedback(heads={"layers.1*": [1]})
    found.look_here(["river", re.compile("st.*p")], TOKENS, strength=0.1, note="<b>nature</b>")
    found.not_there([0, slice(5, 7)], TOKENS, strength=0.7)
    found.paint(PAINTED, TOKENS, strength=1.3)
    found.look_here("bank", TOKENS, example="first", strength=1 / 3)
    found.paint(PAINTED, 7, example=5)
    found.prefer("bank", ["river", re.compile("o.")], TOKENS, example="third", strength=0.3)
    return found


def test_corrections_hold_for_what_they_were_said_about() -> None:
    found = filled()
    everywhere = 1.3 * np.array(PAINTED) / 4 + 0.1 * np.isin(range(7), [4, 6])
    everywhere -= 0.7 * np.isin(range(7), [0, 5, 6])
    np.testing.assert_allclose(bias(found, TOKENS), everywhere, atol=1e-15)
    of_first = everywhere + (np.arange(7) == 1) / 3
    np.testing.assert_allclose(bias(found, TOKENS, "first"), of_first, atol=1e-15)
    np.testing.assert_allclose(bias(found, OTHER), [0, 0.1, 0, 0, 0])
    np.testing.assert_allclose(bias(found, OTHER, "first"), [0, 0.1, 0, 0, 1 / 3])
    np.testing.assert_allclose(bias(found, 7, 5), 2 * np.array(PAINTED) / 4)
    assert bias(found, 7) is None
    assert bias(found, ["something", "else"]) is None
    assert bias(found, 8, 5) is None


@pytest.mark.parametrize("suffix", [".safetensors", ".npz"])
def test_it_is_saved_loaded_merged_and_undone_with_the_same_bits(
    tmp_path: Path, suffix: str
) -> None:
    found, path = filled(), tmp_path / f"feedback{suffix}"
    asked: list[Any] = [(TOKENS,), (TOKENS, "first"), (7, 5), (TOKENS, "third")]
    everything = [bias(found, *about) for about in asked]
    found.save(path)
    loaded = AttentionFeedback.load(path, model(), VOCABULARY)
    assert loaded.table() == found.table()
    assert (loaded.where, loaded.heads) == (found.where, found.heads)
    more = AttentionFeedback.load(path, model(), VOCABULARY)
    more.undo(4)
    last = more.not_there(3, TOKENS, strength=0.2)
    other_parts = found.merge(more), more.merge(found)
    for again in (loaded, loaded.merge(found), found.merge(loaded)):
        assert len(again) == 6
        for expected, about in zip(everything, asked, strict=True):
            assert bias(again, *about).tobytes() == expected.tobytes()
    one, two = (bias(merged, TOKENS) for merged in other_parts)
    assert one.tobytes() == two.tobytes()
    assert one[3] == everything[0][3] - 0.2
    for merged in other_parts:
        assert len(merged) == 7
        assert merged.undo(last.id) == last
        assert bias(merged, TOKENS).tobytes() == everything[0].tobytes()
    assert (len(found), len(more)) == (6, 3)  # merging changed neither
    found.undo(3)
    assert bias(found, TOKENS, "first").tobytes() == everything[0].tobytes()


def test_it_steers_the_heads_it_trusts() -> None:
    net, x = model(), np.random.default_rng(1).standard_normal((1, 7, 8))
    found = feedback()
    found.look_here("river", TOKENS, strength=2)
    found.trust(net, where="layers.1", heads=[1])
    with watch(net) as seen:
        net(x)
        with found.steer(net, TOKENS):
            net(x)
        with found.steer(net, ["nothing", "of", "it"]):
            net(x)
    first, second, steered_first, steered, *unsteered = seen.weights
    np.testing.assert_array_equal(steered_first, first)
    np.testing.assert_allclose(steered[:, 0], second[:, 0], atol=1e-12)
    moved = second[:, 1] * np.exp(2.0 * (np.arange(7) == 4))
    np.testing.assert_allclose(steered[:, 1], moved / moved.sum(-1, keepdims=True), atol=1e-12)
    np.testing.assert_array_equal(unsteered, [first, second])


def test_it_is_a_training_signal_for_the_items_of_a_batch() -> None:
    net = L.AttentionPooling(4, dtype=np.float64, rng=0)
    x = np.random.default_rng(1).standard_normal((4, 6, 4))
    found = AttentionFeedback(net)
    found.look_here([1, 2], 6, example=10)
    found.not_there([2, 5], 6, example=10)
    found.not_there(0, 6, example=11)
    found.paint([0, 0, 1, 3, 0, 0], 6, example=12)
    with found.prior(net, 6, [10, 11, 12, 13]) as prior:
        y, backward = net.forward(x)
        backward(np.zeros_like(y))
    _, weights = net(x, return_weights=True)
    ten = -np.log(weights[0, 1])
    eleven = -np.log(1 - weights[1, 0])
    twelve = 0.25 * np.log(0.25 / weights[2, 2]) + 0.75 * np.log(0.75 / weights[2, 3])
    assert prior.divergence[""] == pytest.approx((ten + eleven + twelve) / 4)  # type: ignore[union-attr]
    with found.prior(net, 6, [13, 14]):
        net.forward(x[:2])


def test_a_preferred_answer_moves_the_odds_and_the_share_of_its_rivals() -> None:
    found = feedback()
    found.prefer("river", ["bank", 6], TOKENS, strength=3)
    np.testing.assert_array_equal(bias(found, TOKENS), [0, -1.5, 0, 0, 1.5, 0, -1.5])
    np.testing.assert_array_equal(bias(found, OTHER), [0, 1.5, 0, 0, -1.5])
    assert bias(found, ["the", "river"]) is None  # nothing that it is preferred to
    assert [row["marks"] for row in found.table()] == ["river over bank, 6"]
    assert str(found).splitlines()[1] == "preferred  river over bank, 6  every input  strength 3"

    net = L.AttentionPooling(4, dtype=np.float64, rng=0)
    x = np.random.default_rng(1).standard_normal((3, 6, 4))
    found = AttentionFeedback(net)
    found.prefer([1, 2], [2, 3, 4], 6, example=0)
    found.prefer(1, 3, 6, example=1)
    found.look_here(5, 6, example=1)
    with found.prior(net, 6, [0, 1, 2]) as prior:
        y, backward = net.forward(x)
        backward(np.zeros_like(y))
    _, weights = net(x, return_weights=True)
    share = weights[0, [1, 2]].sum() / weights[0, 1:5].sum()
    expected = -np.log(share) - np.log(weights[1, [1, 5]].sum())
    assert prior.divergence[""] == pytest.approx(expected / 3)  # type: ignore[union-attr]
    with found.steer(net, 6, 0):
        _, steered = net(x[:1], return_weights=True)
    odds = [w[0, [1, 2]].sum() / w[0, [3, 4]].sum() for w in (weights, steered)]
    assert odds[1] / odds[0] == pytest.approx(np.exp(2))


def test_texts_of_a_batch_have_their_own_corrections() -> None:
    net, found = model(), feedback()
    found.look_here("river", TOKENS)
    found.look_here(3, OTHER, example="b")
    with found.prior(net, [TOKENS, OTHER], ["a", "b"]) as prior:
        assert prior.inside.shape == (2, 1, 1, 7)  # type: ignore[union-attr]
        np.testing.assert_array_equal(np.argwhere(prior.inside[:, 0, 0]), [[0, 4], [1, 1], [1, 3]])  # type: ignore[union-attr]
    with pytest.raises(ValueError, match="tokens must be of each of 2 examples, or of all: got 3"):
        found.prior(net, [TOKENS] * 3, ["a", "b"])


def test_a_table_shows_what_was_said() -> None:
    found = filled()
    assert [row["kind"] for row in found.table()] == [
        "look here", "not there", "painted", "look here", "painted", "preferred"
    ]  # fmt: skip
    assert [row["marks"] for row in found.table()][:3] == [
        "river, st.*p", "0, 5, 6", "a map of 7 positions"
    ]  # fmt: skip
    assert found.table()[3]["example"] == "first"
    assert len(str(found).splitlines()) == 7
    pandas = pytest.importorskip("pandas")
    assert isinstance(found.to_pandas(), pandas.DataFrame)
    assert len(found.to_pandas()) == 6


def test_feedback_for_another_model_or_tokenizer_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "feedback.safetensors"
    filled().save(path)
    with pytest.raises(ValueError, match="model must be the one that the feedback is for"):
        AttentionFeedback.load(path, model(16), VOCABULARY)
    with pytest.raises(ValueError, match="tokenizer must be the one that the feedback is for"):
        AttentionFeedback.load(path, model(), VOCABULARY[::-1])
    with pytest.raises(ValueError, match="tokenizer must be the one that the feedback is for"):
        AttentionFeedback.load(path, model())
    with pytest.raises(ValueError, match="model must be the one that the feedback is for: got"):
        filled().steer(model(16), TOKENS)
    with pytest.raises(ValueError, match="other must be feedback for the same tokenizer"):
        filled().merge(AttentionFeedback(model()))
    with pytest.raises(ValueError, match="other must correct the same layers and heads"):
        filled().merge(feedback())
    trained = model()
    trained.layers[0].linear1.weight += 1  # type: ignore[operator]
    numbers = {token: number for number, token in enumerate(VOCABULARY)}
    assert len(AttentionFeedback.load(path, trained, numbers)) == 6


@pytest.mark.parametrize("suffix", [".safetensors", ".npz"])
def test_files_that_are_no_feedback_are_refused(tmp_path: Path, suffix: str) -> None:
    safetensors = pytest.importorskip("safetensors")
    path, other = tmp_path / f"feedback{suffix}", tmp_path / f"other{suffix}"
    filled().save(path)
    other.write_bytes(path.read_bytes()[:-9])
    error, kind = (ValueError, "npz") if suffix == ".npz" else (
        safetensors.SafetensorError, "safetensors"
    )  # fmt: skip
    with pytest.raises(error, match=f"path must be a whole {kind} file"):
        AttentionFeedback.load(other, model(), VOCABULARY)
    write_tensors({"x": np.zeros(2)}, other, {})
    with pytest.raises(ValueError, match="path must be a file that AttentionFeedback"):
        AttentionFeedback.load(other, model(), VOCABULARY)
    tensors, texts = read_tensors(path)
    text = json.loads(texts["attention_feedback"])
    for name, wrong in (
        ("kind", "there"), ("strength", "2"), ("positions", [7]), ("patterns", [["(", 0]]),
        ("tokens", ["few"]), ("length", 0), ("example", [1]), ("note", None), ("id", 3),
        ("over", None), ("over", [[], [], [9]]), ("over", [["river"], []]),
    ):  # fmt: skip
        damaged = json.loads(json.dumps(text))
        damaged["corrections"][-1 if name == "over" else 2][name] = wrong
        write_tensors(tensors, other, {"attention_feedback": json.dumps(damaged)})
        with pytest.raises(ValueError, match="its text is damaged"):
            AttentionFeedback.load(other, model(), VOCABULARY)
    with pytest.raises(FileNotFoundError):
        AttentionFeedback.load(tmp_path / "none", model(), VOCABULARY)


@pytest.mark.parametrize(
    ("method", "arguments", "error", "message"),
    [
        ("look_here", ("lake", TOKENS), ValueError, "marks must be in the text: got 'lake'"),
        ("look_here", (9, TOKENS), IndexError, "marks must lie between -7 and 6: got 9"),
        ("not_there", ({"bank": 1.0}, TOKENS), TypeError, "marks must be words, patterns, pos"),
        ("not_there", ([], TOKENS), ValueError, "marks must mark a position: got none"),
        ("paint", ([1.0], TOKENS), ValueError, "one number for each of 7 positions: got 1"),
        ("paint", (np.zeros(7), TOKENS), ValueError, "target must be finite, not negative, and"),
        ("undo", (7,), ValueError, "which must be at most 6: got 7"),
        (
            "prefer",
            ("river", "river", TOKENS),
            ValueError,
            "over must mark a position that the ans",
        ),
        ("prefer", ("river", "lake", TOKENS), ValueError, "over must be in the text: got 'lake'"),
        ("prefer", ([], "bank", TOKENS), ValueError, "answer must mark a position: got none"),
        ("undo", ("?",), ValueError, "which must be the id of a correction: got '?'"),
        ("merge", (3,), TypeError, "other must be an AttentionFeedback: got 3"),
        ("trust", (None,), TypeError, "model must be a layer"),
    ],
)
def test_what_cannot_be_meant_is_said_and_nothing_is_lost(
    method: str, arguments: Any, error: type[Exception], message: str
) -> None:
    found = filled()
    before = found.table()
    with pytest.raises(error, match=message):
        getattr(found, method)(*arguments)
    assert found.table() == before


@pytest.mark.parametrize("name", [1.5, np.array(0), ("a", 1)], ids=["float", "array", "tuple"])
def test_names_of_inputs_are_strings_or_integers(name: Any) -> None:
    net, found = model(), filled()
    with pytest.raises(TypeError, match="each of examples must be a string or an integer: got"):
        found.prior(net, [TOKENS], [name])
    with pytest.raises(TypeError, match="example must be a string or an integer: got"):
        found.guide(TOKENS, name)


def test_options_of_corrections_are_checked() -> None:
    found = feedback()
    with pytest.raises(ValueError, match="strength must not be negative: got -1"):
        found.look_here(0, 7, strength=-1)
    with pytest.raises(TypeError, match=r"example must be a string or an integer: got 1.5"):
        found.look_here(0, 7, example=1.5)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="note must be a string: got 3"):
        found.look_here(0, 7, note=3)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"tokenizer must have get_vocab\(\)"):
        AttentionFeedback(model(), 3)
    with pytest.raises(ValueError, match="where must match attention layers"):
        feedback(where="decoder")
    assert len(found) == 0
