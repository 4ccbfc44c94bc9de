"""Memory grows with the lengths, not with their product."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest

pytestmark = pytest.mark.slow

LIMIT = 64 * 2**20

MEASURE = """
    import sys
    import numpy as np
    import heedful

    def peak():
        with open("/proc/self/status") as status:
            return next(int(line.split()[1]) * 1024 for line in status if "VmHWM" in line)

    def resident():
        with open("/proc/self/status") as status:
            return next(int(line.split()[1]) * 1024 for line in status if "VmRSS" in line)

    heedful.set_num_threads(2)  # each has scratch of its own
    options = {options}
    heedful.attention_vjp(*(np.ones((1, 1, 64, 64), np.float32),) * 3)[1](
        np.ones((1, 1, 64, 64), np.float32)
    )
    rng = np.random.default_rng(0)
    query, key, value, dout = (
        rng.standard_normal((1, 1, 32768, 64), dtype=np.float32) for _ in range(4)
    )
    before = resident()
    with open("/proc/self/clear_refs", "w") as clear:
        clear.write("5")  # the peak starts here
    out, lse = heedful.attention(query, key, value, **options, return_lse=True)
    forward = peak() - before - out.nbytes - lse.nbytes
    gradients = heedful.attention_backward(dout, query, key, value, out, lse, **options)
    results = out.nbytes + lse.nbytes + sum(made.nbytes for made in gradients[:3])
    backward = peak() - before - results
    print(forward, backward)
"""


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
@pytest.mark.parametrize(
    "options",
    ["{'causal': True, 'window': (4000, None)}", "{}"],
    ids=["window", "all pairs"],
)
def test_32768_queries_and_keys_need_less_than_64_mb_beside_inputs_and_results(
    options: str,
) -> None:
    """The scores alone would be 4.3 GB."""
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(MEASURE).replace("{options}", options)],
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    forward, backward = map(int, result.stdout.split())
    assert forward < LIMIT
    assert backward < LIMIT


OF_PACKED_SEQUENCES = """
    import sys
    import numpy as np
    import heedful

    def peak():
        with open("/proc/self/status") as status:
            return next(int(line.split()[1]) * 1024 for line in status if "VmHWM" in line)

    heedful.set_num_threads(2)  # each has scratch of its own
    lengths = {lengths}
    starts = np.r_[0, np.cumsum(lengths)]
    x = np.zeros((starts[-1], 8, 8), np.float32)
    out, pullback = heedful.attention_varlen_vjp(
        x, x, x, starts, starts, causal=True, window=(32, 0), {options}
    )
    before = peak()
    gradients = pullback(out)
    print(peak() - before - sum(made.nbytes for made in gradients[:3]))
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
@pytest.mark.parametrize(
    "options",
    ["", "dropout_p=0.1, rng=0, sink=np.zeros(8)", "gumbel_temperature=0.5, rng=0"],
)
@pytest.mark.parametrize(
    "lengths", ["[20000] + [1] * 30000", "[1] * 15000 + [20000] + [0, 1] * 15000"]
)
def test_one_long_sequence_among_many_short_ones_needs_no_more_than_their_tokens(
    lengths: str, options: str
) -> None:
    """A table of sequences times the longest of them would be 800 MB."""
    script = OF_PACKED_SEQUENCES.replace("{lengths}", lengths).replace("{options}", options)
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert int(result.stdout) < 48 * 2**20
