"""What must hold for each kind of malformed input. Each function tries one example, or many cheap ones, and raises where it fails."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import random
import struct
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import HealthCheck, Phase, given, seed, settings

from suite.config.schema import Data
from suite.data import load, vision
from suite.record import cache
from suite.record.write import write_record
from suite.report.index import build_index
from suite.report.page import render
from suite.study.publish import write_index
from suite.vocabulary import RequestError
from tests.reliability import inputs
from tests.reliability.inputs import ASKED, outcome, put

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from study_example import make_study

#: What a file that fails is called in the line about it.
RECORD_FILES = ("plan.json", "verdict.json", "replicates.parquet", "curves.parquet", "timings.json", "provenance.json")


def misspelt_key(folder: Path, override: str) -> None:
    """An override whose key does not exist."""
    put(folder)
    code, said, _ = outcome([*ASKED, override], folder)
    assert code == 2, (override, said)
    assert override.split("=")[0].split(".")[0][:3] in said or "cannot be read" in said, (override, said)


def odd_value(folder: Path, override: str) -> None:
    """An override whose value may not be one: refused, or what the study would run with."""
    put(folder)
    code, _, seen = outcome([*ASKED, override], folder)
    if code == 0 and seen is not None:
        assert inputs.took_effect(override, seen), f"{override} was accepted and something else was taken"


def misspelt_scenario(folder: Path, text: bytes) -> None:
    """A scenario with one misspelt key."""
    put(folder, text)
    code, said, _ = outcome(list(ASKED), folder)
    assert code == 2, (text, said)


def odd_scenario(folder: Path, text: bytes) -> None:
    """A scenario with something odd in it: the study runs or is refused, and the list shows it either way."""
    put(folder, text)
    outcome(list(ASKED), folder)


def trying(examples: int, random_seed: int | None) -> Callable[[Any], Any]:
    """Hypothesis with a number of examples: a fixed choice of them, or the one of a seed."""

    def decorate(test: Any) -> Any:
        chosen = settings(
            max_examples=examples,
            derandomize=random_seed is None,
            deadline=timedelta(seconds=60),
            database=None,
            phases=(Phase.explicit, Phase.generate),  # a smaller example of a fault is not worth minutes
            suppress_health_check=list(HealthCheck),
        )(test)
        return chosen if random_seed is None else seed(random_seed)(chosen)

    return decorate


def records(folder: Path, examples: int, random_seed: int | None = None) -> int:
    """A record with one file damaged: ``report`` refuses it naming the file, or shows what it says. Returns how many were tried."""
    study = make_study()
    results = folder / "results"
    record = write_record(study, results, render(study))
    write_index(results, build_index(results))
    whole = {name: (record / name).read_bytes() for name in RECORD_FILES}
    before = {path: path.read_bytes() for path in results.rglob("*") if path.is_file()}
    bodies = {name: json.loads(content) for name, content in whole.items() if name.endswith(".json")}
    tried = [0]

    def attempt(name: str, content: bytes, fits: bool) -> None:
        """``fits``: whoever changed the file has changed the manifest too."""
        tried[0] += 1
        (record / name).write_bytes(content)
        if fits:
            sums = json.loads((record / "manifest.json").read_text()) | {name: hashlib.sha256(content).hexdigest()}
            (record / "manifest.json").write_text(json.dumps(sums))
        try:
            code, said, _ = outcome(["report", "results"], folder)
            assert code == 2 or fits, (name, content)
            assert code == 0 or str(record.relative_to(folder)) in said, (name, content, said)
        finally:
            for path, old in before.items():
                path.write_bytes(old)

    def damaged(name: str) -> Callable[[], None]:
        @trying(max(1, examples // len(RECORD_FILES) // 2), random_seed)
        @given(content=inputs.damages(whole[name]))
        def each(content: bytes) -> None:
            attempt(name, content, fits=False)
            attempt(name, content, fits=True)

        return each

    def odd(name: str) -> Callable[[], None]:
        @trying(max(1, examples // len(bodies) // 2), random_seed)
        @given(body=inputs.odd_json(bodies[name]))
        def each(body: Any) -> None:
            attempt(name, json.dumps(body).encode(), fits=True)

        return each

    for name in RECORD_FILES:
        damaged(name)()
        if name in bodies:
            odd(name)()
    return tried[0]


def blocks(folder: Path, examples: int, random_seed: int = 0) -> int:
    """A block file with damage, half of them with a checksum that fits the damage: the block as stored, or missing."""
    trace = make_study().traces["heavy"]
    cache.store(folder, "ab12", trace)
    path = next((folder / ".blocks").rglob("*.block"))
    whole = path.read_bytes()
    rng = random.Random(random_seed)
    for turn in range(examples):
        content = bytearray(whole[64:])
        for _ in range(rng.choice((1, 1, 3, 50))):
            content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
        if turn % 7 == 0:
            content = content[: rng.randrange(len(content))]
        fits = turn % 2 == 0
        head = hashlib.sha256(content).hexdigest().encode() if fits else whole[:64]
        path.write_bytes(head + content)
        found = cache.load(folder, "ab12", lambda line: None)
        assert found is None or (fits and found.count == trace.count and found.diverged_at.dtype == np.int64)
        if found is not None:
            assert all(curve.shape == (found.count, len(found.steps)) for curve in found.curves.values())
    path.write_bytes(whole)
    assert cache.load(folder, "ab12", lambda line: None) is not None
    pickled = io.BytesIO()
    np.savez(pickled, head=np.array([_Bomb()], dtype=object), allow_pickle=True)
    path.write_bytes(hashlib.sha256(pickled.getvalue()).hexdigest().encode() + pickled.getvalue())
    said: list[str] = []
    assert cache.load(folder, "ab12", said.append) is None
    assert "allow_pickle=False" in said[0]
    return examples + 1


class _Bomb:
    def __reduce__(self) -> tuple[Any, ...]:
        return (sys.exit, ("a block file ran code",))


def datasets(folder: Path, examples: int, random_seed: int = 0) -> int:
    """Fashion-MNIST in its real format, tiny: any damage to any of its files, as unpacked or as packed, names the file."""
    rng = np.random.default_rng(random_seed)
    shapes = ((5, 4, 4), (5,), (3, 4, 4), (3,))
    contents = {}
    for part, shape in zip(vision.PARTS, shapes, strict=True):
        array = rng.integers(0, 10, shape).astype(np.uint8)
        contents[part] = struct.pack(">HBB", 0, 8, array.ndim) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()
    real = vision.FASHION_MD5, vision.MNIST_GZ_MD5, vision.DEBIAN_FASHION
    packed = {part: gzip.compress(content, mtime=0) for part, content in contents.items()}
    vision.FASHION_MD5 = {part: hashlib.md5(content).hexdigest() for part, content in contents.items()}
    vision.MNIST_GZ_MD5 = {part: hashlib.md5(content).hexdigest() for part, content in packed.items()}
    vision.DEBIAN_FASHION = folder / "debian"
    places = {
        "fashion_mnist": (folder / "a" / "FashionMNIST" / "raw", contents, "", folder / "a"),
        "mnist": (folder / "a" / "MNIST" / "raw", packed, ".gz", folder / "a"),
        "debian": (folder / "debian", packed, ".gz", folder / "b"),
    }
    try:
        for where, files, suffix, _ in places.values():
            where.mkdir(parents=True, exist_ok=True)
            for part, content in files.items():
                (where / f"{part}{suffix}").write_bytes(content)
        for turn in range(examples):
            kind = tuple(places)[turn % 3]
            where, files, suffix, data_dir = places[kind]
            part = vision.PARTS[int(rng.integers(4))]
            damaged = bytearray(files[part])
            if turn % 5 == 4:
                damaged = damaged[: int(rng.integers(len(damaged)))]
            else:
                damaged[int(rng.integers(len(damaged)))] ^= 1 << int(rng.integers(8))
            path = where / f"{part}{suffix}"
            path.write_bytes(damaged)
            name = "mnist" if kind == "mnist" else "fashion_mnist"
            said = ""
            try:
                load(Data(name), data_dir)
            except RequestError as error:
                said = str(error)
            finally:
                path.write_bytes(files[part])
                for leftover in (folder / "b").rglob("*ubyte"):
                    leftover.unlink()
            # packing has bits that mean nothing (a date, a name); what comes out is checked itself
            harmless = kind == "debian" and not said and gzip.decompress(bytes(damaged)) == contents[part]
            assert harmless or (str(path) in said and "damaged" in said and "\n" not in said), (kind, part, said)
        return examples
    finally:
        vision.FASHION_MD5, vision.MNIST_GZ_MD5, vision.DEBIAN_FASHION = real
