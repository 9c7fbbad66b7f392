"""The methods that users wrote, and what they do to the objects that they are called on."""

from __future__ import annotations

import types
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from flyte_notebook.record.anatomy import functions_in, is_made, is_plain, layers_of
from flyte_notebook.record.changes import IN_PLACE, Change, Changes
from flyte_notebook.record.origin import is_users, is_users_file
from flyte_notebook.record.syntax import uses_of

_MAKERS = frozenset(["__init__", "__new__", "__post_init__"])
"""Methods that make an object: they may change its class, or what its class holds, but none that was captured."""
_SERVANTS = frozenset(["__delattr__", "__init_subclass__", "__set_name__", "__setattr__", "__setstate__"])
"""Methods that do to an object what others ask for."""
_ASKED_FOR = IN_PLACE | {"__setitem__", "__delitem__", "__init__"}
"""Special methods that run for an assignment, or a call, only; others may run for whatever is done with an object."""
_RUNNING = frozenset(
    [
        ("IPython.core.interactiveshell", "InteractiveShell"),
        ("_asyncio", "Future"),
        ("asyncio.events", "AbstractEventLoop"),
        ("asyncio.futures", "Future"),
        ("concurrent.futures._base", "Executor"),
        ("concurrent.futures._base", "Future"),
        ("multiprocessing.pool", "Pool"),
        ("threading", "Thread"),
    ]
)
_RANDOM = frozenset(["random", "numpy.random._generator", "numpy.random.mtrand"])


@dataclass(slots=True)
class Method:
    """A function that is called on an object, by a name that its class gives it."""

    name: str
    """`rate=` for the setter of a property."""
    function: types.FunctionType
    of_class: bool
    """Whether it is called on the class instead."""
    makes: bool
    """Whether it makes the object."""

    @property
    def first(self) -> str:
        """Its first parameter: the object."""
        return self.function.__code__.co_varnames[0]

    @property
    def changes(self) -> Changes:
        """All that it changes."""
        return uses_of(self.function.__code__).changes

    def from_object(self, change: Change) -> Change:
        """A change of the first parameter, by the names that lead to it from the object."""
        return Change((*["__class__"] * self.of_class, *change.chain[1:]), change.how)


def methods_of(cls: type) -> Iterator[Method]:
    """The methods of a class and of those it inherits from, also where one replaces another."""
    for holder in cls.__mro__:
        if not is_users(holder.__module__):
            continue
        for name, value in vars(holder).items():
            makes = name in _MAKERS
            if name in _SERVANTS or (isinstance(value, staticmethod | type) and not makes):
                continue
            for part in functions_in(value):
                called = f"{name}=" if isinstance(value, property) and part is not value.fget else name
                for function in layers_of(part):
                    code = function.__code__
                    if code.co_argcount and not is_made(holder, name, function) and is_users_file(code.co_filename):
                        of_class = isinstance(value, classmethod) or name == "__new__"
                        yield Method("__init__" if makes else called, function, of_class, makes)


def definers_of(cls: type) -> Iterator[types.CodeType]:
    """The code that a class, or a metaclass, runs while another class is made."""
    for name in ("__init_subclass__", "__set_name__", *(_MAKERS if issubclass(cls, type) else ())):
        for part in functions_in(vars(cls).get(name)):
            yield from (function.__code__ for function in layers_of(part))


def function_of(value: Any, name: str) -> tuple[Any, int]:
    """The function that a user's object has under a name, and how many parameters it is given before those of a call."""
    for holder in class_of(value).__mro__:
        if name in vars(holder) and is_users(holder.__module__):
            found = vars(holder)[name]
            bound = isinstance(found, classmethod) or (found is functions_in(found)[0] and not isinstance(value, type))
            return functions_in(found)[0], int(bound)
    return None, 0


def is_special(name: str) -> bool:
    """Whether a method may run for whatever is done with an object, though nobody mentions it."""
    return name.startswith("__") and name.endswith("__") and name not in _ASKED_FOR


def is_open(value: Any) -> bool:
    """Whether one attribute of a value can be state, and the others not."""
    if isinstance(value, types.ModuleType | types.FunctionType):
        return True
    cls = class_of(value)
    return is_users(cls.__module__) and (cls is value or is_plain(cls))


def class_of(value: Any) -> type:
    """The class that a method is looked up in."""
    return value if isinstance(value, type) else type(value)


def is_restless(cls: type) -> bool:
    """Whether a value changes though no code that can be read changes it."""
    return is_running(cls) or is_random(cls)


def is_running(cls: type) -> bool:
    """Whether a value runs things: what it holds is of the moment."""
    return any((base.__module__, base.__name__) in _RUNNING for base in cls.__mro__)


def is_unseeded(value: Any) -> bool:
    """Whether a generator of numpy has drawn its own seed: nobody has set it, and each kernel has another.

    Such a seed has 128 bits (`numpy.random.SeedSequence`).
    """
    sequence = getattr(getattr(value, "bit_generator", None), "seed_seq", None) if is_random(type(value)) else None
    entropy = getattr(sequence, "entropy", None)
    return isinstance(entropy, int) and entropy.bit_length() > 64


def is_random(cls: type) -> bool:
    """Whether a value draws random numbers: every use changes it."""
    return any(base.__module__ in _RANDOM for base in cls.__mro__)
