"""The signature of a task: binds arguments by name, checks and encodes what goes in and what comes out."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from flyte_notebook.engine.signature import output_types, parameters
from flyte_notebook.errors import RuntimeDataValidationError
from flyte_notebook.record.annotations import converter
from flyte_notebook.record.converter import Converter, shown
from flyte_notebook.record.encoded import Draft, Encoded, finish, opened
from flyte_notebook.record.envelope import Sink, canonical_text, digest_text
from flyte_notebook.record.scalars import Scalar

if TYPE_CHECKING:
    from flyte_notebook.record.blobs import BlobStore

_EMPTY = inspect.Parameter.empty


class Interface:
    """What goes into a task function and what comes out of it, compiled once."""

    def __init__(self, name: str, inputs: dict[str, tuple[Any, Any]], outputs: dict[str, Any]) -> None:
        self.name = name
        """The task's, for errors."""
        self.inputs = inputs
        """Annotation and default (`inspect.Parameter.empty`: none) by name, in the order of the signature."""
        self.outputs = outputs
        """Annotation by output name: none, `o0`, or several for a tuple."""
        self._names = tuple(inputs)
        self._converters = {name: converter(annotation) for name, (annotation, _) in inputs.items()}
        self._results = {name: converter(annotation) for name, annotation in outputs.items()}
        self._scalars = _scalar_writer(self._converters)

    @classmethod
    def of(cls, func: Callable[..., Any], task_name: str = "") -> Interface:
        """The interface of a function.

        Raises:
            ValueError: it takes `*args` or `**kwargs`.
            TypeError: it returns a tuple of one element or of variable length.
            NameError: an annotation names something that does not exist.
        """
        inputs, returned = parameters(func)
        return cls(task_name or getattr(func, "__name__", repr(func)), inputs, output_types(returned))

    def bind(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        """The arguments by name, in the order of the signature, defaults filled in.

        Raises ValueError for missing, surplus and unknown arguments.
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
            raise ValueError(f"{self.name} got multiple values for input {doubled[0]!r}")
        given.update(kwargs)
        unknown = [name for name in kwargs if name not in self.inputs]
        missing = [name for name in names if name not in given and self.inputs[name][1] is _EMPTY]
        if missing:
            raise ValueError(f"Missing required inputs: {', '.join(missing)}{_unexpected(unknown)}")
        if unknown:
            raise ValueError(
                f"Too many keyword arguments provided, expected inputs {self.inputs.keys()}, args {given.keys()}"
                f"{_unexpected(unknown)}"
            )
        return {name: given[name] if name in given else self.inputs[name][1] for name in names}

    def encode_inputs(self, values: dict[str, Any]) -> tuple[Encoded | Draft, bool]:
        """Check and encode bound values; True beside it when all are immutable, so `values` may go to the body.

        Raises TypeError when a value does not fit its annotation or cannot be pickled, ValueError when an int has more
        than 64 bits; both name the variable.
        """
        if self._scalars is not None and (encoded := self._scalars(values)) is not None:
            return encoded, True
        sink = Sink()
        tree: dict[str, Any] = {}
        settled = True
        for name, convert in self._converters.items():
            value = values[name]
            try:
                tree[name] = convert.lower(value, sink)
            except (TypeError, ValueError) as error:
                raise _explained(name, convert, value, error) from error
            settled = settled and convert.settled(value)
        return finish(tree, sink), settled

    def decode_inputs(self, encoded: Encoded, blobs: BlobStore | None = None) -> dict[str, Any]:
        """Fresh values by name."""
        tree, buffers = opened(encoded, blobs)
        return {name: convert.lift(tree[name], buffers) for name, convert in self._converters.items()}

    def digest_without(self, encoded: Encoded, ignored: tuple[str, ...], blobs: BlobStore | None = None) -> bytes:
        """The digest of inputs, leaving some out. `blobs` is needed for large values."""
        if not ignored:
            return encoded.digest
        tree, _ = opened(encoded, blobs)
        return digest_text(canonical_text({k: v for k, v in tree.items() if k not in ignored}, True))

    def encode_output(self, value: Any) -> tuple[Encoded | Draft, bool]:
        """Check and encode what the body returned; True beside it when it is immutable.

        Raises RuntimeDataValidationError when it does not fit the return annotation.
        """
        results = self._results
        if not results:
            if value is not None:
                raise RuntimeDataValidationError(
                    "o0",
                    f"Expected no outputs but got {shown((value,))},did you miss a return type annotation?",
                    self.name,
                )
            return _NOTHING, True
        sink = Sink()
        if len(results) == 1:
            ((name, convert),) = results.items()
            return finish(self._lower_output(name, convert, value, sink), sink, bool(convert.plain)), convert.settled(
                value
            )
        count = len(value) if isinstance(value, tuple) else 1
        if count != len(results):
            raise RuntimeDataValidationError(
                next(iter(results)),
                f"Received {count} outputs but return annotation has {len(results)} outputs specified. ",
                self.name,
            )
        nodes = [self._lower_output(n, c, v, sink) for (n, c), v in zip(results.items(), value, strict=True)]
        settled = all(c.settled(v) for c, v in zip(results.values(), value, strict=True))
        return finish(sink.tag("tuple", v=nodes), sink), settled

    def _lower_output(self, name: str, convert: Converter, value: Any, sink: Sink) -> Any:
        try:
            return convert.lower(value, sink)
        except (TypeError, ValueError) as error:
            raise RuntimeDataValidationError(name, error, self.name) from error

    def decode_output(self, encoded: Encoded, blobs: BlobStore | None = None) -> Any:
        """What the caller gets: a fresh value, a tuple for several outputs."""
        node, buffers = opened(encoded, blobs)
        if len(self._results) > 1:
            return tuple(c.lift(n, buffers) for c, n in zip(self._results.values(), node["v"], strict=True))
        for convert in self._results.values():
            return convert.lift(node, buffers)
        return None

    def split_outputs(self, value: Any) -> dict[str, Any]:
        """What `decode_output` gave, by `o0`, `o1` …; empty when the task returns nothing."""
        if len(self._results) > 1:
            return {f"o{i}": item for i, item in enumerate(value)}
        return {"o0": value} if self._results else {}

    @staticmethod
    def describe_inputs(encoded: Encoded, blobs: BlobStore | None = None) -> list[dict[str, Any]]:
        """`name`, `type`, `text`, `html` and `size` of each input, from the record alone; nothing is unpickled."""
        from flyte_notebook.record.preview import describe_items

        return describe_items(encoded, blobs)


_NOTHING = Encoded(b"jnull", None, digest_text("null"), 4, None)


def _unexpected(names: list[str]) -> str:
    return f" (unexpected: {', '.join(names)})" if names else ""


def _explained(name: str, convert: Converter, value: Any, error: Exception) -> Exception:
    kind = TypeError if isinstance(error, TypeError) else ValueError
    return kind(
        f"Type conversion failed for variable '{name}'.\n"
        f"Expected type: {convert.annotation}\n"
        f"Actual type: {type(value)}\n"
        f"Value received: {shown(value)}\n"
        f"Reason: {error}"
    )


def _scalar_writer(converters: dict[str, Converter]) -> Callable[[dict[str, Any]], Encoded | None] | None:
    """A function that encodes inputs that are all scalars without building a tree; it gives None when they are not
    of exactly their types (or too long), and the general path decides.
    """
    if not converters or not all(isinstance(c, Scalar) for c in converters.values()):
        return None
    return None
