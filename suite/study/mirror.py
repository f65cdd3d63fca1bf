"""Writes a finished record into MLflow from a process of its own, started while the study still trains.

Importing MLflow and creating its database take seconds that training need not wait for; and a store that hangs can be
left behind. The record is on disk before any of this, and ``suite sync`` can always be run later.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

from rich.console import Console

from suite.config.schema import Tracking
from suite.tracking.links import Links, TrackingUnavailable

#: A store that takes longer than this to take a study is given up on.
PATIENCE_SECONDS = 180.0


def mirror_record(record: Path, tracking: Tracking) -> Links:
    """Write a record, here and now. Raises TrackingUnavailable."""
    from suite.record.read import read_study
    from suite.study.note import note_of, title_of
    from suite.tracking.mirror import mirror

    study = read_study(record)
    return mirror(study, record, tracking.uri, tracking.runs, title_of(study), note_of(study))


class MirrorProcess:
    """The waiting process: started early, told the record's folder at the end."""

    def __init__(self, tracking: Tracking) -> None:
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
            answer, _ = self.process.communicate(f"{record}\n", timeout=PATIENCE_SECONDS)
            body = json.loads(answer.strip().splitlines()[-1])
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise TrackingUnavailable(f"the store did not take the study within {PATIENCE_SECONDS:.0f} s") from None
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
        open_store(store_uri(tracking.uri))
        line = sys.stdin.readline().strip()
        if not line:
            return
        answer = asdict(mirror_record(Path(line), tracking))
    except Exception as error:  # whatever it is, the parent must hear of it in one line
        answer = {"error": str(error).splitlines()[0] if str(error) else type(error).__name__}
    print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    _main(Tracking(**json.loads(sys.argv[1])))
