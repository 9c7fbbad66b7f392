"""All that a function depends on: the functions, tasks, classes and values that its code reaches."""

from __future__ import annotations

import builtins
import functools
import sys
import types
import typing
from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any

from flyte_notebook.record.anatomy import (
    attribute_read,
    cells_of,
    code_of,
    contents_of,
    data_of,
    defaults_of,
    form_of,
    heirs_of,
    hinted_by,
    implementations_of,
    is_definition,
    short_name,
)
from flyte_notebook.record.basis import MISSING, Basis, content_of
from flyte_notebook.record.captured import Captured, Values
from flyte_notebook.record.digest import combined, is_task, type_name
from flyte_notebook.record.imports import absolute, sources_of
from flyte_notebook.record.origin import is_users, is_users_file, is_users_module
from flyte_notebook.record.spelled import plain_name
from flyte_notebook.record.state import State
from flyte_notebook.record.syntax import uses_of

_ROOT = "own code"


class Survey:
    """Walks from a function to everything it reaches; `parts` then says what was found, by label.

    What refers to a thing holds its label, not its content: an edit changes the part that was edited and no other.
    """

    def __init__(self) -> None:
        self._state = State(self._lookup)
        self._values = Values(self._state, self._reached)
        self._kept: list[Any] = []
        self._begin()

    def _begin(self) -> None:
        self.parts: dict[str, str] = {}
        self.basis = Basis(self._values.digest)
        self._codes: deque[types.FunctionType] = deque()
        self._captured: deque[Captured] = deque()
        self._labels: dict[int, str] = {}
        self._taken: set[str] = set()
        self._places: dict[tuple[int, str], str] = {}

    def of(self, root: Any) -> dict[str, str]:
        """The parts of `root`: what each is, and a digest (hex) of it."""
        self._walk(root)
        while not self._state.settled():
            # Code inside captured values changes others, which were looked at before.
            self._begin()
            self._walk(root)
        self.basis.forget(self._state.is_bound)
        return self.parts

    def _walk(self, root: Any) -> None:
        found = self._add(_ROOT, "", root)
        if found != _ROOT:
            self.parts[_ROOT] = combined(found).hex()
        while self._codes or self._captured:
            # Functions first: they tell which values are state.
            if self._codes:
                self._function(self._codes.popleft())
            else:
                self._value(self._captured.popleft())

    # --- what can be reached --------------------------------------------------------------------------------------

    def _add(self, label: str, name: str, thing: Any) -> str:
        """Note something that was reached; the result stands for it in what refers to it. Empty for plain values."""
        if isinstance(thing, types.MethodType):
            self._kept.append(thing)
            self._state.note_method(thing)
            self._capture(f"captured {name or 'self'}", thing.__self__, (id(thing), "self"))
            return self._add(label, name, thing.__func__)
        if isinstance(thing, functools.partial):
            self._kept.append(thing)
            self._state.note_partial(thing)
            self._capture(f"arguments of {name or 'partial'}", [thing.args, thing.keywords], (id(thing), ""))
            return self._add(label, name, thing.func)
        if isinstance(thing, staticmethod | classmethod):
            return self._add(label, name, thing.__func__)
        if is_task(thing):
            return self._add(label or f"task {getattr(thing.func, '__name__', thing.short_name)}", name, thing.func)
        if isinstance(thing, types.FunctionType):
            return self._add_function(label, thing)
        if isinstance(thing, type):
            return self._add_class(label or f"class {thing.__qualname__}", thing)
        if isinstance(thing, types.ModuleType):
            return self._add_module(thing)
        if isinstance(thing, types.BuiltinFunctionType | types.MethodWrapperType | types.WrapperDescriptorType):
            return f"builtin {thing.__qualname__}"
        if callable(thing) and hasattr(thing, "__wrapped__"):
            return self._add_wrapper(label, name, thing)
        if isinstance(thing, types.GenericAlias | types.UnionType) or type(thing).__module__ == "typing":
            return " ".join([str(thing), *(self._add("", "", part) for part in typing.get_args(thing))])
        if label == _ROOT:
            # An instance with `__call__`.
            self._capture("captured self", thing, (id(thing), "self"))
            return self._add_class(label, type(thing))
        return ""

    def _add_function(self, label: str, function: types.FunctionType) -> str:
        code = function.__code__
        if not is_users_file(code.co_filename):
            # An installed decorator's wrapper counts by name; the function that it wraps is the user's.
            inner = [self._add("", "", cell) for cell in contents_of(function) if callable(cell)]
            inner += [f"{self._add('', '', kind)} {self._add('', '', f)}" for kind, f in implementations_of(function)]
            return " ".join([f"{function.__module__}.{code.co_qualname}", *inner])
        if id(function) not in self._labels:
            self._codes.append(function)
        return self._label(label or f"helper {short_name(function)}()", function)

    def _add_class(self, label: str, cls: type) -> str:
        if not is_users(cls.__module__):
            return type_name(cls)
        if id(cls) in self._labels:
            return self._labels[id(cls)]
        label = self._label(label, cls)
        self._state.note_class(cls)
        form = [f"base {self._add('', '', base)}" for base in cls.__bases__] + form_of(cls)
        if type(cls) is not type:
            form.append(f"metaclass {self._add('', '', type(cls))}")
        links = [f"field {self._add('', '', hint)}" for hint in hinted_by(cls)]
        links += [f"{name} {self._add('', name, value)}" for name, value in code_of(cls)]
        for name, value in vars(cls).items():
            self.basis.bound((id(cls), name), vars(cls), name, value)
        for name, value in data_of(cls):
            self._capture(f"captured {cls.__name__}.{name}", value, (id(cls), name))
        self.parts[label] = combined(type_name(cls), *(link.encode() for link in [*form, *sorted(links)])).hex()
        return label

    def _add_wrapper(self, label: str, name: str, thing: Any) -> str:
        """Note what `functools.update_wrapper` made a likeness of a function, and that function."""
        wrapped = self._add(label, name, thing.__wrapped__)
        if not is_users(type(thing).__module__):
            return wrapped
        own = self._capture(f"captured {name or type(thing).__name__}", thing, (id(thing), "self"))
        return wrapped if label == _ROOT else f"{own} {wrapped}"

    def _add_module(self, module: types.ModuleType) -> str:
        if is_users_module(module) and module.__name__ != "__main__":
            self._add_sources(module.__name__)
        return f"module {module.__name__}"

    def _add_sources(self, module_name: str) -> None:
        self.parts.update((f"module {name}", digest) for name, digest in sources_of(module_name).items())

    def _label(self, label: str, thing: Any) -> str:
        """The label of a thing, made unique where two things share a name. The thing is kept, so that its id is."""
        if id(thing) not in self._labels:
            while label in self._taken:
                label += "'"
            self._taken.add(label)
            self._labels[id(thing)] = label
            self._kept.append(thing)
        return self._labels[id(thing)]

    # --- what is found there --------------------------------------------------------------------------------------

    def _function(self, function: types.FunctionType) -> None:
        label, uses = self._labels[id(function)], uses_of(function.__code__)
        cells = cells_of(function)
        self._state.note_function(function)
        links = []
        for chain in sorted(uses.chains):
            place, value = self._lookup(chain[0], function, cells)
            if place is None:
                continue
            if self._state.is_bound(place) and not is_definition(plain_name(chain[0]), value):
                # Also while it is not bound: the call that binds it first is like the next.
                links.append(f"{'.'.join(chain)} state")
            elif value is not MISSING:
                links.append(f"{'.'.join(chain)} {self._link(chain, value, place)}")
                links += self._attributes(value, chain[1:])
        for module, taken in sorted(uses.imports, key=str):
            links.append(f"import {taken} {self._imported(module, taken, function)}")
        owner = "" if label == _ROOT else f" of {short_name(function)}()"
        for name, value in defaults_of(function):
            self._capture(f"default {name}{owner}", value, (id(function), name))
        self.parts[label] = combined(uses.text, *(link.encode() for link in links)).hex()

    def _lookup(
        self, name: str, function: types.FunctionType, cells: Mapping[str, Any]
    ) -> tuple[tuple[int, str] | None, Any]:
        """Where a name of a function is held, or would be, and its value; `(None, …)` for builtins."""
        if name in cells:
            cell = cells[name]
            place, value = (id(cell), ""), content_of(cell)
            self.basis.captured(place, cell, value)
            return place, value
        name, names = plain_name(name), function.__globals__
        place, value = (id(names), name), names.get(name, MISSING)
        self.basis.bound(place, names, name, value)
        if value is MISSING and hasattr(builtins, name):
            return None, getattr(builtins, name)
        return place, value

    def _link(self, chain: tuple[str, ...], value: Any, place: tuple[int, str]) -> str:
        name = plain_name(chain[0])
        for attribute in chain[1:]:
            if not isinstance(value, types.ModuleType):
                break
            if not is_users_module(value):
                return f"{value.__name__}.{attribute}"
            place = (id(value), attribute)
            name = attribute
            names, value = vars(value), getattr(value, attribute, MISSING)
            if self._state.is_bound(place) and not is_definition(name, value):
                return "state"
            self.basis.bound(place, names, name, names.get(name, MISSING))
            if value is MISSING:
                return f"{'.'.join(chain)} missing"
        if identity := self._add("", name, value):
            heirs = heirs_of(value) if chain[-1] == "__subclasses__" and isinstance(value, type) else ()
            return " ".join([identity, *(self._add("", "", heir) for heir in heirs)])
        return self._capture(f"captured {name}", value, place)

    def _imported(self, module_name: str, name: str | None, function: types.FunctionType) -> str:
        full = absolute(module_name, function.__globals__.get("__package__")) or module_name
        module = sys.modules.get(full)
        if name is not None and hasattr(module, name) and getattr(module, "__spec__", None) is None:
            # The notebook's own namespace, or made by hand: there is no source to look at.
            return self._link((full, name), module, (0, full))
        target = full if name is None else f"{full}.{name}"
        self._add_sources(target)
        return target

    def _capture(self, label: str, value: Any, place: tuple[int, str]) -> str:
        """Note a value, to be digested once it is known which values are state."""
        if place not in self._places:
            while label in self._taken:
                label += "'"
            self._taken.add(label)
            self._places[place] = label
            self._captured.append(Captured(label, value, place))
        return self._places[place]

    def _attributes(self, value: Any, names: tuple[str, ...]) -> Iterator[str]:
        """What `names` lead to from `value` if it was set on a function."""
        function, name = attribute_read(value, names) or (None, "")
        if function is not None and not self._state.is_bound((id(vars(function)), name)):
            self._kept.append(function)
            found = vars(function)[name]
            yield self._capture(f"captured {short_name(function)}.{name}", found, (id(vars(function)), name))

    def _value(self, captured: Captured) -> None:
        self._kept.append(captured.value)
        found = self._values.of(captured)
        if found is not None:
            self.parts[found.label] = found.digest
            if found.spent is not None:
                self.basis.holds_value(captured.value, found.digest, found.spent)

    def _reached(self, thing: Any) -> bytes:
        """For code inside a captured value: it counts too."""
        return self._add("", getattr(thing, "__name__", ""), thing).encode()
