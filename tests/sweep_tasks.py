"""Tasks of sweeps that the tests run in other processes; each counts its runs in a file."""

import os
import signal
import time
from pathlib import Path

import numpy as np
import scipy.linalg
import torch
from threadpoolctl import threadpool_info

from morsescape.errors import ArgumentError

LONG = 300.0  # seconds to wait, on a busy machine, for what a test or a task will do


def numbers(seed):
    """Sums and eigenvalues whose last bits depend on the number of threads, and that number."""
    generator = torch.Generator().manual_seed(seed)
    a = torch.randn(300, 300, dtype=torch.float64, generator=generator)
    sym = a + a.t()
    tensors = {
        "torch": torch.linalg.eigvalsh(sym),
        "scipy": torch.from_numpy(scipy.linalg.eigvalsh(sym.numpy())),
        "float32": (a.float() @ a.float()).sum(0),
        "sum": torch.randn(100_000, generator=generator).sum(),
    }
    blas = max((pool["num_threads"] for pool in threadpool_info()), default=1)
    payload = {"seed": seed, "threads": [torch.get_num_threads(), blas], "pair": (seed, 0.1)}
    return payload, tensors


def counted(folder, name):
    log(folder, name)
    return {"name": name}, {"theta": torch.full((3,), float(len(name)))}


def slow(folder, name):
    time.sleep(0.05)
    return counted(folder, name)


def watched(folder, name, progress=None):
    for done in range(3):
        if progress is not None:
            progress("steps", done, 3)
    return counted(folder, name)


def killed_once(folder, name, others):
    """The first time, wait until the others are saved or have begun, and be killed."""
    log(folder, name)
    if len(runs(folder, name)) == 1:
        until(lambda: all(Path(folder, other).exists() for other in others))
        os.kill(os.getpid(), signal.SIGKILL)
    return {"name": name}, {"theta": torch.full((3,), float(len(name)))}


def outlives(folder, name, other):
    """Be in the middle while the process of another task dies."""
    log(folder, name)
    until(lambda: runs(folder, other) and not alive(runs(folder, other)[0]))
    return {"name": name}, {"theta": torch.full((3,), float(len(name)))}


def killed(folder, name):
    log(folder, name)
    os.kill(os.getpid(), signal.SIGKILL)


def stuck(folder, name):
    log(folder, name)
    until(lambda: False)


def refused(folder, name):
    log(folder, name)
    raise ArgumentError("--lr", expected="a finite loss", got="nan", cure="a smaller rate")


def divides(folder, name):
    log(folder, name)
    return {"name": 1 / 0}, {}


def unspeakable(folder, name):
    """An error that cannot be pickled, nor made from its message."""

    class OwnError(Exception):
        def __init__(self, a, b):
            super().__init__(a, b)
            self.held = lambda: None

    log(folder, name)
    raise OwnError("two", "lines\nof text")


def unsendable(folder, name):
    log(folder, name)
    return {"name": lambda: None}, {}


# -- what a test looks at ---------------------------------------------------------------------


def log(folder, name):
    with Path(folder, f"{name}.runs").open("a") as file:
        file.write(f"{os.getpid()}\n")


def runs(folder, name):
    """The processes that have begun this task, in their order."""
    file = Path(folder, f"{name}.runs")
    return [int(line) for line in file.read_text().splitlines()] if file.exists() else []


def until(holds, seconds=LONG):
    end = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > end:
            raise TimeoutError
        time.sleep(0.01)


def alive(pid):
    """Whether a process runs; one that has ended and was not asked for does not."""
    try:
        os.kill(pid, 0)
        state = Path(f"/proc/{pid}/stat")
        return not state.parent.parent.is_dir() or state.read_text().rpartition(")")[2][1] != "Z"
    except OSError:
        return False


def same(a, b):
    """Whether two pieces, or two outcomes, are the same to the last bit."""
    (payload, tensors), (other, others) = (
        x if isinstance(x, tuple) else (x.payload, x.tensors) for x in (a, b)
    )
    return (
        payload == other
        and tensors.keys() == others.keys()
        and all(np.array_equal(tensors[name], others[name]) for name in tensors)
    )
