"""Files that are written whole or not at all. Knows bytes, not what they mean."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from suite.vocabulary import RequestError


def write_bytes(path: Path, content: bytes) -> None:
    """Write to a temporary file in the same folder, flush it to the disk, and rename it into place.

    Raises RequestError where the folder cannot be written; OSError (a full disk, say) passes through. Either way the old
    file, if any, is as it was.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    except (PermissionError, NotADirectoryError, FileExistsError) as error:
        raise RequestError(f"{path.parent}: cannot be written ({error.strerror}); choose another folder with results_dir=PATH") from error
    except OSError as error:
        if error.errno == 30:  # EROFS
            raise RequestError(f"{path.parent}: the file system is read-only; choose another folder with results_dir=PATH") from error
        raise
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def write_text(path: Path, content: str) -> None:
    """As ``write_bytes``, in UTF-8."""
    write_bytes(path, content.encode("utf-8"))


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
