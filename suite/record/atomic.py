"""Files that are written whole or not at all. Knows bytes, not what they mean."""

from __future__ import annotations

import errno
import os
import tempfile
import time
from pathlib import Path

from suite.vocabulary import RequestError

#: How the name of a file that is being written begins; what a killed process left of one may be swept away.
WRITING = ".writing-"


def write_bytes(path: Path, content: bytes, root: Path | None = None) -> None:
    """Write to a temporary file in the same folder, flush it to the disk, and rename it into place.

    Raises RequestError where the folder cannot be written, or where a symbolic link below ``root`` would lead the file
    elsewhere; OSError, naming the file, for what may pass (a full disk, say). Either way the old file, if any, is as it was.
    """
    if root is not None:
        stay_inside(path, root)
    handle, temporary = new_file(path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
        _sync_folder(path.parent)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise OSError(error.errno, error.strerror or str(error), str(path)) from error
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_text(path: Path, content: str, root: Path | None = None) -> None:
    """As ``write_bytes``, in UTF-8."""
    write_bytes(path, content.encode("utf-8"), root)


def new_file(folder: Path) -> tuple[int, Path]:
    """An empty file of a new name in a folder, which is made where it is missing: its descriptor and its path.

    Raises RequestError where the folder cannot be written, OSError naming the folder for what may pass.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=folder, prefix=WRITING)
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.EEXIST, errno.ENAMETOOLONG, errno.ELOOP):
            raise RequestError(f"{folder}: cannot be written ({error.strerror}); choose another folder with results_dir=PATH") from error
        if error.errno == errno.EROFS:
            raise RequestError(f"{folder}: the file system is read-only; choose another folder with results_dir=PATH") from error
        raise OSError(error.errno, error.strerror or str(error), str(folder)) from error
    return handle, Path(name)


def stay_inside(path: Path, root: Path) -> None:
    """Raises RequestError where a file below ``root`` would be written through a symbolic link, or above it."""
    relative = path.relative_to(root)
    if ".." in relative.parts:
        raise RequestError(f"{path}: leads out of {root}; choose a folder inside it")
    here = root
    for part in relative.parts[:-1]:
        here = here / part
        if here.is_symlink():
            raise RequestError(f"{here}: is a symbolic link, and nothing is written through one; put a folder in its place")


def sweep(folder: Path, older_than: float = 0.0) -> None:
    """Remove what killed processes left of files they were writing in a folder, ``older_than`` seconds ago or longer."""
    for path in folder.glob(f"{WRITING}*"):
        try:
            if time.time() - path.stat().st_mtime >= older_than:
                path.unlink()
        except OSError:  # gone in the meantime, or not ours to remove: it does no harm
            continue


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
