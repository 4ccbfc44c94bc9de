"""Tokenizer: texts to the numbers of their tokens and back, by the package tokenizers."""

from __future__ import annotations

from collections.abc import Sequence
from threading import Lock
from typing import Any

import numpy as np

from heedful._checks import flag, named, one_of, size
from heedful._whole_file import AnyPath
from heedful.base._types import Array
from heedful.models._chat_template import checked_messages, render
from heedful.models._compiled_tokenizer import read_tokenizer
from heedful.models._config import Config
from heedful.models._files import checked_folder, file_in
from heedful.models._tokenizer_files import (
    chat_templates,
    content_of,
    has_segments,
    read_settings,
    special_tokens,
)

_FILE = "tokenizer.json"
# what clean_up_tokenization_spaces of transformers does to text that WordPiece has split
_CLEANED = ((" .", "."), (" ?", "?"), (" !", "!"), (" ,", ","), (" ' ", "'"), (" n't", "n't"),
            (" 'm", "'m"), (" 's", "'s"), (" 've", "'ve"), (" 're", "'re"))  # fmt: skip


class Tokenizer:
    """The tokenizer in the folder of a model, see :meth:`from_pretrained`.

    Attributes
    ----------
    special_tokens : dict of str
        Such as ``{"eos_token": "</s>"}``, as the model's files name them.
    chat_templates : dict of str
        Templates by name; "default" is the one that is used without tools.
    padding_side : {"right", "left"}

    Notes
    -----
    Any number of threads may call.
    """

    def __init__(self, tokenizer: Any, settings: Config, templates: dict[str, str]) -> None:
        self.special_tokens: dict[str, str] = {
            name: content_of(name, token) for name, token in special_tokens(settings).items()
        }
        self.chat_templates = templates
        self.padding_side: Any = settings.choice("padding_side", ("right", "left"), "right")
        self._truncation_side = settings.choice("truncation_side", ("right", "left"), "right")
        self._has_segments = has_segments(settings)
        self._cleans = settings.flag("clean_up_tokenization_spaces", False)
        self._tokenizer, self._lock = tokenizer, Lock()

    @classmethod
    def from_pretrained(cls, folder: AnyPath) -> Tokenizer:
        """The tokenizer that is in a folder, as ``save_pretrained`` of transformers writes it.

        Parameters
        ----------
        folder : str or path
            With tokenizer.json; tokenizer_config.json, special_tokens_map.json,
            chat_template.jinja and additional_chat_templates are read where they are there.

        Raises
        ------
        FileNotFoundError
            A folder without tokenizer.json.
        ImportError
            Without the package tokenizers.
        """
        place = checked_folder(folder)
        path = file_in(place, _FILE)
        if path is None:
            raise FileNotFoundError(f"folder must have a {_FILE}: got {str(place)!r}")
        settings = read_settings(place)
        return cls(read_tokenizer(path, settings), settings, chat_templates(place, settings))

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "_lock"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state, _lock=Lock())

    def encode(
        self, text: str, pair: str | None = None, *, add_special_tokens: bool = True
    ) -> list[int]:
        """The tokens of a text, or of a pair of texts.

        Parameters
        ----------
        text, pair : str
        add_special_tokens : bool, default True
            Whether tokens such as [CLS] are added around it, as the model was trained.
        """
        found = self._encodings([text], None if pair is None else [pair], add_special_tokens)
        return list(found[0].ids)

    def decode(self, tokens: Any, *, skip_special_tokens: bool = False) -> str:
        """The text of tokens (L,)."""
        ids = np.asarray(tokens)
        if ids.ndim != 1 or (ids.size and ids.dtype.kind not in "iu"):
            raise TypeError(f"tokens must be integers with one axis: got {named(tokens)}")
        if ids.size and ids.min() < 0:
            raise ValueError(f"tokens must not be negative: got {int(ids.min())}")
        skip = flag("skip_special_tokens", skip_special_tokens)
        text: str = self._tokenizer.decode(ids.tolist(), skip_special_tokens=skip)
        if self._cleans and type(self._tokenizer.model).__name__ != "BPE":
            for given, cleaned in _CLEANED:
                text = text.replace(given, cleaned)
        return text

    def batch(
        self, texts: Sequence[str], pairs: Sequence[str] | None = None, *,
        max_length: int | None = None, padding_side: str | None = None,
        add_special_tokens: bool = True,
    ) -> dict[str, Array]:  # fmt: skip
        """Texts (B) as inputs of a model: ``model(**tokenizer.batch(texts))``.

        Parameters
        ----------
        texts, pairs : sequence of str
            Texts, and the second part of each where there are pairs.
        max_length : int, optional
            Texts with more tokens are truncated to it; None truncates nothing.
        padding_side : {"right", "left"}, optional
            Where shorter texts are padded; None is the model's setting.
        add_special_tokens : bool, default True

        Returns
        -------
        dict
            tokens (B, L) of int64; mask (B, L) of bool, True where a token is none of the padding;
            and of pairs, if the model has segments, segments (B, L).
        """
        given: Any = texts
        if isinstance(given, str) or not isinstance(given, Sequence) or not given:
            raise TypeError(f"texts must be a list of strings: got {named(given)}")
        side = self.padding_side
        if padding_side is not None:
            side = one_of("padding_side", padding_side, ("right", "left"))
        limit = None if max_length is None else size("max_length", max_length)
        found = self._encodings(texts, pairs, add_special_tokens, limit)
        length = max(len(encoding.ids) for encoding in found)
        tokens = np.full((len(found), length), self.pad_id or 0, np.int64)
        mask, segments = np.zeros(tokens.shape, np.bool_), np.zeros_like(tokens)
        for row, encoding in enumerate(found):
            count = len(encoding.ids)
            place = slice(0, count) if side == "right" else slice(length - count, length)
            tokens[row, place], mask[row, place] = encoding.ids, True
            segments[row, place] = encoding.type_ids
        inputs = {"tokens": tokens, "mask": mask}
        return inputs | ({"segments": segments} if pairs is not None and self._has_segments else {})

    def apply_chat_template(
        self, messages: Sequence[Any], *, tools: Sequence[Any] | None = None,
        add_generation_prompt: bool = False, template: str | None = None, **variables: Any,
    ) -> str:  # fmt: skip
        """The text of a conversation, as the model was trained on it.

        `encode(text, add_special_tokens=False)` makes tokens of it: the template has added the
        special ones.

        Parameters
        ----------
        messages : sequence of mappings
            Each with "role" and "content", and what else the template reads.
        tools : sequence of mappings, optional
            JSON schemas of functions that the model may call.
        add_generation_prompt : bool, default False
            Whether the text ends with what begins an answer.
        template : str, optional
            Name of one of `chat_templates`; None is "tool_use", if there are tools and such a
            template, and "default" otherwise.
        **variables
            Others that the template reads.

        Raises
        ------
        ValueError
            A model without a chat template, or messages that the template refuses.
        ImportError
            Without the package jinja2.
        """
        conversation = checked_messages(messages)
        if not self.chat_templates:
            raise ValueError(
                "the model has no chat template: its folder has none in tokenizer_config.json, and "
                "no chat_template.jinja"
            )
        with_tools = bool(tools) and "tool_use" in self.chat_templates
        name = template or ("tool_use" if with_tools else "default")
        if name not in self.chat_templates:
            raise ValueError(
                f"template must be a chat template of the model, {list(self.chat_templates)}: "
                f"got {named(name)}"
            )
        return render(
            self.chat_templates[name],
            {**self.special_tokens, "documents": None, **variables, "messages": conversation,
             "tools": tools, "add_generation_prompt":
             flag("add_generation_prompt", add_generation_prompt)},
        )  # fmt: skip

    def token_id(self, token: str) -> int:
        """The number of a token, such as "[MASK]"."""
        if not isinstance(token, str):
            raise TypeError(f"token must be a string: got {named(token)}")
        found = self._tokenizer.token_to_id(token)
        if found is None:
            raise ValueError(f"token must be in the vocabulary: got {named(token)}")
        return int(found)

    @property
    def pad_id(self) -> int | None:
        return self._special("pad_token")

    @property
    def bos_id(self) -> int | None:
        return self._special("bos_token")

    @property
    def eos_id(self) -> int | None:
        return self._special("eos_token")

    def __len__(self) -> int:
        """Number of tokens."""
        return int(self._tokenizer.get_vocab_size())

    def __repr__(self) -> str:
        return f"Tokenizer({len(self)} tokens, special_tokens={self.special_tokens})"

    def _special(self, name: str) -> int | None:
        token = self.special_tokens.get(name)
        return None if token is None else self.token_id(token)

    def _encodings(
        self, texts: Sequence[str], pairs: Sequence[str] | None, add_special_tokens: bool,
        max_length: int | None = None,
    ) -> list[Any]:  # fmt: skip
        added = flag("add_special_tokens", add_special_tokens)
        given: list[Any] = [_text("texts", text) for text in texts]
        if pairs is not None:
            seconds = [_text("pairs", text) for text in pairs]
            if len(seconds) != len(given):
                raise ValueError(f"pairs must have {len(given)} texts: got {len(seconds)}")
            given = list(zip(given, seconds, strict=True))
        if max_length is not None:
            extra = self._tokenizer.num_special_tokens_to_add(pairs is not None) if added else 0
            if max_length <= extra:
                raise ValueError(
                    f"max_length must be above {extra}, the number of tokens that are added to "
                    f"each text: got {max_length}"
                )
        with self._lock:  # truncation is a state of the tokenizer
            if max_length is not None:
                self._tokenizer.enable_truncation(max_length, direction=self._truncation_side)
            try:
                found: list[Any] = self._tokenizer.encode_batch(given, add_special_tokens=added)
            finally:
                if max_length is not None:
                    self._tokenizer.no_truncation()
        return found


def _text(name: str, given: Any) -> str:
    if not isinstance(given, str):
        raise TypeError(f"{name} must be strings: got {named(given)}")
    try:
        given.encode()
    except UnicodeEncodeError:
        raise ValueError(
            f"{name} must be valid Unicode, without lone surrogates: got {given!a}"
        ) from None
    return given
