"""Files, folders and DataFrames as values of tasks: what travels is where the data is, not the data."""

from __future__ import annotations

from flyte_notebook.io.file import File
from flyte_notebook.io.folder import Dir, EmptyDir
from flyte_notebook.io.frame import PARQUET, DataFrame
from flyte_notebook.io.hashing import HashFunction

__all__ = ["PARQUET", "DataFrame", "Dir", "EmptyDir", "File", "HashFunction"]
