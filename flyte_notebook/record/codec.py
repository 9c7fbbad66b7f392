"""Values on their way into and out of the record: the public face of encoding, decoding and describing."""

from __future__ import annotations

from flyte_notebook.record.annotations import converter
from flyte_notebook.record.converter import Converter, Mismatch
from flyte_notebook.record.encoded import Draft, Encoded
from flyte_notebook.record.envelope import references
from flyte_notebook.record.preview import describe, preview

__all__ = [
    "Converter",
    "Draft",
    "Encoded",
    "Mismatch",
    "converter",
    "describe",
    "preview",
    "references",
]
