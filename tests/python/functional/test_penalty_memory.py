"""The memory that attention_penalty takes with its gradients."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest

MEASURE = """
    import numpy as np
    import heedful
    from heedful.benchmark.memory import highest

    def call(length):
        query, key = np.random.default_rng(0).standard_normal((2, 1, 1, length, 32), np.float32)
        def run():
            penalty, pullback = heedful.attention_penalty(query, key, {kind!r}, **{options})
            return pullback()
        return run

    heedful.set_num_threads(2)  # each has scratch of its own
    call(64)()
    print(highest(call(16384)))
"""


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
@pytest.mark.parametrize(("kind", "options"), [
    ("entropy", "{}"),
    ("target", "{'target': lambda r: np.eye(r.stop - r.start, length, r.start, np.float32)}"),
])  # fmt: skip
def test_16384_queries_and_keys_need_little_memory(kind: str, options: str) -> None:
    """The weights alone would be 1.1 GB."""
    program = textwrap.dedent(MEASURE).format(kind=kind, options=options)
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)
    assert int(done.stdout) < 48 * 2**20
