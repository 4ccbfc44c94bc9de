"""Every script and folder in examples/ runs to its end; the scripts check their own claims.

Those that train for long have a ``--short`` or ``--small`` mode, in which they claim less.
Those that can draw a picture do.
Those whose data or packages are not installed say which command installs them, and are skipped;
one that left with exit code 0 instead fails.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from contextlib import nullcontext
from importlib.util import find_spec
from pathlib import Path

import pytest

import heedful

pytestmark = [pytest.mark.once, pytest.mark.slow]

FOLDER = Path(__file__).parents[1] / "examples"
OWN_TEST = {"translate_messages"}  # of made-up catalogues: it runs on no data of its own
# of what they draw, the short runs have nothing: no question, voice or walk that it shows
NO_PICTURE = {"memory_in_a_corridor", "spoken_digits", "trivia_answers"}
INSTALLS = r"\b(pip|apt-get) install\b|\bis missing: "
EXAMPLES = sorted([*FOLDER.glob("*.py"), *(main.parent for main in FOLDER.glob("*/__main__.py"))])


def test_there_are_examples() -> None:
    names = {example.stem for example in EXAMPLES}
    assert {"first_steps", "next_film", *OWN_TEST} <= names


RUN = """
import os, runpy, sys
script = sys.argv[1]
sys.argv = sys.argv[1:]
sys.path[0] = script if os.path.isdir(script) else os.path.dirname(script)
try:
    runpy.run_path(script, run_name="__main__")
except SystemExit as end:
    if not end.code:
        sys.exit("it left before its end")
    raise
"""


def run_example(script: Path, folder: Path, *words: str) -> None:
    """As `python script` does; skipped where it names what is missing, and exits with 1."""
    source = str(Path(heedful.__file__).parents[1])
    path = os.pathsep.join(filter(None, [source, os.environ.get("PYTHONPATH")]))
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", RUN, str(script), *words],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=900,
        env={
            **os.environ,
            "PYTHONPATH": path,
            "PYTHONIOENCODING": "utf-8",
            "TMPDIR": str(folder),
        },
    )
    if done.returncode == 1 and re.search(r"^\S+ is missing: (apt-get|pip) \S+", done.stderr):
        pytest.skip(done.stderr.strip())
    assert done.returncode == 0, done.stderr
    assert done.stdout
    assert not re.search(INSTALLS, done.stdout), done.stdout
    assert not done.stderr


@pytest.mark.parametrize(
    "script", [one for one in EXAMPLES if one.stem not in OWN_TEST], ids=lambda script: script.stem
)
def test_an_example_runs_to_its_end(script: Path, tmp_path: Path) -> None:
    main = script / "__main__.py" if script.is_dir() else script
    text = main.read_text(encoding="utf-8")
    short = [one for one in ("--short", "--small") if f'"{one}"' in text]
    draws = 'add_argument("--picture"' in text and script.stem not in NO_PICTURE
    picture = ["--picture", "found.png"] if draws and find_spec("matplotlib") else []
    run_example(script, tmp_path, *short, *picture)
    if picture:
        assert (tmp_path / "found.png").stat().st_size > 1000


@pytest.mark.parametrize(
    ("text", "outcome"),
    [
        ("print('done')", None),
        ("import sys\nsys.exit('babel is missing: pip install babel')", pytest.skip.Exception),
        ("import sys\nprint('needs babel, see above')\nsys.exit()", AssertionError),
        ("print('needs babel: pip install babel')", AssertionError),
        ("import sys\nsys.exit('babel is missing')", AssertionError),
        ("pass", AssertionError),
    ],
)
def test_an_example_that_does_not_run_is_noticed(
    text: str, outcome: type[BaseException] | None, tmp_path: Path
) -> None:
    script = tmp_path / "example.py"
    script.write_text(text, encoding="utf-8")
    with pytest.raises(outcome) if outcome else nullcontext():
        run_example(script, tmp_path)
