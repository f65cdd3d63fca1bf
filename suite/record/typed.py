"""Whether data read from a file have the types that a dataclass states. Knows types, no file and no meaning."""

from __future__ import annotations

import types
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from functools import lru_cache
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints


@lru_cache(maxsize=64)
def _hints(kind: type) -> dict[str, Any]:
    return get_type_hints(kind)


def check(value: Any, kind: Any, where: str) -> None:
    """Raises TypeError, naming the place, unless ``value`` is of the type ``kind`` down to its last element."""
    if kind is Any:
        return
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        _one_of(value, arguments, where)
    elif origin is Literal:
        if value not in arguments:
            raise TypeError(f"{where} is {value!r}, which is none of {', '.join(map(repr, arguments))}")
    elif isinstance(kind, type) and is_dataclass(kind):
        _is(value, kind, where)
        for field in fields(kind):
            check(getattr(value, field.name), _hints(kind)[field.name], f"{where}.{field.name}")
    elif origin is not None and issubclass(origin, Mapping):
        _is(value, Mapping, where)
        for key, item in value.items():
            check(key, arguments[0], f"{where}, key {key!r}")
            check(item, arguments[1], f"{where}.{key}")
    elif origin is not None and issubclass(origin, Sequence):
        _is(value, tuple if origin is tuple else Sequence, where)
        if isinstance(value, str):
            raise TypeError(f"{where} is text, not a list")
        for index, item in enumerate(value):
            check(item, arguments[0], f"{where}[{index}]")
    elif kind is float:
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise TypeError(f"{where} is {value!r}, not a number")
    elif kind is int:
        if isinstance(value, bool) or not isinstance(value, int):
            raise TypeError(f"{where} is {value!r}, not a whole number")
    else:
        _is(value, kind, where)


def _one_of(value: Any, kinds: Sequence[Any], where: str) -> None:
    for kind in kinds:
        try:
            return check(value, kind, where)
        except TypeError:
            continue
    raise TypeError(f"{where} is {value!r}, which has none of the types it may have")


def _is(value: Any, kind: Any, where: str) -> None:
    if not isinstance(value, kind):
        raise TypeError(f"{where} is {value!r}, not {getattr(kind, '__name__', kind)}")
