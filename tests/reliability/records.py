"""Compares two records byte for byte, but for the times and rates in them, and says how many bytes that were."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

#: Files without a time or a rate in them.
EXACT = ("plan.json", "verdict.json", "replicates.parquet", "curves.parquet", "configs.yaml")
TIMES = ("started", "finished", "seconds", "sealed")
_MASKS = (
    (re.compile(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00"), b"TIME"),
    (re.compile(rb"\d{4}-\d\d-\d\d\b"), b"DAY"),
    (re.compile(rb" after [\d.]+ s"), b" after SECONDS"),
    # the last three columns of the final table: a rate, and shares of the time
    (re.compile(rb'(<td class="n">([\d.e+]+|-|[\d.]+ %)</td>){3}</tr>'), b"<td>RATES</td></tr>"),
    (re.compile(rb"(\| ([\d.e+]+|-|[\d.]+ %) ){3}\| *$", re.MULTILINE), b"| RATES |"),
)


class Different(AssertionError):
    """Names the file."""


def compare(record: Path, reference: Path) -> int:
    """Bytes compared and found equal. Raises Different; also where a file is missing, left over, or not what the manifest says."""
    files = {path.relative_to(record).as_posix() for path in record.rglob("*") if path.is_file()}
    expected = {path.relative_to(reference).as_posix() for path in reference.rglob("*") if path.is_file()}
    if files != expected:
        raise Different(f"files: {sorted(files ^ expected)}")
    sums = json.loads((record / "manifest.json").read_text())
    if sums.keys() != files - {"manifest.json"}:
        raise Different("manifest.json does not name every file")
    count = 0
    for name in sorted(files - {"manifest.json", "timings.json"}):
        content, other = (record / name).read_bytes(), (reference / name).read_bytes()
        if hashlib.sha256(content).hexdigest() != sums[name]:
            raise Different(f"{name} is not the file that the manifest names")
        if name not in EXACT and not name.startswith("figures/"):
            content, other = _without_times(name, content), _without_times(name, other)
        if content != other:
            raise Different(name)
        count += len(content)
    return count


def _without_times(name: str, content: bytes) -> bytes:
    if name == "provenance.json":
        body = json.loads(content)
        return json.dumps({key: value for key, value in body.items() if key not in TIMES}).encode()
    for pattern, mask in _MASKS:
        content = pattern.sub(mask, content)
    return content
