"""RO-Crate 1.1 metadata of a record: what each file is, and the run that made them. Knows names and facts, no file's content."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath
from typing import Any

from suite.record.canonical import to_json
from suite.record.citation import AUTHORS, LICENSE, doi_placeholder
from suite.vocabulary import Study

CRATE = "ro-crate-metadata.json"
FORMATS = {
    ".json": "application/json",
    ".parquet": "application/vnd.apache.parquet",
    ".yaml": "application/yaml",
    ".html": "text/html",
    ".md": "text/markdown",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".bib": "application/x-bibtex",
    ".cff": "application/yaml",
    ".txt": "text/plain",
    "": "text/plain",
}
MEANINGS = {
    "plan.json": "The plan, sealed before training: conditions, hypotheses, decision rules, seed, data checksums",
    "verdict.json": "The verdict on every hypothesis, with its interval",
    "replicates.parquet": "One row per condition and replicate: every final metric",
    "curves.parquet": "One row per condition, replicate and evaluation: every metric over training",
    "units.parquet": "One row per condition, followed replicate, evaluation and layer: the state of every unit, pre-activations",
    "provenance.json": "How the record was made: commit, versions, machine, data checksums, times",
    "timings.json": "What each condition cost",
    "configs.yaml": "The full configuration of every condition",
    "environment.txt": "Every installed package with its version",
    "report.html": "The report, self-contained",
    "report.md": "The report in Markdown",
    "citation.bib": "How to cite the study, BibTeX",
    "CITATION.cff": "How to cite the study, Citation File Format",
    "LICENSE": "The licence",
    "manifest.json": "SHA-256 of every other file",
}
#: What the run produced, as against what it was given or what describes it.
RESULTS = ("verdict.json", "replicates.parquet", "curves.parquet", "units.parquet", "timings.json")


def ro_crate(study: Study, files: Iterable[str]) -> str:
    """The metadata naming every file of the record, with the data it was made from and the run that made it."""
    facts = study.provenance
    names = sorted({*files, "manifest.json"} - {CRATE})
    data = [_dataset(name, sums) for name, sums in study.plan.data.items()]
    root = {
        "@id": "./",
        "@type": "Dataset",
        "name": study.plan.title,
        "description": study.plan.question,
        "identifier": [study.study_id, {"@id": "#doi"}],
        "datePublished": facts.get("finished", ""),
        "version": study.study_id,
        "keywords": ", ".join([study.plan.scenario, *study.plan.claims]),
        "license": {"@id": LICENSE},
        "author": {"@id": "#authors"},
        "publisher": {"@id": "#authors"},
        "citation": list(study.plan.references),
        "hasPart": _refer(names),
        "mentions": {"@id": "#run"},
    }
    graph = [
        {"@id": CRATE, "@type": "CreativeWork", "about": {"@id": "./"}, "conformsTo": {"@id": "https://w3id.org/ro/crate/1.1"}},
        {key: value for key, value in root.items() if value != []},
        {"@id": "#authors", "@type": "Organization", "name": AUTHORS},
        {"@id": LICENSE, "@type": "CreativeWork", "name": "BSD 3-Clause License", "url": LICENSE},
        {
            "@id": "#doi",
            "@type": "PropertyValue",
            "propertyID": "https://registry.identifiers.org/registry/doi",
            "value": doi_placeholder(study),
            "description": "placeholder until the record is deposited",
        },
        _software(facts, names),
        _run(study, names, data),
        *data,
        *(_file(name) for name in names),
    ]
    return to_json({"@context": "https://w3id.org/ro/crate/1.1/context", "@graph": graph})


def _refer(names: Iterable[str]) -> list[dict[str, str]]:
    return [{"@id": name} for name in names]


def _file(name: str) -> dict[str, Any]:
    meaning = MEANINGS.get(name) or ("A figure of the report" if name.startswith("figures/") else name)
    return {
        "@id": name,
        "@type": "File",
        "name": name,
        "description": meaning,
        "encodingFormat": FORMATS.get(PurePosixPath(name).suffix, ""),
    }


def _dataset(name: str, sums: Mapping[str, str]) -> dict[str, Any]:
    return {
        "@id": f"#data-{name}",
        "@type": "Dataset",
        "name": name,
        "description": "Training and test data, not part of the record; each array is known by its SHA-256",
        "identifier": [f"{array} sha256:{digest}" for array, digest in sorted(sums.items())],
    }


def _software(facts: Mapping[str, Any], names: list[str]) -> dict[str, Any]:
    git = facts.get("git") or {}
    commit = f", commit {git['commit']}{' with uncommitted changes' if git.get('dirty') else ''}" if git.get("commit") else ""
    return {
        "@id": "#suite",
        "@type": "SoftwareApplication",
        "name": "deadzone-suite",
        "softwareVersion": f"{facts.get('suite', '')}{commit}",
        "license": {"@id": LICENSE},
        **({"softwareRequirements": {"@id": "environment.txt"}} if "environment.txt" in names else {}),
    }


def _run(study: Study, names: list[str], data: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "@id": "#run",
        "@type": "CreateAction",
        "name": f"Study {study.study_id} of scenario {study.plan.scenario}",
        "description": f"Outcome: {study.outcome.status}",
        "instrument": {"@id": "#suite"},
        "agent": {"@id": "#authors"},
        "object": [{"@id": "plan.json"}, *({"@id": item["@id"]} for item in data)],
        "result": _refer(name for name in names if name in RESULTS),
        "startTime": study.provenance.get("started", ""),
        "endTime": study.provenance.get("finished", ""),
    }
