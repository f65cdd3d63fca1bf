"""One study, run as the command runs it, with clocks around its phases. Judges nothing.

``python -m tests.bench.phases OUT.json +scenario=born_dead …`` writes, for each phase, wall seconds and processor seconds, those of the
children waited for included: of MLflow's process, whose work goes on beside other phases, and of git. A phase inside another is not
counted twice. What a phase alone has to import is part of it.
"""

from __future__ import annotations

import importlib
import json
import resource
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

#: In this order; what several need counts as an import of the first.
IMPORTS = {
    "imports": ("torch", "suite.execution", "suite.execution.timed", "suite.inference", "suite.study.plan"),
    "record": ("suite.record.write", "suite.record.provenance"),
    "report": ("suite.report.page", "suite.report.index"),
}
#: Functions of suite.study.run by phase. One that is gone stops the benchmark, which would else leave it out in silence.
CALLS = {
    "datasets_of": "data and plan",
    "make_plan": "data and plan",
    "seal": "record",
    "facts_of": "record",
    "number_files": "record",
    "write_record": "record",
    "render": "report",
    "_index": "report",
    "outcome_of": "deciding",
    "_mirrored": "MLflow",
}
TRAINING = ("traces_of", "timed_traces")


class Clocks:
    """[wall, processor] seconds by phase; of two phases the inner one counts."""

    def __init__(self) -> None:
        self.seconds: dict[str, list[float]] = {}
        self.blocks = 0
        self._inner = [[0.0, 0.0]]

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Time what runs inside."""
        began, within = now(), [0.0, 0.0]
        self._inner.append(within)
        try:
            yield
        finally:
            self._inner.pop()
            took = [after - before for after, before in zip(now(), began, strict=True)]
            total = self.seconds.setdefault(name, [0.0, 0.0])
            for clock in (0, 1):
                total[clock] += took[clock] - within[clock]
                self._inner[-1][clock] += took[clock]

    def around(self, owner: Any, name: str, phase: str) -> None:
        """Put a clock around a function of a module or class."""
        real = getattr(owner, name)

        def timed(*arguments: Any, **options: Any) -> Any:
            with self.phase(phase):
                return real(*arguments, **options)

        setattr(owner, name, timed)

    def around_blocks(self, owner: Any, name: str) -> None:
        """The same for what yields a trace for each block."""
        real = getattr(owner, name)

        def timed(*arguments: Any, **options: Any) -> Iterator[Any]:
            with self.phase("training"):
                found = list(real(*arguments, **options))
            self.blocks = len(found)
            return iter(found)

        setattr(owner, name, timed)


def now() -> tuple[float, float]:
    """(wall, processor) seconds."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return time.perf_counter(), sum(usage.ru_utime + usage.ru_stime for usage in used)


def main(out: Path, arguments: list[str]) -> int:
    """Run and write. Returns the study's exit code."""
    clocks = Clocks()
    import suite.study.start as start
    from suite.__main__ import main as command

    def start_study(request: Any) -> int:
        with clocks.phase("MLflow"):
            waiting = start.early_process(request)
        for phase, modules in IMPORTS.items():
            with clocks.phase(phase):
                for module in modules:
                    importlib.import_module(module)
        import suite.study.run as run

        for name, phase in CALLS.items():
            clocks.around(run, name, phase)
        for name in TRAINING:
            clocks.around_blocks(run, name)
        clocks.around(run.MirrorProcess, "begin", "MLflow")
        return run.run_study(request, waiting)

    start.start_study = start_study
    code = command(arguments)
    out.write_text(json.dumps({"code": code, "seconds": clocks.seconds, "blocks": clocks.blocks, "processor": now()[1]}), encoding="utf-8")
    return code


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2:]))
