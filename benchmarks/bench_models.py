"""Whole models: transformers with eager and sdpa attention, and heedful.models.

Random weights, the widths and depths of real models. transformers saves each model, heedful loads
the same files in a process of its own; the logits of both are compared before anything is timed.
Prompts are read into a cache, with the logits of the last token alone; decoding is the mean of 32
steps after a prompt, without the prompt. heedful computes in float32, with weights of float32 and
of bfloat16. The memory is the peak of heedful's process from loading to the last token, above what
it had before. With --threads 1 the times are those of the processor.

Attention is a part of a model: its share of the time is printed beside the ratio, as PyTorch's sdpa
has it and as heedful does.
"""

from __future__ import annotations

import dataclasses
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from heedful.benchmark.channel import Answer, rest
from heedful.benchmark.goal import Line, at_least
from heedful.benchmark.harness import Harness
from heedful.benchmark.script import ScriptProcess, ScriptWorker, script_processes, take_turns
from heedful.benchmark.topic import Topic, main

ALLOWED = {"heedful": 1e-4, "bfloat16": 0.1}  # error of logits relative to the largest
STEPS = 32
PATIENCE = 900.0  # seconds: models are made, saved and loaded
PROMPT, DECODING = 1.3, 1.5  # goals
CLOCK = [time.perf_counter]  # of the processor on one thread, in which other programs do not count
SHORTER = (128, 113, 97, 83, 71, 59, 41, 23)
BERT = {"vocab_size": 30522, "hidden_size": 768, "num_hidden_layers": 12,
        "num_attention_heads": 12, "intermediate_size": 3072}  # fmt: skip
HALF_BILLION = {"vocab_size": 151936, "hidden_size": 896, "intermediate_size": 4864,
                "num_hidden_layers": 24, "num_attention_heads": 14, "num_key_value_heads": 2,
                "tie_word_embeddings": True}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Model:
    """A configuration, and what is computed: a batch of texts, prompts, steps after a prompt."""

    what: str
    kind: str
    head: str
    sizes: dict[str, Any]
    prompts: tuple[int, ...] = ()
    decode_after: int = 0


MODELS = (
    Model("BERT-base, 8 texts of 23 to 128 tokens", "BertConfig", "BertForSequenceClassification",
          BERT),
    Model("GPT-2 small", "GPT2Config", "GPT2LMHeadModel", {}, (512, 1024), 512),
    Model("Llama-like of 0.5 B", "Qwen2Config", "Qwen2ForCausalLM", HALF_BILLION, (256,), 256),
)  # fmt: skip


class Worker(ScriptWorker):
    """transformers ("torch") or heedful; both answer the same questions."""

    def __init__(self, library: str, threads: int) -> None:
        super().__init__(library, threads)
        CLOCK[0] = time.process_time if threads == 1 else time.perf_counter
        if library == "torch":
            import transformers

            transformers.utils.logging.disable_progress_bar()
            self.version = transformers.__version__
            self.own: Any = Transformers()
        else:
            self.own = Heedful()

    def load(self, number: int, folder: str) -> Answer:
        """Saves or loads the model."""
        case = MODELS[number]
        self.own.load(case, folder)
        self.calls = {
            f"{way} {what}": self.own.call(way, what, case)
            for what in works(case) for way in self.own.ways
        }  # fmt: skip
        return {"calls": list(self.calls)}

    def first(self, way: str) -> Answer:
        """Logits of the last tokens, the first 64 of each."""
        found = np.asarray(self.calls[way]())
        return {"logits": found[..., :64].reshape(-1).tolist()}

    def turn(self, way: str, seconds: float) -> Answer:
        times: list[float] = []
        call = self.calls[way]
        while not times or sum(times) < seconds:
            start = CLOCK[0]()
            spent = call()  # decoding measures its steps alone
            spent = spent if isinstance(spent, float) else CLOCK[0]() - start
            times.append(spent)
        rest()
        return {"times": times}

    def time_steps(self) -> Answer:
        """From now on decoding returns seconds."""
        for name in self.calls:
            if name.endswith("decoding"):
                self.calls[name] = partial(self.calls[name], timed=True)
        return {}

    def share(self, way: str) -> Answer:
        """Attention's part of a call, the median of three."""
        shares = []
        for _ in range(3):
            with self.own.attention_timed(way.split()[0]) as spent:
                self.own.begin = partial(spent.__setitem__, 0, 0.0)
                start = CLOCK[0]()
                whole = self.calls[way]()
                steps = STEPS * whole if isinstance(whole, float) else None
                shares.append(spent[0] / (steps or CLOCK[0]() - start))
                self.own.begin = nothing
        return {"share": sorted(shares)[1]}

    def memory(self) -> Answer:
        return self.own.peak()


def works(case: Model) -> list[str]:
    if not case.prompts:
        return ["batch"]
    return [*(f"prompt {length}" for length in case.prompts), "decoding"]


def texts(case: Model, count: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Tokens and which are valid."""
    rng = np.random.default_rng(0)
    if count:
        return rng.integers(5, 900, (1, count)), np.ones((1, count), np.bool_)
    mask = np.arange(SHORTER[0]) < np.array(SHORTER)[:, None]
    return np.where(mask, rng.integers(5, 900, mask.shape), 0), mask


class timed_calls:
    """Within it, calls of attribute `name` of `place` add their seconds to a list of one."""

    def __init__(self, *places: tuple[Any, str]) -> None:
        self.places, self.spent = places, [0.0]

    def __enter__(self) -> list[float]:
        self.own = [_get(place, name) for place, name in self.places]
        for (place, name), own in zip(self.places, self.own, strict=True):
            _set(place, name, partial(self._timed, own))
        return self.spent

    def _timed(self, own: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        start = CLOCK[0]()
        found = own(*arguments, **options)
        self.spent[0] += CLOCK[0]() - start
        return found

    def __exit__(self, *_: object) -> None:
        for (place, name), own in zip(self.places, self.own, strict=True):
            _set(place, name, own)


def _get(place: Any, name: str) -> Any:
    return place[name] if isinstance(place, dict) else getattr(place, name)


def _set(place: Any, name: str, found: Any) -> None:
    if isinstance(place, dict):
        place[name] = found
    else:
        setattr(place, name, found)


def nothing() -> None:
    """At the beginning of the steps of decoding."""


class Transformers:
    ways = ("eager", "sdpa")
    begin: Callable[[], None] = staticmethod(nothing)

    def load(self, case: Model, folder: str) -> None:
        import torch
        import transformers

        torch.manual_seed(0)
        config = getattr(transformers, case.kind)(**case.sizes)
        kind = getattr(transformers, case.head)
        self.model = kind._from_config(config, attn_implementation="eager").eval()
        self.model.save_pretrained(folder)

    def call(self, way: str, what: str, case: Model) -> Callable[..., Any]:
        import torch

        def use() -> None:
            self.model.config._attn_implementation = way

        if what == "batch":
            tokens, mask = (torch.tensor(array) for array in texts(case))

            def batch() -> Any:
                use()
                with torch.inference_mode():
                    return self.model(input_ids=tokens, attention_mask=mask.long()).logits

            return batch

        def read(tokens: Any) -> Any:
            return self.model(input_ids=tokens, use_cache=True, logits_to_keep=1)

        if what.startswith("prompt"):
            tokens = torch.tensor(texts(case, int(what.split()[1]))[0])

            def prompt() -> Any:
                use()
                with torch.inference_mode():
                    return read(tokens).logits[:, -1]

            return prompt
        tokens = torch.tensor(texts(case, case.decode_after + STEPS)[0])

        def decoding(timed: bool = False) -> Any:
            use()
            with torch.inference_mode():
                cache = read(tokens[:, : case.decode_after]).past_key_values
                self.begin()
                start = CLOCK[0]()
                for place in range(case.decode_after, tokens.shape[1]):
                    out = self.model(
                        input_ids=tokens[:, place : place + 1], past_key_values=cache,
                        use_cache=True, logits_to_keep=1,
                    )  # fmt: skip
                spent = (CLOCK[0]() - start) / STEPS
                return spent if timed else out.logits[:, -1]

        return decoding

    def attention_timed(self, way: str) -> timed_calls:
        from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

        if way == "eager":
            return timed_calls((vars(sys.modules[type(self.model).__module__]),
                                "eager_attention_forward"))  # fmt: skip
        return timed_calls((ALL_ATTENTION_FUNCTIONS._global_mapping, way))

    def peak(self) -> dict[str, int]:
        return {}


class Heedful:
    ways = ("heedful", "bfloat16")
    begin: Callable[[], None] = staticmethod(nothing)

    def load(self, case: Model, folder: str) -> None:
        import heedful.models

        self.models: dict[str, Any] = {}
        self.peaks = {}
        for way, dtype in (("bfloat16", "bfloat16"), ("heedful", "float32")):
            before = _resident()
            _reset_peak()
            self.models[way] = heedful.models.from_pretrained(folder, dtype=dtype)
            for what in works(case):
                self.call(way, what, case)()
            self.peaks[way] = _peak() - before

    def call(self, way: str, what: str, case: Model) -> Callable[..., Any]:
        model = self.models[way]
        if what == "batch":
            tokens, mask = texts(case)
            return lambda: model(tokens, mask=mask)
        if what.startswith("prompt"):
            tokens, _ = texts(case, int(what.split()[1]))
            return lambda: model.generation_steps().start(list(tokens))
        tokens, _ = texts(case, case.decode_after + STEPS)

        def decoding(timed: bool = False) -> Any:
            steps = model.generation_steps()
            steps.start([tokens[0, : case.decode_after]])
            self.begin()
            start = CLOCK[0]()
            for place in range(case.decode_after, tokens.shape[1]):
                logits = steps.step(tokens[:, place])
            spent = (CLOCK[0]() - start) / STEPS
            return spent if timed else logits

        return decoding

    def attention_timed(self, way: str) -> timed_calls:
        from heedful.functional import _cache_store
        from heedful.layers.attention import _multi_head

        return timed_calls((_cache_store, "attention"), (_multi_head, "attention"))

    def peak(self) -> dict[str, int]:
        return self.peaks


def _status(field: str) -> int:
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith(field):
            return 1024 * int(line.split()[1])
    return 0


def _resident() -> int:
    return _status("VmRSS")


def _peak() -> int:
    return _status("VmHWM")


def _reset_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def model_lines(harness: Harness) -> Iterator[Line]:
    with script_processes(__file__, harness, ["torch", "heedful"]) as processes:
        if len(processes) < 2:
            yield Line("whole models", "≥ sdpa", "–", None, reason="torch was not asked")
            return
        for number, case in enumerate(MODELS):
            yield from case_lines(harness, processes, number, case)


def case_lines(
    harness: Harness, processes: dict[str, ScriptProcess], number: int, case: Model
) -> Iterator[Line]:
    theirs, ours = processes["torch"], processes["heedful"]
    with tempfile.TemporaryDirectory() as folder:
        theirs.ask("load", timeout=PATIENCE, number=number, folder=folder)
        ours.ask("load", timeout=PATIENCE, number=number, folder=folder)
        file_bytes = sum(path.stat().st_size for path in Path(folder).glob("*.safetensors"))
    for what in works(case):
        wanted = np.array(theirs.ask("first", timeout=PATIENCE, way=f"eager {what}")["logits"])
        for way, process in (("sdpa", theirs), ("heedful", ours), ("bfloat16", ours)):
            found = np.array(process.ask("first", timeout=PATIENCE, way=f"{way} {what}")["logits"])
            error, most = (
                np.abs(found - wanted).max() / np.abs(wanted).max(),
                ALLOWED.get(way, 1e-4),
            )
            if not error <= most:
                yield Line(f"{case.what}, {what}: {way} and eager", f"error ≤ {most:g}",
                           f"{error:.1e}", False)  # fmt: skip
                return
    if case.decode_after:
        theirs.ask("time_steps")
        ours.ask("time_steps")
    for what in works(case):
        turns = take_turns(harness, {
            "eager": partial(theirs.turn, way=f"eager {what}"),
            "sdpa": partial(theirs.turn, way=f"sdpa {what}"),
            "heedful": partial(ours.turn, way=f"heedful {what}"),
            "bfloat16": partial(ours.turn, way=f"bfloat16 {what}"),
        })  # fmt: skip
        shares = []
        for way, process in (("sdpa", theirs), ("heedful", ours)):
            share = process.ask("share", timeout=PATIENCE, way=f"{way} {what}")["share"]
            shares.append(f"{way} {share:.0%}")
        eager, narrow = turns.ratio("heedful", "eager"), turns.ratio("bfloat16", "sdpa")
        found = (f"{eager:.2f} x eager; with bfloat16 weights {narrow:.2f} x sdpa; {turns}; "
                 f"attention: {', '.join(shares)} of the time")  # fmt: skip
        yield at_least(
            f"{case.what}, {what}", DECODING if what == "decoding" else PROMPT,
            turns.ratio("heedful", "sdpa"), "x sdpa", found, "",
        ).seen_in(turns.state)  # fmt: skip
    for way, peak in ours.ask("memory").items():
        size = file_bytes if way == "heedful" else file_bytes / 2
        yield Line(
            f"{case.what}, {'float32' if way == 'heedful' else way}: peak memory from loading to "
            "the last token", f"its weights, {size / 2**20:.0f} MiB, and the cache",
            f"{peak / 2**20:.0f} MiB", None, reason="activations and the cache are in it",
        )  # fmt: skip


TOPIC = Topic("models", __doc__, other=model_lines)

if __name__ == "__main__":
    main(TOPIC, Worker)
