"""Several studies in one command, by Hydra's multirun: where each job's record goes, and what the jobs came to. Trains nothing.

A launcher may run a job in another process or on another machine, so what became of it is handed back as a file, in a folder below
the one the command was given in.
"""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from hydra.core.override_parser.overrides_parser import OverridesParser

from suite.config.choices import nearest
from suite.vocabulary import RequestError, RunFailed

#: Where Hydra and its launchers leave their own files of a multirun.
FOLDER = Path(".sweep")
#: Launchers and the packages that bring them; ``basic`` is Hydra's own.
LAUNCHERS = {
    "basic": "hydra-core",
    "joblib": "hydra-joblib-launcher",
    "submitit_local": "hydra-submitit-launcher",
    "submitit_slurm": "hydra-submitit-launcher",
    "ray": "hydra-ray-launcher",
    "rq": "hydra-rq-launcher",
}
WORDS = {0: "done", 1: "failed", 2: "wrong", 3: "invalid"}


@dataclass(frozen=True)
class Job:
    """A job that has ended: its place in the sweep, what it alone was asked, its exit code, its record and, where it failed, why."""

    number: int
    asked: tuple[str, ...]
    code: int
    record: str
    line: str = ""


@dataclass(frozen=True)
class Sweep:
    """One multirun. ``swept`` are the keys that differ from job to job; ``notes`` is where the jobs report."""

    swept: tuple[str, ...]
    notes: Path

    @staticmethod
    def of(overrides: Sequence[str]) -> Sweep:
        """The sweep that these overrides ask for."""
        parsed = [OverridesParser.create().parse_override(text) for text in overrides]
        return Sweep(tuple(each.key_or_group for each in parsed if each.is_sweep_override()), FOLDER.absolute())

    def begun(self) -> Sweep:
        """With a folder of its own for the jobs' reports."""
        self.notes.mkdir(exist_ok=True)
        return Sweep(self.swept, Path(tempfile.mkdtemp(prefix="jobs-", dir=self.notes)))

    def own(self, given: Sequence[str]) -> tuple[str, ...]:
        """Those of a job's overrides in which it differs from the others; all where there is no other."""
        found = tuple(text for text in given if OverridesParser.create().parse_override(text).key_or_group in self.swept)
        return found or tuple(given)

    def overrides(self, given: Sequence[str], results_dir: str) -> list[str]:
        """A job's overrides, with a results folder of its own below ``results_dir`` where more than the scenario is swept: two studies of
        one scenario would otherwise replace each other's record. A sweep over results folders is left as it is.
        """
        parser = OverridesParser.create()
        keys = [parser.parse_override(text).key_or_group for text in given]
        apart = [text for key, text in zip(keys, given, strict=True) if key in self.swept and key != "scenario"]
        if not apart or "results_dir" in self.swept:
            return list(given)
        name = re.sub(r"[^\w.=,+\[\]-]+", "_", ",".join(text.lstrip("+") for text in apart))
        others = [text for key, text in zip(keys, given, strict=True) if key != "results_dir"]
        return [*others, f"results_dir={json.dumps(str(Path(results_dir) / name))}"]

    def note(self, job: Job) -> None:
        """A job's report."""
        (self.notes / f"{job.number}.json").write_text(json.dumps(asdict(job)), encoding="utf-8")

    def ended(self) -> list[Job]:
        """The jobs that have reported, in order; their reports are then removed."""
        found = [json.loads(path.read_text(encoding="utf-8")) for path in self.notes.glob("*.json")]
        shutil.rmtree(self.notes, ignore_errors=True)
        return sorted((Job(**{**each, "asked": tuple(each["asked"])}) for each in found), key=lambda job: job.number)


def told(jobs: Sequence[Job]) -> str:
    """The summary: a line for each job."""
    asked = [" ".join(job.asked) for job in jobs]
    width = max(map(len, asked), default=0)
    lines = [
        f"{job.number:>4}  {text:<{width}}  {WORDS.get(job.code, 'failed'):<7}  {job.record if job.code in (0, 3) else job.line}".rstrip()
        for job, text in zip(jobs, asked, strict=True)
    ]
    return "\n".join([f"{len(jobs)} job{'s' * (len(jobs) != 1)}", *lines])


def settled(jobs: Sequence[Job]) -> int:
    """The sweep's exit code: 0, or 3 where a study is invalid. Raises RequestError or RunFailed where a job could not be done."""
    broken = [job for job in jobs if job.code not in (0, 3)]
    if broken:
        first = broken[0]
        line = f"{len(broken)} of {len(jobs)} jobs failed; the first is job {first.number} ({' '.join(first.asked)}): {first.line}"
        raise (RequestError if all(job.code == 2 for job in broken) else RunFailed)(line)
    return max((job.code for job in jobs), default=0)


def launcher_missing(error: Exception) -> str | None:
    """The line for a launcher that is not installed, None where the error is about something else."""
    found = re.search(r"Could not find 'hydra/launcher/([^']+)'\s+Available options in 'hydra/launcher':\s+((?:\w+\s+)+)Config", str(error))
    if found is None:
        return None
    name, here = found[1], ", ".join(found[2].split())
    if name in LAUNCHERS:
        return f"hydra/launcher={name}: this launcher is not installed (here: {here}); pip install {LAUNCHERS[name]}"
    return f"hydra/launcher={name}: there is no such launcher here ({here}); the nearest known is {nearest(name, LAUNCHERS)!r}"
