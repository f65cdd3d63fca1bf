"""Writes dvc.yaml: a stage for every study and its report, from scenarios/ and the datasets that results/ has records on.

DVC cannot list a folder by itself. ``python scripts/pipeline.py`` writes the file anew; a test compares it.
"""

from __future__ import annotations

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
#: Studies on other data: the folder of their records, and the words that choose the data.
OTHER_DATA = {"fashion_mnist": "data=fashion_mnist data.subset=10000 results_dir=results/fashion_mnist"}


def kept(path: str) -> dict[str, Any]:
    """An output that git holds; DVC neither caches it nor deletes it before a stage runs."""
    return {path: {"cache": False, "persist": True}}


def study(folder: str, words: str) -> dict[str, Any]:
    """The body of a stage that runs a study."""
    return {
        "cmd": f"python -m suite +scenario=${{item}} {words}executor=local tracking=off",
        "deps": CODE,
        "params": [{"scenarios/${item}.yaml": None}],
        "outs": [kept(f"{folder}/${{item}}/{name}") for name in (*FACTS, *TABLES)],
        "metrics": [kept(f"{folder}/${{item}}/verdict.json")],
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
    stages: dict[str, Any] = {"study": {"foreach": names["results"], "do": study("results", "")}}
    for data, words in OTHER_DATA.items():
        folder = f"results/{data}"
        names[folder] = sorted(path.parent.name for path in (root / folder).glob("*/verdict.json"))
        stages[f"study_{data}"] = {"foreach": names[folder], "do": study(folder, f"{words} ")}
        stages[f"report_{data}"] = {"foreach": names[folder], "do": report(folder)}
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
    (ROOT / "dvc.yaml").write_text(pipeline(), encoding="utf-8")
