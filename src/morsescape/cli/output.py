"""Where results go: tables on one stream, and JSON in a file or on another."""

from __future__ import annotations

import os
import sys
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from morsescape.cli.session import stderr, stdout
from morsescape.errors import DataError
from morsescape.store import is_stream, write_json_atomic
from morsescape.store.json_values import pretty, to_json

_STANDARD = Path("-")


@dataclass(frozen=True)
class JsonOutput:
    """What --json names: a file, a device or pipe, "-" for standard output; None for nothing."""

    name: Path | None

    @property
    def is_file(self) -> bool:
        """Whether it can be written again and again, each time as a whole."""
        return self.name is not None and not self._is_standard and not is_stream(self.name)

    @property
    def _is_standard(self) -> bool:
        return self.name == _STANDARD

    def check(self) -> None:
        """Find out before the work, not after it, that it cannot be written."""
        if self.is_file:
            check_writable(self.name)

    def keep(self, result: Any) -> None:
        """The result so far, where it can be replaced by a later one."""
        if self.is_file:
            self.write(result)

    def write(self, result: Any) -> None:
        """The result."""
        if self._is_standard:
            sys.stdout.write(pretty(to_json(result.to_json(), "value")).decode())
            sys.stdout.flush()
        elif self.name is not None:
            write_json_atomic(self.name, result.to_json())

    def console(self) -> Console:
        """Where tables go: to standard output, if that is not where the JSON goes."""
        same = self._is_standard
        if self.name is not None and not same:
            with suppress(OSError, ValueError):
                same = is_stream(self.name) and os.path.samestat(
                    self.name.stat(), os.fstat(sys.stdout.fileno())
                )
        return stderr() if same else stdout()


def check_writable(file: Path | None) -> None:
    """Find out before the work, not after it, that a file cannot be written.

    Raises:
        DataError: it cannot.
    """
    if file is None:
        return
    try:
        if file.is_dir():
            raise IsADirectoryError(0, "it is a folder")
        with suppress(FileNotFoundError):
            file.stat()  # a name that is too long shows here
        folder = Path(os.path.realpath(file)).parent
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise DataError(
            str(file),
            expected="a file that can be written",
            got=error.strerror or str(error),
            cure="name a file in a folder that is yours",
        ) from None
