"""Which values are state: what the code that was reached changes itself, which is no part of what it depends on.

State must be told alike before and after the code has run. So it follows from code alone, and from the names and objects
that lead to what the code changes; never from what a value that is state holds.
"""

from __future__ import annotations

import collections
import functools
import sys
import types
from collections.abc import Iterator
from typing import Any, TypeAlias

from flyte_notebook.record.aliases import RETURNED
from flyte_notebook.record.anatomy import attribute_of, cached_by, cells_of, defaults_of, is_plain
from flyte_notebook.record.basis import MISSING
from flyte_notebook.record.changes import ANYHOW, INSIDE, Change
from flyte_notebook.record.methods import (
    Method,
    class_of,
    definers_of,
    is_open,
    is_restless,
    is_special,
    methods_of,
)
from flyte_notebook.record.origin import is_users
from flyte_notebook.record.passing import Lookup, Place, done, passed
from flyte_notebook.record.syntax import uses_of

_Mention: TypeAlias = tuple[int, str]
"""The class (by id) of what an attribute is taken from, or _ANY where it is not known, and the attribute's name."""

_ANY = 0
_UNCHANGING = (
    *(type(None), bool, int, float, complex, str, bytes, frozenset, range),
    *(type, types.ModuleType, types.FunctionType),
)
_HOLDERS = (dict, list, tuple, collections.deque)
_NONE = frozenset[str]()


class State:
    """Collects what code changes, and says of any value what of it is state."""

    def __init__(self, lookup: Lookup) -> None:
        self._lookup = lookup
        self._bound: dict[int, set[str]] = {}
        """By id of an object or namespace: the names in it that code binds anew."""
        self._mutated: set[int] = set()
        """The ids of values that code changes in place."""
        self._gathered: set[int] = set()
        """Of those inside objects that methods of these change in place."""
        self._mentioned: set[_Mention] = set()
        """The attributes that functions mention: methods of these names are run."""
        self._classes: dict[int, tuple[type, list[Method]]] = {}
        """By id, as all that is kept by class here: a metaclass may say that its classes are equal, or have no hash."""
        self._definers: set[types.CodeType] = set()
        """The code of what runs as a class is made: a registry that classes enter is none of what tasks change."""
        self._methods: set[int] = set()
        """The code of methods (by id of what it changes): what it mentions is run only if it is."""
        self._run: set[_Mention] | None = None
        """What is mentioned by functions, and by methods that are run; None until it is asked for."""
        self._answers: dict[int, tuple[list[Change], frozenset[str]]] = {}
        """What methods of a class change in an instance, as last told, and which of its attributes they bind anew."""
        self._restless: dict[int, tuple[type, bool]] = {}
        """Whether values of a class change though no code that can be read changes them."""
        self._unfolding: set[types.FunctionType] = set()
        """Functions whose results are being followed: they may return what they themselves return."""
        self._asked: set[int | Place] = set()
        """The ids of values, and the places, that were asked about."""
        self._late = False

    # --- what is noted --------------------------------------------------------------------------------------------

    def note_class(self, cls: type) -> None:
        """A class was reached."""
        if id(cls) not in self._classes:
            methods = list(methods_of(cls))
            self._classes[id(cls)] = cls, methods
            self._methods.update(id(method.changes) for method in methods)
            self._definers.update(definers_of(cls))
            self._run = None

    def note_method(self, method: types.MethodType) -> None:
        """A method was reached together with the object that it belongs to."""
        self._note_mentions({(id(class_of(method.__self__)), method.__func__.__name__)})

    def _note_mentions(self, mentions: set[_Mention]) -> None:
        if not self._mentioned.issuperset(mentions):
            self._mentioned |= mentions
            self._run = None

    def note_function(self, function: types.FunctionType) -> None:
        """A function was reached."""
        if function.__code__ in self._definers:
            return
        changes = uses_of(function.__code__).changes
        if id(changes) not in self._methods:
            self._note_mentions({(_ANY, function.__name__), *self._mentions_of(function)})
        cells, defaults = cells_of(function), dict(defaults_of(function))
        for change in changes.outside:
            place, value = self._lookup(change.chain[0], function, cells)
            if place is None:
                continue
            if change.how or change.chain[1:]:
                self._change(value, change.chain[1:], change.how)
            else:
                self._bind(place)
                self._bind_in_module(function, place)
        for change in changes.parameters:
            if change.chain[0] in defaults:
                self._change(defaults[change.chain[0]], change.chain[1:], change.how)
        for given in changes.passes:
            if given.chain[0] in function.__code__.co_varnames:
                continue
            _, value = self._lookup(given.chain[0], function, cells)
            for change in passed(self._lookup, function, given, set()):
                self._change(value, change.chain[1:], change.how)

    def note_partial(self, partial: functools.partial[Any]) -> None:
        """A function was reached together with arguments for it."""
        if isinstance(partial.func, types.FunctionType):
            given = [(str(i), value) for i, value in enumerate(partial.args)]
            for parameter, value in [*given, *partial.keywords.items()]:
                for change in done(self._lookup, partial.func, parameter, set()):
                    self._change(value, change.chain[1:], change.how)

    def _bind(self, place: Place) -> None:
        names = self._bound.setdefault(place[0], set())
        if place[1] not in names:
            self._late = self._late or place in self._asked or place[0] in self._asked
            names.add(place[1])

    def _bind_in_module(self, function: types.FunctionType, place: Place) -> None:
        # Others reach the same variable through the module.
        module = sys.modules.get(function.__module__ or "")
        if module is not None and id(vars(module)) == place[0]:
            self._bind((id(module), place[1]))

    def _change(self, value: Any, names: tuple[str, ...], how: str, changed: set[int] | None = None) -> None:
        """Note that what `names` lead to from `value` is changed; in `changed`, if it is in place."""
        changed = self._mutated if changed is None else changed
        for i, name in enumerate(names):
            if value is MISSING:
                return
            if name == RETURNED:
                self._change_returned(value, names[i + 1 :], how, changed)
                return
            if not is_open(value):
                # Of a table, an array, a library's model, any part is all of it.
                self._mutate(value, INSIDE if how == INSIDE else ANYHOW, changed)
                return
            if i == len(names) - 1 and not how:
                self._bind((id(vars(value) if isinstance(value, types.FunctionType) else value), name))
                if isinstance(value, types.ModuleType):
                    self._bind((id(vars(value)), name))
                return
            value = attribute_of(value, name, MISSING)
        self._mutate(value, how, changed)

    def _change_returned(self, function: Any, names: tuple[str, ...], how: str, changed: set[int]) -> None:
        if not isinstance(function, types.FunctionType) or function in self._unfolding:
            return
        self._unfolding.add(function)
        for given in uses_of(function.__code__).changes.returns:
            _, value = self._lookup(given.chain[0], function, cells_of(function))
            if given.how:
                self._change(value, given.chain[1:], given.how, changed)
            else:
                self._change(value, (*given.chain[1:], *names), how, changed)
        self._unfolding.remove(function)

    def _mutate(self, value: Any, how: str, changed: set[int]) -> None:
        if value is MISSING or isinstance(value, _UNCHANGING) or id(value) in changed:
            return
        if how == INSIDE and not isinstance(value, _HOLDERS):
            # What is taken out of a table or an array may be a copy.
            return
        # What a method of the user's own changes is told by its code.
        if how in (ANYHOW, INSIDE) or not any(how in vars(c) for c in type(value).__mro__ if is_users(c.__module__)):
            self._late = self._late or id(value) in self._asked
            changed.add(id(value))

    # --- what follows ---------------------------------------------------------------------------------------------

    def is_bound(self, place: Place) -> bool:
        """Whether code binds a name anew: neither its value nor the type of it is known before."""
        self._asked.add(place)
        return place[1] in self._bound.get(place[0], ())

    def attributes_of(self, value: Any) -> frozenset[str] | None:
        """The attributes of a value that are state; None: all of it."""
        kind = type(value)
        if id(kind) not in self._restless:
            self._restless[id(kind)] = kind, is_restless(kind)
            if is_users(kind.__module__):
                self.note_class(kind)
        self._follow()
        if self._restless[id(kind)][1]:
            return None
        names = self._written(value, kind) if id(kind) in self._classes else _NONE
        self._asked.add(id(value))
        if id(value) in self._bound:
            names = names.union(self._bound[id(value)])
        if id(value) in self._mutated or id(value) in self._gathered or (names and not is_plain(kind)):
            return None
        return names

    def is_gathered(self, value: Any) -> bool:
        """Whether nothing changes a value but methods of the object that it is in: a client's cache."""
        return id(value) in self._gathered and id(value) not in self._mutated

    def settled(self) -> bool:
        """Whether every answer that was given still stands; else all may be asked again."""
        self._follow()
        settled = not self._late and all(self._writes(key) == given for key, (given, _) in self._answers.items())
        self._late = False
        self._asked.clear()
        self._answers.clear()
        return settled

    def _written(self, value: Any, kind: type) -> frozenset[str]:
        """The attributes that methods of a value bind anew; what they change in it is noted."""
        if id(kind) not in self._answers:
            writes = self._writes(id(kind))
            names = frozenset(write.chain[0] for write in writes if len(write.chain) == 1 and not write.how)
            self._answers[id(kind)] = writes, names | cached_by(kind)
        writes, names = self._answers[id(kind)]
        for write in writes:
            if write.how or len(write.chain) > 1:
                self._change(value, write.chain, write.how, self._gathered)
        return names

    def _writes(self, key: int, *, makes: bool = False) -> list[Change]:
        """What those methods of a class that are run change in the object, or those that make it in the class: the names
        lead on from it.
        """
        writes: set[Change] = set()
        for method in self._classes[key][1]:
            if method.makes == makes and self._is_run(key, method.name):
                done = [change for change in method.changes.parameters if change.chain[0] == method.first]
                for given in method.changes.passes:
                    if given.chain[0] == method.first:
                        done += passed(self._lookup, method.function, given, set())
                writes.update(map(method.from_object, done))
        return sorted(writes)

    def _is_run(self, key: int, name: str) -> bool:
        return is_special(name) or self._run is None or not self._run.isdisjoint([(_ANY, name), (key, name)])

    def _mentions_of(self, function: types.FunctionType, cls: type | None = None) -> Iterator[_Mention]:
        """What a function mentions, or a method of `cls`."""
        code, cells = function.__code__, cells_of(function)
        for root, *names, attribute in uses_of(code).changes.mentions:
            if root == "" or root in code.co_varnames:
                own = cls is not None and root == code.co_varnames[0] and not names
                receiver = id(cls) if own else _ANY
            else:
                _, value = self._lookup(root, function, cells)
                for name in names:
                    value = attribute_of(value, name, None) if is_open(value) else None
                through_class = isinstance(value, type) and is_users(value.__module__) and attribute != "__init__"
                receiver = _ANY if value is None or through_class else id(class_of(value))
            # A call of something unknown makes no object of a class.
            if receiver != _ANY or attribute != "__init__":
                yield receiver, attribute

    def _follow(self) -> None:
        """Find all methods that are run: mentioned by functions, or by methods that are run."""
        if self._run is not None:
            return
        self._run = set(self._mentioned)
        waiting = [(cls, method) for cls, methods in self._classes.values() for method in methods]
        while found := [(cls, method) for cls, method in waiting if self._is_run(id(cls), method.name)]:
            waiting = [(cls, method) for cls, method in waiting if not self._is_run(id(cls), method.name)]
            for cls, method in found:
                self._run.update(self._mentions_of(method.function, cls))
        for key, (cls, _) in self._classes.items():
            for write in [*self._writes(key), *self._writes(key, makes=True)]:
                # What an instance itself is given is none of the class's.
                if write.how or len(write.chain) > 1:
                    self._change(cls, write.chain[write.chain[:1] == ("__class__",) :], write.how)
