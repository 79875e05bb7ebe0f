"""Results and settings as JSON values and tensors, driven by the fields of their dataclass.

What is written says nothing of types: reading takes them from the fields that the class declares,
and what does not fit them is one error that names the file.
"""

from __future__ import annotations

import os
import re
import types
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields, is_dataclass
from enum import Enum
from pathlib import Path
from typing import Any, ClassVar, TypeVar, Union, get_args, get_origin, get_type_hints

from torch import Tensor

from morsescape.boundary import a_path, checked
from morsescape.errors import DataError, MorsescapeError, shown
from morsescape.notebook import Shown
from morsescape.store.json_values import read_json, write_json_atomic
from morsescape.store.run_folder import RunFolder
from morsescape.version import __version__

# What wrong content runs into, wherever it is taken apart.
_WRONG = (KeyError, TypeError, ValueError, AttributeError, IndexError, RecursionError, OSError)
_LONGEST = 60  # characters of a field's `repr` that are shown
_VALUES = "values"  # what an error is about where there is no file
_Own = TypeVar("_Own", bound="Saved")


def brief(result: Any) -> str:
    """The `repr` of a dataclass in a few lines: what is long is told by its kind and size."""
    said = ((f.name, getattr(result, f.name)) for f in fields(result) if f.repr)
    shown_fields = ", ".join(f"{name}={_briefly(value)}" for name, value in said)
    return f"{type(result).__name__}({shown_fields})"


def _briefly(value: Any) -> str:
    if isinstance(value, Enum):
        return value.name
    text = repr(value)
    return text if len(text) <= _LONGEST else f"<{shown(value)}>"


class Saved(Shown):
    """Mixin of a dataclass that is kept: `to_json`, `from_json`, `save`, `load`, and in notebooks.

    Enums are written by name, tensors apart, those of results within it by the way to them
    (`sides.0.chain`). A field that a file does not have takes its default;
    any other difference between file and fields is a `DataError`. With tensors, a folder is
    written, else one file; either is whole or not there, and checked when it is read.

    Attributes:
        UNSAVED: fields that are not written, because nothing depends on them.

    Example:
        >>> import tempfile
        >>> from dataclasses import dataclass
        >>> @dataclass(frozen=True)
        ... class Count(Saved):
        ...     negative: tuple[int, int]
        >>> path = f"{tempfile.mkdtemp()}/count.json"
        >>> Count((3, 4)).save(path)
        >>> Count.load(path)
        Count(negative=(3, 4))
        >>> Count.from_json({"negative": 3})
        Traceback (most recent call last):
            ...
        morsescape.errors.DataError: values: expected what Count.to_json gave; got negative = 3;
        cure: make it again
    """

    UNSAVED: ClassVar[tuple[str, ...]] = ()

    def __init_subclass__(cls) -> None:
        if "__repr__" not in cls.__dict__:  # before the dataclass makes one that has everything
            cls.__repr__ = brief  # type: ignore[method-assign]

    def to_json(self) -> dict[str, Any]:
        """Everything but the tensors, as JSON values."""
        return values_of(self)

    def to_piece(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """The JSON values and the tensors of a piece of a sweep; its folder has the settings."""
        values = values_of(self)
        values.pop("settings", None)
        return values, tensors_of(self)

    @classmethod
    def from_json(cls: type[_Own], values: Any, *tensors: Tensor, **known: Any) -> _Own:
        """From what `to_json` gave, and the tensors in the order of their fields.

        Args:
            values: JSON values.
            tensors: of the fields that are tensors.
            known: other fields that are not among the values, tensors of results within it by the
                way to them.

        Raises:
            DataError: values of another kind.
        """
        with reading(_VALUES, f"{cls.__name__}.to_json gave"):
            by_name = dict(zip(_tensor_fields(cls), tensors, strict=False))
            return _made(cls, values, by_name | known)

    @checked(path=a_path())
    def save(self, path: str | os.PathLike[str]) -> None:
        """Write it atomically: JSON, or a folder of JSON and safetensors, with checksums.

        Raises:
            DataError: it cannot be written.
        """
        if _has_tensors(type(self)):
            kind = _kind(type(self))
            RunFolder(path, {"kind": kind}).save(_key(kind), self.to_json(), tensors_of(self))
        else:
            write_json_atomic(path, self.to_json())

    @classmethod
    @checked(path=a_path())
    def load(cls: type[_Own], path: str | os.PathLike[str]) -> _Own:
        """Read what `save` wrote.

        Raises:
            DataError: it is missing, damaged, or of another kind.
        """
        with reading(os.fspath(path), f"{cls.__name__}.save wrote"):
            if not _has_tensors(cls):
                return cls.from_json(read_json(path))
            there, kind = Path(path).is_dir(), _kind(cls)  # a RunFolder would make it
            folder = RunFolder(path, {"kind": kind}) if there else None
            piece = None if folder is None else folder.load(_key(kind))
            if piece is not None:
                must = {n: piece.tensors[n] for n, needed in _tensor_fields(cls).items() if needed}
                return cls.from_json(piece.payload, **piece.tensors | must)
            damaged = [] if folder is None else folder.damaged
            raise DataError(
                str(path), expected=f"a folder that {cls.__name__}.save wrote",
                got=damaged[-1] if damaged else "none in it" if there else "no such folder",
                cure="make it again; what is damaged is kept as *.damaged",
            )  # fmt: skip


class Settings(Saved):
    """Mixin of the settings of an experiment, which say on what its results depend.

    Attributes:
        EXPERIMENT: its name.
        APART: fields on which no single piece of the results depends.
    """

    EXPERIMENT: ClassVar[str]
    APART: ClassVar[tuple[str, ...]] = ()

    def identity(self) -> dict[str, Any]:
        """What the results depend on, as JSON values: the settings of their `RunFolder`."""
        own = {"experiment": self.EXPERIMENT, "morsescape": __version__}
        for name in _names(type(self)):
            value = getattr(self, name)
            if name in self.APART:
                continue
            own |= value.identity() if hasattr(value, "identity") else {name: encoded(value)}
        return own


class Pieced(Saved):
    """Mixin of a result of `settings` that is kept as one piece of a `RunFolder`."""

    @classmethod
    def from_piece(
        cls: type[_Own], settings: Any, payload: Mapping[str, Any], tensors: Mapping[str, Tensor]
    ) -> _Own:
        """What `to_piece` gave, or a `RunFolder` kept, as a result again."""
        return cls.from_json(payload, settings=settings, **tensors)


@contextmanager
def reading(source: str, expected: str) -> Iterator[None]:
    """What goes wrong inside is a `DataError` about `source`, which is not what was expected."""
    try:
        yield
        return
    except _WrongField as error:
        got, cause = str(error), None
    except MorsescapeError as error:
        # Of a value, in a file that is named here.
        if source == _VALUES or (isinstance(error, DataError) and error.what != _VALUES):
            raise
        got, cause = f"{error.what}: {error.got}", error
    except _WRONG as error:
        got, cause = f"{type(error).__name__}: {error}", error  # type: ignore[assignment]
    raise DataError(source, expected=f"what {expected}", got=got, cure="make it again") from cause


# -- fields ---------------------------------------------------------------------------------------


def values_of(result: Any) -> dict[str, Any]:
    """The fields of a dataclass as JSON values, without tensors and what is not saved."""
    left_out = {*_tensor_fields(type(result)), *getattr(result, "UNSAVED", ())}
    names = (name for name in _names(type(result)) if name not in left_out)
    return {name: encoded(getattr(result, name)) for name in names}


def tensors_of(result: Any) -> dict[str, Tensor]:
    """The tensors of a dataclass and of those within it, by the way to them, without None."""
    found: dict[str, Tensor] = {}
    left_out = getattr(result, "UNSAVED", ())
    direct = _tensor_fields(type(result))
    for name in (name for name in _names(type(result)) if name not in left_out):
        value = getattr(result, name)
        if name in direct and value is not None:
            found[name] = value
        many = value if isinstance(value, tuple) else (value,)
        for k, item in enumerate(many):
            if is_dataclass(item) and not isinstance(item, type):
                way = f"{name}.{k}" if many is value else name
                found |= {f"{way}.{inner}": t for inner, t in tensors_of(item).items()}
    return found


def encoded(value: Any) -> Any:
    """A value in JSON's words; tuples stay tuples."""
    if isinstance(value, Enum):
        return value.name
    if is_dataclass(value) and not isinstance(value, type):
        return value.to_json() if hasattr(value, "to_json") else values_of(value)
    if isinstance(value, Mapping):
        return {name: encoded(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(map(encoded, value))
    return value


def _made(kind: Any, values: Any, known: Mapping[str, Any]) -> Any:
    hints = _hints(kind)
    given = {
        name: _decoded(value, hints[name], _below(known, name)) if name in hints else value
        for name, value in dict(values).items()
    }
    own = {name: value for name, value in known.items() if "." not in name}
    result = kind(**given | own)
    for name in _names(kind):
        if not _is_of(getattr(result, name), hints[name]):
            raise _WrongField(f"{name} = {shown(getattr(result, name))}")
    return result


def _below(known: Mapping[str, Any], name: Any) -> dict[str, Any]:
    """What is known of the result at a name, by the way from there."""
    start = f"{name}."
    return {way[len(start) :]: v for way, v in known.items() if way.startswith(start)}


class _WrongField(ValueError):
    """A field whose value is of another type than it declares."""


def _decoded(value: Any, kind: Any, known: Mapping[str, Any]) -> Any:
    """The value as its field has it; what does not fit is left for the check of types."""
    origin, inner = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        kinds = [one for one in inner if one is not type(None)]
        return value if value is None else _decoded(value, kinds[0], known)
    if origin is tuple and isinstance(value, list | tuple):
        every = inner[:1] * len(value) if inner[1:] == (...,) else inner
        if len(every) != len(value):
            return tuple(value)
        pairs = enumerate(zip(value, every, strict=True))
        return tuple(_decoded(item, one, _below(known, k)) for k, (item, one) in pairs)
    if origin in (dict, Mapping) and isinstance(value, Mapping):
        return {name: _decoded(item, inner[1], {}) for name, item in value.items()}
    if isinstance(kind, type) and issubclass(kind, Enum):
        return kind[value]
    if isinstance(kind, type) and is_dataclass(kind) and not isinstance(value, kind):
        made = getattr(kind, "from_json", None)
        return made(value, **known) if made else _made(kind, value, known)
    return value


def _is_of(value: Any, kind: Any) -> bool:
    """Whether a value is of a type that can be told; True where it cannot."""
    origin, inner = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        return any(_is_of(value, one) for one in inner)
    if origin is tuple:
        if not isinstance(value, tuple):
            return False
        every = inner[:1] * len(value) if inner[1:] == (...,) else inner
        return len(every) == len(value) and all(map(_is_of, value, every))
    if origin in (dict, Mapping):
        named = isinstance(value, Mapping)
        return named and all(_is_of(k, inner[0]) and _is_of(v, inner[1]) for k, v in value.items())
    if kind is float:
        return isinstance(value, float | int) and not isinstance(value, bool)
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if kind in (str, bool, type(None)) or (isinstance(kind, type) and issubclass(kind, Enum)):
        return isinstance(value, kind)
    return not (isinstance(kind, type) and is_dataclass(kind)) or isinstance(value, kind)


def _hints(kind: type) -> dict[str, Any]:
    return get_type_hints(kind)


def _names(kind: type) -> tuple[str, ...]:
    return tuple(field.name for field in fields(kind))


def _tensor_fields(kind: type) -> dict[str, bool]:
    """The fields declared as a tensor, by torch or by jaxtyping, and whether it must be there."""
    found = {}
    for name, hint in _hints(kind).items():
        kinds = get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)
        if any(getattr(one, "array_type", one) is Tensor for one in kinds):
            found[name] = type(None) not in kinds
    return found


def _has_tensors(kind: Any) -> bool:
    """Whether a result of this class, or one within it, may have tensors."""
    inner = get_args(kind)
    if inner and getattr(kind, "array_type", None) is None:
        return any(map(_has_tensors, inner))
    if not (isinstance(kind, type) and is_dataclass(kind)):
        return False
    left_out = getattr(kind, "UNSAVED", ())
    hints = {n: h for n, h in _hints(kind).items() if n not in left_out}
    return bool(_tensor_fields(kind)) or any(map(_has_tensors, hints.values()))


# -- words ----------------------------------------------------------------------------------------


def _kind(kind: type) -> str:
    """The name of a class in words: CriticalPoint is a critical point."""
    return re.sub(r"(?<!^)(?=[A-Z])", " ", kind.__name__).lower()


def _key(kind: str) -> str:
    return kind.replace(" ", "-")
