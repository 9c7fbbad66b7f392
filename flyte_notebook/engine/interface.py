"""The signature of a task: binds arguments by name, checks and encodes what goes in and what comes out."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Any, NoReturn

from flyte_notebook.engine.signature import is_named_tuple, output_types, parameters
from flyte_notebook.errors import RuntimeDataValidationError
from flyte_notebook.record.annotations import converter
from flyte_notebook.record.converter import Converter, Mismatch, shown
from flyte_notebook.record.encoded import Draft, Encoded, finish, opened, tree
from flyte_notebook.record.envelope import Sink, canonical_text
from flyte_notebook.record.fields import refitted
from flyte_notebook.record.preview import describe_items
from flyte_notebook.record.quick import value_writer, values_writer
from flyte_notebook.record.text import digest_text
from flyte_notebook.record.versions import current, is_redefinable

if TYPE_CHECKING:
    from flyte_notebook.record.blobs import BlobStore

_EMPTY = inspect.Parameter.empty
_NOTHING = Encoded(b"jnull", None, digest_text("null"), 4, None)


class Interface:
    """What goes into a task function and what comes out of it, compiled once.

    What is accepted and rejected follows Flyte. Its own oversights are errors here: a name given twice, an unknown
    name, a tuple returned without an annotation.
    """

    def __init__(self, name: str, inputs: dict[str, tuple[Any, Any]], returned: Any) -> None:
        """`inputs`: annotation and default by name; `returned`: the return annotation.

        Raises TypeError for a tuple of one element or of variable length as return annotation.
        """
        self.name = name
        """The task's, for errors."""
        self.inputs = inputs
        """Annotation and default (`inspect.Parameter.empty`: none) by name, in the order of the signature."""
        self._names = tuple(inputs)
        self._converters = {name: converter(annotation) for name, (annotation, _) in inputs.items()}
        self._quick_inputs = values_writer(self._converters)
        self._returns(returned)

    def _returns(self, returned: Any) -> None:
        self._returned = returned
        self._redefinable = is_redefinable(returned)
        self.outputs = output_types(returned)
        """Annotation by output name: none, `o0`, or several for a tuple."""
        self._results = {name: converter(annotation) for name, annotation in self.outputs.items()}
        self._rebuilt: Callable[[Any], Any] = returned._make if is_named_tuple(returned) else tuple
        self._several = is_named_tuple(returned) or len(self._results) > 1
        self._only = next(iter(self._results.items())) if self._results and not self._several else None
        self._quick_output = value_writer(self._only[1]) if self._only is not None else None

    def _look_again(self) -> None:
        """A class that is returned may be a NamedTuple, with other fields or none since its cell was run again."""
        if self._redefinable and (now := current(self._returned)) is not self._returned:
            self._returns(now)

    @classmethod
    def of(cls, func: Callable[..., Any], task_name: str = "") -> Interface:
        """The interface of a function.

        Raises:
            ValueError: it takes `*args` or `**kwargs`.
            TypeError: it returns a tuple of one element or of variable length.
            NameError: an annotation names something that does not exist.
        """
        return cls(task_name or getattr(func, "__name__", repr(func)), *parameters(func))

    def __repr__(self) -> str:
        inputs = ", ".join(
            f"{name}: {_shown_type(annotation)}" + ("" if default is _EMPTY else f" = {shown(default)}")
            for name, (annotation, default) in self.inputs.items()
        )
        outputs = ", ".join(f"{name}: {_shown_type(annotation)}" for name, annotation in self.outputs.items())
        return f"({inputs})" + (f" -> ({outputs})" if len(self.outputs) > 1 else f" -> {outputs}" if outputs else "")

    @cached_property
    def json_schema(self) -> dict[str, Any]:
        """The inputs as a JSON schema."""
        from flyte_notebook.engine.schema import inputs_schema

        return inputs_schema(self.inputs)

    # --- in -------------------------------------------------------------------------------------------------------

    def bind(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        """The arguments by name, in the order of the signature, defaults filled in.

        Raises ValueError for missing, surplus, doubled and unknown arguments.
        """
        names = self._names
        if not kwargs and len(args) == len(names):
            return dict(zip(names, args, strict=True))
        if len(args) > len(names):
            raise ValueError(
                f"Too many positional arguments provided, expected inputs {self.inputs.keys()}, args {len(args)}"
            )
        given = dict(zip(names, args, strict=False))
        doubled = [name for name in kwargs if name in given]
        if doubled:
            raise ValueError(f"{self.name} got multiple values for input '{doubled[0]}'")
        given.update(kwargs)
        unknown = [name for name in kwargs if name not in self.inputs]
        remark = f" (unexpected: {', '.join(unknown)})" if unknown else ""
        missing = [name for name in names if name not in given and self.inputs[name][1] is _EMPTY]
        if missing:
            raise ValueError(f"Missing required inputs: {', '.join(missing)}{remark}")
        if unknown:
            raise ValueError(
                f"Too many keyword arguments provided, expected inputs {self.inputs.keys()}, args {given.keys()}{remark}"
            )
        return {name: given[name] if name in given else self.inputs[name][1] for name in names}

    def encode_inputs(self, values: dict[str, Any]) -> tuple[Encoded | Draft, bool]:
        """Check and encode bound values; True beside it when all are immutable, so `values` may go to the body.

        Raises TypeError when a value does not fit its annotation or cannot be pickled, ValueError when a number is out
        of range; both name the variable.
        """
        quick = self._quick_inputs
        if quick is not None and (encoded := quick(values)) is not None:
            return encoded, True
        sink = Sink()
        items: dict[str, Any] = {}
        settled = True
        for name, convert in self._converters.items():
            value = values[name]
            try:
                items[name] = convert.lower(value, sink)
            except (TypeError, ValueError, RecursionError) as error:
                raise _explained(name, convert, value, error) from None
            settled = settled and convert.settled(value)
        return finish(items, sink), settled

    def decode_inputs(self, encoded: Encoded, blobs: BlobStore | None = None) -> dict[str, Any]:
        """Fresh values by name, of the inputs that there are by now: they may be older than the signature.

        `blobs` is needed for large values. Raises TypeError, naming the variable, when a value cannot be rebuilt; what the store raises when it is damaged.
        """
        items, buffers = opened(encoded, blobs)
        values = {}
        for name, convert in self._converters.items():
            if name not in items:
                continue
            try:
                values[name] = convert.lift(items[name], buffers)
            except Exception as error:
                raise TypeError(
                    f"Error converting input '{name}':\nExpected Python type: {convert.annotation}\n"
                    f"Exception: {type(error).__name__}: {error}"
                ) from error
        return values

    def digest_without(self, encoded: Encoded, ignored: tuple[str, ...], blobs: BlobStore | None = None) -> bytes:
        """The digest of inputs, leaving some out. `blobs` is needed for large values."""
        if not ignored:
            return encoded.digest
        items, _ = tree(encoded, blobs)
        return digest_text(canonical_text({k: v for k, v in items.items() if k not in ignored}, tagged=True))

    @staticmethod
    def describe_inputs(encoded: Encoded, blobs: BlobStore | None = None) -> list[dict[str, Any]]:
        """`name`, `type`, `text`, `html` and `size` of each input, from the record alone; nothing is unpickled."""
        return describe_items(encoded, blobs)

    # --- out ------------------------------------------------------------------------------------------------------

    def encode_output(self, value: Any) -> tuple[Encoded | Draft, bool]:
        """Check and encode what the body returned; True beside it when it is immutable.

        Raises RuntimeDataValidationError when it does not fit the return annotation or cannot be pickled.
        """
        quick = self._quick_output
        if quick is not None and (encoded := quick(value)) is not None:
            return encoded, True
        self._look_again()
        if self._only is None:
            return self._encode_outputs(value)
        name, convert = self._only
        if isinstance(value, tuple) and not _takes_tuples(convert):
            self._refuse(name, _miscounted(value, convert))
        sink = Sink()
        node = self._lowered(name, convert, value, sink)
        return finish(node, sink, convert.plain), convert.settled(value)

    def _encode_outputs(self, value: Any) -> tuple[Encoded | Draft, bool]:
        results = self._results
        if not self._several:
            empty = isinstance(value, tuple) and not value
            if value is not None and not empty:
                text = shown(value if isinstance(value, tuple) else (value,))
                self._refuse("o0", f"Expected no outputs but got {text},did you miss a return type annotation?")
            return _NOTHING, value is None
        if self._rebuilt is not tuple:
            try:
                value = refitted(value, self._returned)
            except Mismatch as error:
                self._refuse(next(iter(results), "o0"), str(error))
        count = len(value) if isinstance(value, tuple) else 1
        if count != len(results) or not isinstance(value, tuple):
            self._refuse(
                next(iter(results)),
                f"Received {count} outputs but return annotation has {len(results)} outputs specified. ",
            )
        sink = Sink()
        pairs = list(zip(results.items(), value, strict=True))
        nodes = [self._lowered(name, convert, item, sink) for (name, convert), item in pairs]
        settled = self._rebuilt is tuple and type(value) is tuple
        return finish(sink.tag("tuple", v=nodes), sink), settled and all(c.settled(v) for (_, c), v in pairs)

    def _lowered(self, name: str, convert: Converter, value: Any, sink: Sink) -> Any:
        try:
            return convert.lower(value, sink)
        except (TypeError, ValueError, RecursionError) as error:
            raise RuntimeDataValidationError(name, error, self.name) from None

    def _refuse(self, name: str, reason: str) -> NoReturn:
        raise RuntimeDataValidationError(name, reason, self.name)

    def decode_output(self, encoded: Encoded, blobs: BlobStore | None = None) -> Any:
        """What the caller gets: a fresh value, a tuple (or the annotated NamedTuple) for several outputs.

        Raises RuntimeDataValidationError when it cannot be rebuilt; what the store raises when it is damaged.
        """
        self._look_again()
        node, buffers = opened(encoded, blobs)
        if self._only is not None:
            return self._lifted(*self._only, node, buffers)
        if not self._several:
            return None
        return self._rebuilt(
            self._lifted(name, convert, item, buffers)
            for (name, convert), item in zip(self._results.items(), node["v"], strict=True)
        )

    def _lifted(self, name: str, convert: Converter, node: Any, buffers: list[memoryview]) -> Any:
        try:
            return convert.lift(node, buffers)
        except Exception as error:
            raise RuntimeDataValidationError(name, f"{type(error).__name__}: {error}", self.name) from error

    def split_outputs(self, value: Any) -> dict[str, Any]:
        """What `decode_output` gave, by `o0`, `o1` …; empty when the task returns nothing."""
        if self._several:
            return {f"o{i}": item for i, item in enumerate(value)}
        return {"o0": value} if self._only is not None else {}


def _miscounted(value: tuple[Any, ...], convert: Converter) -> str:
    if len(value) == 1:
        return f"Received a tuple of one element but return annotation is {_shown_type(convert.annotation)}. "
    return f"Received {len(value)} outputs but return annotation has 1 outputs specified. "


def _takes_tuples(convert: Converter) -> bool:
    """Whether a tuple can be one output: Flyte counts its elements as outputs unless the annotation may mean it."""
    if convert.annotation is list:
        return False
    return not convert.plain and (convert.unchecked or "uple" in str(convert.annotation))


def _shown_type(annotation: Any) -> str:
    return annotation.__name__ if isinstance(annotation, type) else str(annotation)


def _explained(name: str, convert: Converter, value: Any, error: Exception) -> Exception:
    kind = ValueError if isinstance(error, ValueError) else TypeError
    return kind(
        f"Type conversion failed for variable '{name}'.\n"
        f"Expected type: {convert.annotation}\n"
        f"Actual type: {type(value)}\n"
        f"Value received: {shown(value)}\n"
        f"Reason: {error}"
    )
