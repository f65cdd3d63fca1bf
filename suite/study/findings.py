"""What a check found: one line each, and how it is shown. Knows nothing of what is looked for."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Literal

Level = Literal["error", "warning", "note"]
LEVELS: tuple[Level, ...] = ("error", "warning", "note")


@dataclass(frozen=True)
class Finding:
    """``path`` is the dotted key it is about, ``hypothesis`` that key's hypothesis, both empty where it is about the whole file."""

    level: Level
    text: str
    path: str = ""
    line: int | None = None
    hypothesis: str = ""


@dataclass(frozen=True)
class Checked:
    """The findings of one scenario file, worst first."""

    file: str
    findings: tuple[Finding, ...]

    def count(self, level: Level) -> int:
        """How many there are of one level."""
        return sum(finding.level == level for finding in self.findings)


def in_order(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """Worst first, then as they stand in the file; none twice."""
    return tuple(sorted(dict.fromkeys(findings), key=lambda finding: (LEVELS.index(finding.level), finding.line or 0)))


def lines(checked: Checked) -> list[str]:
    """One line per finding and one that sums up."""
    shown = []
    for finding in checked.findings:
        place = f"{checked.file}:{finding.line}" if finding.line else checked.file
        about = f"{finding.hypothesis}: " if finding.hypothesis else ""
        shown.append(f"{finding.level:7}  {place}  {about}{' '.join(finding.text.split())}")
    counts = ", ".join(f"{n} {level}{'s' * (n != 1)}" for level in LEVELS if (n := checked.count(level)) or level != "note")
    return [*shown, f"{checked.file}: {counts}"]


def to_json(all_checked: Sequence[Checked]) -> str:
    """``{"files": [{"file", "errors", "warnings", "findings": [{"level", "text", "path", "line", "hypothesis"}]}]}``."""
    files = [
        {
            "file": checked.file,
            "errors": checked.count("error"),
            "warnings": checked.count("warning"),
            "findings": [asdict(finding) for finding in checked.findings],
        }
        for checked in all_checked
    ]
    return json.dumps({"files": files}, indent=2, ensure_ascii=False)
