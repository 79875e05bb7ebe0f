"""Whatever happens while a sweep is kept, nothing finished is lost or wrong."""

import errno
import math
import os
import re

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from faults import fail_at_call, names
from morsescape.errors import ArgumentError, DataError
from morsescape.store import RunFolder, versions

SETTINGS = {"net": "cnn", "samples": 600, "l2": 1e-4, "seeds": (0, 1)}
PAYLOAD = {"seed": 3, "negative": [51, 52], "loss": 0.1 + 0.2, "why": "‖∇f‖ = 0.3", "done": True}
TENSORS = {"theta": torch.linspace(0, 1, 7, dtype=torch.float64), "y": torch.tensor([1, 2])}


@pytest.fixture
def folder(tmp_path):
    return RunFolder(tmp_path / "sweep", SETTINGS)


def same(piece, payload=PAYLOAD, tensors=TENSORS) -> bool:
    return (
        piece.payload == payload
        and piece.tensors.keys() == tensors.keys()
        and all(torch.equal(piece.tensors[name], tensors[name]) for name in tensors)
    )


# --- pieces of a sweep


def test_a_piece_comes_back_as_it_was_in_a_new_process_too(folder):
    folder.save("run-3", PAYLOAD, TENSORS)
    assert same(folder.load("run-3"))
    again = RunFolder(folder.path, SETTINGS)
    assert same(again.load("run-3"))
    assert again.damaged == []
    assert names(folder.path) == {"settings.json", "run-3.json", "run-3.safetensors"}


def test_a_piece_says_what_made_it_also_after_an_upgrade_and_in_a_copy(folder, monkeypatch):
    monkeypatch.setattr(torch, "__version__", "1.0.0")
    folder.save("run-3", PAYLOAD)
    monkeypatch.undo()
    assert folder.load("run-3").made_with == versions() | {"torch": "1.0.0"} != versions()
    folder.save("copy", PAYLOAD, made_with=folder.load("run-3").made_with)
    assert folder.load("copy").made_with["torch"] == "1.0.0"


def test_a_piece_that_was_never_saved_is_none_and_no_damage(folder):
    assert folder.load("run-3") is None
    assert folder.damaged == []


def test_views_and_shared_memory_can_be_saved(folder):
    base = torch.arange(6.0).reshape(2, 3).requires_grad_()
    tensors = {"a": base, "transposed": base.T, "row": base[1], "wide": base[0, 0].expand(3)}
    folder.save("views", {}, tensors)
    assert same(folder.load("views"), {}, {n: t.detach() for n, t in tensors.items()})


def test_saving_again_replaces(folder):
    folder.save("run-3", {"seed": 0}, {"theta": torch.zeros(1)})
    folder.save("run-3", PAYLOAD, TENSORS)
    assert same(folder.load("run-3"))


def damage(folder, name, change):
    file = folder.path / name
    content = file.read_bytes()
    file.write_bytes(change(content))


def flip_in(needle: bytes):
    """Change the lowest bit of the last byte of `needle`."""

    def change(content: bytes) -> bytes:
        at = content.index(needle) + len(needle) - 1
        return content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]

    return change


DAMAGES = {
    "altered number": ("run-3.json", flip_in(b'"seed": 3')),
    "altered name": ("run-3.json", flip_in(b'"loss')),
    "altered checksum": ("run-3.json", flip_in(b'"sha256": "')),
    "altered key": ("run-3.json", flip_in(b'"key": "run-3')),
    "truncated": ("run-3.json", lambda content: content[: len(content) // 2]),
    "empty": ("run-3.json", lambda content: b""),
    "another JSON value": ("run-3.json", lambda content: b"[1, 2]"),
    "not text": ("run-3.json", lambda content: b"\xff\xfe\x00"),
    "NaN": ("run-3.json", lambda content: content.replace(b"0.30000000000000004", b"NaN")),
    "altered tensor": ("run-3.safetensors", lambda c: c[:-1] + bytes([c[-1] ^ 64])),
    "altered tensor name": ("run-3.safetensors", flip_in(b"thet")),
    "truncated tensors": ("run-3.safetensors", lambda content: content[:-1]),
}


@pytest.mark.parametrize(("name", "change"), DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_piece_is_named_moved_aside_and_computed_again(folder, name, change):
    folder.save("run-3", PAYLOAD, TENSORS)
    damage(folder, name, change)
    told = []
    again = RunFolder(folder.path, SETTINGS, on_damaged=told.append)
    assert again.load("run-3") is None
    assert len(again.damaged) == 1
    assert name in again.damaged[0]
    assert told == again.damaged
    assert f"{name}.damaged" in names(folder.path)
    again.save("run-3", PAYLOAD, TENSORS)
    assert same(again.load("run-3"))


def test_a_missing_tensor_file_is_damage(folder):
    folder.save("run-3", PAYLOAD, TENSORS)
    (folder.path / "run-3.safetensors").unlink()
    assert folder.load("run-3") is None
    assert re.search("run-3.safetensors: expected .*; got no file", folder.damaged[0])


def test_a_piece_under_another_name_is_damage(folder):
    folder.save("run-3", PAYLOAD)
    (folder.path / "run-3.json").rename(folder.path / "run-4.json")
    assert folder.load("run-4") is None
    assert "run-4.json" in folder.damaged[0]


@given(at=st.integers(0, 10**6), bit=st.integers(0, 7))
def test_no_flipped_bit_changes_what_is_read(tmp_path_factory, at, bit):
    folder = RunFolder(tmp_path_factory.mktemp("flip"), SETTINGS)
    folder.save("run-3", PAYLOAD, TENSORS)
    files = sorted(folder.path.glob("run-3.*"))
    file = files[at % 2]
    content = bytearray(file.read_bytes())
    content[at % len(content)] ^= 1 << bit
    file.write_bytes(content)
    piece = folder.load("run-3")
    # Only a space between words of the JSON can change without harm.
    assert piece is None or (same(piece) and file.suffix == ".json")


# --- settings


def test_of_settings_that_differ_throughout_a_few_are_named(tmp_path):
    RunFolder(tmp_path, {"file": None} | dict.fromkeys("abcdefgh", 1)).save("run", PAYLOAD)
    message = (
        "expected file = None, a = 1, b = 1, c = 1 and 5 more; got file = '01234567…:f', a = "
        "(absent), b = (absent), c = (absent) and 5 more; cure"
    )
    with pytest.raises(ArgumentError, match=re.escape(message)):
        RunFolder(tmp_path, {"file": "01234567" * 8 + ":f"})


def test_other_settings_are_refused_by_name_with_both_values(folder):
    folder.save("run-3", PAYLOAD)
    other = {"net": "mlp2", "samples": 600, "l2": 1e-4, "seeds": [0, 1], "pool": "avg"}
    message = (
        "expected net = 'cnn', pool = (absent); got net = 'mlp2', pool = 'avg'; "
        "cure: use the settings of that folder, or another folder (--out DIR)"
    )
    with pytest.raises(ArgumentError, match=re.escape(message)):
        RunFolder(folder.path, other)


@pytest.mark.parametrize(("old", "new"), [(1, True), (1, 1.0), ("1", 1), (math.nan, math.inf)])
def test_settings_are_told_apart_by_type_too(tmp_path, old, new):
    RunFolder(tmp_path, {"x": old}).save("run-0", {})
    RunFolder(tmp_path, {"x": old})
    with pytest.raises(ArgumentError, match="settings of"):
        RunFolder(tmp_path, {"x": new})


def test_a_piece_made_with_other_settings_is_damage_even_if_the_settings_file_is_gone(folder):
    folder.save("run-3", PAYLOAD)
    (folder.path / "settings.json").unlink()
    other = RunFolder(folder.path, SETTINGS | {"l2": 0.0})
    assert other.load("run-3") is None
    assert "made with the settings of this folder" in other.damaged[0]


def test_settings_are_written_with_the_first_piece_only(tmp_path):
    RunFolder(tmp_path, {"x": 1})
    RunFolder(tmp_path, {"x": 2}).save("run-0", {})
    with pytest.raises(ArgumentError, match="settings of"):
        RunFolder(tmp_path, {"x": 1})


def test_damaged_settings_are_an_error_that_names_the_file(folder):
    (folder.path / "settings.json").write_text('{"net": ')
    with pytest.raises(DataError, match=r"settings.json: expected a readable JSON file"):
        RunFolder(folder.path, SETTINGS)


def test_a_file_in_place_of_the_folder_is_an_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match=r"file: expected a folder that can be written"):
        RunFolder(tmp_path / "file", SETTINGS)


@pytest.mark.parametrize("key", ["", "settings", "../run", "a/b", ".hidden", "a b", "run\n"])
def test_keys_that_are_no_file_names_are_refused(folder, key):
    with pytest.raises(ArgumentError, match="key: expected letters"):
        folder.save(key, PAYLOAD)
    with pytest.raises(ArgumentError, match="key: expected letters"):
        folder.load(key)


# --- interrupts and full disks


@pytest.mark.parametrize("number", [1, 2], ids=["at the tensors", "at the JSON"])
def test_an_interrupt_leaves_no_half_piece_and_the_sweep_resumes(folder, monkeypatch, number):
    folder.save("run-0", PAYLOAD, TENSORS)
    before = names(folder.path)
    fail_at_call(monkeypatch, number, KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        folder.save("run-1", PAYLOAD, TENSORS)
    assert names(folder.path) == before
    again = RunFolder(folder.path, SETTINGS)
    assert same(again.load("run-0"))
    assert again.load("run-1") is None
    assert again.damaged == []


@pytest.mark.parametrize("number", [1, 2], ids=["at the tensors", "at the JSON"])
def test_an_interrupt_while_replacing_never_mixes_old_and_new(folder, monkeypatch, number):
    old = {"theta": torch.zeros(7, dtype=torch.float64), "y": torch.tensor([0, 0])}
    folder.save("run-0", {"seed": 0}, old)
    fail_at_call(monkeypatch, number, KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        folder.save("run-0", PAYLOAD, TENSORS)
    piece = RunFolder(folder.path, SETTINGS).load("run-0")
    assert piece is None or same(piece, {"seed": 0}, old)


def test_a_crash_between_tensors_and_json_leaves_an_unfinished_piece(folder):
    folder.save("run-1", PAYLOAD, TENSORS)
    (folder.path / "run-1.json").unlink()
    assert folder.load("run-1") is None
    assert folder.damaged == []


@pytest.mark.parametrize("number", [1, 2], ids=["at the tensors", "at the JSON"])
def test_a_full_disk_is_one_clear_error_and_leaves_no_half_piece(folder, monkeypatch, number):
    folder.save("run-0", PAYLOAD)  # the settings are written with the first piece
    (folder.path / "run-0.json").unlink()
    calls, fsync = [], os.fsync

    def full(handle):
        calls.append(handle)
        # One call for each file and one for its folder.
        if len(calls) == 2 * number - 1:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        fsync(handle)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DataError, match=r"No space left on device; cure: free some space") as error:
        folder.save("run-1", PAYLOAD, TENSORS)
    assert "\n" not in str(error.value)
    assert names(folder.path) == {"settings.json"}


def test_nan_in_a_piece_comes_back(folder):
    folder.save("run-3", {"loss": math.nan, "largest": [math.inf, -math.inf]})
    payload = folder.load("run-3").payload
    assert math.isnan(payload["loss"])
    assert payload["largest"] == [math.inf, -math.inf]
