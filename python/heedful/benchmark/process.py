"""The harness's end of a worker process."""

import json
import os
import select
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import heedful
from heedful.benchmark.channel import Answer

TIMEOUT = 120.0  # seconds to wait for an answer


def interpreter() -> str:
    """The Python that starts the processes of the benchmarks."""
    if getattr(sys, "frozen", False) or not sys.executable:
        raise OSError(
            "the benchmarks start Python processes of their own: "
            "run them where heedful is installed, not in a frozen or embedded application"
        )
    return sys.executable


class WorkerDied(Exception):
    """The process ended, or did not answer in time."""


class WorkerProcess:
    """One library in a process of its own; `program`: what Python runs there."""

    def __init__(
        self,
        library: str,
        threads: int,
        program: Sequence[str] = ("-m", "heedful.benchmark.worker"),
    ) -> None:
        self.library = library
        self._process = subprocess.Popen(
            [interpreter(), *program, library, str(threads)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=_environment(threads),
            bufsize=0,
        )
        self._unread = b""
        try:
            answer = self._answer(TIMEOUT)
            if "failed" in answer:
                raise WorkerDied(answer["failed"])
        except WorkerDied:
            self.close()
            raise
        self.version: str = str(answer["version"])

    def ask(self, do: str, *, timeout: float = TIMEOUT, **arguments: object) -> Answer:
        """Send one command and wait for its answer."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write((json.dumps({"do": do, **arguments}) + "\n").encode())
        except BrokenPipeError:
            raise WorkerDied("the process ended") from None
        return self._answer(timeout)

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                stream.close()

    def _answer(self, timeout: float) -> Answer:
        assert self._process.stdout is not None
        descriptor = self._process.stdout.fileno()
        while b"\n" not in self._unread:
            ready, _, _ = select.select([descriptor], [], [], timeout)
            if not ready:
                raise WorkerDied(f"no answer within {timeout:.0f} s")
            part = os.read(descriptor, 1 << 20)
            if not part:
                raise WorkerDied(f"the process ended with code {self._process.wait()}")
            self._unread += part
        line, _, self._unread = self._unread.partition(b"\n")
        answer: Answer = json.loads(line)
        return answer


def _environment(threads: int) -> dict[str, str]:
    """Every library reads its number of threads from another variable."""
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    source = str(Path(heedful.__file__).parents[1])
    path = os.pathsep.join(filter(None, [source, os.environ.get("PYTHONPATH")]))
    return {
        **os.environ,
        **dict.fromkeys(names, str(threads)),
        "JAX_PLATFORMS": "cpu",
        "PYTHONPATH": path,
    }
