"""Runs the campaigns at length and writes what was injected, what survived and how much was compared: ``make reliability``.

A campaign raises at the first thing that is not as it must be, so a figure stands for that many successes.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
import random
import signal
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hypothesis import given

from suite.record.atomic import write_text
from suite.record.provenance import git_state
from tests.reliability import inputs, kills, mounts, refusals
from tests.reliability.kills import Reference
from tests.reliability.processes import Server
from tests.reliability.records import compare

KINDS = ("misspelt_overrides", "odd_overrides", "misspelt_scenarios", "odd_scenarios", "records", "block_files", "dataset_files")
OPTIONS = ("kills", "points", "inputs", "seed")
PACKAGES = ("torch", "numpy", "hydra-core", "mlflow", "pyarrow", "hypothesis")


def environment() -> dict[str, Any]:
    """Where the figures come from. No host or user name."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "packages": {name: importlib.metadata.version(name) for name in PACKAGES},
        "git": git_state(),
    }


def twice_at_once(server: Server, folder: Path, reference: Reference, turns: int) -> dict[str, int]:
    """The same study started twice at once, and one of the two killed in every second turn."""
    figures = {"studies": 0, "killed": 0, "bytes_compared": 0}
    rng = random.Random(turns)
    for turn in range(turns):
        here = folder / f"twice{turn}"
        here.mkdir(parents=True)
        command = server.command(here)
        both = [server.start(here, command) for _ in range(2)]
        if turn % 2:
            time.sleep(rng.uniform(0.2, 1.0) * reference.seconds)
            both[0].kill(signal.SIGKILL)
            figures["killed"] += 1
        codes = [child.wait().code for child in both]
        assert codes[1] == 0 and codes[0] in ((0, -9) if turn % 2 else (0,)), codes
        figures["studies"] += 2
        figures["bytes_compared"] += compare(here / "results" / "tiny", reference.record)
        kills.finish(server, here, reference)
    return figures


def limited_files(server: Server, folder: Path, reference: Reference, sizes: list[int]) -> dict[str, int]:
    """The kernel's own limit on the size of a file (RLIMIT_FSIZE) in the place of a full disk."""
    figures = {"faults": 0, "bytes_compared": 0}
    for size in sizes:
        here = folder / f"limit{size}"
        here.mkdir(parents=True)
        done = server.study(here, file_size=size)
        assert done.code == 1, done
        assert "File too large" in done.err and len(done.err.strip().splitlines()) == 1, done.err
        figures["faults"] += 1
        figures["bytes_compared"] += kills.finish(server, here, reference)["bytes_compared"]
    return figures


def thrown(folder: Path, examples: int, seed: int) -> dict[str, int]:
    """Inputs tried at the front door, by kind."""
    kinds: dict[str, tuple[Any, Callable[[Path, Any], None]]] = {
        "misspelt_overrides": (inputs.misspelt_keys(), refusals.misspelt_key),
        "odd_overrides": (inputs.odd_values(), refusals.odd_value),
        "misspelt_scenarios": (inputs.misspelt_scenarios(), refusals.misspelt_scenario),
        "odd_scenarios": (inputs.odd_scenarios(), refusals.odd_scenario),
    }
    figures = {}
    for kind, (strategy, check) in kinds.items():
        (folder / kind).mkdir(parents=True)
        figures[kind] = _each(strategy, check, folder / kind, examples, seed)
    figures["records"] = refusals.records(folder / "records", examples // 4, seed)
    figures["block_files"] = refusals.blocks(folder / "blocks", examples * 20, seed)
    figures["dataset_files"] = refusals.datasets(folder / "datasets", examples * 10, seed)
    return figures


def _each(strategy: Any, check: Callable[[Path, Any], None], folder: Path, examples: int, seed: int) -> int:
    tried = 0

    @refusals.trying(examples, seed)
    @given(example=strategy)
    def each(example: Any) -> None:
        nonlocal tried
        tried += 1
        check(folder, example)

    each()
    return tried


def _faults(folder: Path, asked: argparse.Namespace, campaign: Callable[[str, str, Callable[[], dict[str, int]]], None]) -> None:
    with Server(folder / "server") as server:
        reference = Reference(server, folder / "reference")
        rng = random.Random(asked.seed)
        points = sorted(rng.sample(range(reference.calls), min(asked.points, reference.calls)))
        campaign(
            "kill_at_random",
            "SIGKILL at a random moment of a study, up to four times in a row, then the study to its end: only missing blocks "
            "are done and the record is the undisturbed one, byte for byte but for times and rates",
            lambda: kills.by_clock(server, folder / "clock", reference, asked.kills, asked.seed),
        )
        campaign(
            "kill_at_a_change_of_the_disk",
            f"SIGKILL before a chosen one of the {reference.calls} calls by which a study changes the disk",
            lambda: kills.by_call(server, folder / "call", reference, points),
        )
        campaign(
            "full_disk",
            "ENOSPC from a chosen call on: exit 1, one line, and the next run goes on",
            lambda: kills.full_disk(server, folder / "full", reference, points[:: max(1, len(points) // 12)]),
        )
        campaign(
            "limited_file_size",
            "the kernel refuses large files: exit 1, one line, and the next run goes on",
            lambda: limited_files(server, folder / "limit", reference, [1000, 5000, 20000]),
        )
        campaign(
            "twice_at_once",
            "the same study started twice at once, one of the two killed in every second turn",
            lambda: twice_at_once(server, folder / "twice", reference, 6),
        )
        _on_real_file_systems(server, folder, reference, campaign)


def _on_real_file_systems(
    server: Server, folder: Path, reference: Reference, campaign: Callable[[str, str, Callable[[], dict[str, int]]], None]
) -> None:
    """What only root can do; elsewhere one line says so, and the file keeps the figures it had."""
    if why := mounts.missing("mount"):
        print(f"full_file_system: not run, {why}")
    else:
        campaign(
            "full_file_system",
            "a real file system (tmpfs) that fills up: exit 1, one line; made larger, the same command goes on",
            lambda: mounts.full_file_system(server, folder / "tmpfs", reference, [16, 64, 128, 192]),
        )


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("results/reliability.json"))
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--points", type=int, default=16, help="kills, and full disks, at a chosen change of the disk")
    parser.add_argument("--inputs", type=int, default=80, help="malformed inputs of each kind that costs a start of the front door")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=("faults", "mounts", "inputs"), help="run one part; the other stays in the file as it was")
    asked = parser.parse_args()
    before = json.loads(asked.out.read_text(encoding="utf-8")) if asked.out.is_file() else {}
    campaigns: dict[str, Any] = {}
    command = " ".join(["python -m tests.reliability.run", *(f"--{key} {value}" for key, value in vars(asked).items() if key in OPTIONS)])

    def campaign(name: str, what: str, work: Callable[[], dict[str, int]]) -> None:
        began = time.monotonic()
        campaigns[name] = {
            "what": what,
            "command": command,
            **work(),
            "seconds": round(time.monotonic() - began, 1),
            "environment": environment(),
        }
        print(name, {key: value for key, value in campaigns[name].items() if key not in ("what", "command", "environment")}, flush=True)

    with tempfile.TemporaryDirectory(prefix="reliability-") as temporary:
        folder = Path(temporary)
        if asked.only in (None, "faults"):
            _faults(folder, asked, campaign)
        if asked.only == "mounts":
            with Server(folder / "server") as server:
                _on_real_file_systems(server, folder, Reference(server, folder / "reference"), campaign)
        if asked.only in (None, "inputs"):
            campaign(
                "malformed_inputs",
                "thrown at the front door: done as asked, or exit 2 with one line, no traceback and no file left; block files are what "
                "was stored or missing, datasets name the damaged file",
                lambda: thrown(folder / "thrown", asked.inputs, asked.seed),
            )
    campaigns = {**before.get("campaigns", {}), **campaigns}
    totals = {
        "faults_injected": sum(body.get("kills", 0) + body.get("faults", 0) + body.get("killed", 0) for body in campaigns.values()),
        "inputs_tried": sum(value for key, value in campaigns.get("malformed_inputs", {}).items() if key in KINDS),
        "bytes_compared": sum(body.get("bytes_compared", 0) for body in campaigns.values()),
        "failures": 0,
    }
    body = {
        "what": "Studies killed, starved of disk and started twice, and malformed input thrown at the front door. A campaign stops "
        "at the first failure, and then this file is not written.",
        "command": "make reliability",
        "totals": totals,
        "campaigns": campaigns,
    }
    write_text(asked.out, json.dumps(body, indent=1, ensure_ascii=False) + "\n")
    print(totals)


if __name__ == "__main__":
    main()
