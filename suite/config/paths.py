"""Where conf/ and scenarios/ are: beside the package in a checkout, inside it in an installed wheel."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent.parent


def _folder(name: str) -> Path:
    installed = _PACKAGE / f"_{name}"
    return installed if installed.is_dir() else _PACKAGE.parent / name


CONF = _folder("conf")
SCENARIOS = _folder("scenarios")


@lru_cache(maxsize=1)
def groups() -> dict[str, tuple[str, ...]]:
    """Hydra's groups and their choices, as they stand in conf/."""
    return {folder.name: tuple(sorted(path.stem for path in folder.glob("*.yaml"))) for folder in sorted(CONF.iterdir()) if folder.is_dir()}
