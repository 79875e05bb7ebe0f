"""Scripts in new processes, forked from one that holds the libraries and nothing of the package."""

import multiprocessing
import runpy
from pathlib import Path

# Most of the time of a short script is that of importing these. torch.optim imports torch._dynamo.
LIBRARIES = ["torch._dynamo", "scipy.integrate", "scipy.optimize", "sklearn.datasets", "networkx",
             "matplotlib.pyplot"]  # fmt: skip


def run(file: Path, timeout: float) -> None:
    """As `python FILE` would; a script that fails, or that takes too long, is an AssertionError."""
    forks = "forkserver" in multiprocessing.get_all_start_methods()
    context = multiprocessing.get_context("forkserver" if forks else "spawn")
    if forks:
        context.set_forkserver_preload(LIBRARIES)
    process = context.Process(target=_main, args=(str(file),))
    process.start()
    process.join(timeout)
    late = process.is_alive()
    process.kill()
    process.join()
    assert not late, f"not done after {timeout} s"
    assert process.exitcode == 0


def _main(file: str) -> None:
    runpy.run_path(file, run_name="__main__")
