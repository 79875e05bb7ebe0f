"""Bytes on the disk: written whole or not at all, read from plain files only.

What is no plain file (a terminal, a pipe, a descriptor that is open already) cannot be replaced by
another file without breaking it for others; it is written through.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import stat
import sys
import uuid
from pathlib import Path

from morsescape.boundary import a_path, checked, instance
from morsescape.errors import DataError

if sys.platform != "win32":
    import fcntl

_TEMPORARY = re.compile(r"\.[0-9a-f]{32}\.tmp")
_LINKS = 40  # followed from one name, as Linux does
_ELSEWHERE = "choose another folder; what was saved before is intact"
_CURES = {
    errno.EISDIR: "name a file in it",
    **dict.fromkeys(
        (errno.ENOENT, errno.ENOTDIR, errno.EACCES, errno.EPERM, errno.EROFS), _ELSEWHERE
    ),
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.EMFILE: "close some files, or raise the limit: ulimit -n",
    errno.ENXIO: "start what reads from it first",
}
_OTHERWISE = f"free some space or {_ELSEWHERE}"
_TRIES = 3  # of a write whose temporary file another process took for abandoned


@checked(path=a_path(), content=instance(bytes, "encode it, or pickle it"))
def write_bytes_atomic(path: str | os.PathLike[str], content: bytes) -> None:
    """Write a file so that, whatever happens, either all of it is there or nothing has changed.

    The bytes go to a temporary file in the same folder (created if need be), are flushed to the
    disk, and take the name in one step; links are followed. An error or an interrupt removes the
    temporary file, and what a killed process left there goes with the next write. A device, a pipe
    and an open descriptor (`/dev/stdout`, `/proc/self/fd/3`) are written through.

    Raises:
        DataError: the disk is full, the folder cannot be written, or the name is that of a folder.
        BrokenPipeError: nobody reads any more what is written through.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> path = Path(tempfile.mkdtemp(), "a", "number")
        >>> write_bytes_atomic(path, b"552")
        >>> path.read_bytes()
        b'552'
    """
    try:
        if is_stream(path):
            _write_through(path, content)
        else:
            _write_whole(Path(os.path.realpath(path)), content)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise DataError(
            os.fspath(path),
            expected=f"to write {len(content):,} bytes",
            got=error.strerror or str(error),
            cure=_CURES.get(error.errno or 0, _OTHERWISE),
        ) from error


def is_stream(path: str | os.PathLike[str]) -> bool:
    """Whether a name is that of a device, a pipe or an open descriptor, which is written through.

    Example:
        >>> is_stream("/dev/null"), is_stream("/tmp")
        (True, False)
    """
    if _descriptor(path) is not None:
        return True
    try:
        mode = os.stat(path).st_mode  # noqa: PTH116
    except (OSError, ValueError):
        return False
    return stat.S_ISCHR(mode) or stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)


def read_bytes(path: str | os.PathLike[str]) -> bytes:
    """The content of a plain file; never waits for a pipe.

    Raises:
        OSError: there is none, it cannot be read, or it is something else.
    """
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    with open(os.open(path, flags), "rb") as file:  # noqa: PTH123
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(0, "it is no regular file")
        return file.read()


# -- inside -----------------------------------------------------------------------------------


def _write_whole(path: Path, content: bytes) -> None:
    if os.path.exists(path) and not os.path.isfile(path):  # noqa: PTH110, PTH113
        if path.is_dir():
            raise OSError(errno.EISDIR, "it is a folder")
        raise OSError(0, "it is no regular file")
    path.parent.mkdir(parents=True, exist_ok=True)
    _sweep(path.parent)
    for tried in range(1, _TRIES + 1):
        try:
            _write_then_rename(path, content)
            break
        except FileNotFoundError:
            if tried == _TRIES:
                raise
    _sync_folder(path.parent)


def _write_then_rename(path: Path, content: bytes) -> None:
    temporary = path.with_name(f".{uuid.uuid4().hex}.tmp")
    try:
        with temporary.open("xb") as file:
            _lock(file.fileno())
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
            # Still locked, so that no other process takes it for abandoned.
            if os.name == "posix":
                os.replace(temporary, path)  # noqa: PTH105  the one atomic step
        if os.name != "posix":
            os.replace(temporary, path)  # noqa: PTH105
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise


def _sweep(folder: Path) -> None:
    """Remove what killed processes left there: temporary files that nobody has locked."""
    if sys.platform == "win32":
        return
    for name in os.listdir(folder):  # noqa: PTH208
        if _TEMPORARY.fullmatch(name):
            with contextlib.suppress(OSError), (folder / name).open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                (folder / name).unlink()


def _lock(handle: int) -> None:
    """Until it is closed, or the process ends in whatever way."""
    if sys.platform != "win32":
        with contextlib.suppress(OSError):  # some network file systems have no locks
            fcntl.flock(handle, fcntl.LOCK_EX)


def _sync_folder(folder: Path) -> None:
    """Put the new name itself on the disk, where the system has a way to say so."""
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _write_through(path: str | os.PathLike[str], content: bytes) -> None:
    number = _descriptor(path)
    for stream in (sys.stdout, sys.stderr):  # what was printed before comes before
        with contextlib.suppress(AttributeError, ValueError):
            stream.flush()
    if number is not None:
        handle = os.dup(number)  # where it stands: opened anew, it would begin at the start
    else:
        # Of a pipe that nobody reads: an error at once, where it would wait for ever.
        handle = os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY)
        os.set_blocking(handle, True)
    with open(handle, "wb", buffering=0) as file:  # noqa: PTH123
        rest = memoryview(content)
        while rest:
            rest = rest[file.write(rest) or 0 :]


def _descriptor(path: str | os.PathLike[str]) -> int | None:
    """N, where the name leads to /dev/fd/N or /proc/self/fd/N; None where it does not."""
    own = {f"/proc/{os.getpid()}/fd", "/dev/fd"}
    name = os.fspath(path)
    for _ in range(_LINKS):
        folder, last = os.path.split(name)
        folder = os.path.realpath(folder or ".")
        if folder in own and last.isdecimal():
            return int(last)
        name = os.path.join(folder, last)  # noqa: PTH118
        try:
            name = os.path.join(folder, os.readlink(name))  # noqa: PTH115, PTH118
        except (OSError, ValueError):
            return None
    return None
