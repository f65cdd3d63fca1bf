"""Leases: which process is at work on what in a folder that several may share, a network file system's too. Knows files only.

A lease on a name is the file ``<name>.<n>`` with the largest n. It comes into being by link(2), which is atomic everywhere, already
holding who took it; its time stamp is its heartbeat. It has expired when that is old by the file system's own clock (the
clocks of two machines need not agree), or at once when its process is known to be dead. Who finds it so links ``<name>.<n+1>``,
which only one can, and removes the old file: nothing that a killed process leaves can block anybody.
"""

from __future__ import annotations

import json
import os
import platform
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from types import TracebackType

from suite.record.atomic import new_file, sweep

BEAT_SECONDS = 5.0
EXPIRY_SECONDS = 60.0
#: Between two looks at a lease that another process holds.
POLL_SECONDS = 0.25
_ATTEMPTS = 20


@dataclass(frozen=True)
class Holder:
    """Who holds a lease, and for which plan. ``machine`` tells process tables apart, ``born`` processes of one number."""

    host: str
    machine: str
    pid: int
    born: str
    plan: str
    since: str

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}" if self.pid else "another process"


#: The holder of a lease that is there but cannot be read just now, as happens for moments on a network file system.
NOT_TOLD = Holder("", "", 0, "", "", "")


@lru_cache(maxsize=1)
def _machine() -> str:
    """Equal for two processes just where one can see whether the other lives: same boot, same process table."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot}:{os.stat('/proc/self/ns/pid').st_ino}"
    except OSError:
        return platform.node()


def born(pid: int) -> str | None:
    """When a process of this machine began, in ticks since boot; None where there is no such process, "" where that cannot be told."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rsplit(")", 1)[1].split()
        return None if text[0] in "ZX" else text[19]
    except FileNotFoundError:
        if Path("/proc/self/stat").exists():
            return None
    except (OSError, IndexError):
        return ""
    try:  # no /proc here
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except OSError:
        pass
    return ""


def myself(plan: str) -> Holder:
    """This process."""
    since = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    return Holder(platform.node(), _machine(), os.getpid(), born(os.getpid()) or "", plan, since)


def is_dead(holder: Holder) -> bool:
    """Whether the process is known to be gone. False for one of another machine, of which nothing is known."""
    if holder.machine != _machine():
        return False
    found = born(holder.pid)
    return found is None or bool(found and holder.born and found != holder.born)


class Leases:
    """The leases one process takes in one folder. Leaving the ``with`` block gives all of them back."""

    def __init__(self, folder: Path, plan: str, beat: float = BEAT_SECONDS, expiry: float = EXPIRY_SECONDS) -> None:
        self.folder, self.plan, self.beat, self.expiry = folder, plan, beat, expiry
        self.held: dict[str, Path] = {}
        self._stop = threading.Event()
        self._heart: threading.Thread | None = None

    def __enter__(self) -> Leases:
        # candidates of killed processes; a live one exists for milliseconds
        sweep(self.folder, self.expiry)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stop.set()
        for name in list(self.held):
            self.release(name)
        if self._heart is not None:
            self._heart.join()

    def take(self, name: str) -> Holder | None:
        """None where the lease is now ours, else who holds it. Never waits.

        Raises RequestError where the folder cannot be written, OSError for what may pass.
        """
        handle, mine = new_file(self.folder)
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                json.dump(asdict(myself(self.plan)), file)
            now = mine.stat().st_mtime
            for _ in range(_ATTEMPTS):
                found = self._files(name)
                last = max(found, default=0)
                holder = self._living(found[last], now) if last else None
                if holder is not None:
                    return holder
                target = self.folder / f"{name}.{last + 1}"
                if not _linked(mine, target):
                    continue
                others = self._files(name).keys() - {last + 1}
                if others != found.keys():
                    # what was judged has changed since: somebody was quicker, look again
                    target.unlink(missing_ok=True)
                    continue
                for path in found.values():
                    path.unlink(missing_ok=True)
                self.held[name] = target
                self._beat_from_now_on()
                return None
        finally:
            mine.unlink(missing_ok=True)
        return NOT_TOLD

    def release(self, name: str) -> None:
        """Give a lease back."""
        path = self.held.pop(name, None)
        if path is not None:
            path.unlink(missing_ok=True)

    @contextmanager
    def hold(self, name: str, waiting: Callable[[Holder], None]) -> Iterator[None]:
        """Hold a lease for the length of a block, after waiting for it; ``waiting`` is called once where that takes time."""
        told = False
        while (holder := self.take(name)) is not None:
            if not told:
                waiting(holder)
                told = True
            time.sleep(POLL_SECONDS)
        try:
            yield
        finally:
            self.release(name)

    def _files(self, name: str) -> dict[int, Path]:
        found = {}
        for entry in os.listdir(self.folder):
            lease, _, number = entry.rpartition(".")
            if lease == name and number.isascii() and number.isdigit():
                found[int(number)] = self.folder / entry
        return found

    def _living(self, path: Path, now: float) -> Holder | None:
        """The holder of a lease that has not expired; ``now`` is by the file system's clock."""
        try:
            with path.open("rb") as file:  # opening makes a network file system look at the file anew
                age = now - os.fstat(file.fileno()).st_mtime
                content = file.read(4096)
        except OSError:
            return None
        try:
            holder = Holder(**json.loads(content))
            dead = is_dead(holder)
        except (ValueError, TypeError):
            holder, dead = NOT_TOLD, False
        return None if dead or age > self.expiry else holder

    def _beat_from_now_on(self) -> None:
        if self._heart is None:
            self._heart = threading.Thread(target=self._beats, name="leases", daemon=True)
            self._heart.start()

    def _beats(self) -> None:
        while not self._stop.wait(self.beat):
            for name, path in list(self.held.items()):
                try:
                    os.utime(path)
                except FileNotFoundError:
                    # taken over while this process stood still: the other does the same work, to the same numbers
                    self.held.pop(name, None)
                except OSError:
                    continue


def _linked(source: Path, target: Path) -> bool:
    """Give a file a second name if nobody has it yet."""
    try:
        os.link(source, target)
    except OSError as error:
        if source.stat().st_nlink == 2:  # a network file system may lose its own answer and ask twice
            return True
        if isinstance(error, FileExistsError):
            return False
        try:  # file systems without hard links: the name first, the content then
            with target.open("x", encoding="utf-8") as file:
                file.write(source.read_text(encoding="utf-8"))
        except FileExistsError:
            return False
    return True
