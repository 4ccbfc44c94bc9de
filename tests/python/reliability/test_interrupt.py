"""Ctrl-C ends a call soon, as KeyboardInterrupt, and the next call is right."""

from __future__ import annotations

import signal
import subprocess
import time

import pytest
from process import run, started

pytestmark = [pytest.mark.once, pytest.mark.slow]

# A call takes minutes unless it is interrupted, so 20 s are far from both: a loaded machine needs
# longer than the 50 ms between two checks, and a signal that is missed takes minutes.
SOON = 20.0

LONG_CALLS = {
    "attention": "heedful.attention(*x)",
    "causal": "heedful.attention(*x, causal=True)",
    "lengths": "heedful.attention(*x, kv_lengths=[2**17 - 5])",
    "top_k": "heedful.attention(*x, top_k=64)",
    "entmax15": "heedful.attention(*x, normalizer='entmax15')",
    "gradients of entmax15": "heedful.attention_vjp(*x, normalizer='entmax15')[1](x[0])",
    "one query": "heedful.attention(x[0][..., :1, :], *stretched(x[1:], 64, 2**32))",
    "weights": "heedful.attention_weights(*stretched([x[0][:, :, :64], x[1]], 2**16, None), "
    "average_heads=True)",
    "scores": "heedful.attention_scores(deep[:, :, :5], deep)",
    "gradients": "heedful.attention_backward(*given)",
    "gradients of top_k": "heedful.attention_backward(*given, top_k=64)",
    "block mask": "heedful.attention(*x, block_mask=all_blocks)",
    "gradients of a block mask": "heedful.attention_backward(*given, block_mask=all_blocks)",
    "top_k in a block mask": "heedful.attention(*x, block_mask=all_blocks, top_k=64)",
    "min_weight": "heedful.attention(*few, min_weight=1e-9)",
    "pages": "heedful.attention_paged(x[0], *pages, [range(128)], [2**17])",
    "a prompt in an int8 cache": "filled(dtype='int8').attend(x[0])",
    "a prompt of heavy hitters": "filled(policy=heedful.HeavyHitters()).attend(x[0])",
    "a block mask from weights": "heedful.BlockMask.from_weights(*x[:2])",
    "a block mask from a function": "heedful.BlockMask.from_function("
    "lambda b, h, i, j: table[i] == table[j], 2**20, block_size=1024)",
    "additive": "heedful.additive_attention(*x, x[0][0, 0, 0])",
    "additive of one query": "heedful.additive_attention(x[0][..., :1, :], "
    "*stretched(x[1:], 64, 2**32), x[0][0, 0, 0])",
    "linear attention": "long_linear_attention(2**19, 128, 64)",
    "few rows of a dense layer": "long_layer(3, 2**20, 2**22)",
    "some rows of a dense layer": "long_layer(17, 2**20, 2**18)",
    "many rows of a dense layer": "long_layer(4096, 2**22, 4096)",
    "few rows of int8": "int8_layer(3, 2**16, 2**23)",
    "many rows of int8": "int8_layer(2**14, 2**16, 4096)",
    "input's gradient": "native.linear_gradient_input(repeated(4096, 2**22), "
    "repeated(2**22, 4096), np.empty((4096, 4096), 'f'), False)",
    "weight's gradient": "native.linear_gradient_weight(repeated(2**28, 512), "
    "repeated(2**28, 64), np.zeros((512, 64), 'f'), np.zeros(512, 'f'))",
}

INTERRUPTED = """
heedful.set_num_threads({threads})
x = endless()

def stretched(arrays, heads, length):
    # at no cost: all heads, and all positions if a length is given, are the first one
    return [np.broadcast_to(array[:, :1, :1 if length else None],
                            (1, heads, length or array.shape[2], array.shape[3]))
            for array in arrays]

def repeated(rows, columns):
    # at no cost: all rows are the first one
    return np.broadcast_to(np.sin(np.arange(columns, dtype="f")), (rows, columns))

def long_layer(rows, inputs, outputs):
    native.linear_forward(repeated(rows, inputs), repeated(outputs, inputs), None, None, "gelu",
                          None, np.empty((rows, outputs), "f"))

def long_linear_attention(length, depth, heads):
    rows = np.broadcast_to(np.sin(np.arange(depth, dtype="f")), (1, length, heads, depth))
    out, norm = np.empty((1, length, heads, 1), "f"), np.empty((1, heads, length), "f")
    native.linear_attention_forward(rows, rows, rows[..., :1], None, (1,), True, out, norm,
                                    None, None, None, None)

def int8_layer(rows, inputs, outputs):
    weight = np.broadcast_to(np.ones(inputs, np.int8), (outputs, inputs))
    native.int8_forward(repeated(rows, inputs), weight, np.ones(outputs, "f"),
                        np.full(outputs, inputs, np.int32), None, None, "gelu",
                        np.empty((rows, outputs), "f"), None)

def filled(**options):
    cache = heedful.KVCache(**options)
    cache.append(*(array[:, :1] for array in x[1:]))
    return cache

all_blocks = heedful.BlockMask(np.ones((512, 512), bool), 256, 2**17)
pages = [pages_of(array[:, :1], 1024) for array in x[1:]]
table = np.arange(2**20) // 5000
deep = np.broadcast_to(rng.standard_normal(2**19).astype("f"), (1, 1, 2**20, 2**19))
# for gradients without a forward pass of minutes: an out and lse made up
few = [array[:, :2] for array in x]
given = [np.ones((1, 2, 2**17, 1), "f"), *few, np.zeros((1, 2, 2**17, 1), "f"),
         np.full((1, 2, 2**17), 12, "f")]
{before}
print("ready", flush=True)
start = time.monotonic()
try:
    {call}
except KeyboardInterrupt:
    print(time.monotonic(), flush=True)
else:
    print("ended by itself after", time.monotonic() - start, flush=True)
    sys.exit(3)
y = arrays()
assert is_right(heedful.attention(*y), y), "the next call"
print("right", flush=True)
"""


# A suite that was started in the background ignores the signal, and its children with it.
LISTENING = """\
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
"""


def seconds_to_interrupt(program: str) -> float:
    """Seconds from the signal to the exception, after which the program must end normally."""
    with started(program, before=LISTENING) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        ready = process.stdout.readline()
        assert ready.strip() == "ready", process.stderr.read()
        time.sleep(0.5)
        sent = time.monotonic()
        process.send_signal(signal.SIGINT)
        try:
            printed, errors = process.communicate(timeout=60)
        except subprocess.TimeoutExpired:
            return float("inf")
    assert process.returncode == 0, printed + errors
    caught, right = printed.split()
    assert right == "right"
    return float(caught) - sent


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("call", LONG_CALLS, ids=str)
def test_ctrl_c_ends_a_long_call(call: str, threads: int) -> None:
    program = INTERRUPTED.format(threads=threads, before="", call=LONG_CALLS[call])
    assert seconds_to_interrupt(program) < SOON


def test_ctrl_c_ends_a_call_in_a_forked_child() -> None:
    program = INTERRUPTED.format(
        threads=2,
        before="""
heedful.attention(*arrays())
pid = os.fork()
if pid:
    signal.signal(signal.SIGINT, lambda *_: os.kill(pid, signal.SIGINT))
    status = os.waitpid(pid, 0)[1]
    sys.exit(os.waitstatus_to_exitcode(status))
""",
        call="heedful.attention(*x)",
    )
    assert seconds_to_interrupt(program) < SOON


def test_a_handler_s_own_exception_comes_out() -> None:
    run(
        """
import signal
class Alarm(Exception):
    pass
def ring(*_):
    raise Alarm("rang")
signal.signal(signal.SIGALRM, ring)
signal.setitimer(signal.ITIMER_REAL, 0.3)
start = time.monotonic()
try:
    heedful.attention(*endless())
except Alarm as alarm:
    assert str(alarm) == "rang"
else:
    raise AssertionError("no exception")
assert time.monotonic() - start < 20
y = arrays()
assert is_right(heedful.attention(*y), y)
""",
    )


def test_a_handler_that_returns_lets_the_call_continue() -> None:
    run(
        """
import signal
heedful.set_num_threads(2)
heard, inner = [], arrays()
def ring(*_):  # computes itself while the call that it interrupts waits
    heard.append(is_right(heedful.attention(*inner), inner))
for heads in (8, 16, 32, 64):
    x = arrays(1, heads, 4095, 64)
    start = time.process_time()
    expected = heedful.attention(*x)
    if time.process_time() - start > 1:  # of two threads: long beside 50 ms between two checks
        break
signal.signal(signal.SIGALRM, ring)
signal.setitimer(signal.ITIMER_REAL, 0.02, 0.1)
assert np.array_equal(heedful.attention(*x), expected)
signal.setitimer(signal.ITIMER_REAL, 0)
assert len(heard) >= 2 and all(heard), heard
"""
    )


def test_ctrl_c_reaches_the_main_thread_while_another_one_computes() -> None:
    program = """
import threading
x = endless()
threading.Thread(target=heedful.attention, args=x, daemon=True).start()
time.sleep(0.3)
print("ready", flush=True)
try:
    time.sleep(1000)
except KeyboardInterrupt:
    print(time.monotonic(), flush=True)
print("right", flush=True)
"""
    assert seconds_to_interrupt(program) < SOON
