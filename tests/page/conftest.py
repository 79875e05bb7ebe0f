"""A browser for the tests of pages."""

import pytest

import chromium


@pytest.fixture(scope="module")
def browser():
    with chromium.browser() as running:
        yield running
