"""The examples of docs/models.md hold, in a folder with the small models that they name."""

from __future__ import annotations

from pathlib import Path

import pytest
from page_examples import assert_examples_hold

pytest.importorskip("safetensors")
pytest.importorskip("tokenizers")

from written_llama import write_llama
from written_models import write
from written_t5 import write_t5
from written_tokenizer import write_tokenizer

PAGE = Path(__file__).parents[3] / "docs" / "models.md"


def test_the_examples_of_the_page_hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "my-bert"
    folder.mkdir()
    write(folder)
    write_tokenizer(folder)
    (tmp_path / "my-llama").mkdir()
    write_llama(tmp_path / "my-llama")
    (tmp_path / "my-t5").mkdir()
    write_t5(tmp_path / "my-t5")
    monkeypatch.chdir(tmp_path)
    assert_examples_hold(PAGE)
