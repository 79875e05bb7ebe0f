"""Devices, pipes and links are left what they are; what cannot be read or written is one error."""

import errno
import os
import signal
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import torch

from faults import names
from morsescape import store
from morsescape.errors import DataError
from morsescape.store.disk import is_stream, write_bytes_atomic

posix = pytest.mark.skipif(os.name != "posix", reason="devices and pipes as POSIX has them")
pytestmark = posix


def test_a_device_is_written_through_and_stays_one():
    store.write_bytes_atomic("/dev/null", b"nothing")
    assert stat.S_ISCHR(Path("/dev/null").stat().st_mode)


def test_a_device_that_is_full_is_one_error(tmp_path):
    link = tmp_path / "link"
    link.symlink_to("/dev/full")
    with pytest.raises(DataError, match="link: expected to write 3 bytes; got No space left"):
        store.write_bytes_atomic(link, b"abc")
    assert link.is_symlink()


def descriptor(tmp_path, how):
    """Names of an open file that stands after what was written to it."""
    file = (tmp_path / "open").open("wb", buffering=0)
    file.write(b"first ")
    name = f"{how}/{file.fileno()}"
    link = tmp_path / "link"
    link.symlink_to(name)
    return file, [name, link]


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="no /proc here")
@pytest.mark.parametrize(
    "how", ["/dev/fd", "/proc/self/fd", f"/proc/{os.getpid()}/fd"], ids=["dev", "self", "own"]
)
def test_an_open_descriptor_is_written_where_it_stands(tmp_path, how):
    file, paths = descriptor(tmp_path, how)
    with file:
        before = os.fstat(file.fileno()).st_ino
        for path in paths:
            assert is_stream(path)
            store.write_bytes_atomic(path, b"then ")
        file.write(b"last")
    assert (tmp_path / "open").read_bytes() == b"first then then last"
    assert (tmp_path / "open").stat().st_ino == before
    assert (tmp_path / "link").is_symlink()


def test_a_link_to_a_file_is_followed_and_stays_a_link(tmp_path):
    (tmp_path / "there").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "there" / "file")
    for content in (b"new", b"newer"):
        store.write_bytes_atomic(tmp_path / "link", content)
        assert (tmp_path / "there" / "file").read_bytes() == content
    assert (tmp_path / "link").is_symlink()
    assert names(tmp_path / "there") == {"file"}


def test_a_pipe_gets_all_that_its_reader_takes(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    got = []
    reader = threading.Thread(target=lambda: got.append(pipe.read_bytes()))
    reader.start()
    content = b"x" * 300_000  # more than a pipe holds
    for _ in range(3000):  # until the reader is there
        try:
            store.write_bytes_atomic(pipe, content)
            break
        except DataError:
            time.sleep(0.01)
    reader.join(300)
    assert got == [content]
    assert stat.S_ISFIFO(pipe.stat().st_mode)


def test_a_pipe_that_nobody_reads_is_one_error_and_does_not_wait(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(DataError, match="cure: start what reads from it first"):
        store.write_bytes_atomic(tmp_path / "pipe", b"1")


def test_a_reader_that_is_gone_is_no_error_of_the_disk():
    reader, writer = os.pipe()
    os.close(reader)
    with pytest.raises(BrokenPipeError):
        store.write_bytes_atomic(f"/dev/fd/{writer}", b"1")
    os.close(writer)


def test_a_pipe_in_place_of_a_file_is_not_waited_for(tmp_path):
    folder = store.RunFolder(tmp_path, {})
    folder.save("a", {"x": 1})
    (tmp_path / "a.json").unlink()
    os.mkfifo(tmp_path / "a.json")
    with pytest.raises(DataError, match=r"a.json: expected a file .* got it is no regular file"):
        folder.load("a")
    os.mkfifo(tmp_path / "b")
    with pytest.raises(DataError, match="it is no regular file"):
        store.read_json(tmp_path / "b")
    (tmp_path / "settings.json").unlink()
    os.mkfifo(tmp_path / "settings.json")
    with pytest.raises(DataError, match="it is no regular file"):
        store.RunFolder(tmp_path, {})
    os.mkfifo(tmp_path / "model.safetensors")
    with pytest.raises(DataError, match="no regular file"):
        store.load_checkpoint(tmp_path / "model.safetensors", own_model())
    assert stat.S_ISFIFO((tmp_path / "a.json").stat().st_mode)


def own_model():
    return torch.nn.Linear(1, 1)


def test_names_that_are_too_long(tmp_path):
    long = tmp_path / ("a" * 300)
    for write in (
        lambda: store.write_bytes_atomic(long, b"1"),
        lambda: store.write_json_atomic(long / "a", 1),
        lambda: store.read_json(long),
        lambda: store.RunFolder(long, {}),
        lambda: store.load_checkpoint(long, own_model()),
    ):
        with pytest.raises(DataError, match=r"got .*File name too long"):
            write()
    key = "k" * 200
    folder = store.RunFolder(tmp_path / "out", {})
    folder.save(key, {"x": 1})
    assert folder.load(key).payload == {"x": 1}
    longest = tmp_path / ("b" * 255)  # the temporary name is no longer than a name may be
    store.write_bytes_atomic(longest, b"1")
    assert longest.read_bytes() == b"1"


@pytest.mark.parametrize("kind", ["json", "safetensors"])
@pytest.mark.parametrize("number", [errno.EMFILE, errno.EACCES, errno.EIO, errno.EROFS])
def test_what_cannot_be_read_is_no_damage_and_stays_where_it_is(
    tmp_path, monkeypatch, number, kind
):
    folder = store.RunFolder(tmp_path, {})
    folder.save("a", {"x": 1}, {"theta": torch.ones(2)})
    before, opened = names(tmp_path), os.open

    def failing(path, *rest, **given):
        if str(path).endswith(f"a.{kind}"):
            raise OSError(number, os.strerror(number))
        return opened(path, *rest, **given)

    monkeypatch.setattr(os, "open", failing)
    with pytest.raises(DataError, match=f"a.{kind}: expected a file .* got {os.strerror(number)}"):
        folder.load("a")
    monkeypatch.undo()
    assert names(tmp_path) == before
    assert folder.load("a").payload == {"x": 1}


AS_NOBODY = """
import os, sys
from morsescape import store
from morsescape.errors import DataError
os.setgid(65534); os.setuid(65534)
for call in (
    lambda: store.RunFolder(sys.argv[1], {}),
    lambda: store.RunFolder(sys.argv[1] + "/inner", {}),
    lambda: store.write_bytes_atomic(sys.argv[1] + "/file", b"1"),
    lambda: store.read_json(sys.argv[1] + "/settings.json"),
):
    try:
        call()
    except DataError as error:
        assert "Permission denied" in str(error), error
    else:
        raise SystemExit("not refused")
"""


@pytest.mark.skipif(
    not hasattr(os, "getuid") or os.getuid() != 0, reason="only root can be another"
)
def test_a_folder_of_another_user(tmp_path):
    store.RunFolder(tmp_path / "own", {}).save("a", {})
    (tmp_path / "own").chmod(0o700)
    for folder in (tmp_path, *tmp_path.parents[:-1]):  # the way there is open
        if folder.stat().st_mode & 0o777 == 0o700:
            folder.chmod(0o711)
    again = [sys.executable, "-c", AS_NOBODY, str(tmp_path / "own")]
    done = subprocess.run(again, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


# --- what a killed process leaves

KILLED = """
import os, signal, sys
from morsescape import store
def die(*_): os.kill(os.getpid(), signal.SIGKILL)
os.replace = die
store.write_bytes_atomic(sys.argv[1], b"new")
"""


def test_what_a_killed_process_left_goes_with_the_next_write(tmp_path):
    file = tmp_path / "result"
    file.write_bytes(b"old")
    (tmp_path / ".own.tmp").write_bytes(b"of somebody else")
    killed = subprocess.run([sys.executable, "-c", KILLED, str(file)], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert len(names(tmp_path)) == 3
    assert file.read_bytes() == b"old"
    store.write_bytes_atomic(tmp_path / "another", b"")
    assert names(tmp_path) == {"result", "another", ".own.tmp"}


def test_what_another_process_is_writing_stays(tmp_path, monkeypatch):
    replace, inner = os.replace, []

    def slow(source, target):
        if not inner:  # in the middle of the first write comes the second
            inner.append(target)
            store.write_bytes_atomic(tmp_path / "b", b"second")
            assert Path(source).exists()
        replace(source, target)

    monkeypatch.setattr(os, "replace", slow)
    store.write_bytes_atomic(tmp_path / "a", b"first")
    assert names(tmp_path) == {"a", "b"}
    assert (tmp_path / "a").read_bytes() == b"first"


@pytest.mark.parametrize(
    ("path", "cure"), [("", "name a file in it"), ("/proc/none/file", "choose another folder")]
)
def test_the_cure_is_that_of_the_case(path, cure, tmp_path):
    with pytest.raises(DataError, match=cure):
        write_bytes_atomic(path or tmp_path, b"1")
