"""The reference pages of the documentation, written from the code: every key, every metric, the command line.

``mkdocs.yml`` names this file as a hook, so the pages are made anew at every build and no file of them can grow old. ``pages()``
gives them to anyone else, such as the tests.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Iterator
from dataclasses import asdict, fields, is_dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from suite.__main__ import HELP  # noqa: E402
from suite.config.meanings import HYPOTHESIS, KEYS, SCENARIO  # noqa: E402
from suite.config.numeric import Numeric  # noqa: E402
from suite.config.paths import CONF, groups  # noqa: E402
from suite.config.schema import NUMERIC_KEYS, Data, Model, Settings  # noqa: E402
from suite.config.validate import validate  # noqa: E402
from suite.data import load  # noqa: E402
from suite.probes.registry import PROBES, TIERS  # noqa: E402
from suite.report.formulas import FORMULAS, family  # noqa: E402
from suite.report.labels import name_and_unit  # noqa: E402
from suite.training.engine import layout_of  # noqa: E402
from suite.vocabulary import RequestError  # noqa: E402

MADE = "Written from the code when this site was built."


def pages() -> dict[str, str]:
    """Every page by its path below docs/."""
    return {"reference/keys.md": keys(), "reference/metrics.md": metrics(), "reference/commands.md": commands()}


def cell(text: object) -> str:
    """Text that a table may hold: bars escaped, what stands in braces as code."""
    return re.sub(r"(?<![#`])(\{[^}]*\})", r"`\1`", str(text)).replace("|", "\\|").replace("<", "&lt;")


def table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    """A table in Markdown; the cells are ready."""
    lines = ["| " + " | ".join(row) + " |" for row in (head, tuple("---" for _ in head), *rows)]
    return "\n".join(lines) + "\n"


def walk(node: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every key of the schema with its default, dotted, a section before its keys."""
    for item in fields(node):
        key, value = prefix + item.name, getattr(node, item.name)
        yield key, value
        if is_dataclass(value):
            yield from walk(value, f"{key}.")


def kind(key: str) -> str:
    """The type of a key, as a reader writes it."""
    *path, last = key.split(".")
    node: Any = Settings()
    for part in path:
        node = getattr(node, part)
    written = str(next(item.type for item in fields(node) if item.name == last))
    words = {"str": "name", "int": "whole number", "float": "number", "bool": "true, false", "None": "null", "Any": "any"}
    listed = {"list[int]": "list of whole numbers", "list[str]": "list of names"}
    return " or ".join(listed.get(part, words.get(part, part)) for part in written.split(" | "))


def choices(key: str) -> tuple[str, ...]:
    """What a key of names may be: the validator is given a wrong one, and says."""
    settings = Settings()
    *path, last = key.split(".")
    node: Any = settings
    for part in path:
        node = getattr(node, part)
    wrong = "?"
    setattr(node, last, [wrong] if isinstance(getattr(node, last), list) else wrong)
    try:
        validate(settings)
    except RequestError as error:
        found = re.search(r"not a choice; .*\(all: (.*)\)$", str(error))
        return tuple(found.group(1).split(", ")) if found and str(error).startswith(f"{key}=") else ()
    except (TypeError, ValueError):
        return ()
    return ()


def accepts(key: str, default: object) -> str:
    """The names a key takes, or its type."""
    named = choices(key) if isinstance(default, str) or key == "probes.extra" else ()
    if not named:
        return kind(key).replace("name", "text")
    listed = ", ".join(f"`{name}`" for name in named)
    return f"list of {listed}" if isinstance(default, list) else listed


def shown(value: object) -> str:
    """A default as it is written in YAML."""
    return "`null`" if value is None else f"`{yaml.safe_dump(value, default_flow_style=True).removesuffix('...' + chr(10)).strip()}`"


def keys() -> str:
    """The page of every configuration key."""
    parts = [
        "# Every key",
        MADE,
        "On the command line a key is written `KEY=VALUE` (`optimizer.lr=0.05`, `model.hidden=[64,64]`); in a scenario file the same "
        "keys stand as YAML. A section with files in `conf/` is also a choice of its own: `optimizer=adam` takes everything "
        "`conf/optimizer/adam.yaml` sets. A misspelt key or value is refused with the nearest one.",
        "Keys of the sections " + ", ".join(f"`{key}`" for key in NUMERIC_KEYS if key != "precision") + " and `precision` can change a "
        "number: they are part of every condition, of the plan's hash and of the cache key. The others say how and where a study is run.",
        "## At the top",
    ]
    whole = list(walk(Settings()))
    sections = [key for key, value in whole if is_dataclass(value)]
    top = [(key, value) for key, value in whole if "." not in key and not is_dataclass(value)]
    parts.append(_rows(top))
    for section in sections:
        mine = [(key, value) for key, value in whole if key.rpartition(".")[0] == section and not is_dataclass(value)]
        said = KEYS.get(section, "")
        parts += [f"## {section}", said[:1].upper() + said[1:] + ".", _rows(mine)]
        if section in groups():
            parts.append(_group(section))
    parts += [
        "## In a scenario file",
        "A scenario file holds the section `scenario:`, the usual groups under `defaults:`, and any key above that can change a number. "
        "[Writing a scenario](../scenario.md) goes through one.",
        table(("key of `scenario`", "meaning"), [(f"`{key}`", cell(text)) for key, text in SCENARIO.items()]),
        "### One hypothesis",
        table(("key of a hypothesis", "meaning"), [(f"`{key}`", cell(text)) for key, text in HYPOTHESIS.items()]),
    ]
    return "\n\n".join(parts) + "\n"


def _rows(items: list[tuple[str, object]]) -> str:
    rows = [(f'<a id="{key}"></a>`{key}`', cell(KEYS.get(key, "")), shown(value), accepts(key, value)) for key, value in items]
    return table(("key", "meaning", "default", "takes"), rows)


def _group(section: str) -> str:
    rows = []
    for choice in groups()[section]:
        body = yaml.safe_load((CONF / section / f"{choice}.yaml").read_text(encoding="utf-8"))
        sets = {f"{section}.{key}": value for key, value in body.items() if key != "defaults"}
        rows.append((f"`{section}={choice}`", ", ".join(f"`{key}: {value}`" for key, value in sets.items())))
    return table(("choice", "sets"), rows)


def _settings() -> list[Numeric]:
    """Configurations that between them measure everything there is to measure: BatchNorm, PReLU, two hidden layers, and a regression."""
    image = Settings(model=Model(hidden=[8, 8], norm="batch", activation="prelu"))
    plain = Settings(data=Data(name="axes", features=4))
    plain.train.loss = "squared_error"
    return [Numeric.of({key: asdict(setting)[key] for key in NUMERIC_KEYS}) for setting in (image, plain)]


def measured() -> dict[str, dict[str, list[str]]]:
    """By probe: its metrics at every evaluation (``curve``) and at the end alone (``final``)."""
    found: dict[str, dict[str, list[str]]] = {}
    for numeric in _settings():
        layout = layout_of(numeric, load(numeric.data, ROOT / "data"))
        for name, make in PROBES.items():
            probe = make(layout)
            mine = found.setdefault(name, {"curve": [], "final": []})
            for when, names in (("curve", probe.columns()), ("final", probe.summaries())):
                mine[when] += [metric for metric in names if metric not in mine[when]]
    return found


#: Parts of a metric's name that differ from network to network.
_PARTS = (
    (r"\.layer\d+", ".layerK"),
    (r"\.batch_\d+", ".batch_<n>"),
    (r"\.dormant_[\d.]+", ".dormant_<τ>"),
    (r"^shifted_loss\..+", "shifted_loss.<shift>"),
)
_GROUP_PART = re.compile(r"\.(hidden_weight|hidden_bias|output_weight|output_bias|norm|slope)$")


def patterns(names: list[str]) -> dict[str, list[str]]:
    """By family, the forms its names take, each once."""
    found: dict[str, dict[str, None]] = {}
    for name in names:
        form = _GROUP_PART.sub(".<group>", name)
        for part, general in _PARTS:
            form = re.sub(part, general, form)
        found.setdefault(family(name), {})[form] = None
    return {key: list(forms) for key, forms in found.items()}


def metrics() -> str:
    """The page of every metric."""
    parts = [
        "# Every metric",
        MADE,
        "A metric has one value per replicate. *Curve*: at every evaluation, the last of which is final; *final*: once, at the end. "
        "A hypothesis rests on final values. `layerK` is a hidden layer counted from the input; `<group>` is one of `hidden_weight`, "
        "`hidden_bias`, `output_weight`, `output_bias`, and `norm` or `slope` where the network has them. After a replicate has diverged "
        "its metrics are missing.",
        "In the formulas z is a hidden unit's pre-activation and h its activation on an example x of the N training examples; θ the "
        "parameters, θ₀ those at step 0; g the gradient of the training loss over a mini-batch B, or the whole training set where "
        "that is said; #{…} counts. *Loss* units are nats for the cross-entropies, squared target units for `squared_error`, units of the "
        "margin for `hinge`.",
    ]
    for name, when in measured().items():
        tiers = [f"`{tier}`" for tier, members in TIERS.items() if name in members]
        asked = f"In the tier{'s' * (len(tiers) > 1)} {', '.join(tiers)}." if tiers else f"By name: `probes.extra: [{name}]`."
        rows = []
        for label, names in when.items():
            for key, forms in patterns(names).items():
                said, unit = name_and_unit(key)
                listed = "<br>".join(f"`{form}`".replace("|", "\\|") for form in forms)
                rows.append((listed, cell(said), cell(FORMULAS.get(key, "")), cell(unit), label))
        parts += [f"## {name}", asked, described(name)]
        parts += [table(("metric", "what", "formula", "unit", "when"), rows)] if rows else []
    return "\n\n".join(parts) + "\n"


def described(name: str) -> str:
    """What the probe itself says, as Markdown."""
    probe: Any = PROBES[name]
    text = inspect.getdoc(probe) or ""
    # names in a docstring stand in double backticks; a bare angle would open a tag
    pieces = re.split(r"(``.+?``)", text, flags=re.DOTALL)
    return "".join(piece.replace("``", "`") if piece.startswith("``") else piece.replace("<", "&lt;") for piece in pieces)


def commands() -> str:
    """The page of the command line: the help text as it is."""
    return f"# The command line\n\n{MADE}\n\n<pre><code>{HELP.replace('&', '&amp;').replace('<', '&lt;')}</code></pre>\n"


def on_files(files: Any, config: Any) -> Any:
    """MkDocs asks for this after it has found the files of docs/: the reference joins them."""
    from mkdocs.structure.files import File

    for path, text in pages().items():
        files.append(File.generated(config, path, content=text))
    return files
