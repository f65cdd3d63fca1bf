"""What is installed, as the standard library's own parser of package metadata reads it."""

from __future__ import annotations

import importlib.metadata

from suite.record import provenance


def test_every_package_is_named_as_its_metadata_has_it(tmp_path, monkeypatch):
    def parsed():
        return {f"{found.metadata['Name']}=={found.version}" for found in importlib.metadata.distributions()}

    assert set(provenance.environment()) == parsed()
    assert len(parsed()) > 50
    for name, text in {
        # a description may say anything; the order of the lines is free; older files have no METADATA
        "a-1.dist-info/METADATA": "Metadata-Version: 2.1\nVersion: 1.0+local\nName: A.b_c\n\nName: other\nVersion: 9\n",
        "b-2.dist-info/METADATA": "Metadata-Version: 2.1\nName: b\nSummary: x\n  Version: 7\nVersion: 2\nName-Of: z\n",
        "c-3.egg-info/PKG-INFO": "Metadata-Version: 1.0\nName: c\nVersion: 3\n",
    }.items():
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    assert {"A.b_c==1.0+local", "b==2", "c==3"} <= set(provenance.environment())
    assert set(provenance.environment()) == parsed()
