"""hypothesis draws random calls: sizes around those that kernels split by, all options jointly."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import strategies as st

from random_calls.cache import ACTIONS, RandomCache
from random_calls.call import RANDOM, RandomCall, without
from random_calls.layouts import LAYOUTS
from random_calls.packed import RandomPacked
from random_calls.pieces import RandomPieces
from random_calls.sparse import RandomSparse

SHORT = (1, 2, 3, 5, 7, 13, 17, 33, 49)
LONG = (0, 97, 193, 260, 385, 1030)
# the ends of the range of a factor, beside common values
SCALES = (None, None, None, 1.0, 0.1, -0.5, 0.0, 1e-39, 1e-30, 1e-5, 1e4, 5e-324)
BLOCK_SIZES = ((1, 1), (3, 5), (16, 16), (16, 64), (48, 17), (100, 33), (128, 128), (7, 300))
MIN_WEIGHTS = (1e-6, 1e-3, 0.1, 0.5, 0.97)
TEMPERATURES = (1.0, 0.5, 0.1, 10.0)
SOFTCAPS = (None, None, 2.0, 30.0, 1e-3, 1e6, 1e39)


def one_of(*values: Any) -> st.SearchStrategy[Any]:
    return st.sampled_from(values)


@st.composite
def random_calls(draw: st.DrawFn) -> RandomCall:
    dtype = draw(one_of("float64", "float32", "float32", "float16", "bfloat16"))
    kv_dtype = draw(one_of("", "", "", "float16", "bfloat16")) if dtype == "float32" else ""
    narrow = dtype == "float16" or kv_dtype == "float16"
    lq, lk = draw(one_of(*SHORT)), draw(st.one_of(one_of(*SHORT), one_of(*SHORT, *LONG)))
    if draw(one_of(*[False] * 5, True)):
        lq = draw(one_of(*LONG[:-1]))
    plain: dict[str, Any] = {}
    scale, softcap = draw(one_of(*SCALES)), draw(one_of(*SOFTCAPS))
    if scale is not None:
        plain["scale"] = scale
    if softcap is not None:
        plain["softcap"] = softcap
    items = draw(one_of((), (1,), (2,), (3,), (2, 2)))
    count = items[0] if len(items) == 1 else 0
    causal = draw(st.booleans())
    if causal:
        plain["causal"] = True
    if draw(one_of(False, False, True)):
        edges = one_of(None, 0, 1, 5, 40, 10**18)
        plain["window"] = (draw(edges), draw(edges))
    if draw(one_of(*[False] * 4, True)):
        plain["exclude_self"] = True
    alibi = draw(one_of("", "", "", "H", "BH"))
    if causal or "window" in plain or "exclude_self" in plain or alibi:
        align = draw(one_of("upper_left", "lower_right", 0, 3, -4, 97, "each"))
        plain["align"] = align
        if align == "each":
            each = [draw(st.integers(-50, 120)) for _ in range(count)]
            plain["align"] = tuple(each) if count else 7
    if draw(one_of(*[False] * 4, True)):
        plain["dropout_p"] = draw(one_of(0.1, 0.5, 0.9, 1.0))
        plain["rng"] = draw(one_of(0, 7, 2**63 + 12345))
    if draw(one_of(*[False] * 4, True)):
        plain["gumbel_temperature"] = draw(one_of(*TEMPERATURES))
        plain["rng"] = draw(one_of(0, 7, 2**63 + 12345))
    if draw(one_of(*[False] * 5, True)):
        plain["key_dropout_p"] = draw(one_of(0.1, 0.5, 0.9))
        plain["rng"] = draw(one_of(0, 7, 2**63 + 12345))
    ones = st.tuples(*[st.booleans()] * 4)
    blocks = st.one_of(st.just(()), st.just(()), st.tuples(st.booleans(), st.booleans()))
    level = draw(one_of(1.0, 1.0, 1.0, 0.0, 1e-4, 30.0))
    top_k = draw(one_of(*[0] * 5, 1, 2, 5, 33, 150))
    min_weight = draw(one_of(*[0.0] * 7, *MIN_WEIGHTS))
    return RandomCall(
        seed=draw(st.integers(0, 2**32 - 1)), dtype=dtype, kv_dtype=kv_dtype, B=items,
        Hkv=draw(one_of(1, 1, 2, 3)), group=draw(one_of(1, 1, 2, 5)), Lq=lq, Lk=lk,
        D=draw(one_of(1, 2, 3, 8, 16, 17, 40, 64)), Dv=draw(one_of(1, 3, 5, 8, 16, 33, 64)),
        level=level,
        value_level=draw(one_of(1.0, 1.0, 1e-4, *((1e3,) if narrow else (1e3, 1e18, 1e36)))),
        value_offset=draw(one_of(0.0, 0.0, 10.0)),
        layouts=tuple(draw(one_of(*["contiguous"] * 4, *LAYOUTS)) for _ in range(4)),
        length_first=draw(one_of(False, False, True)),
        mask=draw(st.one_of(st.just(()), ones)), mask_density=draw(one_of(0.0, 0.05, 0.5, 0.95)),
        bias=draw(st.one_of(st.just(()), ones)), bias_density=draw(one_of(1.0, 0.9, 0.1)),
        bias_dtype=draw(one_of("", "", "float64", "float16")),
        q_lengths=draw(one_of(False, False, True)), kv_lengths=draw(one_of(False, False, True)),
        blocks=draw(blocks), block_size=draw(one_of(*BLOCK_SIZES)),
        block_density=draw(one_of(0.1, 0.5, 0.9)),
        top_k=top_k, min_weight=0.0 if top_k else min_weight, alibi=alibi,
        sink=draw(one_of(None, None, None, 0.0, 5.0, -30.0)), plain=plain,
        garbage=draw(one_of(False, False, True)), dlse=draw(st.booleans()),
        dweights=draw(one_of(False, False, True)), threads=draw(one_of(1, 2, 3)),
    )  # fmt: skip


@st.composite
def random_pieces(draw: st.DrawFn) -> RandomPieces:
    call = draw(random_calls())
    plain = without(call.plain, *RANDOM)  # it is keyed by positions from the first key of the call
    level = min(call.value_level, 1e3)
    call = replace(
        call, plain=plain, dweights=False, garbage=False, kv_dtype="", value_level=level,
        top_k=0, min_weight=0.0,  # they depend on the keys of the whole
    )  # fmt: skip
    return RandomPieces(call, tuple(draw(st.lists(st.floats(0, 1), max_size=4))))


@st.composite
def random_sparse(draw: st.DrawFn) -> RandomSparse:
    call = draw(random_calls())
    alpha = one_of(1.05, 1.2, 1.5, 1.7, 2.0)
    normalizer = draw(one_of("entmax15", "entmax15", "sparsemax", 1.3, 1.9, "each"))
    if normalizer == "each":
        normalizer = tuple(draw(alpha) for _ in range(call.H))
    call = replace(call, top_k=0, sink=None, dlse=False, garbage=False)
    return RandomSparse(call, normalizer)


@st.composite
def random_packed(draw: st.DrawFn) -> RandomPacked:
    lengths = st.sampled_from([0, *SHORT, 97, 197, 385])
    pairs = draw(st.lists(st.tuples(lengths, lengths), min_size=1, max_size=6))
    plain: dict[str, Any] = {"causal": draw(st.booleans())}
    if draw(st.booleans()):
        edges = one_of(None, 0, 3, 40, 2**62)
        plain["window"] = (draw(edges), draw(edges))
    if draw(one_of(False, False, True)):
        plain["exclude_self"] = True
    for name, values in (("scale", SCALES), ("softcap", SOFTCAPS)):
        if (value := draw(one_of(*values))) is not None:
            plain[name] = value
    if draw(one_of(False, False, True)):
        plain.update(dropout_p=draw(one_of(0.1, 0.7)), rng=draw(one_of(0, 2**40 + 1)))
    blocks = st.one_of(st.just(()), st.just(()), st.tuples(st.booleans(), st.booleans()))
    top_k, min_weight = draw(one_of(*[0] * 4, 1, 3, 33)), draw(one_of(*[0.0] * 5, *MIN_WEIGHTS))
    if draw(one_of(False, False, True)):
        plain.update(gumbel_temperature=draw(one_of(0.3, 2.0)), rng=draw(one_of(0, 2**40 + 1)))
    if draw(one_of(False, False, True)):
        plain.update(key_dropout_p=draw(one_of(0.1, 0.7)), rng=draw(one_of(0, 2**40 + 1)))
    return RandomPacked(
        seed=draw(st.integers(0, 2**32 - 1)),
        dtype=draw(one_of("float64", "float32", "float16", "bfloat16")),
        lengths=tuple(pairs), Hkv=draw(one_of(1, 2)), group=draw(one_of(1, 2, 3)),
        D=draw(one_of(1, 5, 16, 33)), Dv=draw(one_of(1, 7, 16)),
        alibi=draw(one_of("", "H", "SH")), sink=draw(one_of(None, 0.0, 5.0)),
        align=draw(one_of("upper_left", "lower_right", 3, "each")),
        blocks=draw(blocks), block_size=draw(one_of(*BLOCK_SIZES)),
        top_k=top_k, min_weight=0.0 if top_k else min_weight, plain=plain, dlse=draw(st.booleans()),
    )  # fmt: skip


@st.composite
def random_caches(draw: st.DrawFn) -> RandomCache:
    types = one_of("float64", "float32", "int64", "int8", "float16")
    return RandomCache(
        seed=draw(st.integers(0, 2**32 - 1)), items=draw(one_of(1, 2, 3)),
        dtypes=tuple(draw(st.lists(types, min_size=1, max_size=3))),
        actions=tuple(draw(st.lists(one_of(*ACTIONS, "append", "append_ragged"), max_size=8))),
        kind=draw(one_of("contiguous", "paged")), page_size=draw(one_of(1, 3, 16, 64)),
        int8=draw(st.booleans()), exact_rows=draw(one_of(0, 1, 5, 16)),
    )  # fmt: skip
