"""A PostgreSQL cluster for the length of a test: in a temporary folder, on loopback, as the user postgres where we are root."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def programs() -> Path | None:
    """The folder with initdb and pg_ctl: the newest of Debian's, or wherever they are on the path."""
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3].split(".")[0]))
    found = shutil.which("initdb")
    return debian[-1].parent if debian else Path(found).parent if found else None


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def cluster() -> Iterator[str]:
    """The address of an empty database, for SQLAlchemy with psycopg."""
    folder, bin_, port = Path(tempfile.mkdtemp(prefix="suite-postgres-")), programs(), free_port()
    user = None
    if os.geteuid() == 0:  # PostgreSQL refuses to run as root
        user = "postgres"
        os.chown(folder, pwd.getpwnam(user).pw_uid, -1)

    def run(*command: str) -> None:
        # no pipe: the server would keep it open
        with (folder / "log").open("a") as log:
            subprocess.run(command, cwd=folder, user=user, stdout=log, stderr=log, stdin=subprocess.DEVNULL, timeout=60, check=True)

    data = str(folder / "data")
    try:
        run(str(bin_ / "initdb"), "-D", data, "-U", "suite", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
        options = f"-c listen_addresses=127.0.0.1 -c fsync=off -p {port} -k {folder}"
        run(str(bin_ / "pg_ctl"), "-D", data, "-w", "-o", options, "start")
        try:
            yield f"postgresql+psycopg://suite@127.0.0.1:{port}/postgres"
        finally:
            run(str(bin_ / "pg_ctl"), "-D", data, "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
