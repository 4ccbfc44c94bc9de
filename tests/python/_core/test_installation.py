"""What is installed: small, typed, licensed, and no files of the development."""

import zlib
from importlib import metadata
from pathlib import Path

import pytest

import heedful

pytestmark = pytest.mark.once

# an editable installation has two places: the sources, and what was compiled
FILES = {
    str(file.relative_to(place)): file
    for place in heedful.__path__
    for file in Path(place).rglob("*")
    if file.is_file() and "__pycache__" not in file.parts
}


@pytest.fixture
def distribution() -> metadata.Distribution:
    try:
        return metadata.distribution("heedful")
    except metadata.PackageNotFoundError:
        pytest.skip("heedful is used from its source tree, not installed")


def test_all_files_compressed_stay_under_5_megabytes() -> None:
    size = sum(len(zlib.compress(file.read_bytes(), 6)) for file in FILES.values())
    assert 10_000 < size < 5_000_000


def test_types_are_installed() -> None:
    assert {"py.typed", "_core/_native.pyi", "_core/_cpu_probe.pyi"} <= set(FILES)


def test_no_development_files_are_installed() -> None:
    kinds = {file.suffix for file in FILES.values()}
    assert not kinds & {".hpp", ".o", ".a", ".cmake", ".ninja", ".toml", ".sh", ".map"}
    assert not [file for file in FILES.values() if file.name.startswith(("test_", "conftest"))]


def test_the_version_is_that_of_the_distribution(distribution: metadata.Distribution) -> None:
    assert heedful.__version__ == distribution.version


def test_the_licence_is_installed(distribution: metadata.Distribution) -> None:
    assert distribution.metadata["License-Expression"] == "MIT"
    names = [str(file) for file in distribution.files or []]
    assert any(name.endswith("licenses/LICENSE") for name in names)


def test_numpy_is_all_that_it_requires(distribution: metadata.Distribution) -> None:
    required = [entry for entry in distribution.requires or [] if "extra ==" not in entry]
    assert [entry.partition(">")[0] for entry in required] == ["numpy"]


def test_torch_is_in_no_extra(distribution: metadata.Distribution) -> None:
    assert not [entry for entry in distribution.requires or [] if entry.startswith("torch")]
