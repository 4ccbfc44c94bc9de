"""A whole model in transformers, which saves it, and in heedful, which loads the same files."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from typing import Any

from model_cases import STEPS, Model, text_and_target, texts
from timed_calls import CLOCK, timed_calls

from heedful.benchmark.memory import highest


def nothing() -> None:
    """At the beginning of the steps of decoding."""


class Transformers:
    ways = ("eager", "sdpa")
    begin: Callable[[], None] = staticmethod(nothing)

    def load(self, case: Model, folder: str, asked: list[str]) -> None:
        import torch
        import transformers

        torch.manual_seed(0)
        config = getattr(transformers, case.kind)(**case.sizes)
        kind = getattr(transformers, case.head)
        self.model = kind._from_config(config, attn_implementation="eager").eval()
        self.model.save_pretrained(folder)

    def call(self, way: str, what: str, case: Model) -> Callable[..., Any]:
        import torch

        # of an encoder-decoder each half has a copy
        configs = {id(one.config): one.config for one in self.model.modules()
                   if hasattr(one, "config")}  # fmt: skip

        def use() -> None:
            for config in configs.values():
                config._attn_implementation = way

        if case.reads:
            return self._encoder_decoder(use, what, case)
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

    def _encoder_decoder(
        self, use: Callable[[], None], what: str, case: Model
    ) -> Callable[..., Any]:
        import torch

        tokens, target = (torch.tensor(array) for array in text_and_target(case))

        def whole() -> Any:
            use()
            with torch.inference_mode():
                return self.model(input_ids=tokens, decoder_input_ids=target).logits[:, -1]

        def decoding(timed: bool = False) -> Any:
            use()
            with torch.inference_mode():
                memory, cache = self.model.encoder(input_ids=tokens), None
                self.begin()
                start = CLOCK[0]()
                for place in range(STEPS):
                    out = self.model(
                        encoder_outputs=memory, decoder_input_ids=target[:, place : place + 1],
                        past_key_values=cache, use_cache=True,
                    )  # fmt: skip
                    cache = out.past_key_values
                spent = (CLOCK[0]() - start) / STEPS
                return spent if timed else out.logits[:, -1]

        return whole if what == "text and target" else decoding

    def attention_timed(self, way: str) -> timed_calls:
        from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

        if way == "eager":
            return timed_calls((vars(sys.modules[type(self.model).__module__]),
                                "eager_attention_forward"))  # fmt: skip
        return timed_calls((ALL_ATTENTION_FUNCTIONS._global_mapping, way))

    def peak(self) -> dict[str, int]:
        return {}


class Heedful:
    ways = ("heedful", "bfloat16", "int8")
    begin: Callable[[], None] = staticmethod(nothing)

    def load(self, case: Model, folder: str, asked: list[str]) -> None:
        import heedful.models

        self.models: dict[str, Any] = {}

        def read(way: str) -> None:
            dtype = "bfloat16" if way == "bfloat16" else "float32"
            self.models[way] = heedful.models.from_pretrained(folder, dtype=dtype)
            for what in asked:
                self.call(way, what, case)()

        self.peaks = {way: highest(partial(read, way)) for way in ("bfloat16", "heedful")}
        read("int8")  # of float32, and so with the memory of both at first
        self.models["int8"].quantize()

    def call(self, way: str, what: str, case: Model) -> Callable[..., Any]:
        model = self.models[way]
        if case.reads:
            return self._encoder_decoder(model, what, case)
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

    def _encoder_decoder(self, model: Any, what: str, case: Model) -> Callable[..., Any]:
        tokens, target = text_and_target(case)

        def decoding(timed: bool = False) -> Any:
            steps = model.steps(tokens)
            self.begin()
            start = CLOCK[0]()
            logits = steps.start([target[0, :1]])
            for place in range(1, STEPS):
                logits = steps.step(target[:, place])
            spent = (CLOCK[0]() - start) / STEPS
            return spent if timed else logits

        return decoding if what == "decoding" else lambda: model(tokens, target)[:, -1]

    def attention_timed(self, way: str) -> timed_calls:
        from heedful.functional import _cache_store
        from heedful.layers.attention import _cached, _heads
        from heedful.layers.models import _without_padding

        return timed_calls(
            (_cache_store, "attention"), (_cached, "attention"), (_heads, "attention"),
            (_without_padding, "attention_varlen"),
        )  # fmt: skip

    def peak(self) -> dict[str, int]:
        return self.peaks
