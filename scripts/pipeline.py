"""Writes dvc.yaml: a stage for every study and its report, from scenarios/ and the records that results/ has on other data.

DVC cannot list a folder by itself. ``python scripts/pipeline.py`` writes the file anew; a test compares it. With ``others`` it
prints the words of every registered study on other data or by another network, a line each.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]
HEAD = """\
# Every record of results/ by DVC: dvc repro makes what its code or its scenario has changed under, and nothing else.
# Written by scripts/pipeline.py (make dvc-lock); the records are files of git, not of DVC's cache.
"""
#: What can change a number or a verdict. Where blocks run, and how records, pages and MLflow are written, cannot.
CODE = [
    "conf",
    "suite/config",
    "suite/data",
    "suite/inference",
    "suite/nets",
    "suite/probes",
    "suite/selection.py",
    "suite/streams.py",
    "suite/study/merge.py",
    "suite/study/outcome.py",
    "suite/study/plan.py",
    "suite/training",
    "suite/vocabulary.py",
]
REPORT_CODE = ["suite/report"]
#: What a study leaves, and what the report makes of it.
# units.parquet is left out: not every study has one, and it changes only with the code and the plan, as provenance.json does
TABLES = ["replicates.parquet", "curves.parquet"]
FACTS = ["plan.json", "provenance.json", "timings.json", "configs.yaml", "citation.bib", "CITATION.cff"]
PAGES = ["report.html", "report.md", "figures", "manifest.json", "ro-crate-metadata.json"]
#: Studies on other data or by another network: the folder of their records in results/, and the variant that chooses them.
OTHERS = {"fashion_mnist": {"data": "fashion_mnist"}, "fashion_mnist_cnn": {"data": "fashion_mnist", "model": "cnn"}}


def kept(path: str) -> dict[str, Any]:
    """An output that git holds; DVC neither caches it nor deletes it before a stage runs."""
    return {path: {"cache": False, "persist": True}}


def others(root: Path = ROOT) -> dict[str, dict[str, str]]:
    """Of each folder: the scenarios that register its variant, each with the words that ask for it. A key of the scenario's
    ``variants`` that the folder does not choose has one value, or one for each network under ``model``, in the same order.
    """
    found: dict[str, dict[str, str]] = {}
    for folder, chosen in OTHERS.items():
        found[folder] = {}
        for path in sorted((root / "scenarios").glob("*.yaml")):
            variants = yaml.safe_load(path.read_text(encoding="utf-8"))["scenario"].get("variants") or {}
            if all(value in variants.get(key, []) for key, value in chosen.items()):
                found[folder][path.stem] = " ".join([*_words(variants, chosen), f"results_dir=results/{folder}"])
    return found


def _words(variants: dict[str, list[Any]], chosen: dict[str, str]) -> list[str]:
    networks = variants.get("model", ["mlp"])
    network = networks.index(chosen.get("model", "mlp"))
    rest = {key: values[network if len(values) == len(networks) else 0] for key, values in variants.items() if key not in ("data", "model")}
    return [f"{key}={value if isinstance(value, str) else json.dumps(value)}" for key, value in {**chosen, **rest}.items()]


def study(folder: str, name: str, words: str) -> dict[str, Any]:
    """The body of a stage that runs a study; ``name`` is DVC's word for the scenario's."""
    return {
        "cmd": f"python -m suite +scenario={name} {words}executor=local tracking=off",
        "deps": CODE,
        "params": [{f"scenarios/{name}.yaml": None}],
        "outs": [kept(f"{folder}/{name}/{file}") for file in (*FACTS, *TABLES)],
        "metrics": [kept(f"{folder}/{name}/verdict.json")],
    }


def report(folder: str) -> dict[str, Any]:
    """The body of a stage that makes a record's pages again."""
    return {
        "cmd": f"python -m suite report {folder}/${{item}}",
        "deps": [
            *REPORT_CODE,
            *(f"{folder}/${{item}}/{name}" for name in ("plan.json", "provenance.json", "timings.json", "verdict.json", *TABLES)),
        ],
        "outs": [kept(f"{folder}/${{item}}/{name}") for name in PAGES],
    }


def pipeline(root: Path = ROOT) -> str:
    """The text of dvc.yaml for what lies in a checkout."""
    names = {"results": sorted(path.stem for path in (root / "scenarios").glob("*.yaml"))}
    stages: dict[str, Any] = {"study": {"foreach": names["results"], "do": study("results", "${item}", "")}}
    for other, words in others(root).items():
        folder = f"results/{other}"
        names[folder] = [name for name in words if (root / folder / name / "verdict.json").is_file()]
        if names[folder]:
            asked = {name: words[name] for name in names[folder]}
            stages[f"study_{other}"] = {"foreach": asked, "do": study(folder, "${key}", "${item} ")}
            stages[f"report_{other}"] = {"foreach": names[folder], "do": report(folder)}
    stages["report"] = {"foreach": names["results"], "do": report("results")}
    verdicts = [f"{folder}/{name}/verdict.json" for folder in names for name in names[folder]]
    stages["index"] = {
        "cmd": "python -m suite index results",
        "deps": [*REPORT_CODE, *verdicts],
        "outs": [kept("results/index.html"), kept("results/claims.json")],
    }
    return HEAD + yaml.dump({"stages": stages}, Dumper=_Plain, sort_keys=False, width=160)


class _Plain(yaml.SafeDumper):
    """Without anchors: every stage can be read by itself."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


if __name__ == "__main__":
    if sys.argv[1:] == ["others"]:
        for words in others().values():
            for scenario, asked in words.items():
                print(f"+scenario={scenario} {asked}")
    else:
        (ROOT / "dvc.yaml").write_text(pipeline(), encoding="utf-8")
