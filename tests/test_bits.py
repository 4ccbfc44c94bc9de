"""The digests of random calls tell results apart."""

from __future__ import annotations

import bits
import numpy as np
import pytest

pytestmark = pytest.mark.once


def test_every_kind_of_call_has_a_digest_that_repeats() -> None:
    found = bits.lines(len(bits.KINDS))
    assert found == bits.lines(len(bits.KINDS))
    assert {line.split()[1] for line in found} == {kind.__name__ for kind in bits.KINDS}
    assert len({line.split()[2] for line in found}) == len(found)


def test_a_digest_depends_on_every_bit_on_the_shape_and_on_the_type() -> None:
    zeros = np.zeros(6, np.float32)
    changed = zeros.copy()
    changed.view(np.uint32)[5] = 1
    arrays = zeros, changed, zeros.reshape(2, 3), zeros.astype(np.float64), -zeros
    assert len({bits.digest([array]) for array in arrays}) == len(arrays)


def test_the_payload_of_nan_and_what_is_absent_do_not_count() -> None:
    plain = np.full(3, np.nan, np.float32)
    assert bits.digest([plain]) == bits.digest([None, -plain])


def test_a_comparison_names_what_differs(tmp_path, capsys, monkeypatch) -> None:
    monkeypatch.setattr(bits, "lines", lambda: ["  0 dense    aa", "  1 packed   bb"])
    before = tmp_path / "before.txt"
    before.write_text("  0 dense    aa\n  1 packed   cc\n")
    assert bits.main(["--against", str(before)]) == 1
    assert capsys.readouterr().out == "  1 packed   bb\n"
    before.write_text("  0 dense    aa\n  1 packed   bb\n")
    assert bits.main(["--against", str(before)]) == 0
