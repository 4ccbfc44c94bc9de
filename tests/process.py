"""A Python program in a process of its own, with a time limit: it may hang or die there."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

LIMIT = 300  # seconds: it takes a few, a loaded machine many; one that hangs would for ever

# What every program may use. `reference` is computed by plain NumPy in float64.
PREAMBLE = """\
import sys
sys.path.insert(0, {tests!r})
import os, time
import numpy as np
import heedful
from heedful._core import native
from reference import attention as reference

rng = np.random.default_rng(5)

def arrays(batch=2, heads=3, length=97, depth=32):
    return [rng.standard_normal((batch, heads, length, depth)).astype(np.float32)
            for _ in range(3)]

def is_right(out, arrays):
    return np.allclose(out, reference(*arrays).out, rtol=1e-4, atol=1e-5)

def endless(length=2**17):
    '''Arrays for a call of several minutes that takes little memory: all heads are one.'''
    one = [rng.standard_normal((1, 1, length, depth)).astype(np.float32) for depth in (96, 96, 1)]
    return [np.broadcast_to(array, (1, 64, *array.shape[2:])) for array in one]

def layer(rows, inputs=97, outputs=301):
    '''All that a dense layer computes, in a row.'''
    x, weight, dy = (np.sin(np.arange(a * b, dtype="f")).reshape(a, b)
                     for a, b in ((rows, inputs), (outputs, inputs), (rows, outputs)))
    y, dx, dweight, dbias = dy.copy(), np.zeros_like(x), np.zeros_like(weight), weight[:, 0].copy()
    native.linear_forward(x, weight, dbias, y, "gelu", None, y)
    int8 = (100 * weight).astype(np.int8)
    native.int8_forward(x, int8, dbias, int8.sum(1, dtype=np.int32), None, y, "", y, None)
    native.linear_gradient_input(dy, weight, dx, False)
    native.linear_gradient_weight(dy, x, dweight, dbias)
    native.activation_backward("silu", y, dy, y)
    native.norm_backward(dy, y, dbias, None, dx[:, 0].copy(), y, dweight[:, 0].copy(), None)
    native.embedding_gradient(y, np.arange(rows) % 5, -1, dweight[:5].repeat(4, 1)[:, :outputs])
    return np.concatenate([y.ravel(), dx.ravel(), dweight.ravel(), dbias])

def linear_attention(*arrays):
    '''Linear attention of (B, H, L, D), its sums and its gradients, in a row.'''
    from heedful.functional import _linear_attention as linear
    heads, options = [x.swapaxes(1, 2) for x in arrays], {{"kept": None, "causal": True}}
    found = linear.linear_attention(*heads, adds=True, **options)
    gradients = linear.linear_attention_gradients(found.out, *heads, found, **options)
    return np.concatenate([x.ravel() for x in (found.out, *found.added, *gradients)])

def blocks_of(queries, keys=None, size=16):
    '''A block mask with empty, full and partly visible blocks.'''
    return heedful.BlockMask.window((queries, keys or queries), 60, 40, align=0, block_size=size)

def pages_of(array, rows):
    '''The rows (B, H, L, D) on pages (pages, H, rows, D), those of an item one after another.'''
    batch, heads, length, depth = array.shape
    pages = array.reshape(batch, heads, length // rows, rows, depth).swapaxes(1, 2)
    return pages.reshape(-1, heads, rows, depth)

def cached(query, key, value, **options):
    '''Causal attention through a cache: of all rows but the last, and of the last one.'''
    cache, out = heedful.KVCache(**options), []
    for rows in (np.s_[:, :, :-1], np.s_[:, :, -1:]):
        before = cache.append(key[rows], value[rows])
        out.append(cache.attend(query[rows], causal=True, align=before))
    return np.concatenate(out, axis=2)

def shortened(x, kind, schedule):
    '''What an encoder of two layers makes of (B, L, E) with fewer tokens.'''
    from heedful import layers, pruning
    encoder = layers.Encoder(2, x.shape[-1], 1, 24, 0.0, rng=0)
    return getattr(pruning, kind)(encoder, schedule)(x)
"""


def environment(changes: Mapping[str, str | None] | None = None) -> dict[str, str]:
    """The environment with changes; None takes a variable away."""
    merged = {**os.environ, **(changes or {})}
    return {name: value for name, value in merged.items() if value is not None}


def source(program: str, before: str = "", preamble: bool = True) -> str:
    """The text of the program: `before`, which precedes the import of heedful, and the others."""
    shared = PREAMBLE.format(tests=str(Path(__file__).parent)) if preamble else ""
    return before + shared + textwrap.dedent(program)


@contextmanager
def started(
    program: str,
    *,
    before: str = "",
    preamble: bool = True,
    flags: tuple[str, ...] = (),
    env: Mapping[str, str | None] | None = None,
) -> Iterator[subprocess.Popen[str]]:
    """The running program; it and all its children are killed at the end."""
    process = subprocess.Popen(
        [sys.executable, *flags, "-c", source(program, before, preamble)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(env),
        start_new_session=True,
    )
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def run(
    program: str,
    *,
    before: str = "",
    preamble: bool = True,
    flags: tuple[str, ...] = (),
    env: Mapping[str, str | None] | None = None,
) -> str:
    """What the program prints. The test fails unless it ends with 0 within LIMIT seconds."""
    __tracebackhide__ = True
    with started(program, before=before, preamble=preamble, flags=flags, env=env) as process:
        try:
            printed, errors = process.communicate(timeout=LIMIT)
        except subprocess.TimeoutExpired:
            pytest.fail(f"the program did not end within {LIMIT} s")
    if process.returncode != 0:
        pytest.fail(f"the program ended with {process.returncode}:\n{printed}\n{errors}")
    return printed
