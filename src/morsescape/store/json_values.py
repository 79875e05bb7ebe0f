"""JSON with every float, in files that are written whole or not at all."""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Mapping
from typing import Any

from morsescape.boundary import a_path, checked
from morsescape.errors import ArgumentError, DataError, shown
from morsescape.store.disk import read_bytes, write_bytes_atomic

_FLOAT = "$float"  # marks the three numbers that JSON cannot write
_DEEPEST = 100  # values within values; Python's own reader and writer end at about 1,000
_LONGEST = 4000  # digits of an integer; Python reads no more than 4,300


@checked(path=a_path())
def write_json_atomic(path: str | os.PathLike[str], value: object) -> None:
    """Write `value` as indented JSON, atomically.

    Tuples become lists. NaN and the infinities, for which JSON has no word, become
    ``{"$float": "nan"}`` (or "inf", "-inf"); `read_json` turns them back into floats.

    Raises:
        ArgumentError: a value that is not None, a bool, int, float, str, or a list, tuple or dict
            with string keys of such; the message says where.
        DataError: the file cannot be written.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> path = Path(tempfile.mkdtemp(), "run.json")
        >>> write_json_atomic(path, {"negative": (79, 81), "loss": float("inf")})
        >>> read_json(path)
        {'negative': [79, 81], 'loss': inf}
    """
    write_bytes_atomic(path, pretty(to_json(value, "value")))


@checked(path=a_path())
def read_json(path: str | os.PathLike[str]) -> Any:
    """Read what `write_json_atomic` wrote.

    Raises:
        DataError: the file is missing, cannot be read, or is not JSON.
    """
    try:
        return from_json(json.loads(read_bytes(path)))
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(
            str(path),
            expected="a readable JSON file",
            got=f"{type(error).__name__}: {error}",
            cure="check the name; a damaged file has to be made again",
        ) from error


def to_json(value: object, where: str, depth: int = 0) -> Any:
    """The value in JSON's words; `where` is its name in errors."""
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, int) and value.bit_length() < _LONGEST * math.log2(10):
        return value
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else {_FLOAT: str(float(value))}
    if isinstance(value, list | tuple | Mapping) and depth == _DEEPEST:
        raise ArgumentError(
            where.split(".")[0].split("[")[0],
            expected=f"values in values at most {_DEEPEST} deep, and none in itself",
            got=f"more, at {where[:60]}…", cure="keep it flatter",
        )  # fmt: skip
    if isinstance(value, list | tuple):
        return [to_json(item, f"{where}[{i}]", depth + 1) for i, item in enumerate(value)]
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str) or key == _FLOAT:
                raise ArgumentError(
                    where,
                    expected=f"names that are strings, and not {_FLOAT}",
                    got=repr(key),
                    cure="rename it, str(...)",
                )
        return {key: to_json(item, f"{where}.{key}", depth + 1) for key, item in value.items()}
    if isinstance(value, int):
        raise ArgumentError(
            where, expected=f"integers of at most {_LONGEST:,} digits", got=shown(value),
            cure="write it as a string, hex(...)",
        )  # fmt: skip
    raise ArgumentError(
        where,
        expected="None, bool, int, float, str, list, tuple or dict",
        got=type(value).__name__,
        cure="convert it, for instance by .item(), .tolist() or .value; tensors are saved apart",
    )


def from_json(value: Any) -> Any:
    """What `to_json` made of a value, turned back."""
    if isinstance(value, list):
        return [from_json(item) for item in value]
    if isinstance(value, dict):
        if set(value) == {_FLOAT}:
            return float(value[_FLOAT])
        return {key: from_json(item) for key, item in value.items()}
    return value


def pretty(value: Any) -> bytes:
    """Indented JSON for people, as UTF-8."""
    return (json.dumps(value, indent=2, allow_nan=False) + "\n").encode()


def digest(value: Any) -> str:
    """SHA-256 of a JSON value in canonical form: sorted names, no spaces."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()
