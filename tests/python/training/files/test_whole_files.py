"""What is written takes the place of a file as a whole, with the mode that users expect."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from heedful.layers import Linear, Sequential
from heedful.training import BestCheckpoint, load_weights, save_training, save_weights

pytest.importorskip("safetensors")
pytestmark = pytest.mark.skipif(os.name != "posix", reason="modes and links as POSIX has them")

Save = Callable[[Any, Path], None]


def best(model: Sequential, path: Path) -> None:
    callback = BestCheckpoint(path, "loss")
    model.fit(np.ones((3, 5)), np.ones((3, 2)), verbose=False, callbacks=callback)


SAVES: list[Save] = [save_weights, save_training, best]


@pytest.fixture
def model() -> Sequential:
    model = Sequential(Linear(5, 2, rng=0))
    model.compile("adam", "mse")
    return model


@pytest.fixture
def umask() -> Iterator[Callable[[int], int]]:
    before = os.umask(0o022)
    yield os.umask
    os.umask(before)


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


@pytest.mark.parametrize("save", SAVES)
@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o002, 0o664), (0o077, 0o600)])
def test_a_new_file_has_the_mode_that_the_umask_leaves(
    save: Save, mask: int, mode: int, model: Sequential, umask: Any, tmp_path: Path
) -> None:
    umask(mask)
    save(model, tmp_path / "state")
    assert mode_of(tmp_path / "state") == mode


@pytest.mark.parametrize("save", SAVES)
@pytest.mark.parametrize("mode", [0o640, 0o604, 0o755, 0o600])
def test_an_old_file_passes_on_its_mode(
    save: Save, mode: int, model: Sequential, umask: Any, tmp_path: Path
) -> None:
    path = tmp_path / "state"
    path.write_bytes(b"old")
    path.chmod(mode)
    save(model, path)
    assert mode_of(path) == mode
    assert path.read_bytes() != b"old"


@pytest.mark.skipif(getattr(os, "geteuid", int)() != 0, reason="only root may give files away")
def test_an_old_file_passes_on_its_owner(model: Sequential, tmp_path: Path) -> None:
    path = tmp_path / "state"
    path.write_bytes(b"old")
    os.chown(path, 1234, 2345)
    path.chmod(0o640)
    save_weights(model, path)
    assert (path.stat().st_uid, path.stat().st_gid, mode_of(path)) == (1234, 2345, 0o640)


@pytest.mark.parametrize("save", SAVES)
def test_a_symbolic_link_stays_and_its_target_is_written(
    save: Save, model: Sequential, tmp_path: Path
) -> None:
    (tmp_path / "far").mkdir()
    target = tmp_path / "far" / "state.safetensors"
    target.write_bytes(b"old")
    (tmp_path / "near").symlink_to("far/state.safetensors")
    (tmp_path / "first").symlink_to("near")
    save(model, tmp_path / "first")
    assert os.readlink(tmp_path / "first") == "near"
    assert os.readlink(tmp_path / "near") == "far/state.safetensors"
    assert target.read_bytes() != b"old"
    assert sorted(os.listdir(tmp_path / "far")) == ["state.safetensors"]


def test_a_link_to_a_file_that_is_not_there_makes_it(model: Sequential, tmp_path: Path) -> None:
    """As `open` does."""
    (tmp_path / "link").symlink_to("new")
    save_weights(model, tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert load_weights(Sequential(Linear(5, 2)), tmp_path / "new") == ([], [])


@pytest.mark.parametrize("save", SAVES)
def test_what_cannot_be_written_is_reported(save: Save, model: Sequential, tmp_path: Path) -> None:
    (tmp_path / "lost").symlink_to(tmp_path / "no" / "state")
    with pytest.raises(FileNotFoundError, match=r"an existing folder: got .*a link to .*no/st"):
        save(model, tmp_path / "lost")
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(OSError, match=r"symbolic links: '.*loop'"):
        save(model, tmp_path / "loop")
    os.mkfifo(tmp_path / "pipe")
    for special in (tmp_path / "pipe", Path(os.devnull)):
        with pytest.raises(OSError, match=r"path must be a file: got .*, a device or a pipe"):
            save(model, special)
    assert stat.S_ISCHR(os.stat(os.devnull).st_mode)
    assert sorted(os.listdir(tmp_path)) == ["loop", "lost", "pipe"]


def test_a_name_may_be_as_long_as_the_system_allows(model: Sequential, tmp_path: Path) -> None:
    path = tmp_path / ("n" * 255)
    save_weights(model, path)
    assert os.listdir(tmp_path) == [path.name]


def test_loading_does_not_wait_for_a_pipe(model: Sequential, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="a device or a pipe"):
        load_weights(model, tmp_path / "pipe")


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(28, "No space left on device")])
@pytest.mark.parametrize("save", SAVES)
def test_an_error_while_writing_leaves_the_old_file_alone(
    save: Save, error: BaseException, model: Sequential, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    from safetensors import numpy as library

    def half(tensors: Any, path: Path, metadata: Any) -> None:
        path.write_bytes(b"half")
        raise error

    path = tmp_path / "state"
    path.write_bytes(b"old")
    monkeypatch.setattr(library, "save_file", half)
    with pytest.raises(type(error)):
        save(model, path)
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["state"]


def test_a_folder_that_may_not_be_written_is_named(
    model: Sequential, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "state"
    path.write_bytes(b"old")
    opened = os.open

    def refuse(name: Any, *arguments: Any) -> int:
        if str(name).startswith(str(tmp_path)):
            raise PermissionError(13, "Permission denied", str(name))
        return opened(name, *arguments)

    monkeypatch.setattr(os, "open", refuse)  # root may write everywhere
    with pytest.raises(PermissionError, match=r"Permission denied: '.*/state'$"):
        save_weights(model, path)
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["state"]


def test_a_file_that_may_not_be_written_stays(
    model: Sequential, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "state"
    path.write_bytes(b"old")
    path.chmod(0o444)
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(PermissionError, match="path must be a file that may be written: got"):
        save_weights(model, path)
    assert path.read_bytes() == b"old"


def test_a_full_disk_is_reported_and_the_old_file_stays(tmp_path: Path) -> None:
    """Simulated by a limit on the size of files."""
    program = """
import resource, sys
from heedful.layers import Linear
from heedful.training import save_weights
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
try:
    save_weights(Linear(97, 101), "state")
except OSError as error:
    print(type(error).__name__, error)
"""
    (tmp_path / "state").write_bytes(b"old")
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, timeout=300,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("OSError")
    assert "'state'" in done.stdout
    assert (tmp_path / "state").read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["state"]
