"""The structure's own checks find what they look for."""

from __future__ import annotations

from pathlib import Path

import house
import pytest

pytestmark = pytest.mark.once


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Writes a file of a source tree of its own, which the checks read."""
    monkeypatch.setattr(house, "ROOT", tmp_path)

    def write(path: str, text: str = "") -> None:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)

    return write


def test_rooms_arrows_and_floors_are_counted(write, capsys):
    write("cpp/simd/packet.hpp", "#pragma once\n")
    write("cpp/kernels/dot.hpp", '#include "simd/packet.hpp"\n')
    write("cpp/kernels/dot.cpp", '#include "kernels/dot.hpp"\n#include <cmath>\n')
    write("cpp/linear/product.hpp", '#include "kernels/dot.hpp"\n#include "simd/packet.hpp"\n')
    assert house.main(["cpp"]) == 0
    counted = ["cpp", "3", "3", "3", "50%", "kernels"]  # three of six lines
    assert capsys.readouterr().out.splitlines()[1].split() == counted


@pytest.mark.parametrize(
    ("file", "included"),
    [
        ("kernels/dot.hpp", "attention/problem/problem.hpp"),
        ("linear/product.hpp", "layers/norm.hpp"),
        ("attention/scores/mask.hpp", "attention/softmax/softmax.hpp"),
        ("attention/forward/forward.hpp", "attention/backward/penalty/coefficients.hpp"),
        ("attention/forward/panels/products.hpp", "attention/forward/prefill/prefill.hpp"),
        ("attention/forward/prefill/task.hpp", "attention/forward/decode/decode.hpp"),
        ("attention/backward/partition/in_order.hpp", "attention/backward/key_tile/scratch.hpp"),
    ],
)
def test_an_include_that_looks_up_is_named(write, capsys, file, included):
    write(f"cpp/{included}")
    write(f"cpp/{file}", f'#include "{included}"\n')
    assert house.main(["cpp"]) == 1
    wanted = f"cpp/{file[:-4]} includes cpp/{included[:-4]}: "
    assert wanted in capsys.readouterr().out


def test_a_circle_of_modules_is_named(write, capsys):
    write("python/heedful/__init__.py")
    write("python/heedful/layers/__init__.py")
    write("python/heedful/layers/_one.py", "from heedful.layers import _two\n")
    write("python/heedful/layers/_two.py", "def late():\n    import heedful.layers._one\n")
    assert house.main(["python/heedful/layers"]) == 1
    assert "circle in python/heedful/layers: _" in capsys.readouterr().out


def test_imports_for_annotations_alone_do_not_count(write):
    write("python/heedful/__init__.py")
    write("python/heedful/_one.py", "from heedful import _two\n")
    write(
        "python/heedful/_two.py",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from heedful import _one\n",
    )
    assert house.main(["python/heedful"]) == 0
