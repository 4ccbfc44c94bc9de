"""Tokenizers of a model's folder, with a small vocabulary written by hand."""

from __future__ import annotations

import copy
import pickle
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from heedful.models import Tokenizer

pytest.importorskip("tokenizers")

from written_tokenizer import write_tokenizer

pytestmark = pytest.mark.once


def test_the_first_example_of_texts_and_tokens(tmp_path: Path) -> None:
    tokenizer = Tokenizer.from_pretrained(write_tokenizer(tmp_path))
    assert tokenizer.encode("the cat sat") == [1, 5, 6, 7, 2]
    assert tokenizer.encode("the dog", "sat") == [1, 5, 3, 2, 7, 2]
    assert tokenizer.encode("the cat", add_special_tokens=False) == [5, 6]
    assert tokenizer.decode([1, 5, 6, 7, 2]) == "[CLS] the cat sat [SEP]"
    assert tokenizer.decode(np.array([1, 5, 6, 2]), skip_special_tokens=True) == "the cat"
    assert tokenizer.decode([]) == ""
    assert (tokenizer.pad_id, tokenizer.bos_id, tokenizer.eos_id) == (0, None, None)
    assert (tokenizer.token_id("[MASK]"), len(tokenizer)) == (4, 11)
    assert repr(tokenizer).startswith("Tokenizer(11 tokens, special_tokens={")


@pytest.mark.parametrize("side", ["right", "left"])
def test_a_batch_is_padded_on_either_side(side: str, tmp_path: Path) -> None:
    texts = ["the cat sat", "mat", ""]
    rows = {"right": [[1, 5, 6, 7, 2], [1, 9, 2, 0, 0], [1, 2, 0, 0, 0]],
            "left": [[1, 5, 6, 7, 2], [0, 0, 1, 9, 2], [0, 0, 0, 1, 2]]}  # fmt: skip
    by_call = Tokenizer.from_pretrained(write_tokenizer(tmp_path)).batch(texts, padding_side=side)
    by_file = Tokenizer.from_pretrained(write_tokenizer(tmp_path, {"padding_side": side})).batch(
        texts
    )
    for found in (by_call, by_file):
        assert list(found) == ["tokens", "mask"]
        assert found["tokens"].tolist() == rows[side]
        assert found["mask"].tolist() == [[token != 0 for token in row] for row in rows[side]]
        assert (found["tokens"].dtype, found["mask"].dtype) == (np.int64, np.bool_)


def test_pairs_have_segments_if_the_model_has(tmp_path: Path) -> None:
    texts, pairs = ["the cat", "the"], ["sat", "on the mat"]
    found = Tokenizer.from_pretrained(write_tokenizer(tmp_path)).batch(
        texts, pairs, padding_side="left"
    )
    assert found["tokens"].tolist() == [[0, 1, 5, 6, 2, 7, 2], [1, 5, 2, 8, 5, 9, 2]]
    assert found["segments"].tolist() == [[0, 0, 0, 0, 0, 1, 1], [0, 0, 0, 1, 1, 1, 1]]
    for settings in ({"tokenizer_class": "RobertaTokenizerFast"},
                     {"model_input_names": ["input_ids", "attention_mask"]}):  # fmt: skip
        tokenizer = Tokenizer.from_pretrained(write_tokenizer(tmp_path, settings))
        assert list(tokenizer.batch(texts, pairs)) == ["tokens", "mask"]


def test_long_texts_are_truncated_only_if_asked(tmp_path: Path) -> None:
    tokenizer = Tokenizer.from_pretrained(write_tokenizer(tmp_path))
    assert tokenizer.batch(["the cat sat on"], max_length=4)["tokens"].tolist() == [[1, 5, 6, 2]]
    assert tokenizer.batch(["the cat sat on"])["tokens"].shape == (1, 6)
    left = Tokenizer.from_pretrained(write_tokenizer(tmp_path, {"truncation_side": "left"}))
    assert left.batch(["the cat sat on"], max_length=4)["tokens"].tolist() == [[1, 7, 8, 2]]
    with pytest.raises(ValueError, match="max_length must be above 2, the number of tokens that"):
        tokenizer.batch(["the"], max_length=2)


def test_files_may_add_tokens_and_the_ends_of_a_text(tmp_path: Path) -> None:
    settings = {
        "bos_token": "<s>", "eos_token": "</s>", "add_bos_token": True, "add_eos_token": False,
        "added_tokens_decoder": {"12": {"content": "<two>", "special": False},
                                 "11": {"content": "<one>", "special": True}},
    }  # fmt: skip
    tokenizer = Tokenizer.from_pretrained(write_tokenizer(tmp_path, settings))
    # in the order of their numbers, then the special tokens that are named alone
    assert [tokenizer.token_id(token) for token in ("<one>", "<two>", "<s>", "</s>")] == [
        11, 12, 13, 14,
    ]  # fmt: skip
    assert tokenizer.encode("the<two>cat") == [13, 5, 12, 6]
    assert tokenizer.encode("the", "cat") == [13, 5, 13, 6]
    assert (tokenizer.bos_id, tokenizer.eos_id) == (13, 14)
    (tmp_path / "tokenizer_config.json").unlink()
    (tmp_path / "special_tokens_map.json").write_text('{"pad_token": "[PAD]"}', encoding="utf-8")
    assert Tokenizer.from_pretrained(tmp_path).special_tokens == {"pad_token": "[PAD]"}


def test_spaces_before_punctuation_are_removed_if_a_file_says_so(tmp_path: Path) -> None:
    for cleans, text in ((True, "the mat."), (False, "the mat .")):
        folder = write_tokenizer(tmp_path, {"clean_up_tokenization_spaces": cleans})
        assert Tokenizer.from_pretrained(folder).decode([5, 9, 10]) == text


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"padding_side": "up"}, "padding_side of tokenizer_config.json must be 'right' or 'left'"),
        ({"pad_token": 3}, "pad_token of tokenizer_config.json must be a token: got 3"),
        ({"chat_template": 3}, "chat_template of tokenizer_config.json must be text: got 3"),
        ({"chat_template": [3]}, "chat_template of tokenizer_config.json must be text: got 3"),
        ({"added_tokens_decoder": [1]}, "added_tokens_decoder of tokenizer_config.json must be"),
        ({"added_tokens_decoder": {"x": {}}}, "added_tokens_decoder of tokenizer_config.json must"),
        ({"added_tokens_decoder": {"11": 3}}, "added_tokens_decoder of tokenizer_config.json must"),
        ({"add_bos_token": 1}, "add_bos_token of tokenizer_config.json must be True or False"),
        ({"clean_up_tokenization_spaces": "no"}, "clean_up_tokenization_spaces of tokenizer_c"),
        ({"model_input_names": 3}, "model_input_names of tokenizer_config.json must be a list"),
        ({"tokenizer_class": 3}, "tokenizer_class of tokenizer_config.json must be a string"),
    ],
)  # fmt: skip
def test_wrong_settings_are_refused(settings: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        Tokenizer.from_pretrained(write_tokenizer(tmp_path, settings))


def test_a_tokenizer_that_is_not_there_or_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"folder must have a tokenizer\.json: got "):
        Tokenizer.from_pretrained(tmp_path)
    with pytest.raises(NotADirectoryError, match="folder must be an existing folder"):
        Tokenizer.from_pretrained(tmp_path / "none")
    with pytest.raises(TypeError, match="folder must be a str or a path: got 3"):
        Tokenizer.from_pretrained(3)  # type: ignore[arg-type]
    for content in (b"{", b"{}", b"\xff"):
        (tmp_path / "tokenizer.json").write_bytes(content)
        with pytest.raises(ValueError, match=r"tokenizer\.json must be a file of the package tok"):
            Tokenizer.from_pretrained(tmp_path)
    write_tokenizer(tmp_path)
    (tmp_path / "tokenizer_config.json").write_text("[", encoding="utf-8")
    with pytest.raises(ValueError, match=r"tokenizer_config\.json must hold a JSON object"):
        Tokenizer.from_pretrained(tmp_path)


def test_files_outside_the_folder_are_not_read(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    write_tokenizer(tmp_path / "out")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        folder = tmp_path / f"of_{name}"
        folder.mkdir()
        write_tokenizer(folder)
        (folder / name).unlink()
        (folder / name).symlink_to(tmp_path / "out" / name)
        with pytest.raises(ValueError, match=f"{name} must be in the folder: got a link to"):
            Tokenizer.from_pretrained(folder)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda t: t.encode(3), "texts must be strings: got 3"),
        (lambda t: t.encode("a", 3), "pairs must be strings: got 3"),
        (lambda t: t.encode("a\ud800"), "texts must be valid Unicode, without lone surrogates"),
        (lambda t: t.encode("a", add_special_tokens=1), "add_special_tokens must be True or False"),
        (lambda t: t.decode(3), "tokens must be integers with one axis: got 3"),
        (lambda t: t.decode([0.5]), "tokens must be integers with one axis"),
        (lambda t: t.decode([-1]), "tokens must not be negative: got -1"),
        (lambda t: t.decode([1], skip_special_tokens="no"), "skip_special_tokens must be True or"),
        (lambda t: t.batch("text"), "texts must be a list of strings: got 'text'"),
        (lambda t: t.batch([]), r"texts must be a list of strings: got \[\]"),
        (lambda t: t.batch(["a"], ["b", "c"]), "pairs must have 1 texts: got 2"),
        (lambda t: t.batch(["a"], max_length=0), "max_length must be at least 1"),
        (lambda t: t.batch(["a"], padding_side="up"), "padding_side must be 'right' or 'left'"),
        (lambda t: t.token_id("dog"), "token must be in the vocabulary: got 'dog'"),
        (lambda t: t.token_id(3), "token must be a string: got 3"),
    ],
)
def test_wrong_arguments_are_refused(call: Any, message: str, tmp_path: Path) -> None:
    tokenizer = Tokenizer.from_pretrained(write_tokenizer(tmp_path))
    with pytest.raises((TypeError, ValueError), match=message):
        call(tokenizer)


def test_a_tokenizer_is_copied_and_pickled(tmp_path: Path) -> None:
    tokenizer = Tokenizer.from_pretrained(write_tokenizer(tmp_path))
    for other in (copy.deepcopy(tokenizer), pickle.loads(pickle.dumps(tokenizer))):
        assert other.batch(["the cat"])["tokens"].tolist() == [[1, 5, 6, 2]]
        assert other.special_tokens == tokenizer.special_tokens


def test_threads_may_truncate_at_different_lengths_at_the_same_time(tmp_path: Path) -> None:
    tokenizer = Tokenizer.from_pretrained(write_tokenizer(tmp_path))

    def lengths(limit: int) -> set[int]:
        return {tokenizer.batch(["the cat sat on the mat"], max_length=limit)["tokens"].shape[1]
                for _ in range(50)}  # fmt: skip

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lengths, (3, 5, 7, 99))) == [{3}, {5}, {7}, {8}]
