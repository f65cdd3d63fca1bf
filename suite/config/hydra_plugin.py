"""Teaches Hydra two things: the schema's types, and that the group ``scenario`` is the folder scenarios/.

A plain search path would name the group after the folder; a ConfigStore entry per scenario would let one broken file
break every command.
"""

from __future__ import annotations

from pathlib import Path

from hydra._internal.core_plugins.file_config_source import FileConfigSource
from hydra._internal.sources_registry import SourcesRegistry
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.config_store import ConfigStore
from hydra.core.object_type import ObjectType
from hydra.core.plugins import Plugins
from hydra.plugins.config_source import ConfigResult
from hydra.plugins.search_path_plugin import SearchPathPlugin

from suite.config import schema
from suite.config.paths import SCENARIOS

GROUP = "scenario"
#: Folders of scenario files, searched in this order; a ``--config-dir`` adds its own in front.
FOLDERS: list[Path] = [SCENARIOS]


class ScenarioSource(FileConfigSource):  # type: ignore[misc]  # Hydra is not typed here
    """Serves ``scenario/<name>`` from a folder of scenario files; a file without a package header is ``_global_``."""

    @staticmethod
    def scheme() -> str:
        """The scheme of its search path."""
        return "scenarios"

    def _inside(self, config_path: str) -> str | None:
        if config_path == GROUP:
            return ""
        return config_path.removeprefix(f"{GROUP}/") if config_path.startswith(f"{GROUP}/") else None

    def load_config(self, config_path: str) -> ConfigResult:
        """Load one scenario."""
        result = super().load_config(self._inside(config_path) or config_path)
        result.header.setdefault("package", "_global_")
        if result.header["package"] is None:
            result.header["package"] = "_global_"
        return result

    def is_group(self, config_path: str) -> bool:
        """Only the group itself is one."""
        return config_path in ("", GROUP)

    def is_config(self, config_path: str) -> bool:
        """Whether the scenario exists in this folder."""
        inside = self._inside(config_path)
        return bool(inside) and super().is_config(str(inside))

    def available(self) -> bool:
        """Whether the folder is there."""
        return Path(self.path).is_dir()

    def list(self, config_path: str, results_filter: ObjectType | None) -> list[str]:
        """The scenarios of this folder."""
        if config_path == "":
            return [] if results_filter == ObjectType.CONFIG else [GROUP]
        if results_filter == ObjectType.GROUP:
            return []
        return sorted(path.stem for path in Path(self.path).glob("*.yaml"))


class ScenarioSearchPath(SearchPathPlugin):  # type: ignore[misc]
    """Adds the scenario folders to Hydra's search path."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        """Called by Hydra when it starts."""
        for folder in FOLDERS:
            search_path.append("suite-scenarios", f"{ScenarioSource.scheme()}://{folder}")


def register() -> None:
    """Make Hydra know all this. May be called any number of times."""
    SourcesRegistry.instance().register(ScenarioSource)
    Plugins.instance().register(ScenarioSearchPath)
    store = ConfigStore.instance()
    store.store(name="settings_schema", node=schema.Settings)
    for group, node in (
        ("data", schema.Data),
        ("model", schema.Model),
        ("start", schema.Start),
        ("optimizer", schema.Optimizer),
        ("remedy", schema.Remedy),
        ("probes", schema.Probes),
        ("executor", schema.Executor),
        ("tracking", schema.Tracking),
    ):
        store.store(group=group, name="schema", node=node)
