"""How to cite a study, in the forms people use."""

from __future__ import annotations

import json
from collections.abc import Iterable

from suite.record.canonical import to_json
from suite.vocabulary import Study

AUTHORS = "The deadzone-suite authors"
LICENSE = "https://spdx.org/licenses/BSD-3-Clause"


def bibtex(study: Study) -> str:
    """One @misc entry whose key and version carry the study id."""
    year = str(study.provenance.get("finished", ""))[:4]
    return (
        f"@misc{{deadzone-{study.plan.scenario}-{study.study_id},\n"
        f"  title   = {{{study.plan.title}: a study of {', '.join(study.plan.claims)}}},\n"
        f"  author  = {{{{{AUTHORS}}}}},\n"
        f"  year    = {{{year}}},\n"
        f"  version = {{study {study.study_id}}},\n"
        f"  note    = {{deadzone-suite {study.provenance.get('suite', '')}, plan SHA-256 {study.provenance.get('plan_sha256', '')}}}\n"
        "}\n"
    )


def citation_cff(study: Study) -> str:
    """A Citation File Format entry; JSON scalars are YAML scalars."""
    finished = str(study.provenance.get("finished", ""))[:10]
    return (
        "cff-version: 1.2.0\n"
        "message: If you use this study, please cite it as below.\n"
        "type: dataset\n"
        f"title: {json.dumps(study.plan.title, ensure_ascii=False)}\n"
        f"authors:\n  - name: {AUTHORS}\n"
        f"version: {study.study_id}\n"
        f"date-released: {finished}\n"
        "license: BSD-3-Clause\n"
        "identifiers:\n"
        "  - type: other\n"
        f"    value: sha256:{study.provenance.get('plan_sha256', '')}\n"
        "    description: hash of the sealed plan\n"
    )


def ro_crate(study: Study, files: Iterable[str]) -> str:
    """RO-Crate 1.1 metadata naming every file of the record."""
    names = sorted(files)
    graph = [
        {
            "@id": "ro-crate-metadata.json",
            "@type": "CreativeWork",
            "about": {"@id": "./"},
            "conformsTo": {"@id": "https://w3id.org/ro/crate/1.1"},
        },
        {
            "@id": "./",
            "@type": "Dataset",
            "name": study.plan.title,
            "description": study.plan.question,
            "identifier": study.study_id,
            "datePublished": study.provenance.get("finished", ""),
            "license": {"@id": LICENSE},
            "author": {"@id": "#authors"},
            "hasPart": [{"@id": name} for name in names],
        },
        {"@id": "#authors", "@type": "Organization", "name": AUTHORS},
        {"@id": LICENSE, "@type": "CreativeWork", "name": "BSD 3-Clause License"},
        *({"@id": name, "@type": "File", "name": name} for name in names),
    ]
    return to_json({"@context": "https://w3id.org/ro/crate/1.1/context", "@graph": graph})
