"""Classes and helpers that the tests of the codec share."""

# ruff: noqa: UP042 - annotations come in every spelling
from __future__ import annotations

import dataclasses
import enum
from typing import Any, Generic, NamedTuple, NotRequired, TypedDict, TypeVar

import pydantic

from flyte_notebook.record.codec import Draft, Encoded, converter

T = TypeVar("T")


class Color(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


class Mode(str, enum.Enum):
    FAST = "fast"


class Rights(enum.Flag):
    READ = 1
    WRITE = 2


@dataclasses.dataclass
class Point:
    x: int
    y: float = 1.0


@dataclasses.dataclass
class Shape:
    name: str
    corner: Point
    others: list[Point] = dataclasses.field(default_factory=list)
    center: Point | None = None
    tags: dict[str, int] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Frozen:
    x: int


@dataclasses.dataclass
class Tree:
    value: int
    children: list[Tree] = dataclasses.field(default_factory=list)


@dataclasses.dataclass
class Box(Generic[T]):
    content: T


class Model(pydantic.BaseModel):
    a: int
    b: str = "z"
    inner: Point | None = None


class Pair(NamedTuple):
    a: int
    b: str = "q"


class Options(TypedDict):
    a: int
    b: NotRequired[str]


class Plain:
    def __init__(self, x: int = 1) -> None:
        self.x = x

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Plain) and other.x == self.x

    def __hash__(self) -> int:
        return hash(self.x)

    def double(self) -> int:
        return 2 * self.x


class Rude:
    """Its repr raises."""

    def __repr__(self) -> str:
        raise RuntimeError("no repr for you")


def encoded(annotation: Any, value: Any) -> Encoded:
    """Encode a small value."""
    result = converter(annotation).encode(value)
    assert isinstance(result, Encoded), f"{value!r} was taken for large"
    return result


def drafted(annotation: Any, value: Any) -> Draft:
    """Encode a large value."""
    result = converter(annotation).encode(value)
    assert isinstance(result, Draft), f"{value!r} was taken for small"
    return result


def round_trip(annotation: Any, value: Any, blobs: Any = None) -> Any:
    """What a task gets of `value`, and what its caller gets back."""
    result = converter(annotation).encode(value)
    if isinstance(result, Draft):
        result = result.seal(blobs)
    return converter(annotation).decode(result, blobs)
