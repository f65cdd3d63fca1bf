"""Files that are written whole or not at all. Knows bytes, not what they mean."""

from __future__ import annotations

import errno
import os
import secrets
import time
from pathlib import Path

from suite.vocabulary import RequestError

#: The place itself is wrong: no amount of waiting or of free space would help.
_WRONG_PLACE = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST, errno.EISDIR, errno.ENAMETOOLONG)
_NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
#: Temporary files this old belong to a process that was killed.
_STALE_SECONDS = 3600.0


class DiskFullError(OSError):
    """There is no room for a file. One line that names it; what was there before is untouched."""


def explained(error: OSError, path: Path) -> Exception:
    """The same failure in one line that names the path: RequestError where the place cannot be written to at all,
    DiskFullError where there is no room, else an OSError of the same kind."""
    if error.errno in _WRONG_PLACE:
        return RequestError(f"{path}: cannot be written ({error.strerror}); choose another folder with results_dir=PATH")
    if error.errno in _NO_SPACE:
        full = DiskFullError(f"{path}: not written, no room on the disk ({error.strerror}); free some and repeat the command")
        full.errno = error.errno
        return full
    return OSError(error.errno, error.strerror or str(error), str(path))


def write_bytes(path: Path, content: bytes) -> None:
    """Write to a temporary file in the same folder, flush it to the disk, rename it into place, flush the folder.

    Raises what ``explained`` says. Whatever happens, the old file, if any, is as it was until the new one is whole.
    """
    temporary = path.parent / f".{path.name}.{secrets.token_hex(4)}.tmp"
    try:
        make_folder(path.parent)
        try:
            write_new(temporary, content)
            os.replace(temporary, path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        _sweep(path)
        sync_folder(path.parent)
    except OSError as error:
        raise explained(error, path) from error


def write_text(path: Path, content: str) -> None:
    """As ``write_bytes``, in UTF-8."""
    write_bytes(path, content.encode("utf-8"))


def write_new(path: Path, content: bytes) -> None:
    """Create a file that does not exist yet, with the permissions the user's umask gives, and flush it to the disk.
    On its own this is not atomic. Raises OSError."""
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def make_folder(folder: Path) -> None:
    """Create a folder and those above it, each flushed to the disk. Raises OSError."""
    if folder.is_dir():
        return
    make_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    sync_folder(folder.parent)


def sync_folder(folder: Path) -> None:
    """Flush a folder's entries, without which a rename may not outlive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def is_temporary(name: str) -> bool:
    """Whether a file name is one that ``write_bytes`` uses before the rename."""
    return name.startswith(".") and name.endswith(".tmp")


def _sweep(path: Path) -> None:
    """Remove what killed processes left of earlier attempts at this file; live ones are younger."""
    limit = time.time() - _STALE_SECONDS
    with os.scandir(path.parent) as entries:
        for entry in entries:
            mine = entry.name.startswith(f".{path.name}.") and is_temporary(entry.name)
            if mine and entry.stat(follow_symlinks=False).st_mtime < limit:
                Path(entry.path).unlink(missing_ok=True)
