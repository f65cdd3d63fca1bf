"""A record as one file to deposit: the same record gives the same bytes on every machine. Knows files and sums, nothing of the study."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from pathlib import Path, PurePosixPath

from suite.record.read import UNFINISHED, UNTRUSTED
from suite.record.write import MANIFEST, VERDICT
from suite.vocabulary import RequestError

#: The earliest date that the format knows; when a file was copied says nothing of the study.
DATE = (1980, 1, 1, 0, 0, 0)
REGULAR_FILE = 0o100644


def deposit(folder: Path) -> bytes:
    """A zip of everything that the record's manifest lists, under one folder named by scenario and study id.

    Stored, not compressed: compressors differ from version to version, and the large parts are compressed already. Raises
    RequestError where the folder is no record, holds a link or a file that does not belong, or does not agree with its manifest.
    """
    if not (folder / VERDICT).is_file():
        raise RequestError(f"{folder}: this is not a finished record, there is no {VERDICT} in it; {UNFINISHED}")
    try:
        sums = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        body = json.loads((folder / VERDICT).read_text(encoding="utf-8"))
        root = f"{body['scenario']}-{body['study']}"
        names = sorted([*sums.keys(), MANIFEST])
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise RequestError(f"{folder}: {MANIFEST} or {VERDICT} is missing or damaged ({error}); {UNTRUSTED}") from error
    if not root.replace("-", "").replace("_", "").isalnum():
        raise RequestError(f"{folder / VERDICT}: {root!r} cannot be the name of a folder; {UNTRUSTED}")
    _check_names(folder, names)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name in names:
            content = (folder / name).read_bytes()
            if name != MANIFEST and hashlib.sha256(content).hexdigest() != sums[name]:
                raise RequestError(f"{folder / name}: not what {MANIFEST} has the checksum of; python -m suite verify {folder} tells more")
            entry = zipfile.ZipInfo(f"{root}/{name}", DATE)
            entry.create_system, entry.external_attr = 3, REGULAR_FILE << 16
            archive.writestr(entry, content, zipfile.ZIP_STORED)
    return buffer.getvalue()


def _check_names(folder: Path, names: list[str]) -> None:
    """Every listed name is a plain file inside the folder, and nothing else lies there."""
    for name in names:
        listed = PurePosixPath(name)
        if listed.is_absolute() or ".." in listed.parts or listed.as_posix() != name or "\\" in name:
            raise RequestError(f"{folder / MANIFEST}: {name!r} lies outside the record; {UNTRUSTED}")
    found = set()
    for path in folder.rglob("*"):
        if path.is_symlink():
            raise RequestError(f"{path}: is a symbolic link; a record holds plain files only; put the file in its place")
        if path.is_file():
            found.add(path.relative_to(folder).as_posix())
        elif not path.is_dir():
            raise RequestError(f"{path}: is not a plain file; move it out of the record")
    for name in sorted(found ^ set(names)):
        raise RequestError(
            f"{folder / name}: "
            + ("not listed in manifest.json, so it is not a part of the record; move it out" if name in found else f"missing; {UNTRUSTED}")
        )
