"""The finished pieces of a sweep, so that an interrupted one resumes."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

from morsescape.boundary import a_function, a_path, checked, instance
from morsescape.errors import ArgumentError, DataError, shown
from morsescape.store.checkpoint import packed, plain
from morsescape.store.disk import read_bytes, write_bytes_atomic
from morsescape.store.json_values import digest, from_json, pretty, read_json, to_json

_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_VALUES = instance(Mapping, "pass a dictionary of JSON values")
_NAMED = 4  # settings that an error names
_LONGEST_KEY = 200  # file systems have names of 255 bytes


@dataclass(frozen=True, eq=False)
class Piece:
    """A finished piece of a sweep as it was saved.

    Attributes:
        key: its name in the folder.
        payload: its results, JSON values.
        tensors: its tensors, by name.
        made_with: the versions of Python and torch that saved it; empty where none are recorded.
            A sweep that is resumed after an upgrade has pieces of both. (Workers of a cluster have
            the same release of torch; Python, and the build of torch, may differ there.)
    """

    key: str
    payload: dict[str, Any]
    tensors: dict[str, Tensor]
    made_with: dict[str, str] = field(default_factory=dict)


def versions() -> dict[str, str]:
    """The versions of Python and torch that run here.

    Example:
        >>> sorted(versions())
        ['python', 'torch']
    """
    return {"python": platform.python_version(), "torch": torch.__version__}


class RunFolder:
    """A folder that keeps the finished pieces of a sweep, so that an interrupted one resumes.

    A piece is `KEY.json` and, if it has tensors, `KEY.safetensors`; `settings.json`, written with
    the first piece, says what the sweep is of. Each piece carries the SHA-256 of its payload, its
    tensors and the settings. A piece that fails this check is renamed to `*.damaged`, named, and
    counts as missing: it is computed again. One process writes to a folder at a time.

    Args:
        path: the folder; created if need be.
        settings: everything that the results depend on, as JSON values.
        on_damaged: called with one sentence for each damaged piece found.

    Attributes:
        path: the folder.
        damaged: the sentences about damaged pieces so far.

    Raises:
        ArgumentError: the folder belongs to other settings; the message names those that differ.
        DataError: `settings.json` is damaged, or the folder cannot be written.

    Example:
        >>> import tempfile, torch
        >>> folder = RunFolder(tempfile.mkdtemp(), {"net": "cnn", "l2": 0.0})
        >>> folder.load("run-0") is None
        True
        >>> folder.save("run-0", {"loss": 0.25}, {"theta": torch.ones(2)})
        >>> folder.load("run-0").payload, folder.load("run-0").tensors["theta"]
        ({'loss': 0.25}, tensor([1., 1.]))
    """

    @checked(
        path=a_path(),
        settings=instance(Mapping, "pass a dictionary of what the results depend on"),
        on_damaged=a_function(1),
    )
    def __init__(
        self,
        path: str | os.PathLike[str],
        settings: Mapping[str, Any],
        on_damaged: Callable[[str], None] | None = None,
    ) -> None:
        self.path = Path(path)
        self.damaged: list[str] = []
        self._on_damaged = on_damaged
        self._unwritten: bytes | None = None
        encoded = to_json(settings, "settings")
        self._settings_digest = digest(encoded)
        self._open(self.path / "settings.json", encoded)

    def _open(self, file: Path, settings: dict[str, Any]) -> None:
        if _read(file) is None:
            # Written with the first piece: a command that fails before must not bind the folder.
            self._unwritten = pretty(settings)
            _check_folder(self.path)
            return
        there, now = read_json(file), from_json(settings)
        if not isinstance(there, dict):
            there = {"settings": there}
        # Compared as text, so that NaN equals itself and True differs from 1.
        differ = [k for k in sorted(there | now) if _shown(there, k) != _shown(now, k)]
        if differ:
            differ.sort(key=lambda k: k not in there or k not in now)  # what both have, first
            raise ArgumentError(
                f"settings of {self.path}",
                expected=_told(there, differ),
                got=_told(now, differ),
                cure="use the settings of that folder, or another folder (--out DIR)",
            )

    @checked(payload=_VALUES, tensors=instance(Mapping, "name them, {...}"), made_with=_VALUES)
    def save(
        self,
        key: str,
        payload: Mapping[str, Any],
        tensors: Mapping[str, Tensor] | None = None,
        *,
        made_with: Mapping[str, str] | None = None,
    ) -> None:
        """Save a finished piece, replacing an older one of this key.

        Args:
            key: letters, digits, dots, dashes and underscores; the name of the files.
            payload: JSON values as for `write_json_atomic`.
            tensors: tensors by name; saved from the CPU, as they are.
            made_with: the versions that made the piece; `versions()` if None.

        Raises:
            ArgumentError: a key or a value that cannot be saved.
            DataError: the disk is full or cannot be written; no half-written piece is left.
        """
        json_file, tensor_file = self._files(key)
        if self._unwritten is not None:
            write_bytes_atomic(self.path / "settings.json", self._unwritten)
            self._unwritten = None
        content = {
            "key": key,
            "settings_sha256": self._settings_digest,
            "tensors_sha256": None,
            "made_with": to_json(versions() if made_with is None else made_with, "made_with"),
            "payload": to_json(payload, "payload"),
        }
        if tensors:
            data = packed(plain(tensors))
            content["tensors_sha256"] = hashlib.sha256(data).hexdigest()
            # The tensors first: the piece exists from the moment that its JSON does.
            write_bytes_atomic(tensor_file, data)
        written = pretty(content | {"sha256": digest(content)})
        try:
            write_bytes_atomic(json_file, written)
        except BaseException:
            # Not if the interrupt came after the JSON had its name: then the piece is whole.
            if _read(json_file) != written:
                tensor_file.unlink(missing_ok=True)
            raise

    def has(self, key: str) -> bool:
        """Whether a file of this key is there; `load` says whether it can be read."""
        return self._files(key)[0].exists()

    def load(self, key: str) -> Piece | None:
        """The piece of this key; None if there is none, or if it was damaged.

        Raises:
            ArgumentError: a key that is no file name.
            DataError: a piece cannot be read, or a damaged one not be moved aside.
        """
        json_file, tensor_file = self._files(key)
        text = _read(json_file)
        if text is None:
            return None
        try:
            content = _verified(json_file, text, key, self._settings_digest)
            tensors = _verified_tensors(tensor_file, content["tensors_sha256"])
        except _Damaged as error:
            self._set_aside(key, str(error))
            return None
        made_with = content.get("made_with", {})
        return Piece(key, from_json(content["payload"]), tensors, made_with)

    def _files(self, key: str) -> tuple[Path, Path]:
        fits = isinstance(key, str) and _KEY.fullmatch(key) and key != "settings"
        if not fits or len(key) > _LONGEST_KEY:
            most = f", at most {_LONGEST_KEY}" if fits else ""
            raise ArgumentError(
                "key",
                expected=f'letters, digits, ".", "_" and "-"{most}, and not "settings"',
                got=shown(key),
                cure="choose a key that can be the name of a file",
            )
        return self.path / f"{key}.json", self.path / f"{key}.safetensors"

    def _set_aside(self, key: str, reason: str) -> None:
        try:
            for file in self._files(key):
                if os.path.lexists(file):
                    file.replace(file.with_name(f"{file.name}.damaged"))
        except OSError as error:
            raise DataError(
                f"{key} in {self.path}",
                expected="to rename the damaged files to *.damaged",
                got=error.strerror or str(error),
                cure="make the folder writable, or remove these files",
            ) from error
        self.damaged.append(reason)
        if self._on_damaged is not None:
            self._on_damaged(reason)


def _check_folder(folder: Path) -> None:
    """Find out before the work, not after it, that nothing can be kept there."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise DataError(
            str(folder),
            expected="a folder that can be written",
            got=error.strerror or str(error),
            cure="name a folder that is yours, and no file",
        ) from None


def _shown(settings: dict[str, Any], key: str) -> str:
    return repr(settings[key]) if key in settings else "(absent)"


def _told(settings: dict[str, Any], keys: list[str]) -> str:
    """The values of the first keys; of a checksum its beginning."""
    more = f" and {len(keys) - _NAMED} more" if len(keys) > _NAMED else ""
    said = ", ".join(f"{key} = {_shown(settings, key)}" for key in keys[:_NAMED])
    return re.sub(r"([0-9a-f]{8})[0-9a-f]{56}", r"\1…", said) + more


def _read(file: Path) -> bytes | None:
    """None if there is no such file; one that cannot be read is no damaged one."""
    try:
        return read_bytes(file)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise DataError(
            str(file), expected="a file that can be read", got=error.strerror or str(error),
            cure="mend that, or name another folder; nothing was changed",
        ) from error  # fmt: skip


class _Damaged(DataError):
    """A piece that is not as it was saved."""


def _verified(file: Path, text: bytes, key: str, settings_digest: str) -> dict[str, Any]:
    """The content of a piece's JSON file, if it is whole and belongs here."""
    content = _parsed(file, text)
    expected = content.pop("sha256", None)
    got = digest(content)
    if expected != got or content.get("key") != key:
        raise _damaged(file, f"content of {key} with SHA-256 {expected}", f"SHA-256 {got}")
    if content["settings_sha256"] != settings_digest:
        raise _damaged(file, "a piece made with the settings of this folder", "one of others")
    return content


def _parsed(file: Path, text: bytes) -> dict[str, Any]:
    try:
        content = json.loads(text)
        digest(content)  # refuses NaN, which Python's parser takes and JSON has not
    except (ValueError, RecursionError) as error:
        raise _damaged(file, "JSON", str(error)) from error
    if not isinstance(content, dict):
        raise _damaged(file, "a JSON object", type(content).__name__)
    return content


def _verified_tensors(file: Path, expected: str | None) -> dict[str, Tensor]:
    if expected is None:
        return {}
    data = _read(file)
    if data is None:
        raise _damaged(file, f"a file with SHA-256 {expected}", "no file")
    got = hashlib.sha256(data).hexdigest()
    if got != expected:
        raise _damaged(file, f"SHA-256 {expected}", got)
    return safetensors.torch.load(data)


def _damaged(file: Path, expected: str, got: str) -> _Damaged:
    return _Damaged(
        str(file), expected=expected, got=got, cure="it is computed again; kept as *.damaged"
    )
