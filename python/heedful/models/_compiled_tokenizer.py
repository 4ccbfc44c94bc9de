"""The tokenizer of the package tokenizers in a file, with what the files beside it say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from heedful._printable import printable
from heedful.models._config import Config
from heedful.models._tokenizer_files import added_tokens, content_of, special_tokens


def read_tokenizer(path: Path, settings: Config) -> Any:
    """It pads and truncates nothing, whatever the file says."""
    try:
        from tokenizers import Tokenizer as Compiled
    except ImportError:
        raise ImportError(
            "tokenizing texts needs the package tokenizers: pip install tokenizers"
        ) from None
    try:
        found = Compiled.from_file(str(path))
    except Exception as error:  # the library raises no narrower class
        raise ValueError(
            f"{path.name} must be a file of the package tokenizers: {printable(str(error))}"
        ) from None
    found.no_padding()
    found.no_truncation()
    special = {name: content_of(name, token) for name, token in special_tokens(settings).items()}
    _add_tokens(found, settings, special)
    _add_ends(found, settings, special)
    return found


def _add_tokens(tokenizer: Any, settings: Config, special: dict[str, str]) -> None:
    """Those that tokenizer_config.json alone has, with the numbers that transformers gives them."""
    from tokenizers import AddedToken

    known = {str(token.content) for token in tokenizer.get_added_tokens_decoder().values()}
    for token in added_tokens(settings):
        content = content_of("added_tokens_decoder", token)
        if content not in known:
            options = {name: token[name] for name in ("lstrip", "rstrip", "single_word",
                       "normalized", "special") if name in token}  # fmt: skip
            tokenizer.add_tokens([AddedToken(content, **options)])
            known.add(content)
    for content in special.values():
        if content not in known:
            tokenizer.add_special_tokens([AddedToken(content, special=True)])
            known.add(content)


def _add_ends(tokenizer: Any, settings: Config, special: dict[str, str]) -> None:
    """add_bos_token and add_eos_token, where given, replace what tokenizer.json adds."""
    if "add_bos_token" not in settings and "add_eos_token" not in settings:
        return
    from tokenizers.processors import TemplateProcessing

    first = special.get("bos_token") if settings.flag("add_bos_token", False) else None
    last = special.get("eos_token") if settings.flag("add_eos_token", False) else None
    single, second = (
        [f"{token}:{number}" for token in (first, text, last) if token is not None]
        for number, text in ((0, "$A"), (1, "$B"))
    )
    tokenizer.post_processor = TemplateProcessing(
        single=single, pair=single + second,
        special_tokens=[(token, tokenizer.token_to_id(token))
                        for token in dict.fromkeys((first, last)) if token is not None],
    )  # fmt: skip
