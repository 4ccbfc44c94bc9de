"""Whole models of the transformers library: eager, sdpa, sdpa with heedful's kernels, and heedful.

Random weights, the widths of real models, two layers each. All ways in one process, on the same
model and inputs, compared with eager before they are timed. On one thread the times are those of
the processor, in which other programs do not count.

Attention is a part of a model: its share of the time is printed beside the ratio, as PyTorch
computes it and as heedful does.
"""

from __future__ import annotations

import dataclasses
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from functools import partial
from typing import Any

from heedful.benchmark.channel import Answer, rest
from heedful.benchmark.goal import Line, at_least
from heedful.benchmark.harness import Harness
from heedful.benchmark.script import ScriptProcess, ScriptWorker, script_processes, take_turns
from heedful.benchmark.topic import Topic, main

WAYS = {"eager": "eager", "sdpa": "sdpa", "activated": "sdpa", "registered": "heedful"}
ALLOWED = 1e-4  # error relative to the largest element
LLAMA = {"hidden_size": 896, "num_attention_heads": 14, "num_key_value_heads": 2,
         "intermediate_size": 4864, "num_hidden_layers": 2, "vocab_size": 1000}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Model:
    """A configuration, its inputs, and the goal: how many times as fast as the other way."""

    what: str
    kind: str  # of configuration
    sizes: dict[str, Any]
    batch: int
    length: int
    goal: float
    other: str = "sdpa"
    padded: bool = False
    decode: bool = False  # one token after so many


MODELS = (
    Model("BERT-base, 4 x 384 tokens, padded", "BertConfig", {"num_hidden_layers": 2}, 4, 384, 1.0,
          padded=True),
    Model("GPT-2 small, 1,024 tokens", "GPT2Config", {"n_layer": 2}, 1, 1024, 1.0),
    Model("Llama-like of 0.5 B, 1,024 tokens", "LlamaConfig", LLAMA, 1, 1024, 1.0),
    Model("Llama-like of 0.5 B, 2 x 1,024 tokens, padded on the left", "LlamaConfig", LLAMA, 2,
          1024, 1.0, padded=True),
    Model("Llama-like of 0.5 B, a token after 1,024", "LlamaConfig", LLAMA, 1, 1024, 0.95,
          decode=True),
    Model("Gemma-2-like of 0.5 B, softcap, window of 1,024, 2,048 tokens", "Gemma2Config",
          {**LLAMA, "head_dim": 64, "sliding_window": 1024}, 1, 2048, 2.0, other="eager"),
)  # fmt: skip


class Worker(ScriptWorker):
    def __init__(self, library: str, threads: int) -> None:
        super().__init__(library, threads)
        import transformers

        from heedful.integrations.transformers import register

        register()
        self.version = f"{transformers.__version__}"
        self.clock = time.process_time if threads == 1 else time.perf_counter

    def prepare(self, number: int) -> Answer:
        """Makes the model and its inputs; returns the error of each way that it has."""
        import torch
        import transformers

        case = MODELS[number]
        torch.manual_seed(0)
        config = getattr(transformers, case.kind)(**case.sizes)
        self.model = transformers.AutoModel.from_config(config, attn_implementation="eager").eval()
        tokens = torch.randint(5, 900, (case.batch, case.length + case.decode))
        seen = torch.ones_like(tokens)
        if case.padded:
            for item, row in enumerate(seen):
                hidden = case.length * item // (2 * case.batch)
                left = case.kind == "LlamaConfig"
                row[slice(hidden) if left else slice(case.length - hidden, None)] = 0
        padding = {"attention_mask": seen} if case.padded else {}

        def call(way: str) -> Any:
            self.model.config._attn_implementation = WAYS[way]
            with torch.inference_mode(), activated(way):
                if not case.decode:
                    return self.model(input_ids=tokens, **padding, use_cache=False)[0]
                out = self.model(input_ids=tokens[:, -1:], past_key_values=cache)[0]
                cache.crop(-1)
                return out

        if case.decode:
            with torch.inference_mode():
                cache = self.model(input_ids=tokens[:, :-1], use_cache=True).past_key_values
        self.calls = {way: partial(call, way) for way in WAYS}
        if case.other == "eager":  # the library's sdpa refuses softcap
            del self.calls["sdpa"], self.calls["activated"]
        kept = seen[:, -1:].bool() if case.decode else seen.bool()
        results = {way: one()[kept] for way, one in self.calls.items()}
        true = results["eager"]
        return {
            way: float((one - true).abs().max() / true.abs().max()) for way, one in results.items()
        }

    def turn(self, way: str, seconds: float) -> Answer:
        times: list[float] = []
        self.calls[way]()
        while not times or sum(times) < seconds:
            times.append(self._time(self.calls[way]))
        rest()
        return {"times": times}

    def share(self, way: str) -> Answer:
        """Attention's part of the time of a call, the median of three."""
        from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

        eager = sys.modules[type(self.model).__module__]
        name, spent = WAYS[way], [0.0]
        table = vars(eager) if name == "eager" else ALL_ATTENTION_FUNCTIONS._global_mapping
        key = "eager_attention_forward" if name == "eager" else name
        own = table[key]

        def timed(*arguments: Any, **options: Any) -> Any:
            start = self.clock()
            found = own(*arguments, **options)
            spent[0] += self.clock() - start
            return found

        table[key] = timed
        try:
            shares = []
            for _ in range(3):
                spent[0] = 0.0
                whole = self._time(self.calls[way])
                shares.append(spent[0] / whole)
        finally:
            table[key] = own
        return {"share": sorted(shares)[1]}

    def _time(self, call: Callable[[], object]) -> float:
        start = self.clock()
        call()
        return self.clock() - start


def activated(way: str) -> Any:
    from heedful.integrations.torch import activate

    return activate() if way == "activated" else nullcontext()


def transformers_lines(harness: Harness) -> Iterator[Line]:
    with script_processes(__file__, harness, ["torch"]) as processes:
        if not processes:
            reason = "torch was not asked"
            yield Line("models of transformers", "≥ sdpa", "–", None, reason=reason)
            return
        for number, case in enumerate(MODELS):
            yield model_line(harness, processes["torch"], number, case)


def model_line(harness: Harness, process: ScriptProcess, number: int, case: Model) -> Line:
    errors = process.ask("prepare", number=number)
    wrong = [way for way, error in errors.items() if not error <= ALLOWED]
    if wrong:
        return Line(case.what, "right results", f"{', '.join(wrong)}: {errors}", False)
    turns = take_turns(harness, {way: partial(process.turn, way=way) for way in errors})
    shares = {way: process.ask("share", way=way)["share"] for way in (case.other, "registered")}
    ratios = [f"{way} {turns.ratio('registered', way):.2f} x" for way in errors
              if way not in ("registered", case.other)]  # fmt: skip
    parts = [f"{way} {share:.0%}" for way, share in shares.items()]
    line = at_least(f"{case.what}: registered", case.goal, turns.ratio("registered", case.other),
                    f"x {case.other}", f"{', '.join(ratios)}; {turns}; attention: "
                    f"{', '.join(parts)} of the time", "")  # fmt: skip
    return line.seen_in(turns.state)


TOPIC = Topic("transformers", __doc__, other=transformers_lines)

if __name__ == "__main__":
    main(TOPIC, Worker)
