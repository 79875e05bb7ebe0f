"""A model's parameters in a safetensors file."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Mapping
from pathlib import Path

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from morsescape.boundary import a_path, checked, instance
from morsescape.errors import ArgumentError, DataError, shown
from morsescape.store.disk import write_bytes_atomic

_ZIP = b"PK"  # how the files begin that torch.save writes
_A_MODEL = instance(nn.Module, "pass the network, a torch.nn.Module")


@checked(path=a_path(), model=_A_MODEL)
def save_checkpoint(path: str | os.PathLike[str], model: nn.Module) -> None:
    """Save the parameters and buffers of a model as safetensors, with their SHA-256.

    Raises:
        ArgumentError: parameters without values, or of a kind that safetensors has not.
        DataError: the file cannot be written.

    Example:
        >>> import tempfile, torch
        >>> from pathlib import Path
        >>> path = Path(tempfile.mkdtemp(), "model.safetensors")
        >>> a, b = torch.nn.Linear(2, 1), torch.nn.Linear(2, 1)
        >>> save_checkpoint(path, a)
        >>> load_checkpoint(path, b)
        >>> torch.equal(a.weight, b.weight)
        True
    """
    tensors = plain(model.state_dict())
    metadata = {"sha256": _tensors_digest(tensors)}
    write_bytes_atomic(path, packed(tensors, metadata))


@checked(path=a_path(), model=_A_MODEL)
def load_checkpoint(path: str | os.PathLike[str], model: nn.Module) -> None:
    """Copy the parameters and buffers in a safetensors file into `model`.

    Everything is checked before the first value is copied, so an error leaves the model as it was.
    A file from elsewhere, without our checksum, is taken as it is.

    Raises:
        DataError: the file is missing, cut short or altered; a parameter in it is NaN or infinite.
        ArgumentError: it is of another model: names, shapes or dtypes differ.
    """
    path = Path(path)
    tensors, checksum = _read_checkpoint(path)
    if checksum is not None and checksum != _tensors_digest(tensors):
        raise _bad_checkpoint(path, f"tensors with SHA-256 {checksum}", _tensors_digest(tensors))
    state = model.state_dict()
    _check_same_form(path, state, tensors)
    for name, _ in model.named_parameters():
        endless = int((~tensors[name].isfinite()).sum())
        if endless:
            raise _bad_checkpoint(
                path, "parameters that are finite",
                f"{endless:,} of {tensors[name].numel():,} entries of {name} that are not",
                "train it again, with a smaller learning rate where it diverged",
            )  # fmt: skip
    with torch.no_grad():
        for name, tensor in tensors.items():
            state[name].copy_(tensor)


def _read_checkpoint(path: Path) -> tuple[dict[str, Tensor], str | None]:
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # a pipe would be waited for
            raise _bad_checkpoint(path, "a whole safetensors file", "no regular file")
        with safetensors.safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            return tensors, (file.metadata() or {}).get("sha256")
    except (safetensors.SafetensorError, OSError) as error:
        if _is_pickled(path):
            raise _bad_checkpoint(
                path, "a safetensors file", "one that torch.save wrote",
                "model.load_state_dict(torch.load(file, weights_only=True)), then save_checkpoint",
            ) from error  # fmt: skip
        got = (isinstance(error, OSError) and error.strerror) or str(error)
        raise _bad_checkpoint(path, "a whole safetensors file", got) from error


def _is_pickled(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(len(_ZIP)) == _ZIP
    except OSError:
        return False


def _bad_checkpoint(
    path: Path, expected: str, got: str, cure: str = "use another copy, or train the model again"
) -> DataError:
    return DataError(str(path), expected=expected, got=got, cure=cure)


def _check_same_form(path: Path, model: dict[str, Tensor], file: dict[str, Tensor]) -> None:
    for name in sorted(model.keys() | file.keys()):
        expected, got = (_form(where.get(name)) for where in (model, file))
        if expected != got:
            raise ArgumentError(
                f"{name} in {path}",
                expected=f"{expected}, as the model has it",
                got=got,
                cure="build the model with the same net, options and dtype as the checkpoint",
            )


def _form(tensor: Tensor | None) -> str:
    return "none" if tensor is None else f"{tensor.dtype} of shape {tuple(tensor.shape)}"


def _tensors_digest(tensors: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for name in sorted(tensors):
        digest.update(f"{name} {_form(tensors[name])}\n".encode())
        digest.update(tensors[name].reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def plain(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors as safetensors wants them: on the CPU, contiguous, sharing no memory.

    Raises:
        ArgumentError: something without a name, or that is no tensor with values.
    """
    if not isinstance(tensors, Mapping):
        raise _no_tensors("tensors", "tensors by name, in a dictionary", shown(tensors))
    for name in tensors:
        if not isinstance(name, str) or name == "__metadata__":
            raise _no_tensors("tensors", "names that are strings, no __metadata__", shown(name))
    return {name: _plain(f"tensors[{name!r}]", tensor) for name, tensor in tensors.items()}


def _plain(what: str, tensor: Tensor) -> Tensor:
    if not isinstance(tensor, Tensor) or tensor.layout is not torch.strided:
        raise _no_tensors(what, "a dense tensor", shown(tensor))
    try:
        return tensor.detach().cpu().resolve_neg().resolve_conj().contiguous().clone()
    except (RuntimeError, ValueError) as error:  # on the meta device, or not initialised yet
        raise _no_tensors(what, "a tensor with values", str(error).splitlines()[0]) from error


def packed(tensors: Mapping[str, Tensor], metadata: dict[str, str] | None = None) -> bytes:
    """The content of a safetensors file, of tensors that `plain` gave.

    Raises:
        ArgumentError: sparse or quantised ones, or of a dtype that safetensors has not.
    """
    try:
        return safetensors.torch.save(dict(tensors), metadata)
    except (KeyError, ValueError, TypeError, RuntimeError) as error:
        kinds = ", ".join(sorted({f"{t.dtype} {t.layout}" for t in tensors.values()}))
        raise _no_tensors("tensors", "dense tensors of the usual dtypes", kinds) from error


def _no_tensors(what: str, expected: str, got: str) -> ArgumentError:
    return ArgumentError(
        what, expected=expected, got=got, cure="convert it, for instance by .to_dense() or .float()"
    )
