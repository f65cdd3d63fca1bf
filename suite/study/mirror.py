"""Writes a study into MLflow from a process of its own, which starts with it and is told what to do line by line.

Importing MLflow and creating its database take seconds that training need not wait for; the numbers are written while the
report is drawn; and a store that hangs can be left behind. Nothing is finished there before the record is on disk, and ``suite
sync`` can always be run later.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from suite.config.schema import Tracking
from suite.record.lease import Holder, Leases, is_dead, myself
from suite.tracking import orphans
from suite.tracking.links import Links, TrackingUnavailable

if TYPE_CHECKING:
    from suite.tracking.mirror import Begun

#: How long a study that has ended without a record waits for its runs to be closed.
LEAVE_SECONDS = 2.0


def mirror_record(record: Path, tracking: Tracking) -> Links:
    """Write a record, here and now. Raises TrackingUnavailable."""
    return _begin(record, tracking).finish(record)


def _begin(numbers: Path, tracking: Tracking) -> Begun:
    from suite.record.read import read_study
    from suite.study.note import note_of, title_of
    from suite.tracking.mirror import begin

    study = read_study(numbers)
    return begin(study, numbers, tracking.uri, tracking.runs, title_of(study), note_of(study), _writer())


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
    """The waiting process: started early, it imports MLflow; it touches no store before it is told to."""

    def __init__(self, tracking: Tracking) -> None:
        self.patience = tracking.patience
        self.handed: tempfile.TemporaryDirectory[str] | None = None
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

    def open(self) -> None:
        """Have the store opened, and made where there is none. Does not wait."""
        self._tell({"open": True})

    def begin(self, numbers: Mapping[str, bytes], record: Path) -> None:
        """Hand over the files that a study is read from, so that its runs are written while the rest of ``record`` is made. Does not
        wait; should it not be possible, all is written at the end.
        """
        try:
            self.handed = tempfile.TemporaryDirectory(prefix="suite-", ignore_cleanup_errors=True)
            for name, content in numbers.items():
                (Path(self.handed.name) / name).write_bytes(content)
        except OSError:
            return
        self._tell({"begin": self.handed.name, "record": str(record)})

    def _tell(self, order: Mapping[str, Any]) -> None:
        assert self.process.stdin is not None
        with suppress(OSError):  # it has ended; whoever asks for its answer will hear of it
            self.process.stdin.write(json.dumps(order) + "\n")
            self.process.stdin.flush()

    def write(self, record: Path) -> Links:
        """Hand over the record and wait for the links. Raises TrackingUnavailable."""
        try:
            return self._answer(record)
        finally:
            self._clean()

    def _answer(self, record: Path) -> Links:
        try:
            answer, _ = self.process.communicate(json.dumps({"finish": str(record)}) + "\n", timeout=self.patience)
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
        """End it without a record. Where runs have been begun it has a moment to say in the store that they came to nothing; else the
        next start does.
        """
        if self.handed is not None:
            with suppress(subprocess.TimeoutExpired):
                self.process.communicate(timeout=LEAVE_SECONDS)
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()
        self._clean()

    def _clean(self) -> None:
        if self.handed is not None:
            self.handed.cleanup()


def tell_unavailable(reason: TrackingUnavailable, record: Path, console: Console) -> None:
    """What a user reads where MLflow was not written."""
    console.print(f"MLflow was not written: {reason}", highlight=False, soft_wrap=True)
    console.print(f"The record is whole; to write it later: python -m suite sync {record}", highlight=False, soft_wrap=True)


def _serve(tracking: Tracking, orders: Iterable[str]) -> Links | None:
    """Do what the lines say, in turn. None where they end without a record. Raises whatever goes wrong."""
    from suite.tracking.store import open_store, prepare, store_uri

    uri = store_uri(tracking.uri)
    prepare(uri)
    opened, begun = False, None
    with ExitStack() as alone:
        for line in orders:
            order = json.loads(line)
            if not opened:
                opened = True
                with _alone(uri, None):
                    orphans.close_orphans(open_store(uri), _is_gone)
            if "begin" in order:
                alone.enter_context(_alone(uri, Path(order["record"])))
                begun = _begin(Path(order["begin"]), tracking)
            if "finish" in order:
                record = Path(order["finish"])
                if begun is None:
                    alone.enter_context(_alone(uri, record))
                    begun = _begin(record, tracking)
                return begun.finish(record)
        if begun is not None:
            begun.give_up()
    return None


def _main(tracking: Tracking) -> None:
    answer: dict[str, str]
    try:
        links = _serve(tracking, iter(sys.stdin.readline, ""))
        if links is None:
            return
        answer = asdict(links)
    except Exception as error:  # whatever it is, the parent must hear of it in one line
        answer = {"error": str(error).splitlines()[0] if str(error) else type(error).__name__}
    print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    _main(Tracking(**json.loads(sys.argv[1])))
