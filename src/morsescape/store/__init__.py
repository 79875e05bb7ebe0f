"""What must outlive the process: atomic files, checkpoints, and the pieces of a sweep.

A file written here appears under its name only when it is whole and on the disk: an interrupt, a
crash or a full disk leaves the old file, or none. Checkpoints and pieces carry a SHA-256, so that
damage is found when they are read.
"""

from morsescape.store.checkpoint import load_checkpoint, save_checkpoint
from morsescape.store.files import read_json, write_bytes_atomic, write_json_atomic
from morsescape.store.run_folder import Piece, RunFolder, versions
from morsescape.store.run_folders import RunFolders

__all__ = [
    "Piece",
    "RunFolder",
    "RunFolders",
    "load_checkpoint",
    "read_json",
    "save_checkpoint",
    "versions",
    "write_bytes_atomic",
    "write_json_atomic",
]
