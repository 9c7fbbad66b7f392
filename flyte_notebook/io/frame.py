"""`DataFrame`: a table as a value, whatever library made it and whatever library reads it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flyte_notebook.io import storage

if TYPE_CHECKING:
    from flyte_notebook.io.hashing import HashMethod

PARQUET = "parquet"
_CSV = "csv"
_TABLES = ("pandas.DataFrame", "pyarrow.Table", "polars.DataFrame")


@dataclass(eq=False)
class DataFrame:
    """A table: one in memory (`from_df`), or one in a file (`from_existing_remote`).

    `await df.open(pandas.DataFrame).all()`, or `.all_sync()`, gives it as the type that was asked for: pandas, or an
    Arrow table where pyarrow is installed. Between tasks a table in memory travels through the store, as a bare pandas
    DataFrame does.
    """

    uri: str | None = None
    format: str | None = ""
    hash: str | None = None
    """Stands for the content in a cluster's cache."""
    val: Any = field(default=None, repr=False)
    """The table in memory, if it is."""

    # --- where a table comes from ---

    @classmethod
    def wrap_df(cls, val: Any = None, uri: str | None = None) -> DataFrame:
        """A table in memory."""
        return cls(uri=uri, val=val)

    @classmethod
    def from_df(cls, val: Any = None, uri: str | None = None) -> DataFrame:
        """A table in memory; the older name of `wrap_df`."""
        return cls.wrap_df(val, uri)

    @classmethod
    def from_existing_remote(cls, remote_path: str, format: str | None = None, **kwargs: Any) -> DataFrame:
        """A table in a file or folder, read when it is asked for; `format` is `"parquet"` or `"csv"`."""
        return cls(uri=remote_path, format=format or "", **kwargs)

    @classmethod
    def from_local_sync(
        cls,
        df: Any,
        columns: Any = None,
        remote_destination: str | None = None,
        hash_method: HashMethod | str | None = None,
    ) -> DataFrame:
        """Take in a table: it stays in memory, or is written to `remote_destination` as Parquet.

        `hash_method` computes `hash` from the table; a string is the hash itself. `columns` describe the table to a
        cluster and change nothing here.
        """
        del columns
        if isinstance(hash_method, str) or hash_method is None:
            digest = hash_method
        else:
            hash_method.update(df)
            digest = hash_method.result()
        if remote_destination is None:
            return cls(val=df, hash=digest)
        if not storage.is_remote(remote_destination):
            storage.local(remote_destination).absolute().parent.mkdir(parents=True, exist_ok=True)
        _as_pandas(df).to_parquet(remote_destination)
        return cls(uri=remote_destination, format=PARQUET, hash=digest)

    @classmethod
    async def from_local(
        cls,
        df: Any,
        columns: Any = None,
        remote_destination: str | None = None,
        hash_method: HashMethod | str | None = None,
    ) -> DataFrame:
        """As `from_local_sync`, without blocking the loop."""
        return await asyncio.to_thread(cls.from_local_sync, df, columns, remote_destination, hash_method)

    # --- content ---

    def open(self, dataframe_type: type[Any]) -> DataFrame:
        """Say which type `all` and `iter` give: `pandas.DataFrame` or `pyarrow.Table`."""
        # Not a field, so that it is not recorded; absent in a table that comes from the record.
        self.__dict__["_wanted"] = dataframe_type
        return self

    def all_sync(self) -> Any:
        """The table, as the type given to `open`.

        Raises:
            ValueError: no type was given, or one that tables are not converted to here; or there is no table.
        """
        wanted: type[Any] | None = self.__dict__.get("_wanted")
        if wanted is None:
            raise ValueError("No dataframe type set. Use open() to set the local dataframe type you want to use.")
        return self.__flyte_unwrap__(wanted)

    async def all(self) -> Any:
        """As `all_sync`, without blocking the loop."""
        return await asyncio.to_thread(self.all_sync)

    async def iter(self) -> AsyncIterator[Any]:
        """The table in pieces: `async for piece in await df.open(pandas.DataFrame).iter()`; here it is one piece."""
        table = await self.all()

        async def pieces() -> AsyncIterator[Any]:
            yield table

        return pieces()

    # --- what the record asks, so that a table passes where an `io.DataFrame` is declared, and the other way round ---

    @classmethod
    def __flyte_wrap__(cls, value: Any) -> Any:
        """A bare table wrapped; anything else as it is."""
        kind = f"{type(value).__module__.partition('.')[0]}.{type(value).__name__}"
        return cls.wrap_df(value) if kind in _TABLES else value

    def __flyte_unwrap__(self, wanted: type[Any]) -> Any:
        """The table itself."""
        return _converted(self.val if self.val is not None else self._read(), wanted)

    def _read(self) -> Any:
        if self.uri is None:
            raise ValueError("The DataFrame has neither a table nor a uri. Make one with DataFrame.from_df(df).")
        import pandas as pd

        source = self.uri if storage.is_remote(self.uri) else storage.local(self.uri)
        kind = self.format or (_CSV if Path(self.uri).suffix == ".csv" else PARQUET)
        if kind == PARQUET:
            return pd.read_parquet(source)
        if kind == _CSV:
            return pd.read_csv(source)
        raise ValueError(f"DataFrames are read from {PARQUET} and {_CSV} here, not from {kind!r}: {self.uri}")


def _converted(table: Any, wanted: type[Any]) -> Any:
    if isinstance(table, wanted):
        return table
    name = f"{wanted.__module__.partition('.')[0]}.{wanted.__name__}"
    if name == "pandas.DataFrame":
        return _as_pandas(table)
    if name == "pyarrow.Table":
        return wanted.from_pandas(_as_pandas(table))
    raise ValueError(f"A table is given as pandas.DataFrame or pyarrow.Table here, not as {name}")


def _as_pandas(table: Any) -> Any:
    import pandas as pd

    if isinstance(table, pd.DataFrame):
        return table
    to_pandas = getattr(table, "to_pandas", None)
    if to_pandas is None:
        raise ValueError(f"{type(table).__name__} is not a table that can be given as a pandas.DataFrame")
    return to_pandas()
