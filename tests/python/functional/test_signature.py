"""The public names, their arguments, and what importing them does not do."""

from __future__ import annotations

import inspect
import subprocess
import sys

import pytest

import heedful

pytestmark = pytest.mark.once

RESTRICTIONS = {
    "mask": None,
    "bias": None,
    "causal": False,
    "window": None,
    "align": None,
    "q_lengths": None,
    "kv_lengths": None,
    "scale": None,
    "softcap": None,
    "alibi_slopes": None,
    "sink": None,
}
DROPOUT = {"dropout_p": 0.0, "rng": None}
LAYOUT = {"layout": "bhld"}
RETURNED = {"out": None, "return_lse": False, "return_weights": False}
WHOLE = {**RESTRICTIONS, **DROPOUT, **LAYOUT, **RETURNED}
PACKED = {
    name: default
    for name, default in WHOLE.items()
    if name not in ("mask", "bias", "layout", "return_weights")
}
QKV = ["query", "key", "value"]
ADDITIVE = {name: default for name, default in WHOLE.items() if name not in ("scale", "softcap")}
SEQUENCES = [*QKV, "cu_seqlens_q", "cu_seqlens_k"]

SIGNATURES = {
    "attention": (QKV, WHOLE),
    "attention_vjp": (QKV, WHOLE),
    "additive_attention": ([*QKV, "weight"], ADDITIVE),
    "additive_attention_vjp": ([*QKV, "weight"], ADDITIVE),
    "attention_backward": (
        ["dout", *QKV, "out", "lse"],
        {"dlse": None, **RESTRICTIONS, **DROPOUT, **LAYOUT},
    ),
    "attention_scores": (["query", "key"], {**RESTRICTIONS, **LAYOUT, "rows": None}),
    "attention_weights": (
        ["query", "key"],
        {**RESTRICTIONS, **DROPOUT, **LAYOUT, "rows": None, "average_heads": False},
    ),
    "attention_varlen": (SEQUENCES, PACKED),
    "attention_varlen_vjp": (SEQUENCES, PACKED),
    "merge_attention": (["outs", "lses"], LAYOUT),
}


@pytest.mark.parametrize("name", SIGNATURES)
def test_arguments_have_these_names_order_and_defaults(name: str) -> None:
    positional, options = SIGNATURES[name]
    parameters = inspect.signature(getattr(heedful, name)).parameters.values()
    assert [
        each.name for each in parameters if each.kind is each.POSITIONAL_OR_KEYWORD
    ] == positional
    assert {each.name: each.default for each in parameters if each.kind is each.KEYWORD_ONLY} == (
        options
    )
    assert not [each for each in parameters if each.kind in (each.VAR_KEYWORD, each.VAR_POSITIONAL)]


def test_the_torch_signature_is_torchs() -> None:
    signature = inspect.signature(heedful.scaled_dot_product_attention)
    assert [(each.name, each.default) for each in signature.parameters.values()] == [
        ("query", inspect.Parameter.empty),
        ("key", inspect.Parameter.empty),
        ("value", inspect.Parameter.empty),
        ("attn_mask", None),
        ("dropout_p", 0.0),
        ("is_causal", False),
        ("scale", None),
        ("enable_gqa", False),
    ]


def test_gradients_are_named_after_what_they_belong_to() -> None:
    assert heedful.Gradients._fields == ("query", "key", "value", "bias", "sink")


def test_every_public_name_exists_and_is_documented() -> None:
    assert len(set(heedful.__all__)) == len(heedful.__all__)
    for name in heedful.__all__:
        entry = getattr(heedful, name)
        assert name == "__version__" or (entry.__doc__ or "").strip(), name


@pytest.mark.parametrize("name", [*SIGNATURES, "scaled_dot_product_attention"])
def test_the_documentation_names_every_argument(name: str) -> None:
    function = getattr(heedful, name)
    text = inspect.getdoc(function) or ""
    if "As in :func:`" in text or "As in the forward call" in text:
        return  # a list that refers to another one
    for argument in inspect.signature(function).parameters:
        assert argument in text, argument


def run_in_a_new_process(program: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    return done.stdout.strip()


def test_importing_imports_no_framework_and_no_optional_package() -> None:
    program = (
        "import sys, heedful\n"
        "heedful.attention([[1.0]], [[1.0]], [[1.0]])\n"
        "optional = 'torch jax ml_dtypes matplotlib sklearn scipy onnx hypothesis'.split()\n"
        "print([name for name in optional if name in sys.modules])"
    )
    assert run_in_a_new_process(program) == "[]"


def test_a_call_imports_nothing_that_numpy_leaves_out() -> None:
    """numpy.ma and numpy.random load late in NumPy; a plain call must not wait for them."""
    program = (
        "import sys, numpy\n"
        "before = {'numpy.ma', 'numpy.random'} & set(sys.modules)\n"
        "import heedful\n"
        "heedful.attention([[1.0]], [[1.0]], [[1.0]])\n"
        "print({'numpy.ma', 'numpy.random'} & set(sys.modules) == before)"
    )
    assert run_in_a_new_process(program) == "True"
