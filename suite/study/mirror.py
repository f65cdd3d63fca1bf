"""Writes a finished record into MLflow from a process of its own, started while the study still trains.

Importing MLflow and creating its database take seconds that training need not wait for; and a store that hangs can be
left behind. The record is on disk before any of this, and ``suite sync`` can always be run later.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from rich.console import Console

from suite.config.schema import Tracking
from suite.record.lease import Holder, Leases, is_dead, myself
from suite.tracking import orphans
from suite.tracking.links import Links, TrackingUnavailable


def mirror_record(record: Path, tracking: Tracking) -> Links:
    """Write a record, here and now. Raises TrackingUnavailable."""
    from suite.record.read import read_study
    from suite.study.note import note_of, title_of
    from suite.tracking.mirror import mirror

    study = read_study(record)
    return mirror(study, record, tracking.uri, tracking.runs, title_of(study), note_of(study), _writer())


def _writer() -> dict[str, str]:
    me = myself("")
    return {orphans.HOST: me.host, orphans.MACHINE: me.machine, orphans.PID: str(me.pid), orphans.BORN: me.born}


def _is_gone(tags: Mapping[str, str]) -> bool:
    pid = tags.get(orphans.PID, "")
    if not pid.isascii() or not pid.isdigit():
        return False
    return is_dead(Holder(tags.get(orphans.HOST, ""), tags.get(orphans.MACHINE, ""), int(pid), tags.get(orphans.BORN, ""), "", ""))


@contextmanager
def _alone(uri: str, record: Path | None) -> Iterator[None]:
    """One process at a time: with a SQLite file, whose first migration and whose writes do not bear company, else with a record,
    which two processes would give two sets of runs.
    """
    if uri.startswith("sqlite:///"):
        path = Path(uri.removeprefix("sqlite:///")).absolute()
        folder, name = path.parent, f".{path.name}"
    elif record is not None and os.access(record.parent, os.W_OK):
        folder, name = record.parent / ".blocks" / "leases", f"mlflow-{record.name}"
    else:
        # nothing to guard yet, or a folder that nobody can write a second time either
        yield
        return
    with Leases(folder, "") as leases, leases.hold(name, lambda holder: None):
        yield


class MirrorProcess:
    """The waiting process: started early, told the record's folder at the end."""

    def __init__(self, tracking: Tracking) -> None:
        self.patience = tracking.patience
        self.process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-m", "suite.study.mirror", json.dumps(asdict(tracking))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            # Ctrl-C is for the study; this process ends when its input does
            start_new_session=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry)},
        )

    def write(self, record: Path) -> Links:
        """Hand over the record and wait for the links. Raises TrackingUnavailable."""
        try:
            answer, _ = self.process.communicate(f"{record}\n", timeout=self.patience)
            body = json.loads(answer.strip().splitlines()[-1])
        except subprocess.TimeoutExpired:
            self.abandon()
            raise TrackingUnavailable(f"the store did not take the study within {self.patience:g} s") from None
        except (OSError, ValueError, IndexError) as error:
            raise TrackingUnavailable(f"the process that writes to MLflow ended without an answer ({error})") from error
        if "error" in body:
            raise TrackingUnavailable(body["error"])
        return Links(**body)

    def abandon(self) -> None:
        """End it without a record: nothing is written."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()


def tell_unavailable(reason: TrackingUnavailable, record: Path, console: Console) -> None:
    """What a user reads where MLflow was not written."""
    console.print(f"MLflow was not written: {reason}", highlight=False, soft_wrap=True)
    console.print(f"The record is whole; to write it later: python -m suite sync {record}", highlight=False, soft_wrap=True)


def _main(tracking: Tracking) -> None:
    from suite.tracking.store import open_store, store_uri

    answer: dict[str, str]
    try:
        uri = store_uri(tracking.uri)
        with _alone(uri, None):
            client = open_store(uri)
            orphans.close_orphans(client, _is_gone)
        line = sys.stdin.readline().strip()
        if not line:
            return
        with _alone(uri, Path(line)):
            answer = asdict(mirror_record(Path(line), tracking))
    except Exception as error:  # whatever it is, the parent must hear of it in one line
        answer = {"error": str(error).splitlines()[0] if str(error) else type(error).__name__}
    print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    _main(Tracking(**json.loads(sys.argv[1])))
