"""The commands that read records and train nothing: rebuild reports, write a record into MLflow again."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console

from suite.config.schema import Tracking
from suite.record import cache
from suite.record.atomic import write_bytes, write_text
from suite.record.export import deposit
from suite.record.lease import Holder, Leases
from suite.record.read import UNFINISHED, check_untouched, read_study
from suite.record.write import RECORDS, rewrite_report
from suite.report import terminal
from suite.report.index import BEGIN, build_index, update_readme
from suite.report.page import render
from suite.study.mirror import MirrorProcess, tell_unavailable
from suite.study.publish import write_index
from suite.tracking.links import TrackingUnavailable
from suite.vocabulary import RequestError


def records_of(results_dir: Path) -> list[Path]:
    """Every record below a results folder: one level down, and one more for other datasets; never the archive."""
    found = [*results_dir.glob("*/verdict.json"), *results_dir.glob("*/*/verdict.json")]
    return sorted(path.parent for path in found if "archive" not in path.relative_to(results_dir).parts)


def report(folder: str) -> int:
    """Rebuild every report and the index from the records of a results folder; of a record, its own report alone."""
    root, console = Path(folder), terminal.console()
    if (root / "verdict.json").is_file():
        _report(root, console)
        console.print(f"{root / 'report.html'} rebuilt", highlight=False, soft_wrap=True)
        return 0
    records = records_of(root)
    if not records:
        raise RequestError(f"{folder}: no record (a folder with a verdict.json) is here; run a study first")
    for record in records:
        _report(record, console)
    _index(root, console)
    console.print(f"{len(records)} reports and {root / 'index.html'} rebuilt", highlight=False)
    return 0


def index(results_dir: str) -> int:
    """Rebuild the index of a results folder, and the README's table of claims, from the verdicts; no report."""
    root, console = Path(results_dir), terminal.console()
    if not records_of(root):
        raise RequestError(f"{results_dir}: no record (a folder with a verdict.json) is here; run a study first")
    _index(root, console)
    console.print(f"{root / 'index.html'} rebuilt", highlight=False, soft_wrap=True)
    return 0


def _report(record: Path, console: Console) -> None:
    with _writing(record.parent, console):
        check_untouched(record)
        rewrite_report(record, render(read_study(record)))


def _index(root: Path, console: Console) -> None:
    """The index, and the table of claims in a README beside the results folder which has the markers for it."""
    with _writing(root, console):
        write_index(root, build_index(root))
    readme = root.parent / "README.md"
    if readme.is_file() and BEGIN in readme.read_text(encoding="utf-8"):
        write_text(readme, update_readme(readme, root))


@contextmanager
def _writing(results_dir: Path, console: Console) -> Iterator[None]:
    """Alone in writing records or the index of a results folder; says whom it waits for."""

    def waiting(holder: Holder) -> None:
        console.print(f"waiting for {holder}, which is writing a record here", soft_wrap=True)

    with Leases(cache.folder(results_dir) / "leases", "") as leases, leases.hold(RECORDS, waiting):
        yield


def sync(record_dir: str) -> int:
    """Write a finished record into MLflow (again). Returns 1 where MLflow could not be reached."""
    record = Path(record_dir)
    if not (record / "verdict.json").is_file():
        raise RequestError(f"{record_dir}: this is not a finished record, there is no verdict.json in it; {UNFINISHED}")
    check_untouched(record)
    read_study(record)
    console = terminal.console()
    waiting = MirrorProcess(Tracking())
    try:
        links = waiting.write(record)
    except TrackingUnavailable as reason:
        tell_unavailable(reason, record, console)
        return 1
    except BaseException:
        waiting.abandon()
        raise
    terminal.print_where_to_look(record, links, console)
    return 0


def export(arguments: Sequence[str]) -> int:
    """``RECORD --to FILE``: write the record as one zip file. The same record gives the same bytes."""
    words = [part for argument in arguments for part in (argument.split("=", 1) if argument.startswith("--to=") else [argument])]
    if len(words) != 3 or words.count("--to") != 1 or words[2] == "--to":
        raise RequestError("export takes a record and where to put it: export results/born_dead --to born_dead.zip")
    at = words.index("--to")
    target, record = Path(words[at + 1]), Path(words[2 if at == 0 else 0])
    if target.is_dir() or record.resolve() in target.resolve().parents:
        raise RequestError(f"--to {target}: name a file outside the record, such as {record.name}.zip")
    content = deposit(record)
    write_bytes(target, content)
    terminal.console().print(
        f"{target}: {len(content):,} bytes, SHA-256 {hashlib.sha256(content).hexdigest()}", highlight=False, soft_wrap=True
    )
    return 0
