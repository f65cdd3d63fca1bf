"""How to cite a study, in the forms people use, and under what licence it stands."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path

from suite.vocabulary import Study

AUTHORS = "The deadzone-suite authors"
LICENSE = "https://spdx.org/licenses/BSD-3-Clause"
#: DataCite's prefix for tests: it has the form of a DOI and can never be one.
PLACEHOLDER = "10.5072/deadzone."


def doi_placeholder(study: Study) -> str:
    """What stands where the DOI will: whoever deposits the record puts the archive's own in its place."""
    return PLACEHOLDER + study.study_id


@lru_cache(maxsize=1)
def license_text() -> str:
    """The licence in full, from the installed package or from the checkout."""
    package = Path(__file__).resolve().parents[1]
    installed = package / "_LICENSE"
    return (installed if installed.is_file() else package.parent / "LICENSE").read_text(encoding="utf-8")


def bibtex(study: Study) -> str:
    """One @misc entry whose key and version carry the study id."""
    year = str(study.provenance.get("finished", ""))[:4]
    return (
        "% The DOI is a placeholder until the record is deposited.\n"
        f"@misc{{deadzone-{study.plan.scenario}-{study.study_id},\n"
        f"  title   = {{{study.plan.title}: a study of {', '.join(study.plan.claims)}}},\n"
        f"  author  = {{{{{AUTHORS}}}}},\n"
        f"  year    = {{{year}}},\n"
        f"  version = {{study {study.study_id}}},\n"
        f"  doi     = {{{doi_placeholder(study)}}},\n"
        f"  note    = {{deadzone-suite {study.provenance.get('suite', '')}, plan SHA-256 {study.provenance.get('plan_sha256', '')}}}\n"
        "}\n"
    )


def citation_cff(study: Study) -> str:
    """A Citation File Format entry; JSON scalars are YAML scalars."""
    facts = study.provenance
    commit = (facts.get("git") or {}).get("commit")
    return (
        "cff-version: 1.2.0\n"
        "message: If you use this study, please cite it as below.\n"
        "type: dataset\n"
        f"title: {json.dumps(study.plan.title, ensure_ascii=False)}\n"
        f"abstract: {json.dumps(study.plan.question, ensure_ascii=False)}\n"
        f"authors:\n  - name: {AUTHORS}\n"
        f"version: {json.dumps(study.study_id)}\n"
        f"date-released: {json.dumps(str(facts.get('finished', ''))[:10])}\n"
        "license: BSD-3-Clause\n" + (f"commit: {json.dumps(str(commit))}\n" if commit else "") + "identifiers:\n"
        "  - type: other\n"
        f"    value: sha256:{facts.get('plan_sha256', '')}\n"
        "    description: hash of the sealed plan\n"
        "  - type: doi\n"
        f"    value: {doi_placeholder(study)}\n"
        "    description: placeholder until the record is deposited\n"
    )
