"""What must outlive the process: atomic files, checkpoints, results, and the pieces of a sweep.

A file written here appears under its name only when it is whole and on the disk: an interrupt, a
crash or a full disk leaves the old file, or none. Checkpoints and pieces carry a SHA-256, so that
damage is found when they are read.
"""

from morsescape.store.checkpoint import load_checkpoint, save_checkpoint
from morsescape.store.codec import Pieced, Saved, Settings, reading
from morsescape.store.disk import is_stream, read_bytes, write_bytes_atomic
from morsescape.store.json_values import read_json, write_json_atomic
from morsescape.store.run_folder import Piece, RunFolder, versions
from morsescape.store.run_folders import RunFolders

__all__ = [
    "Piece",
    "Pieced",
    "RunFolder",
    "RunFolders",
    "Saved",
    "Settings",
    "is_stream",
    "load_checkpoint",
    "read_bytes",
    "read_json",
    "reading",
    "save_checkpoint",
    "versions",
    "write_bytes_atomic",
    "write_json_atomic",
]
