"""Marks that the transformers library's tests carry, for `--strict-markers`."""

from __future__ import annotations

import pytest

MARKS = ("accelerate_tests", "all_flash_attn_test", "flash_attn_test", "flash_attn_3_test",
         "flash_attn_4_test", "torch_compile_test", "bitsandbytes", "generate",
         "order")  # fmt: skip


def pytest_configure(config: pytest.Config) -> None:
    for mark in MARKS:
        config.addinivalue_line("markers", f"{mark}: of the transformers library's tests")
