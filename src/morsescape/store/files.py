"""Files that are written whole or not at all, and JSON with every float."""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from morsescape.errors import ArgumentError, DataError

_FLOAT = "$float"  # marks the three numbers that JSON cannot write


def write_bytes_atomic(path: str | os.PathLike[str], content: bytes) -> None:
    """Write a file so that, whatever happens, either all of it is there or nothing has changed.

    The bytes go to a temporary file in the same folder (created if need be), are flushed to the
    disk, and take the name in one step. An error or an interrupt removes the temporary file.

    Raises:
        DataError: the disk is full, or the folder cannot be written.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> path = Path(tempfile.mkdtemp(), "a", "number")
        >>> write_bytes_atomic(path, b"552")
        >>> path.read_bytes()
        b'552'
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _write_then_rename(path, content)
    except OSError as error:
        raise DataError(
            str(path),
            expected=f"to write {len(content):,} bytes",
            got=error.strerror or str(error),
            cure="free some space or choose another folder; what was saved before is intact",
        ) from error


def _write_then_rename(path: Path, content: bytes) -> None:
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        with temporary.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)  # noqa: PTH105  the one atomic step
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    """Put the new name itself on the disk, where the system has a way to say so."""
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


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


def read_json(path: str | os.PathLike[str]) -> Any:
    """Read what `write_json_atomic` wrote.

    Raises:
        DataError: the file is missing, cannot be read, or is not JSON.
    """
    try:
        return from_json(json.loads(Path(path).read_bytes()))
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(
            str(path),
            expected="a readable JSON file",
            got=f"{type(error).__name__}: {error}",
            cure="check the name; a damaged file has to be made again",
        ) from error


def to_json(value: object, where: str) -> Any:
    """The value in JSON's words; `where` is its name in errors."""
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else {_FLOAT: str(float(value))}
    if isinstance(value, list | tuple):
        return [to_json(item, f"{where}[{i}]") for i, item in enumerate(value)]
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str) or key == _FLOAT:
                raise ArgumentError(
                    where,
                    expected=f"names that are strings, and not {_FLOAT}",
                    got=repr(key),
                    cure="rename it, str(...)",
                )
        return {key: to_json(item, f"{where}.{key}") for key, item in value.items()}
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
