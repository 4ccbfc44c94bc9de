"""Files of attention maps: what is saved is loaded; damaged and foreign files are refused."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from heedful.explain import AttentionMap
from heedful.training.files._tensors import write_tensors

library = pytest.importorskip("safetensors.numpy")
pytestmark = pytest.mark.once

TOKENS = ["$x_1$", "<b>", "日本\n", "\ud800"]


@pytest.fixture
def saved(rng: np.random.Generator, tmp_path: Path) -> tuple[AttentionMap, Path]:
    layers = AttentionMap.from_numpy(rng.dirichlet(np.ones(4), (2, 3, 4)), TOKENS).layers
    narrow = layers[1]._replace(weights=layers[1].weights.astype(np.float16))
    attention_map = AttentionMap(
        [*AttentionMap([layers[0], narrow]).select(heads=[2, 0], keys=[3, 1]),
         *AttentionMap([layers[0]._replace(is_self=True)]).mean("heads")]
    )  # fmt: skip
    path = tmp_path / "map.safetensors"
    attention_map.save(path)
    return attention_map, path


@pytest.mark.parametrize("suffix", [".safetensors", ".npz"])
def test_a_saved_map_is_loaded_as_it_was(saved: tuple[AttentionMap, Path], suffix: str) -> None:
    before, path = saved[0], saved[1].with_suffix(suffix)
    before.save(path)
    after = AttentionMap.load(path)
    for one, other in zip(before, after, strict=True):
        assert (one.name, *one[2:]) == (other.name, *other[2:])
        assert one.weights.dtype == other.weights.dtype
        np.testing.assert_array_equal(one.weights, other.weights)


def test_numpy_reads_the_weights_of_a_map(saved: tuple[AttentionMap, Path]) -> None:
    path = saved[1].with_suffix(".npz")
    saved[0].save(path)
    with np.load(path) as found:
        assert set(found.files) == {"__metadata__", *map(str, range(len(saved[0].layers)))}
        for number, layer in enumerate(saved[0]):
            np.testing.assert_array_equal(found[str(number)], layer.weights)


def test_a_truncated_file_is_refused(saved: tuple[AttentionMap, Path]) -> None:
    path, whole = saved[1], saved[1].read_bytes()
    for length in (0, 7, 100, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(Exception, match=r"^path must be a whole safetensors file") as caught:
            AttentionMap.load(path)
        assert "\n" not in str(caught.value)


def test_a_truncated_npz_file_is_refused(saved: tuple[AttentionMap, Path]) -> None:
    path = saved[1].with_suffix(".npz")
    saved[0].save(path)
    whole = path.read_bytes()
    for length in (0, 7, 100, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(
            ValueError, match=r"^path must be a whole npz file: '.*map\.npz' is"
        ) as (caught):
            AttentionMap.load(path)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "{", "[]", "3", "[1]", '[{"name": "a"}]', "[" * 100_000,
        json.dumps([{"name": "a", "heads": [0], "rows": [0], "query_tokens": ["x"],
                     "key_tokens": [7], "columns": None, "is_self": None}]),
        json.dumps([{"name": "a", "heads": [0], "rows": [0, 1], "query_tokens": ["x"],
                     "key_tokens": ["y"], "columns": None, "is_self": None}]),
    ],
    ids=lambda text: text[:20],
)  # fmt: skip
def test_a_file_with_damaged_names_is_refused(tmp_path: Path, text: str) -> None:
    for path in (tmp_path / "damaged", tmp_path / "damaged.npz"):
        write_tensors({"0": np.ones((1, 1, 1))}, path, {"attention_map": text})
        with pytest.raises(ValueError, match=r"^path must be .* its text is damaged, .") as caught:
            AttentionMap.load(path)
        assert "\n" not in str(caught.value)


def test_a_file_of_something_else_is_refused(tmp_path: Path) -> None:
    weights: Any = {"weight": np.ones((2, 2))}
    library.save_file(weights, tmp_path / "weights")
    with pytest.raises(ValueError, match=r"^path must be a file that AttentionMap\.save wrote: it"):
        AttentionMap.load(tmp_path / "weights")
    np.savez(tmp_path / "weights.npz", **weights)
    with pytest.raises(ValueError, match=r"^path must be a file that AttentionMap\.save wrote: it"):
        AttentionMap.load(tmp_path / "weights.npz")
    with pytest.raises(FileNotFoundError):
        AttentionMap.load(tmp_path / "none")


def test_absent_packages_are_named_in_one_sentence() -> None:
    """safetensors, pandas and scipy are needed where they are used alone."""
    script = """
import sys
for name in ("pandas", "safetensors", "scipy"):
    sys.modules[name] = None
import numpy as np
from heedful.explain import AttentionMap, flow
m = AttentionMap.from_numpy(np.ones((1, 1, 1, 1)))
for call in (m.to_pandas, lambda: m.save("here"), lambda: flow(m)):
    try:
        call()
    except ImportError as error:
        print(error)
"""
    output = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=300
    )
    files = "files of weights need the package safetensors: pip install safetensors"
    assert output.stdout.splitlines() == [
        "to_pandas needs the package pandas: pip install pandas",
        files + ", or write to a path that ends in .npz, which needs NumPy alone",
        "flow needs the package scipy: pip install scipy",
    ]
