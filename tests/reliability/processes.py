"""Runs the front door in real processes that start in a moment: forked from one that has imported everything and done nothing.

As a script it is that process: it reads one request a line, forks, and answers with the child's number; the client waits for, or
kills, the child by that number.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.reliability.faults import inject

ROOT = Path(__file__).resolve().parents[2]
STUDY = Path(__file__).with_name("study.yaml")
SETTINGS = ("+scenario=tiny", "executor.block_size=2", "tracking=off", "device=cpu")


@dataclass(frozen=True)
class Done:
    """How a process ended: its exit code (negative: the signal that killed it), and what it said."""

    code: int
    out: str
    err: str


class Child:
    """A running front door."""

    def __init__(self, server: Server, pid: int, folder: Path) -> None:
        self.server, self.pid, self.folder = server, pid, folder

    def wait(self, timeout: float = 120) -> Done:
        """Wait for its end. One that does not end in time is killed, and TimeoutError raised."""
        code = self.server.wait(self.pid, timeout)
        out, err = ((self.folder / name).read_text(errors="replace") for name in (f"{self.pid}.out", f"{self.pid}.err"))
        return Done(code, out, err)

    def kill(self, number: int) -> None:
        """Send it a signal, which comes too late where it has just ended."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)


class Server:
    """The process that is forked. Use as a context manager."""

    def __init__(self, folder: Path) -> None:
        self.said = folder / "said"
        self.said.mkdir(parents=True, exist_ok=True)
        self.codes: dict[int, int] = {}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.reliability.processes"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
            env={**os.environ, "OMP_NUM_THREADS": "1", "CI": "true", "COLUMNS": "100", "MLFLOW_DISABLE_TELEMETRY": "true"},
        )
        assert self._answer(120)["ready"]

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *unused: object) -> None:
        self.process.stdin.close()
        self.process.wait(30)
        self.process.stdout.close()

    def start(self, cwd: Path, arguments: Sequence[str], env: Mapping[str, str] | None = None, **faults: object) -> Child:
        """Start ``python -m suite`` with these arguments, under the faults of ``faults.py``."""
        request = {"cwd": str(cwd), "argv": list(arguments), "said": str(self.said), "env": dict(env or {}), "faults": faults}
        self.process.stdin.write(json.dumps(request) + "\n")
        while True:
            answer = self._answer(60)
            if "pid" in answer:
                return Child(self, answer["pid"], self.said)
            self.codes[answer["ended"]] = answer["code"]

    def run(self, cwd: Path, arguments: Sequence[str], **more: object) -> Done:
        """Start and wait."""
        return self.start(cwd, arguments, **more).wait()

    def study(self, cwd: Path, *more: str, **faults: object) -> Done:
        """The tiny study, in ``cwd``."""
        return self.run(cwd, self.command(cwd, *more), **faults)

    @staticmethod
    def command(cwd: Path, *more: str) -> list[str]:
        """The arguments of the tiny study, whose file is put into ``cwd``."""
        folder = cwd / "my" / "scenario"
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / "tiny.yaml").exists():
            (folder / "tiny.yaml").write_bytes(STUDY.read_bytes())
        return ["--config-dir", "my", *SETTINGS, *more]

    def wait(self, pid: int, timeout: float) -> int:
        """The exit code of a child."""
        ends = time.monotonic() + timeout
        while pid not in self.codes:
            left = ends - time.monotonic()
            if left <= 0:
                os.kill(pid, 9)
                raise TimeoutError(f"process {pid} did not end in {timeout} s")
            try:
                answer = self._answer(left)
            except TimeoutError:
                continue
            self.codes[answer["ended"]] = answer["code"]
        return self.codes.pop(pid)

    def _answer(self, timeout: float) -> dict:
        if not select.select([self.process.stdout], [], [], timeout)[0]:
            raise TimeoutError("no answer")
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError("the server has ended")
        return json.loads(line)


def _child(request: dict) -> int:
    os.setsid()
    os.chdir(request["cwd"])
    os.environ.update(request["env"])
    for stream, name in ((1, "out"), (2, "err")):
        descriptor = os.open(f"{request['said']}/{os.getpid()}.{name}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        os.dup2(descriptor, stream)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    inject(**request["faults"])
    from suite.__main__ import main

    try:
        code = main(request["argv"])
    except BaseException:
        import traceback

        traceback.print_exc()
        code = 99
    sys.stdout.flush()
    sys.stderr.flush()
    return code


def _serve() -> None:
    import hydra  # noqa: F401
    import matplotlib.figure  # noqa: F401
    import pyarrow.parquet  # noqa: F401
    import sklearn.datasets  # noqa: F401
    import statsmodels  # noqa: F401
    import torch.fx.experimental.symbolic_shapes  # noqa: F401  the first backward pass would

    import suite.config.compose
    import suite.config.hydra_plugin
    import suite.study.commands
    import suite.study.run  # noqa: F401

    print(json.dumps({"ready": True}), flush=True)
    running: set[int] = set()
    buffer = b""
    while True:
        readable = select.select([0], [], [], 0.01 if running else 1.0)[0]
        if readable:
            more = os.read(0, 65536)
            if not more:
                break
            *lines, buffer = (buffer + more).split(b"\n")
            for line in lines:
                pid = os.fork()
                if pid == 0:
                    os._exit(_child(json.loads(line)))
                running.add(pid)
                print(json.dumps({"pid": pid}), flush=True)
        for pid in list(running):
            found, status = os.waitpid(pid, os.WNOHANG)
            if found:
                running.discard(pid)
                print(json.dumps({"ended": pid, "code": os.waitstatus_to_exitcode(status)}), flush=True)
    for pid in running:
        os.kill(pid, 9)


if __name__ == "__main__":
    _serve()
