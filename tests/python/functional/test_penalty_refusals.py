"""Penalties that have no meaning are refused in one sentence."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import heedful
from heedful.functional import penalised_attention_vjp

BAD: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"kind": "l1"}, ValueError, "kind must not be 'l1': the weights of a row are positive and"),
    ({"kind": "l3"}, ValueError, "kind must be 'l2' or 'entropy' or .* got 'l3'"),
    ({"kind": 2}, TypeError, "kind must be"),
    ({"kind": "target"}, ValueError, "target must be given with kind='target'"),
    ({"kind": "z", "target": np.ones((5, 7))}, ValueError, "target must be given with kind='targ"),
    ({"kind": "target", "target": -np.ones((5, 7))}, ValueError, "target must not be negative"),
    ({"kind": "target", "target": np.ones((5, 8))}, ValueError, r"target must broadcast to \(2,"),
    ({"kind": "target", "target": np.ones((5, 7), int)}, TypeError, "target must"),
    ({"kind": "target", "target": lambda rows: np.ones((6, 7))}, ValueError,
     r"target\(slice\(0, 5\)\) must broadcast"),
]  # fmt: skip


@pytest.mark.parametrize(("options", "error", "message"), BAD)
def test_what_has_no_meaning_is_refused_in_a_sentence(
    options: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=rf"\A{message}"):
        heedful.attention_penalty(np.ones((2, 5, 6)), np.ones((2, 7, 6)), **options)


@pytest.mark.parametrize(("penalties", "options", "error", "message"), [
    (3, {}, TypeError, "penalties must map kinds to weights"),
    ({"l1": 1.0}, {}, ValueError, "penalties must not be 'l1'"),
    ({"target": 1.0}, {}, ValueError, "penalties must not have 'target'"),
    ({"l2": -1.0}, {}, ValueError, r"penalties\['l2'\] must not be negative"),
    ({"l2": np.nan}, {}, ValueError, r"penalties\['l2'\] must be finite"),
    ({"l2": [1.0, 2.0, 3.0]}, {}, ValueError, r"penalties\['l2'\] must be a number or have shape"),
    ({"l2": "a"}, {}, TypeError, r"penalties\['l2'\] must be a number"),
    ({"l2": 1.0}, {"top_k": 2}, ValueError, "top_k must be None with penalties"),
    ({"l2": 1.0}, {"sink": np.ones(2)}, ValueError, "sink must be None with penalties"),
    ({"l2": 1.0}, {"normalizer": "sparsemax"}, ValueError, "normalizer must be 'softmax' with pen"),
    ({"l2": 1.0}, {"normalizer": np.array([1.5, 2.0])}, ValueError, "normalizer must be 'softmax'"),
    ({"l2": 1.0}, {"out": np.ones((2, 5, 6))}, TypeError,
     r"penalised_attention_vjp\(\) got an unexpected keyword argument 'out'"),
    ({"l2": 1.0}, {"return_skipped": True}, TypeError,
     r"penalised_attention_vjp\(\) got an unexpected keyword argument 'return_skipped'"),
    ({"l2": 1.0}, {"softcup": 2.0}, TypeError,
     r"penalised_attention_vjp\(\) got an unexpected keyword argument 'softcup'"),
    ({"l2": 1.0}, {"attn_mask": None}, TypeError,
     "penalised_attention_vjp: attn_mask is not supported: "),
])  # fmt: skip
def test_penalties_without_meaning_are_refused(
    penalties: Any, options: dict[str, Any], error: type[Exception], message: str
) -> None:
    x = np.ones((2, 5, 6))
    with pytest.raises(error, match=rf"\A{message}"):
        penalised_attention_vjp(x, x, x, penalties, **options)
