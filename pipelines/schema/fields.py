"""Reading single values of YAML: each kind of value has a name in words, a check, and one form of message.

A `Kind` is called with a value and its place (`tier.prebuffer`) and returns the value in its own type:

    >>> number(0, 30, "seconds")(2, "tier.prebuffer")
    2.0
    >>> number(0, 30, "seconds")("soon", "tier.prebuffer")
    Traceback (most recent call last):
    pipelines.schema.errors.UsageError: tier.prebuffer is 'soon'; it must be a number of seconds from 0 to 30.

`read_fields` reads the named values of a mapping by a table of kinds, which stands beside the dataclass that it fills.
Files of JSON, whose faults are another kind of error and which may hold a million tasks, are read by `schema.json_reader`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from pipelines.schema.errors import UsageError, did_you_mean, nearest
from pipelines.schema.units import parse_bytes

T = TypeVar("T")
#: Reads a value that stands at a place. Raises `UsageError` with the place and what the value must be.
Reader = Callable[[Any, str], T]


class Hint(ValueError):
    """A value is not of its kind, with a sentence for the message beside what the kind wants."""


@dataclass(frozen=True, slots=True)
class Kind(Generic[T]):
    """One kind of value. wanted: what it is, in words. convert: returns the value in its type, or raises `ValueError`."""

    wanted: str
    convert: Callable[[Any], T]

    def __call__(self, value: Any, where: str) -> T:
        """The value that stands at `where`, in its type. Raises `UsageError`."""
        try:
            return self.convert(value)
        except ValueError as error:
            hint = f" {error}" if isinstance(error, Hint) and str(error) else ""
            raise UsageError(f"{where} is {_shown(value)}; it must be {self.wanted}.{hint}") from None


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:76]} ..."


def _of_type(*types: type) -> Callable[[Any], Any]:
    """A check of a value's type; true and false count as nothing but themselves."""

    def convert(value: Any) -> Any:
        if not isinstance(value, types) or (isinstance(value, bool) and bool not in types):
            raise ValueError
        return value

    return convert


def whole(least: int, most: int, wanted: str = "") -> Kind[int]:
    """A whole number in [least, most]."""
    return Kind(wanted or f"a whole number from {least} to {most}", _in_range(_of_type(int), least, most))


def number(least: float, most: float, unit: str = "") -> Kind[float]:
    """A number in [least, most], of `unit` (`seconds`)."""
    return Kind(f"a number{f' of {unit}' if unit else ''} from {least:g} to {most:g}", _number(least, most))


def _number(least: float, most: float) -> Callable[[Any], float]:
    checked = _in_range(_of_type(int, float), least, most)
    return lambda value: float(checked(value))


def _in_range(check: Callable[[Any], Any], least: float, most: float) -> Callable[[Any], Any]:
    def convert(value: Any) -> Any:
        if not least <= check(value) <= most:  # NaN is in no range
            raise ValueError
        return value

    return convert


def pair(least: float, most: float, unit: str = "") -> Kind[tuple[float, float]]:
    """A list of two numbers in [least, most], the lower first."""
    one = _number(least, most)

    def convert(value: Any) -> tuple[float, float]:
        low, high = map(one, _of_type(list, tuple)(value))
        if low > high:
            raise ValueError
        return low, high

    of = f" of {unit}" if unit else ""
    return Kind(f"two numbers{of} from {least:g} to {most:g}, the lower first", convert)


def choice(*known: str) -> Kind[str]:
    """One of the names in `known`."""

    def convert(value: Any) -> str:
        if value not in known:
            raise Hint(nearest(str(value), known))
        return str(value)

    return Kind(" or ".join(known) if len(known) < 3 else f"one of {', '.join(known)}", convert)


def names(wanted: str = "a list of names", known: Iterable[str] | None = None) -> Kind[tuple[str, ...]]:
    """A list of names, or one name alone; of those in `known`, where that is given."""
    allowed = None if known is None else tuple(known)

    def convert(value: Any) -> tuple[str, ...]:
        listed = (value,) if isinstance(value, str) else tuple(_of_type(list, tuple)(value))
        for name in listed:
            if not isinstance(name, str):
                raise ValueError
            if allowed is not None and name not in allowed:
                raise Hint(nearest(name, allowed))
        return listed

    return Kind(wanted, convert)


def _text(value: Any) -> str:
    return str(_of_type(str, int, float)(value))


def text(wanted: str = "a text") -> Kind[str]:
    """A text. A number counts as its digits: YAML reads `title: 1984` as a number."""
    return Kind(wanted, _text)


FLAG: Kind[bool] = Kind("true or false", _of_type(bool))
TEXT: Kind[str] = text()
BYTES: Kind[int] = Kind("a size such as '3 GiB', '410 MiB' or a whole number of bytes, at most 8 PiB", parse_bytes)
NUMBER: Kind[float] = Kind("a number", _number(-1e300, 1e300))
SECONDS: Kind[float] = Kind("a number of seconds, at least 0", _number(0, 1e9))
NAMES: Kind[tuple[str, ...]] = names()
_NAMED: Kind[Mapping[Any, Any]] = Kind("settings by name", _of_type(Mapping))


def mapping(value: Any, where: str) -> dict[str, Any]:
    """Values by name, none of them read yet; nothing (`null`) is an empty mapping."""
    return {} if value is None else {str(key): each for key, each in _NAMED(value, where).items()}


def each(reader: Reader[T], known: Iterable[str] | None = None) -> Reader[dict[str, T]]:
    """A mapping whose every value `reader` reads; values that are null are left out. known: the names there are."""

    def read(value: Any, where: str) -> dict[str, T]:
        data = mapping(value, where)
        if known is not None:
            refuse_unknown(data, known, where)
        return {name: reader(entry, f"{where}.{name}") for name, entry in data.items() if entry is not None}

    return read


def read_fields(data: Any, table: Mapping[str, Reader[Any]], where: str) -> dict[str, Any]:
    """The values of `data`, each as the table's reader of that name gives it.

    What is absent or null is left out, so that a dataclass's own default holds. Raises `UsageError` naming a key that the
    table does not have, with the nearest ones, or the first value that is not of its kind.
    """
    data = mapping(data, where)
    refuse_unknown(data, table, where)
    return {key: reader(data[key], f"{where}.{key}") for key, reader in table.items() if data.get(key) is not None}


def refuse_unknown(data: Iterable[str], known: Iterable[str], where: str) -> None:
    """Raise `UsageError` for the first name in `data` that is not `known`."""
    allowed = tuple(known)
    for key in data:
        if key not in allowed:
            raise UsageError(f"{where}: there is no setting {str(key)!r}. {did_you_mean(str(key), allowed)}")
