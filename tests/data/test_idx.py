"""The IDX parser on files made here, whole and damaged."""

import gzip
import hashlib
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from idx_files import encode
from morsescape.data import idx
from morsescape.errors import DataError

IMAGES = np.arange(2 * 3 * 4).reshape(2, 3, 4)


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzipped"])
def test_reads_what_was_written(tmp_path, pack):
    path = tmp_path / "images"
    path.write_bytes(pack(encode(IMAGES)))
    assert np.array_equal(idx.read(path, ndim=3), IMAGES)


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzipped"])
@given(cut=st.data())
def test_every_truncation_is_refused_by_name(tmp_path_factory, pack, cut):
    content = pack(encode(IMAGES))
    path = tmp_path_factory.mktemp("cut") / "images"
    path.write_bytes(content[: cut.draw(st.integers(0, len(content) - 1))])
    with pytest.raises(DataError, match=r"images: expected .*; got .*; cure: delete this file"):
        idx.read(path, ndim=3)


@given(at=st.integers(0, len(encode(IMAGES)) - 1), flip=st.integers(1, 255))
def test_every_altered_byte_is_refused_with_both_checksums_or_sizes(tmp_path_factory, at, flip):
    content = bytearray(encode(IMAGES))
    md5 = hashlib.md5(content).hexdigest()
    content[at] ^= flip
    path = tmp_path_factory.mktemp("altered") / "images"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"images: expected .*; got "):
        idx.read(path, ndim=3, md5=md5)


def test_truncation_states_both_sizes(tmp_path):
    path = tmp_path / "images"
    path.write_bytes(encode(IMAGES)[:-5])
    with pytest.raises(DataError, match=r"expected 40 bytes for shape \(2, 3, 4\); got 35 bytes"):
        idx.read(path, ndim=3)


def test_labels_are_not_images(tmp_path):
    path = tmp_path / "labels"
    path.write_bytes(encode(np.arange(40)))
    with pytest.raises(DataError, match=r"magic number 00000803 .* that start with 00000801"):
        idx.read(path, ndim=3)


def test_other_kinds_of_numbers_are_refused_even_at_the_right_length(tmp_path):
    path = tmp_path / "signed"
    path.write_bytes(b"\0\0\x09" + encode(IMAGES)[3:])  # 0x09: signed bytes
    with pytest.raises(DataError, match=r"magic number 00000803 .* that start with 00000903"):
        idx.read(path, ndim=3)


def test_sizes_that_overflow_are_refused(tmp_path):
    path = tmp_path / "images"
    # 2**64 elements: none, in 64 bits.
    path.write_bytes(struct.pack(">BBBB3I", 0, 0, 8, 3, 2**31, 2**31, 4))
    with pytest.raises(DataError, match="18,446,744,073,709,551,632 bytes"):
        idx.read(path, ndim=3)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DataError, match="nowhere: expected a readable file; got No such file"):
        idx.read(tmp_path / "nowhere", ndim=1)
