"""Lengths and tables of sequences are copied, checked element by element, and only then used."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from typing import Any

import numpy as np
import pytest

import heedful
from heedful._checks import integer_array

QUERY = np.ones((3, 2, 5, 4))
KEY = np.ones((3, 2, 7, 4))

BAD_LENGTHS: dict[str, tuple[Any, type[Exception]]] = {
    "negative": ([5, -1, 5], ValueError),
    "too large": ([5, 8, 5], ValueError),
    "far too large": ([5, 2**63 - 1, 5], ValueError),
    "larger than any 64-bit integer": (np.array([5, 2**64 - 1, 5], np.uint64), ValueError),
    "the smallest integer": ([5, -(2**63), 5], ValueError),
    "too few": ([5, 5], ValueError),
    "too many": ([5, 5, 5, 5], ValueError),
    "a single number": (5, ValueError),
    "one axis too many": ([[5], [5], [5]], ValueError),
    "floats": ([5.0, 5.0, 5.0], TypeError),
    "not a number": ([5.0, np.nan, 5.0], TypeError),
    "bools": ([True, True, True], TypeError),
    "strings": (["5", "5", "5"], TypeError),
    "objects": (np.array([5, None, 5], object), TypeError),
}


@pytest.mark.parametrize(("lengths", "error"), BAD_LENGTHS.values(), ids=BAD_LENGTHS.keys())
@pytest.mark.parametrize("name", ["q_lengths", "kv_lengths"])
@pytest.mark.parametrize(
    "function", [heedful.attention, heedful.attention_vjp], ids=lambda made: made.__name__
)
def test_bad_lengths_are_refused_by_name(
    function: Any, name: str, lengths: Any, error: type[Exception]
) -> None:
    with pytest.raises(error, match=name):
        function(QUERY, KEY, KEY, **{name: lengths})


def test_each_length_is_checked_against_its_own_axis() -> None:
    heedful.attention(QUERY, KEY, KEY, kv_lengths=[6, 7, 0])
    with pytest.raises(ValueError, match="q_lengths"):
        heedful.attention(QUERY, KEY, KEY, q_lengths=[6, 5, 0])


BAD_STARTS: dict[str, tuple[Any, type[Exception]]] = {
    "decreasing": ([0, 4, 2, 6], ValueError),
    "negative": ([0, -1, 3, 6], ValueError),
    "a negative start": ([-2, 1, 3, 6], ValueError),
    "not from zero": ([1, 2, 3, 6], ValueError),
    "past the end": ([0, 2, 4, 7], ValueError),
    "far past the end": ([0, 2, 4, 2**62], ValueError),
    "wrapping around": (np.array([0, 2, 4, 2**64 - 1], np.uint64), ValueError),
    "past the end, then back": ([0, 2**40, 3, 6], ValueError),
    "empty": (np.array([], np.int64), ValueError),
    "a number": (6, ValueError),
    "two axes": ([[0, 2, 4, 6]], ValueError),
    "not as many as the other": ([0, 3, 6], ValueError),
    "floats": ([0.0, 2.0, 4.0, 6.0], TypeError),
    "strings": (["0", "2", "4", "6"], TypeError),
    "nothing": (None, TypeError),
}


@pytest.mark.parametrize(("bad", "error"), BAD_STARTS.values(), ids=BAD_STARTS.keys())
@pytest.mark.parametrize("name", ["cu_seqlens_q", "cu_seqlens_k"])
@pytest.mark.parametrize(
    "function",
    [heedful.attention_varlen, heedful.attention_varlen_vjp],
    ids=lambda made: made.__name__,
)
def test_bad_starts_are_refused_by_name(
    function: Any, name: str, bad: Any, error: type[Exception]
) -> None:
    tokens = np.ones((6, 2, 4))
    good = [0, 2, 4, 6]
    starts = {"cu_seqlens_q": good, "cu_seqlens_k": good, name: bad}
    with pytest.raises(error, match=name):
        function(tokens, tokens, tokens, *starts.values())


def test_lengths_of_packed_sequences_are_checked_against_their_own_sequence() -> None:
    tokens = np.ones((6, 2, 4))
    starts = [0, 2, 6]
    heedful.attention_varlen(tokens, tokens, tokens, starts, starts, kv_lengths=[2, 4])
    with pytest.raises(ValueError, match="kv_lengths"):
        heedful.attention_varlen(tokens, tokens, tokens, starts, starts, kv_lengths=[3, 3])
    with pytest.raises(ValueError, match="q_lengths"):
        heedful.attention_varlen(tokens, tokens, tokens, starts, starts, q_lengths=[-1, 4])


OTHER_THREAD = """
    import threading
    import numpy as np
    import heedful

    rng = np.random.default_rng(0)
    tokens = rng.standard_normal((64, 1, 8)).astype(np.float32)
    tables = np.array([[0, 20, 64], [0, 64, 64]])
    right = [heedful.attention_varlen(tokens, tokens, tokens, t, t).tobytes() for t in tables]
    batch = tokens.reshape(2, 1, 32, 8)
    lengths = np.array([32, 5])
    right_dense = heedful.attention(batch, batch, batch, kv_lengths=lengths).tobytes()
    shared, shared_lengths = tables[0].copy(), lengths.copy()
    stop = threading.Event()

    def meddle():
        while not stop.is_set():
            shared[1] = 2**40
            shared_lengths[1] = -(2**40)
            shared[1] = 20
            shared_lengths[1] = 5

    meddler = threading.Thread(target=meddle, daemon=True)
    meddler.start()
    refused = answered = 0
    try:
        for _ in range(3000):
            try:
                got = heedful.attention_varlen(tokens, tokens, tokens, shared, tables[0])
                assert got.tobytes() == right[0], "neither refused nor right"
                answered += 1
            except ValueError as error:
                assert "cu_seqlens_q" in str(error)
                refused += 1
            try:
                got = heedful.attention(batch, batch, batch, kv_lengths=shared_lengths)
                assert got.tobytes() == right_dense, "neither refused nor right"
            except ValueError as error:
                assert "kv_lengths" in str(error)
    finally:
        stop.set()
        meddler.join()
    print("refused and answered:", refused, answered)
"""


@pytest.mark.slow
def test_a_table_changed_by_another_thread_is_refused_or_right() -> None:
    """In a process of its own: what is tested for might end it."""
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(OTHER_THREAD)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert "refused and answered" in result.stdout


def test_the_numbers_that_are_checked_are_a_copy() -> None:
    given = np.array([3, 4])
    checked = integer_array("kv_lengths", given)
    given[:] = -1  # as another thread might, between the check and the use
    assert checked.tolist() == [3, 4]
