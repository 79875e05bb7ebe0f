"""Every test here sees what a user sees, from its own seed, and leaves the process as it was."""

from __future__ import annotations

import random
from collections.abc import Iterator

import numpy as np
import pytest
import torch


@pytest.fixture(autouse=True)
def as_a_user(unchecked: None) -> Iterator[None]:
    """No type checks; seeds of its own; torch differentiates as before when the test is over."""
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002 - the user's own
    before = torch.get_default_dtype(), torch.is_grad_enabled(), torch.get_num_threads()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield
    random.setstate(python)
    np.random.set_state(numpy)  # noqa: NPY002
    assert (torch.get_default_dtype(), torch.is_grad_enabled(), torch.get_num_threads()) == before
    curvature = torch.autograd.functional.hessian(lambda v: v.square().sum(), torch.ones(2))
    assert torch.equal(curvature, 2 * torch.eye(2)), "torch's derivatives are broken from here on"
