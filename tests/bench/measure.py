"""Starts the contestants' processes and times them in alternating rounds. Knows no workload and no figure.

On a shared machine two runs minutes apart cannot be compared. So every process is started, warmed up and left waiting; then
in each round every contestant runs once, one after another, and the next round begins.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

ROOT = Path(__file__).resolve().parents[2]

#: One thread, whichever library does the arithmetic.
ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
JAX_ONE_THREAD = {"XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"}


def with_bytecode(variables: Mapping[str, str], folder: str) -> dict[str, str]:
    """The environment with Python's bytecode kept in a folder, as an installation has it after its first use. Where the caller's
    forbids it, every command would compile all it imports, which says nothing of the commands.
    """
    return {**{key: value for key, value in variables.items() if key != "PYTHONDONTWRITEBYTECODE"}, "PYTHONPYCACHEPREFIX": folder}


class Worker:
    """One contestant's process; see worker.py for what it is told."""

    def __init__(self, contestant: str, variables: Mapping[str, str], core: int | None = None) -> None:
        # MKL_CBWR is the suite's own setting, put into this process by importing it; its rivals run without
        inherited = {key: value for key, value in os.environ.items() if key not in ("MKL_CBWR", "XLA_FLAGS")}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.bench.worker", contestant],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env={**inherited, "PYTHONPATH": str(ROOT), **variables},
        )

        if core is not None and hasattr(os, "sched_setaffinity"):
            cores = sorted(os.sched_getaffinity(0))
            os.sched_setaffinity(self.process.pid, {cores[core % len(cores)]})

    def tell(self, **order: Any) -> None:
        """Send one line; does not wait."""
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()

    def hear(self) -> dict[str, Any]:
        """Wait for the answer. Raises RuntimeError with what the worker reports, or where it has ended."""
        line = self.process.stdout.readline()
        reply = json.loads(line) if line else {"error": "the process ended without an answer"}
        if "error" in reply:
            raise RuntimeError(reply["error"])
        return reply

    def ask(self, **order: Any) -> dict[str, Any]:
        """Send one line and wait for the answer."""
        self.tell(**order)
        return self.hear()

    def close(self) -> None:
        """End of input ends the process."""
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait()


@dataclass
class Contestant:
    """So many processes of one kind that run at once. ``name`` is how the figures call them; ``job`` what is special in their jobs.

    ``pinned`` keeps process k on core k: on a busy machine a scheduler that shares by session may leave all processes of one
    session on a single core, whatever the other one does.
    """

    name: str
    kind: str
    processes: int = 1
    variables: Mapping[str, str] = field(default_factory=lambda: ONE_THREAD)
    job: Mapping[str, Any] = field(default_factory=dict)
    pinned: bool = True
    workers: list[Worker] = field(default_factory=list)

    def __enter__(self) -> Contestant:
        self.workers = [Worker(self.kind, self.variables, core if self.pinned else None) for core in range(self.processes)]
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for worker in self.workers:
            worker.close()

    def prepare(self, key: str, **job: Any) -> None:
        """Load, compile and warm up, one process after another."""
        for worker in self.workers:
            worker.ask(prepare=key, **(job | self.job))

    def run(self, key: str) -> dict[str, float]:
        """Release all processes together. Of each clock the slowest process's reading: the work is done when all are."""
        for worker in self.workers:
            worker.tell(run=key)
        replies = [worker.hear() for worker in self.workers]
        return {clock: max(reply[clock] for reply in replies) for clock in replies[0]}


def alternate(calls: Sequence[tuple[Contestant, str]], rounds: int) -> dict[tuple[str, str], dict[str, list[float]]]:
    """A B C A B C …: every call once a round. {(contestant, key): {clock: seconds of each round}}."""
    found: dict[tuple[str, str], dict[str, list[float]]] = {}
    for _ in range(rounds):
        for contestant, key in calls:
            for clock, seconds in contestant.run(key).items():
                found.setdefault((contestant.name, key), {}).setdefault(clock, []).append(seconds)
    return found


def clocks(timed: Mapping[str, Iterable[float]]) -> dict[str, list[float]]:
    """Every clock but the main one, rounded to a tenth of a millisecond, for the record."""
    return {clock: [round(value, 4) for value in values] for clock, values in timed.items() if clock != "seconds"}
