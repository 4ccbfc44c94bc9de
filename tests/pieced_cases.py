"""Calls whose keys are cut into pieces, on several machines or in turn: one table for all ways."""

from __future__ import annotations

from case import Case

CASES = [
    Case("plain", Lq=5, Lk=23),
    Case("one head, no batch", B=(), H=1, Lq=7, Lk=19),
    Case("causal", Lq=23, Lk=23, options={"causal": True}),
    Case("causal, more keys than queries", H=4, Hkv=2, Lq=11, Lk=29,
         options={"causal": True, "align": "lower_right"}),
    Case("causal, queries before the first key", Lq=13, Lk=17,
         options={"causal": True, "align": -5}),
    Case("causal, an offset for each item", Lq=13, Lk=31,
         options={"causal": True, "align": [3, 17]}),
    Case("a window and grouped heads", H=6, Hkv=2, Lq=23, Lk=23,
         options={"window": (4, 2), "causal": False}),
    Case("a causal window", Lq=31, Lk=31, options={"window": (5, None), "causal": True}),
    Case("lengths", Lq=17, Lk=23,
         options={"causal": True, "align": "lower_right", "q_lengths": [17, 4],
                  "kv_lengths": [9, 0]}),
    Case("lengths without a batch", B=(), Lq=9, Lk=21,
         options={"causal": True, "align": "lower_right", "q_lengths": 8, "kv_lengths": 17}),
    Case("mask and bias", H=4, Hkv=2, Lq=17, Lk=23, mask="B1QK", bias="HQK", density=0.3),
    Case("mask and bias of keys", Lq=17, Lk=23, mask="B11K", bias="K"),
    Case("bias of queries", Lq=17, Lk=23, bias="BHQ1", bias_density=0.8),
    Case("softcap, sink and slopes", H=4, Hkv=2, Lq=19, Lk=19, alibi="BH", sink=True,
         options={"softcap": 3.0, "scale": 0.7, "causal": True}),
    Case("broadcast", B=(3, 2), Lq=7, Lk=13, batches=((3, 2), (2,), (1, 2)), bias="HQK"),
]  # fmt: skip
