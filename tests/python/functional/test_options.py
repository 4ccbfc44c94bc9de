"""Every place that an option of attention needs has it, as its one description states.

`heedful.functional._options` says how an option is added; a test here fails for each omitted step.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import re
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from every_option import function_table
from every_option.options import Entry, entries, in_signature

import heedful
import reference
from heedful.functional import _call, _option_types
from heedful.functional._call import Call, check_call
from heedful.functional._options import ARRAY_NAMES, ARRAYS, OPTIONS, Option

pytestmark = pytest.mark.once


class Function(NamedTuple):
    module: str
    inputs: list[str]
    before: dict[str, Any] = {}  # noqa: RUF012 - keywords of its own, before the options
    after: dict[str, Any] = {}  # noqa: RUF012
    fixed: dict[str, Any] = {}  # noqa: RUF012 - what it forwards for options that it does not have
    given: dict[str, Any] = {}  # noqa: RUF012 - inputs that it reads before


QKV = ["query", "key", "value"]
SEQUENCES = [*QKV, "cu_seqlens_q", "cu_seqlens_k"]
ROWS = {"rows": None}
ONE = np.ones((1, 1, 1, 1))
PAGED = {
    "query": ONE, "key_pages": ONE, "value_pages": ONE, "page_table": [[0]],
    "kv_lengths": object(), "cu_seqlens_q": None,
}  # fmt: skip
FUNCTIONS = {
    "attention": Function("_attention", QKV),
    "attention_vjp": Function("_gradients", QKV),
    "attention_backward": Function(
        "_attention_backward", ["dout", *QKV, "out", "lse"], {"dlse": None}, {"bias_gradient": True}
    ),
    "attention_scores": Function("_weights", ["query", "key"], {}, ROWS),
    "attention_weights": Function(
        "_weights", ["query", "key"], {}, {**ROWS, "average_heads": False, "lse": None}
    ),
    "attention_varlen": Function("_varlen", SEQUENCES, fixed={"layout": "blhd"}),
    "attention_varlen_vjp": Function("_varlen", SEQUENCES, fixed={"layout": "blhd"}),
    "attention_paged": Function(
        "_pages",
        list(PAGED),
        {"key_scales": None, "value_scales": None},
        fixed={"kv_lengths": PAGED["kv_lengths"]},
        given=PAGED,
    ),
    "additive_attention": Function("_additive", [*QKV, "weight"], fixed={"scale": 1.0}),
    "additive_attention_vjp": Function("_additive", [*QKV, "weight"], fixed={"scale": 1.0}),
}
CHECKED = [option for option in OPTIONS if option.kind != "result"]  # what check_call takes
each_function = pytest.mark.parametrize("name", FUNCTIONS)


def options_of(name: str) -> list[Option]:
    return [option for option in OPTIONS if name not in option.absent]


def parameters_of(name: str) -> list[inspect.Parameter]:
    return list(inspect.signature(getattr(heedful, name)).parameters.values())


def test_names_are_unique_and_absent_options_name_existing_functions() -> None:
    names = [option.name for option in OPTIONS]
    assert len(set(names)) == len(names)
    assert {name for option in OPTIONS for name in option.absent} <= set(FUNCTIONS)


def test_every_function_with_these_options_is_compared() -> None:
    functions = [name for name in heedful.__all__ if inspect.isfunction(getattr(heedful, name))]
    assert {name for name in functions if "sink" in in_signature(getattr(heedful, name))} == set(
        FUNCTIONS
    )


@each_function
def test_a_signature_has_the_options_in_their_order_with_their_defaults(name: str) -> None:
    function = FUNCTIONS[name]
    options = {option.name: option.default for option in options_of(name)}
    keywords = {**function.before, **options, **function.after}
    parameters = parameters_of(name)
    plain = [one.name for one in parameters if one.kind is one.POSITIONAL_OR_KEYWORD]
    assert plain == function.inputs
    rest = [one for one in parameters[len(plain) :] if one.name != "foreign"]
    assert all(one.kind is one.KEYWORD_ONLY for one in rest)
    assert [(one.name, one.default) for one in rest] == list(keywords.items())


@each_function
def test_a_signature_names_the_types_that_overloads_name(name: str) -> None:
    written = {one.name: str(one.annotation) for one in parameters_of(name)}
    if name == "attention_backward":  # it cannot draw what the forward call drew
        assert written.pop("rng") == "int | None"
    types = _option_types.Options.__annotations__
    for option in options_of(name):
        if option.name in types and option.name in written:
            assert written[option.name] == types[option.name].__forward_arg__, option.name


def test_overloads_have_every_option_except_those_they_distinguish() -> None:
    for function, types in (
        ("attention", _option_types.Options),
        ("attention_varlen", _option_types.PositionOptions),
    ):
        names = {option.name for option in options_of(function)}
        assert set(types.__annotations__) == names - {
            "return_lse",
            "return_weights",
            "return_skipped",
        }


def test_a_check_takes_the_options_in_their_order_with_their_defaults() -> None:
    parameters = list(inspect.signature(check_call).parameters.values())
    assert [one.name for one in parameters] == [
        *QKV, *(option.name for option in CHECKED), "starts",
    ]  # fmt: skip
    defaults = [one.default for one in parameters[3:-1]]
    assert defaults == [option.default for option in CHECKED]


class Reached(Exception):
    """The arguments that a replaced function was called with."""


def reached(*arguments: Any, **options: Any) -> Any:
    raise Reached(arguments, options)


@each_function
def test_a_function_forwards_each_option_under_its_name(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    function = FUNCTIONS[name]
    module = importlib.import_module(f"heedful.functional.{function.module}")
    monkeypatch.setattr(module, "check_call", reached)
    passed = {option.name: object() for option in options_of(name) if option.kind != "result"}
    inputs = {one: object() for one in function.inputs} | function.given
    with pytest.raises(Reached) as caught:
        getattr(heedful, name)(**inputs, **passed)
    arguments, options = caught.value.args
    found = inspect.signature(check_call).bind(*arguments, **options)
    found.apply_defaults()
    expected = {option.name: option.default for option in CHECKED} | function.fixed | passed
    assert {one: found.arguments[one] for one in expected} == expected


def test_a_plan_is_found_by_the_arrays_and_the_values(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_call.native, "describe", reached)
    given = {name: object() for name in (*QKV, *(option.name for option in CHECKED))}
    with pytest.raises(Reached) as caught:
        check_call(**given)
    (arrays, values), _ = caught.value.args
    assert arrays == tuple(given[name] for name in ARRAY_NAMES)
    names = [option.name for option in OPTIONS if option.kind == "value"]
    assert values == (*(given[name] for name in names), False)


@pytest.mark.parametrize("option", ARRAYS, ids=lambda option: option.name)
def test_an_array_is_refused_by_name_and_must_not_overlap_the_output(option: Option) -> None:
    x = np.ones((4, 4, 4))
    with pytest.raises((TypeError, ValueError), match=rf"\A{option.name} must "):
        heedful.attention(x, x, x, **{option.name: np.ones((5, 6, 7, 8))}, align=0)
    memory = np.zeros((4, 4, 4))
    flags = function_table.GOOD[option.name].dtype == bool
    shared = memory.view(bool).ravel()[:16].reshape(4, 4) if flags else memory[0, 0]
    with pytest.raises(ValueError, match=f"it shares memory with {option.name}"):
        heedful.attention(x, x, x, **{option.name: shared}, align=0, out=memory)


def stub(name: str) -> list[str]:
    """The arguments of a compiled function."""
    path = Path(heedful.__file__).parent / "_core" / "_native.pyi"
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef) and node.name == name:
            return [argument.arg for argument in node.args.args]
    raise AssertionError(f"no stub of {name}")


def test_compiled_functions_are_passed_the_fields_of_a_call_in_order() -> None:
    fields = list(Call._fields[3 : Call._fields.index("plan")])
    assert stub("attention_forward") == [*QKV, "out", "lse", *fields]
    call = Call(*Call._fields)  # type: ignore[arg-type]
    shared = [str(field) for field in call.shared]
    assert shared == fields[: len(shared)]
    assert stub("attention_scores")[-len(shared) :] == shared
    for name in ("attention_backward", "attention_weights"):
        assert stub(name)[-len(shared) - 4 :] == [
            *shared, "dropout_p", "seed", "key_dropout_p", "gumbel_temperature",
        ]  # fmt: skip


def names_of(entry: Entry, parameters: list[str]) -> list[str]:
    """Including those that … abbreviates."""
    names = [name for name in entry.names if name != "…"]
    if "…" in entry.names:
        place = entry.names.index("…")
        first, last = (parameters.index(entry.names[place + step]) for step in (-1, 1))
        names[place:place] = parameters[first + 1 : last]
    return names


@each_function
def test_the_documentation_has_each_argument_once_in_the_form_of_its_description(
    name: str,
) -> None:
    function = getattr(heedful, name)
    parameters = in_signature(function)
    forms = {option.name: option.form for option in options_of(name)}
    found = []
    for entry in entries(function):
        names = names_of(entry, parameters)
        found += names
        for one in set(names) & set(forms):
            if entry.form:
                assert entry.form.startswith(forms[one]), (one, entry.form)
            else:
                elsewhere = re.search(r"As in (:func:`(\w+)`|the forward call)", entry.text)
                assert elsewhere, entry
                assert one in in_signature(getattr(heedful, elsewhere[2] or "attention"))
    own = {*FUNCTIONS[name].inputs, *forms, *FUNCTIONS[name].before, *FUNCTIONS[name].after}
    assert sorted(found) == sorted(own)


def test_defaults_are_documented_as_they_are() -> None:
    for option in OPTIONS:
        said = re.search(r"default (\S+)$", option.form)
        assert said is None or ast.literal_eval(said[1]) == option.default, option.name


def test_every_option_is_tried_with_good_and_bad_values() -> None:
    names = {option.name for option in OPTIONS}
    assert names <= set(function_table.BAD)
    assert names <= {*function_table.GOOD, *function_table.ELSEWHERE}


def test_the_reference_has_every_option() -> None:
    known = set(inspect.signature(reference.steps).parameters)
    # what min_weight drops depends on the order of the computation
    assert {option.name for option in CHECKED} <= known | {"layout", "min_weight"}
