"""Plain JSON into frozen dataclasses, checked against their annotations. Knows types, not what they are for."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Literal, Union


def decode(kind: Any, value: Any, where: str) -> Any:
    """``value`` as an instance of ``kind``; ``where`` names its place in messages.

    Understands dataclasses, ``Mapping[str, X]``, ``Sequence[X]``, ``tuple[X, ...]``, literals, unions and scalars. A whole
    number may stand for a float and stays whole, so that writing it again gives the same text. Raises ValueError.
    """
    if kind is Any:
        return value
    if dataclasses.is_dataclass(kind):
        return _dataclass(kind, value, where)
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is Literal:
        if not isinstance(value, str) or value not in arguments:
            raise ValueError(f"{where} is {_shown(value)}, not one of {', '.join(map(str, arguments))}")
        return value
    if origin in (Union, types.UnionType):
        return _union(arguments, value, where)
    if origin is Mapping:
        if not isinstance(value, dict):
            raise ValueError(f"{where} is {_shown(value)}, not a mapping")
        return {key: decode(arguments[1], item, f"{where}.{key}") for key, item in value.items()}
    if origin in (tuple, Sequence):
        if not isinstance(value, list):
            raise ValueError(f"{where} is {_shown(value)}, not a list")
        items = [decode(arguments[0], item, f"{where}[{index}]") for index, item in enumerate(value)]
        return tuple(items) if origin is tuple else items
    wanted = (int, float) if kind is float else (kind,)
    if not isinstance(value, wanted) or (isinstance(value, bool) and kind is not bool):
        raise ValueError(f"{where} is {_shown(value)}, not {getattr(kind, '__name__', kind)}")
    return value


def _dataclass(kind: Any, value: Any, where: str) -> Any:
    if not isinstance(value, dict):
        raise ValueError(f"{where} is {_shown(value)}, not a mapping")
    hints = _hints(kind)
    unknown = sorted(set(value) - set(hints))
    if unknown:
        raise ValueError(f"{where} has no field {unknown[0]!r} (it has {', '.join(hints)})")
    # a field that a later version added has a default, so that older records stay readable
    missing = [f.name for f in dataclasses.fields(kind) if f.name not in value and not _has_default(f)]
    if missing:
        raise ValueError(f"{where} lacks {missing[0]!r}")
    return kind(**{name: decode(hints[name], item, f"{where}.{name}") for name, item in value.items()})


def _union(kinds: Sequence[Any], value: Any, where: str) -> Any:
    reasons = []
    for kind in kinds:
        try:
            return decode(kind, value, where)
        except ValueError as reason:
            reasons.append(str(reason))
    # where the value has the shape of a dataclass among the choices, its reason says most
    raise ValueError(reasons[0] if isinstance(value, dict) else f"{where} is {_shown(value)}, which cannot stand there")


@lru_cache(maxsize=64)
def _hints(kind: Any) -> dict[str, Any]:
    return typing.get_type_hints(kind)


def _has_default(field: dataclasses.Field[Any]) -> bool:
    return field.default is not dataclasses.MISSING or field.default_factory is not dataclasses.MISSING


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "…"
