"""The public names, their arguments, and what importing them does not import."""

from __future__ import annotations

import inspect
import subprocess
import sys

import pytest
from every_option.options import documented, in_signature

import heedful

pytestmark = pytest.mark.once


def test_merging_takes_pieces_and_the_order_of_their_axes() -> None:
    signature = inspect.signature(heedful.merge_attention)
    assert [
        (each.name, each.default, each.kind.name) for each in signature.parameters.values()
    ] == [
        ("outs", inspect.Parameter.empty, "POSITIONAL_OR_KEYWORD"),
        ("lses", inspect.Parameter.empty, "POSITIONAL_OR_KEYWORD"),
        ("layout", "bhld", "KEYWORD_ONLY"),
    ]


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


def test_gradients_are_named_after_their_inputs() -> None:
    assert heedful.Gradients._fields == ("query", "key", "value", "bias", "sink")


def test_every_public_name_exists_and_is_documented() -> None:
    assert len(set(heedful.__all__)) == len(heedful.__all__)
    for name in heedful.__all__:
        entry = getattr(heedful, name)
        assert name == "__version__" or (entry.__doc__ or "").strip(), name


# those of the functions that take the options of attention: see test_options
@pytest.mark.parametrize("name", ["merge_attention", "scaled_dot_product_attention"])
def test_the_documentation_names_every_argument(name: str) -> None:
    function = getattr(heedful, name)
    assert documented(function) == in_signature(function)


def run_in_a_new_process(program: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=300, check=True
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


def test_a_call_imports_nothing_that_numpy_imports_lazily() -> None:
    """numpy.ma and numpy.random load late in NumPy; a plain call must not wait for them."""
    program = (
        "import sys, numpy\n"
        "before = {'numpy.ma', 'numpy.random'} & set(sys.modules)\n"
        "import heedful\n"
        "heedful.attention([[1.0]], [[1.0]], [[1.0]])\n"
        "print({'numpy.ma', 'numpy.random'} & set(sys.modules) == before)"
    )
    assert run_in_a_new_process(program) == "True"
