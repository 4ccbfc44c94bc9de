"""The options of attention, described once.

To add one:

1. give it an entry in OPTIONS;
2. give it a parameter and an entry under Parameters in each public function that takes it, and pass
   it on to `check_call`, all in the order of OPTIONS; name its type in `_option_types`;
3. in `check_call`, put an array among `arrays` and what the plan depends on among `values`, check
   the others, and pass the result to the compiled functions as a field of `Call`.

An array needs no more: it is converted to an array, checked when its shape first occurs, and
checked for overlap with `out`. tests/python/functional/test_options.py finds each missing place.
"""

from collections.abc import Callable, Iterable
from typing import Any, Literal, NamedTuple

from heedful.functional._restrictions import check_bias, check_mask, check_sink
from heedful.functional._shapes import Axes

_PACKED = ("attention_varlen", "attention_varlen_vjp")
_PAGED = ("attention_paged",)
_ADDITIVE = ("additive_attention", "additive_attention_vjp")
_NO_OUTPUT = ("attention_backward", "attention_scores", "attention_weights")
_NO_WEIGHTS = (*_NO_OUTPUT, *_PACKED, *_PAGED)
_NO_DROPOUT = ("attention_scores", *_PAGED)
_SOFTMAX = (*_ADDITIVE, *_PAGED, "attention_scores", "attention_backward")
_NO_SHARE = (*_NO_WEIGHTS, *_ADDITIVE)


class Option(NamedTuple):
    """A keyword argument that means the same in every function that takes it.

    kind : what depends on it
        "array": read by the compiled functions; type and shape belong to the plan.
        "value": a plain value that belongs to the plan.
        "call": checked at every call.
        "result": where results go, and which; no effect on the computation.
    form : how its entry in a docstring begins, after the name
    absent : the functions of attention that do not take it
    check : for an array, whether its type and shape fit
    """

    name: str
    default: Any
    kind: Literal["array", "value", "call", "result"]
    form: str
    absent: tuple[str, ...] = ()
    check: Callable[[Any, Axes], object] | None = None


OPTIONS = (
    Option("mask", None, "array", "array_like of bool", _PACKED, check_mask),
    Option("bias", None, "array", "array_like of floats", _PACKED, check_bias),
    Option("block_mask", None, "call", "BlockMask, optional", _PAGED),
    Option("min_weight", 0.0, "call", "float, default 0", ("attention_scores", *_PAGED)),
    Option("causal", False, "value", "bool, default False"),
    Option("window", None, "value", "(left, right)"),
    Option("exclude_self", False, "value", "bool, default False"),
    Option("align", None, "value", '{"upper_left", "lower_right"}, int or array_like of int'),
    Option("q_lengths", None, "call", "array_like of int"),
    Option("kv_lengths", None, "call", "array_like of int", _PAGED),
    Option("top_k", None, "value", "int, optional", (*_ADDITIVE, *_PAGED, "attention_scores")),
    Option(
        "normalizer", "softmax", "call", '{"softmax", "entmax15", "sparsemax"}, float', _SOFTMAX
    ),
    # they belong to dot products of query and key; the weight of additive attention is its scale
    Option("scale", None, "call", "float, optional", _ADDITIVE),
    Option("softcap", None, "call", "float, optional", _ADDITIVE),
    # its shape may depend on the number of sequences, which is known only in a call
    Option("alibi_slopes", None, "array", "array_like, (H,)"),
    Option("sink", None, "array", "array_like of floats, (H,)", (), check_sink),
    Option("dropout_p", 0.0, "call", "float, default 0", _NO_DROPOUT),
    Option("key_dropout_p", 0.0, "call", "float, default 0", _NO_DROPOUT),
    Option("gumbel_temperature", None, "call", "float, optional", _NO_DROPOUT),
    Option("rng", None, "call", "None, int or numpy.random.Generator", _NO_DROPOUT),
    Option("layout", "bhld", "value", '{"bhld", "blhd"}', _PACKED),
    Option("out", None, "result", "numpy.ndarray, optional", _NO_OUTPUT),
    Option("return_lse", False, "result", "bool, default False", _NO_OUTPUT),
    Option("return_weights", False, "result", "bool, default False", _NO_WEIGHTS),
    # attention_weights has it beside its rows
    Option("average_heads", False, "result", "bool, default False", _NO_SHARE),
    Option("return_skipped", False, "result", "bool, default False", _NO_SHARE),
)

OPTION_NAMES = tuple(option.name for option in OPTIONS)
INPUTS = ("query", "key", "value")
ARRAYS = tuple(option for option in OPTIONS if option.kind == "array")
# of all arrays of a call, in the order in which they are kept
ARRAY_NAMES = (*INPUTS, *(option.name for option in ARRAYS))


def unexpected(
    function: Callable[..., Any], given: Iterable[str], passed_on: Iterable[str] = ()
) -> TypeError:
    """The error of a call with keywords that the function does not have.

    `passed_on` are those that it takes by ``**options``.
    """
    from inspect import signature  # only now: needed for errors alone

    from heedful.functional._foreign_options import hint_for

    hint = hint_for(given, {*signature(function).parameters, *passed_on})
    called = function.__name__
    if hint:
        return TypeError(f"{called}: {hint}")
    return TypeError(f"{called}() got an unexpected keyword argument {next(iter(given))!r}")
