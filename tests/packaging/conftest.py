"""The sdist, and the wheel made from it, each once."""

from __future__ import annotations

import pytest

from released import ROOT, python


@pytest.fixture(scope="session")
def sdist(tmp_path_factory):
    """The sdist, unpacked."""
    pytest.importorskip("hatchling", reason="Hatchling, which builds the package, is not here")
    folder = tmp_path_factory.mktemp("sdist")
    python("-m", "hatchling", "build", "-t", "sdist", "-d", folder, cwd=ROOT)
    (archive,) = folder.glob("morsescape-*.tar.gz")
    python("-m", "tarfile", "-e", archive, folder, cwd=folder)
    return folder / archive.name.removesuffix(".tar.gz")


@pytest.fixture(scope="session")
def installed(sdist, tmp_path_factory):
    """The folder into which the wheel made from the sdist is installed."""
    pytest.importorskip("pip", reason="pip, which installs the wheel, is not here")
    folder = tmp_path_factory.mktemp("installed")
    python("-m", "hatchling", "build", "-t", "wheel", "-d", folder / "dist", cwd=sdist)
    (wheel,) = (folder / "dist").iterdir()
    options = "--quiet --no-deps --no-index --no-compile --disable-pip-version-check".split()
    python("-m", "pip", "install", *options, "--target", folder / "lib", wheel, cwd=folder)
    return folder / "lib"
