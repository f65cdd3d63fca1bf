"""Real file systems in the place of simulated ones: a small one that fills up, and one over a network with two machines on it.

Needs root and Linux; the network also ``sshfs`` and ``sshd``. The second machine is this one in name spaces of its own, with its own
host name, process table and mount: to the first it looks like another, whose processes cannot be asked whether they live.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.reliability.kills import Reference, finish
from tests.reliability.processes import ROOT, Server
from tests.reliability.records import compare

#: More and smaller blocks than elsewhere, so that both machines get some: 3 conditions of 8 replicates.
LONGER = ("replicates=8", "executor.block_size=1", "train.steps=10000")
LONGER_BLOCKS = 24


def missing(*programs: str) -> str:
    """Why such a campaign cannot run here; empty where it can."""
    if os.geteuid() != 0 or sys.platform != "linux":
        return "it mounts file systems, which takes root on Linux"
    gone = [name for name in programs if shutil.which(name) is None]
    return f"it needs {', '.join(gone)}" if gone else ""


def full_file_system(server: Server, folder: Path, reference: Reference, sizes: list[int]) -> dict[str, int]:
    """A file system of so many kilobytes that fills up; it is made larger then, and the same command goes on."""
    figures = {"faults": 0, "bytes_compared": 0, "blocks_kept": 0}
    for size in sizes:
        here = folder / f"size{size}"
        here.mkdir(parents=True)
        _do("mount", "-t", "tmpfs", "-o", f"size={size}k", "tmpfs", str(here))
        try:
            done = server.study(here)
            assert done.code == 1, (size, done)
            assert "No space left on device" in done.err and len(done.err.strip().splitlines()) == 1, done.err
            figures["faults"] += 1
            _do("mount", "-o", "remount,size=20m", str(here))
            for name, value in finish(server, here, reference).items():
                figures[name] += value
        finally:
            _do("umount", str(here))
    return figures


def two_machines(folder: Path, turns: int) -> dict[str, int]:
    """One study by two machines at once; in every second turn one is killed in the middle. No block may be written twice."""
    figures = {"studies": 0, "killed": 0, "blocks": 0, "by_both": 0, "bytes_compared": 0}
    with _shared(folder) as (store, mounts):
        alone = folder / "alone"
        alone.mkdir()
        assert _start(alone, "alone").wait() == 0, (alone / "said").read_text()
        for turn in range(turns):
            # a folder of its own: a removed one would still stand in the mounts' caches
            results = store / f"results{turn}"
            both = [_start(mount, f"machine-{number}", f"results_dir={results.name}") for number, mount in enumerate(mounts)]
            codes, written = _watched(both, results / ".blocks", kill=turn % 2 == 1)
            said = [(mount / f"machine-{number}").read_text() for number, mount in enumerate(mounts)]
            assert codes[0] == (-signal.SIGKILL if turn % 2 else 0) and codes[1] == 0, (codes, said)
            assert len(written) == LONGER_BLOCKS, len(written)
            assert all(len(files) == 1 for files in written.values()), "a finished block was done again"
            figures["bytes_compared"] += compare(results / "tiny", alone / "results" / "tiny")
            figures["studies"] += 2
            figures["killed"] += turn % 2
            figures["blocks"] += len(written)
            figures["by_both"] += all("%" in text for text in said)
    assert figures["by_both"] == turns, "one machine did everything: nothing was shared"
    return figures


def _start(folder: Path, host: str, *more: str) -> subprocess.Popen[bytes]:
    """The longer study on a machine of this name; what it says goes into a file of that name."""
    command = Server.command(folder, *LONGER, *more)
    inner = f'hostname {host}; exec "$@"'
    apart = ["unshare", "--uts", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c", inner, "sh"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CI": "true", "COLUMNS": "100", "PYTHONPATH": str(ROOT)}
    with (folder / ("said" if host == "alone" else host)).open("wb") as said:
        return subprocess.Popen([*apart, sys.executable, "-m", "suite", *command], cwd=folder, stdout=said, stderr=said, env=environment)


def _watched(both: list[subprocess.Popen[bytes]], store: Path, kill: bool) -> tuple[list[int], dict[str, set[int]]]:
    """Exit codes, and for every block the files (by inode) it has been."""
    written: dict[str, set[int]] = {}
    while any(child.poll() is None for child in both):
        for path in store.rglob("*.block"):
            try:
                written.setdefault(path.name, set()).add(path.stat().st_ino)
            except FileNotFoundError:
                continue
        if kill and len(written) > LONGER_BLOCKS // 3:
            both[0].kill()
            kill = False
        time.sleep(0.05)
    return [child.wait() for child in both], written


@contextmanager
def _shared(folder: Path) -> Iterator[tuple[Path, list[Path]]]:
    """A folder, and two mounts of it through SSH on loopback, each with its own cache of names and attributes."""
    keys, store, mounts = folder / "keys", folder / "store", [folder / "first", folder / "second"]
    for path in (keys, store, *mounts):
        path.mkdir(parents=True)
    for name in ("host", "user"):
        _do("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(keys / name))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (keys / "config").write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {keys / 'host'}\nAuthorizedKeysFile {keys / 'user.pub'}\nStrictModes no\n"
        "PermitRootLogin prohibit-password\nPidFile none\nSubsystem sftp internal-sftp\n"
    )
    Path("/run/sshd").mkdir(exist_ok=True)
    service = subprocess.Popen([shutil.which("sshd") or "sshd", "-D", "-f", str(keys / "config")])
    mounted: list[Path] = []
    try:
        options = f"IdentityFile={keys / 'user'},StrictHostKeyChecking=no,UserKnownHostsFile=/dev/null"
        for mount in mounts:
            for attempt in range(50):
                if subprocess.run(["sshfs", "-p", str(port), "-o", options, f"127.0.0.1:{store}", mount], check=False).returncode == 0:
                    mounted.append(mount)
                    break
                assert attempt < 49, "the folder could not be mounted"
                time.sleep(0.1)
        yield store, mounts
    finally:
        for mount in mounted:
            _do("umount", "-l", str(mount))
        service.terminate()
        service.wait()


def _do(*command: str) -> None:
    subprocess.run(command, check=True)
