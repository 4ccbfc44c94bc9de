"""What JAX's attention refuses, and when; calls from several threads and on one processor."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

jax: Any = pytest.importorskip("jax")

from heedful.integrations.jax import attention  # noqa: E402

pytestmark = [pytest.mark.peer, pytest.mark.once]

Array = np.ndarray[Any, Any]


@pytest.fixture
def arrays(rng: np.random.Generator) -> list[Array]:
    """query (2, 4, 5, 3), key (2, 2, 7, 3), value (2, 2, 7, 6)."""
    shapes = (2, 4, 5, 3), (2, 2, 7, 3), (2, 2, 7, 6)
    return [rng.standard_normal(shape, np.float32) for shape in shapes]


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"causal": True}, ValueError, "align must be given"),
        ({"mask": np.ones((5, 7))}, TypeError, "mask must be boolean"),
        ({"scale": np.ones(1)}, TypeError, "scale must be a Python value"),
        ({"kv_lengths": np.ones(3, int)}, ValueError, "kv_lengths must have shape"),
        ({"layout": "lbhd"}, ValueError, "layout must be"),
        ({"value": np.ones((2, 2, 6, 6))}, ValueError, "value and key must have the same"),
        ({"query": np.ones((3, 4, 5, 3))}, ValueError, "leading axes of query, key and value"),
        ({"query": np.ones(3)}, ValueError, "query must have two axes at least"),
        ({"query": np.ones((2, 4, 5, 3), int), "key": np.ones((2, 2, 7, 3), int),
          "value": np.ones((2, 2, 7, 6), int)}, TypeError, "must be floating"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_when_it_is_traced(
    arrays: list[Array], options: dict[str, Any], error: type[Exception], message: str
) -> None:
    given = dict(zip(("query", "key", "value"), arrays, strict=False)) | options
    with pytest.raises(error, match=message):
        jax.eval_shape(lambda: attention(**given))


def test_what_only_the_numbers_tell_is_reported_when_it_is_run(arrays: list[Array]) -> None:
    with pytest.raises(jax.errors.JaxRuntimeError, match="kv_lengths must lie between 0 and 7"):
        jax.jit(attention)(*arrays, kv_lengths=np.array([9, 1])).block_until_ready()


def test_threads_may_call_at_once(arrays: list[Array]) -> None:
    attend = jax.jit(attention)
    inputs = [[array * factor for array in arrays] for factor in np.float32([0.1, 0.5, 2] * 4)]
    expected = [attend(*one) for one in inputs]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda one: attend(*one), inputs))
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.slow
def test_one_processor_is_enough_and_no_call_outlives_the_interpreter() -> None:
    """jax.pure_callback waits for ever here: the thread that it needs is the one that it has."""
    code = """
    import os, jax
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:1])
    from heedful.integrations.jax import attention
    x = jax.numpy.ones((1, 8, 16384, 64))
    attend = jax.jit(lambda x: attention(2 * x, x, x, window=(8, 0), align=0))
    print(float(attend(x)[0, 0, 0, 0]), flush=True)
    attend(x)  # still computed at exit
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, "1.0\n", "")


def test_without_jax_one_sentence_says_what_to_install() -> None:
    code = (
        "import sys; sys.modules['jax'] = None\n"
        "try: import heedful.integrations.jax\n"
        "except ImportError as error: print(error)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=300
    )
    assert done.stdout == "heedful.integrations.jax needs the package jax: pip install jax\n"
