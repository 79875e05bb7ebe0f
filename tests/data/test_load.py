"""Data sets by name: where they are looked for, what comes of it, and what is refused."""

import re
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from idx_files import ARRAYS, SMALL, encode, write_all
from morsescape.data import files, load
from morsescape.errors import ArgumentError, DataError

IMAGES = "train-images-idx3-ubyte"


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache, no named folder, and the small stand-in for MNIST."""
    monkeypatch.setitem(files.SOURCES, "mnist", SMALL)
    monkeypatch.delenv(files.ROOT_VARIABLE, raising=False)
    monkeypatch.setattr(files, "cache_folder", lambda: tmp_path / "cache")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    return tmp_path / "cache"


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


@pytest.fixture
def mirror(tmp_path):
    """A folder, and the address at which a server on this machine offers it."""
    folder = write_all(tmp_path / "mirror", gzipped=True)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(QuietHandler, directory=folder))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield folder, f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    thread.join()
    server.server_close()


def is_small_mnist(data) -> bool:
    pixels = torch.from_numpy(ARRAYS[IMAGES] / 255.0).reshape(5, 1, 4, 4)
    return torch.equal(data.x, pixels) and data.y.tolist() == [3, 1, 4, 1, 5]


def test_digits_are_those_of_scikit_learn():
    data, (pixels, labels) = load("digits"), load_digits(return_X_y=True)
    assert np.array_equal(data.x.numpy().reshape(1797, 64) * 16, pixels)
    assert np.array_equal(data.y.numpy(), labels)
    assert (float(data.x.min()), float(data.x.max())) == (0.0, 1.0)
    assert (data.name, data.classes) == ("digits", 10)


def test_digits_have_no_test_images():
    with pytest.raises(ArgumentError, match="digits, which has no test images"):
        load("digits", train=False)


def test_an_unknown_name_is_refused_with_the_known_ones():
    with pytest.raises(ArgumentError, match=r"digits \| mnist \| fashion-mnist; got 'cifar'"):
        load("cifar")


@pytest.mark.parametrize("gzipped", [True, False], ids=["gzipped", "plain"])
@pytest.mark.parametrize("way", ["argument", "environment", "cache"])
def test_each_place_is_found_gzipped_or_not(cache, tmp_path, monkeypatch, way, gzipped):
    root = cache if way == "cache" else tmp_path / "root"
    write_all(root / "MNIST/raw", gzipped=gzipped)
    if way == "environment":
        monkeypatch.setenv(files.ROOT_VARIABLE, str(root))
    assert is_small_mnist(load("mnist", root if way == "argument" else None))


def test_the_argument_comes_before_the_environment(cache, tmp_path, monkeypatch):
    monkeypatch.setenv(files.ROOT_VARIABLE, str(tmp_path / "nothing here"))
    write_all(tmp_path / "MNIST/raw", gzipped=True)
    assert is_small_mnist(load("mnist", str(tmp_path)))


def test_the_test_images_are_the_other_files(cache, tmp_path):
    write_all(tmp_path / "MNIST/raw", gzipped=True)
    data = load("mnist", tmp_path, train=False)
    assert data.y.tolist() == [9, 2]
    assert bool((data.x == 1).all())


def test_samples_are_the_first_ones(cache, tmp_path):
    write_all(tmp_path / "MNIST/raw", gzipped=True)
    assert load("mnist", tmp_path, samples=2).y.tolist() == [3, 1]
    with pytest.raises(ArgumentError, match=r"samples: expected 1 to 5, .*; got 6;"):
        load("mnist", tmp_path, samples=6)


def test_a_named_folder_without_the_files_is_named_and_nothing_is_fetched(cache, mirror, tmp_path):
    with pytest.raises(DataError, match=rf"{IMAGES} or {IMAGES}.gz; got no such folder; .*--root"):
        load("mnist", tmp_path / "empty", mirror=mirror[1])
    assert not cache.exists()


def test_an_altered_file_is_named_with_both_checksums(cache, tmp_path):
    folder = write_all(tmp_path / "MNIST/raw", gzipped=False)
    content = bytearray(encode(ARRAYS[IMAGES]))
    content[-1] ^= 1
    (folder / IMAGES).write_bytes(content)
    message = f"{IMAGES}: expected contents with MD5 {SMALL.md5[IMAGES]}; got [0-9a-f]{{32}}; "
    with pytest.raises(DataError, match=message):
        load("mnist", tmp_path)


def test_downloads_once_into_the_cache(cache, mirror):
    folder, address = mirror
    assert is_small_mnist(load("mnist", mirror=address))
    assert (cache / "MNIST/raw" / f"{IMAGES}.gz").is_file()
    for file in folder.iterdir():
        file.unlink()
    assert is_small_mnist(load("mnist", mirror=address))


def test_a_damaged_download_is_refused_and_not_kept(cache, mirror):
    folder, address = mirror
    packed = (folder / f"{IMAGES}.gz").read_bytes()
    (folder / f"{IMAGES}.gz").write_bytes(packed[:-9])
    with pytest.raises(DataError, match="expected a whole gzip file"):
        load("mnist", mirror=address)
    assert not (cache / "MNIST/raw" / f"{IMAGES}.gz").exists()
    (folder / f"{IMAGES}.gz").write_bytes(packed)
    assert is_small_mnist(load("mnist", mirror=address))


def test_a_file_that_the_mirror_has_not_is_one_clear_line(cache, mirror):
    folder, address = mirror
    (folder / f"{IMAGES}.gz").unlink()
    with pytest.raises(
        DataError, match=rf"{IMAGES}.gz: expected a download from .*404.*--root DIR"
    ):
        load("mnist", mirror=address)


def test_offline_is_one_clear_line_with_the_cure(cache):
    with pytest.raises(DataError, match=re.escape(SMALL.mirror)) as caught:
        load("mnist")
    assert "connect to the network, or name a folder" in str(caught.value)
    assert "--root DIR" in str(caught.value)
    assert not list(cache.rglob("*.gz"))


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("mnist", marks=pytest.mark.real_data("mnist")),
        pytest.param("fashion-mnist", marks=pytest.mark.real_data("fashion-mnist")),
    ],
)
def test_the_real_files_pass_their_checksums(name):
    train, test = load(name), load(name, train=False)
    assert (train.x.shape, test.x.shape) == ((60_000, 1, 28, 28), (10_000, 1, 28, 28))
    assert (float(train.x.min()), float(train.x.max())) == (0.0, 1.0)
    assert sorted(train.y.unique().tolist()) == list(range(10))


@pytest.mark.real_data("mnist")
def test_mnist_has_67_pixels_that_are_always_zero():
    assert int((load("mnist").x == 0).all(0).sum()) == 67
