"""A model's parameters in a safetensors file."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from morsescape.errors import ArgumentError, DataError
from morsescape.store.files import write_bytes_atomic


def save_checkpoint(path: str | os.PathLike[str], model: nn.Module) -> None:
    """Save the parameters and buffers of a model as safetensors, with their SHA-256.

    Raises:
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
    write_bytes_atomic(path, safetensors.torch.save(tensors, metadata))


def load_checkpoint(path: str | os.PathLike[str], model: nn.Module) -> None:
    """Copy the parameters and buffers in a safetensors file into `model`.

    Everything is checked before the first value is copied, so an error leaves the model as it was.
    A file from elsewhere, without our checksum, is taken as it is.

    Raises:
        DataError: the file is missing, cut short or altered.
        ArgumentError: it is of another model: names, shapes or dtypes differ.
    """
    path = Path(path)
    tensors, checksum = _read_checkpoint(path)
    if checksum is not None and checksum != _tensors_digest(tensors):
        raise _bad_checkpoint(path, f"tensors with SHA-256 {checksum}", _tensors_digest(tensors))
    state = model.state_dict()
    _check_same_form(path, state, tensors)
    with torch.no_grad():
        for name, tensor in tensors.items():
            state[name].copy_(tensor)


def _read_checkpoint(path: Path) -> tuple[dict[str, Tensor], str | None]:
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            return tensors, (file.metadata() or {}).get("sha256")
    except (safetensors.SafetensorError, OSError) as error:
        raise _bad_checkpoint(path, "a whole safetensors file", str(error)) from error


def _bad_checkpoint(path: Path, expected: str, got: str) -> DataError:
    return DataError(
        str(path), expected=expected, got=got, cure="use another copy, or train the model again"
    )


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
    """The tensors as safetensors wants them: on the CPU, contiguous, sharing no memory."""
    return {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
