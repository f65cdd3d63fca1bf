"""Folders that are replaced whole or not at all. Knows files and locks, not what a record is.

The new folder is built in full under ``.staging/`` beside the old one, flushed to the disk, and then takes its place.
On Linux the two change places in one system call, so that at every moment there is exactly one complete folder under
the name. Where that call is missing there are two renames, and a process killed between them leaves the old folder in
``.staging/``, from where ``recover`` (called by every reader and writer of records) puts it back.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from suite.record.atomic import explained, is_temporary, make_folder, sync_folder, write_new

STAGING = ".staging"
_AT_FDCWD, _RENAME_EXCHANGE = -100, 2


@contextmanager
def locked(folder: Path, shared: bool = False) -> Iterator[None]:
    """Hold the folder's advisory lock, which ends with the process however it ends; nothing is written for it.

    A folder that does not exist is not locked, and neither is one on a file system without locks.
    """
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:
        yield
        return
    try:
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_SH if shared else fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def files_in(folder: Path) -> list[str]:
    """Relative names of everything below a folder that is not a folder, sorted; temporary files are left out."""
    found = []
    for place, folders, files in os.walk(folder):
        links = [name for name in folders if os.path.islink(os.path.join(place, name))]
        found += [(Path(place) / name).relative_to(folder).as_posix() for name in (*files, *links) if not is_temporary(name)]
    return sorted(found)


def replace_folder(folder: Path, files: Mapping[str, bytes], keep: Iterable[str] = ()) -> None:
    """Make ``folder`` hold ``files`` (by relative name) and, of what it holds now, the names in ``keep``.

    The caller holds the lock of the folder's parent. Raises what ``explained`` says; then the old folder is as it was.
    """
    place = Path(os.path.realpath(folder))
    new, old = _staged(place, "new"), _staged(place, "old")
    recover(place)
    try:
        make_folder(new)
        for name, content in files.items():
            make_folder((new / name).parent)
            write_new(new / name, content)
        for name in keep:
            make_folder((new / name).parent)
            _carry(place / name, new / name)
        for inside, _, _ in os.walk(new):
            sync_folder(Path(inside))
        if not place.exists():
            os.rename(new, place)
        elif not _exchange(new, place):
            os.rename(place, old)
            os.rename(new, place)
        sync_folder(place.parent)
    except OSError as error:
        raise explained(error, folder) from error
    finally:
        recover(place)


def recover(folder: Path) -> None:
    """Put a folder back that was caught between two renames, and remove what an interrupted replacement left."""
    place = Path(os.path.realpath(folder))
    staging = place.parent / STAGING
    if not staging.is_dir():
        return
    try:
        if not place.exists() and _staged(place, "old").is_dir():
            os.rename(_staged(place, "old"), place)
            sync_folder(place.parent)
        shutil.rmtree(staging / place.name, ignore_errors=True)
        with suppress(OSError):  # another folder's replacement may be under way in it
            staging.rmdir()
    except OSError as error:
        raise explained(error, folder) from error


def needs_recovery(folder: Path) -> bool:
    """Whether a folder is missing and waits in ``.staging/``."""
    place = Path(os.path.realpath(folder))
    return not place.exists() and _staged(place, "old").is_dir()


def _staged(place: Path, which: str) -> Path:
    return place.parent / STAGING / place.name / which


def _carry(source: Path, target: Path) -> None:
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError:
        shutil.copy2(source, target, follow_symlinks=False)


def _exchange(a: Path, b: Path) -> bool:
    """Let two folders change names in one step; False where the system or the file system cannot."""
    try:
        renameat2 = ctypes.CDLL(None, use_errno=True).renameat2
    except (AttributeError, OSError):
        return False
    return bool(renameat2(_AT_FDCWD, os.fsencode(a), _AT_FDCWD, os.fsencode(b), _RENAME_EXCHANGE) == 0)
