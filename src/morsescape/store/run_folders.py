"""Several run folders side by side, filled by one sweep."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import Tensor

from morsescape.boundary import a_function, a_path, checked, instance
from morsescape.errors import ArgumentError, shown
from morsescape.store.json_values import to_json
from morsescape.store.run_folder import Piece, RunFolder

BETWEEN = ":"  # of a folder's name and a key in it


class RunFolders:
    """Run folders below one path; the key "tables/cnn:seed-0" is seed-0 of the folder tables/cnn.

    Each is a `RunFolder` with settings of its own, so that one of them can be filled alone, and
    others be added later.

    Args:
        path: the folder above them; created if need be.
        settings: by the name of each folder, everything that its pieces depend on.
        on_damaged: called with one sentence for each damaged piece found.

    Raises:
        ArgumentError, DataError: as `RunFolder`.

    Example:
        >>> import tempfile
        >>> folders = RunFolders(tempfile.mkdtemp(), {"tables/cnn": {"l2": 0.0}})
        >>> folders.save("tables/cnn:seed-0", {"loss": 0.25})
        >>> folders.load("tables/cnn:seed-0").payload
        {'loss': 0.25}
    """

    @checked(
        path=a_path(),
        settings=instance(Mapping, "pass a dictionary, the settings by the name of the folder"),
        on_damaged=a_function(1),
    )
    def __init__(
        self,
        path: str | os.PathLike[str],
        settings: Mapping[str, Mapping[str, Any]],
        on_damaged: Callable[[str], None] | None = None,
    ) -> None:
        to_json(settings, "settings")  # refuses names that are no strings
        self.path = Path(path)
        self.folders = {
            name: RunFolder(self.path / name, own, on_damaged) for name, own in settings.items()
        }

    def save(
        self, key: str, payload: Mapping[str, Any], tensors: Mapping[str, Tensor] | None = None
    ) -> None:
        """Save a finished piece in its folder, as `RunFolder.save`."""
        folder, own = self._at(key)
        folder.save(own, payload, tensors)

    def has(self, key: str) -> bool:
        """Whether a file of this key is there, as `RunFolder.has`."""
        folder, own = self._at(key)
        return folder.has(own)

    def load(self, key: str) -> Piece | None:
        """The piece of this key, as `RunFolder.load`; its `key` is this one."""
        folder, own = self._at(key)
        piece = folder.load(own)
        return None if piece is None else replace(piece, key=key)

    def _at(self, key: str) -> tuple[RunFolder, str]:
        name, _, own = key.rpartition(BETWEEN) if isinstance(key, str) else ("", "", "")
        if name not in self.folders:
            raise ArgumentError(
                "key", expected=f"FOLDER{BETWEEN}KEY, with one of {len(self.folders)} folders",
                got=shown(key), cure=f"the folders are {', '.join(self.folders)}",
            )  # fmt: skip
        return self.folders[name], own
