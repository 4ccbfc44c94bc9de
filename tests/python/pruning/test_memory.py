"""Long inputs: the tokens to keep and to merge are found without a matrix of all pairs."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest

pytestmark = pytest.mark.slow

LENGTH = 16_384  # weights of one head would take 1.07 GB
LIMIT = 160 * 2**20  # some dozens of arrays of the size of the input, 2 MB each

MEASURE = """
    import numpy as np
    import heedful
    from heedful.benchmark.memory import highest
    from heedful.layers import Encoder
    from heedful.pruning import MergedEncoder, PrunedEncoder

    heedful.set_num_threads(2)  # each has scratch of its own
    encoder = {encoder}
    encoder(np.ones((1, 64, 32), np.float32))
    x = np.random.default_rng(0).standard_normal((1, {length}, 32), np.float32)
    print(highest(lambda: encoder(x)))
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
@pytest.mark.parametrize(
    "encoder",
    ["PrunedEncoder(Encoder(1, 32, 1, 32, rng=0), [1000])",
     "MergedEncoder(Encoder(1, 32, 1, 32, rng=0), 1000)"],
    ids=["pruned", "merged"],
)  # fmt: skip
def test_memory_is_linear_in_the_length(encoder: str) -> None:
    program = textwrap.dedent(MEASURE).format(encoder=encoder, length=LENGTH)
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=300, check=True
    )
    assert int(done.stdout) < LIMIT
