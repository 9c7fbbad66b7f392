"""Files, folders and DataFrames: what travels is where the data is, and what is recorded stays as it was."""

from __future__ import annotations

import hashlib
import os
import stat
import sys
from pathlib import Path

import pandas as pd
import pytest

import flyte_notebook as flyte
from flyte_notebook.io import DataFrame, Dir, EmptyDir, File, HashFunction, storage

env = flyte.TaskEnvironment("io")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "data.csv"
    path.write_text("a,b\n1,2\n")
    return path


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A folder: b.txt, a.txt, sub/c.csv, sub/deep/d.txt, and an empty folder."""
    folder = tmp_path / "tree"
    (folder / "sub" / "deep").mkdir(parents=True)
    (folder / "empty").mkdir()
    for name in ("b.txt", "a.txt", "sub/c.csv", "sub/deep/d.txt"):
        (folder / name).write_text(name)
    return folder


class TestFilesBetweenTasks:
    def test_written_by_one_task_are_read_by_the_next(self):
        @env.task
        async def write() -> File:
            file = File.new_remote("hello.txt")
            async with file.open("wb") as stream:
                assert await stream.write(b"hello") == 5
            return file

        @env.task
        def read(file: File[str]) -> str:
            with file.open_sync("r") as stream:
                return f"{file.name}: {stream.read()}"

        @env.task
        async def main() -> str:
            return await read.aio(await write())

        assert flyte.run(main).outputs()[0] == "hello.txt: hello"

    def test_of_one_run_lie_in_its_own_folder(self, home):
        @env.task
        async def write() -> str:
            return File.new_remote("x").path

        run = flyte.run(write)
        assert Path(run.outputs()[0]).is_relative_to(home / "data" / "runs" / run.name)

    def test_go_to_the_raw_data_path_that_a_run_is_given(self, tmp_path):
        @env.task
        async def write() -> str:
            return File.new_remote("x").path

        run = flyte.with_runcontext(raw_data_path=str(tmp_path / "raw")).run(write)
        assert Path(run.outputs()[0]).is_relative_to(tmp_path / "raw")

    def test_with_a_name_have_the_same_path_in_every_attempt(self):
        paths = []

        @env.task(retries=flyte.RetryStrategy(1, flyte.Backoff(flyte_timedelta(0))))
        async def flaky() -> str:
            file = File.named_remote("model.bin")
            paths.append(file.path)
            if len(paths) == 1:
                async with file.open("wb") as stream:
                    await stream.write(b"half")
                raise OSError("lost")
            async with file.open("rb") as stream:
                return (await stream.read()).decode()

        assert flyte.run(flaky).outputs()[0] == "half"
        assert paths[0] == paths[1]

    def test_with_a_name_need_a_task_and_a_plain_name(self):
        with pytest.raises(ValueError, match="requires an active task execution context"):
            File.named_remote("x")

        @env.task
        async def outside() -> None:
            File.named_remote("../x")

        with pytest.raises(flyte.errors.RuntimeUserError, match="takes a plain file name"):
            flyte.run(outside)


class TestFilesOfThisMachine:
    def test_are_copied_so_that_the_record_stays_when_they_change(self, source):
        file = File.from_local_sync(source)
        source.write_text("changed")
        with file.open_sync() as stream:
            assert stream.read() == b"a,b\n1,2\n"
        assert file.name == "data.csv"

    async def test_are_taken_in_without_blocking_the_loop(self, source):
        file = await File.from_local(source)
        async with file.open("rb") as stream:
            assert await stream.read() == b"a,b\n1,2\n"

    def test_of_equal_content_are_kept_once_and_have_equal_paths(self, source, tmp_path):
        copy = tmp_path / "elsewhere" / "data.csv"
        copy.parent.mkdir()
        copy.write_text(source.read_text())
        assert File.from_local_sync(source) == File.from_local_sync(copy)

    def test_that_are_there_already_count_as_just_used(self, source):
        path = Path(File.from_local_sync(source).path)
        os.utime(path.parent, (1, 1))
        File.from_local_sync(source)
        assert path.parent.stat().st_mtime > 1

    def test_of_other_content_have_other_paths(self, source):
        before = File.from_local_sync(source)
        source.write_text("changed")
        assert File.from_local_sync(source).path != before.path

    def test_leave_nothing_half_copied_behind(self, source, home):
        File.from_local_sync(source)
        File.from_local_sync(source)
        assert [p.name for p in (home / "data").iterdir()] == ["content"]

    def test_go_where_they_are_told_to(self, source, tmp_path):
        file = File.from_local_sync(source, str(tmp_path / "new" / "copy.csv"))
        assert file.path == str(tmp_path / "new" / "copy.csv")
        assert Path(file.path).read_text() == source.read_text()

    @pytest.mark.parametrize("make", [File.from_local_sync, Dir.from_local_sync])
    def test_that_do_not_exist_are_an_error(self, make):
        with pytest.raises(ValueError, match="not found: /nowhere"):
            make("/nowhere")

    def test_cannot_be_written_to_once_recorded_not_even_by_the_superuser(self, source):
        file = File.from_local_sync(source)
        with pytest.raises(PermissionError, match=r"File\.new_remote"), file.open_sync("a"):
            raise AssertionError("opened")
        assert not Path(file.path).stat().st_mode & (stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH)

    def test_that_are_already_there_are_only_referred_to(self, source):
        file = File.from_existing_remote(str(source), file_cache_key="k")
        assert (file.path, file.name, file.hash) == (str(source), "data.csv", "k")
        assert File.from_existing_remote(f"file://{source}").exists_sync()


class TestOpening:
    async def test_gives_lines_text_and_positions_to_async_code(self, source):
        file = File(path=str(source))
        async with file.open("r") as stream:
            assert [line async for line in stream] == ["a,b\n", "1,2\n"]
            assert await stream.seek(4) == await stream.tell()
            assert await stream.readline() == "1,2\n"
            await stream.seek(0)
            assert await stream.readlines() == ["a,b\n", "1,2\n"]

    async def test_writes_lines_from_async_code(self, tmp_path):
        file = File(path=str(tmp_path / "new" / "out.txt"))
        async with file.open("w") as stream:
            await stream.writelines(["a\n", "b\n"])
            await stream.flush()
        assert Path(file.path).read_text() == "a\nb\n"

    async def test_closes_the_file_also_after_an_error(self, source):
        with pytest.raises(KeyError):
            async with File(path=str(source)).open("rb") as stream:
                raise KeyError("body")
        with pytest.raises(ValueError, match="closed"):
            await stream.read()

    async def test_a_file_that_is_missing_is_an_error(self, tmp_path):
        file = File(path=str(tmp_path / "missing"))
        assert not await file.exists()
        with pytest.raises(FileNotFoundError):
            async with file.open("rb"):
                raise AssertionError("opened")


class TestHashes:
    def test_come_from_a_string(self, source):
        assert File.from_local_sync(source, hash_method="k").hash == "k"
        assert File.new_remote(hash_method="k").hash == "k"

    def test_come_from_a_function_of_the_whole_content(self, source):
        method = HashFunction.from_fn(lambda data: hashlib.md5(data).hexdigest())
        expected = hashlib.md5(source.read_bytes()).hexdigest()
        assert File.from_local_sync(source, hash_method=method).hash == expected

    async def test_are_computed_when_a_new_file_was_written(self):
        file = File.new_remote("x", hash_method=Counting())
        async with file.open("wb") as stream:
            await stream.write(b"12345")
        assert file.hash == "5"
        with file.open_sync("ab") as stream:
            stream.write(b"678")
        assert file.hash == "13"

    def test_of_nothing_are_an_error(self):
        with pytest.raises(ValueError, match="No data was hashed yet"):
            HashFunction(str).result()


class Counting:
    """Hashes to the number of bytes it was ever given."""

    def __init__(self) -> None:
        self.size = 0

    def update(self, data: memoryview) -> None:
        self.size += len(data)

    def result(self) -> str:
        return str(self.size)


class TestDownloads:
    def test_without_a_path_stay_where_they_are(self, source, tree):
        assert File(path=str(source)).download_sync() == str(source)
        assert Dir(path=str(tree)).download_sync() == str(tree)

    async def test_go_to_a_path_and_may_be_changed_there(self, source, tmp_path):
        file = File.from_local_sync(source)
        path = await file.download(tmp_path / "copy" / "mine.csv")
        assert path == str(tmp_path / "copy" / "mine.csv")
        Path(path).write_text("changed")
        assert Path(file.path).read_text() == "a,b\n1,2\n"

    @pytest.mark.parametrize("exists", [True, False])
    def test_go_into_a_folder_under_their_own_name(self, source, tmp_path, exists):
        folder = tmp_path / "into"
        if exists:
            folder.mkdir()
        path = File(path=str(source)).download_sync(f"{folder}/")
        assert path == str(folder / "data.csv")
        assert Path(path).read_text() == "a,b\n1,2\n"

    async def test_of_folders_bring_all_files(self, tree, tmp_path):
        path = await Dir.from_local_sync(tree).download(tmp_path / "copy")
        assert (Path(path) / "sub" / "deep" / "d.txt").read_text() == "sub/deep/d.txt"


class TestFolders:
    async def test_are_walked_by_name_those_of_a_folder_first(self, tree):
        folder = Dir.from_local_sync(tree)
        assert [f.name async for f in folder.walk()] == ["a.txt", "b.txt", "c.csv", "d.txt"]
        assert [f.name async for f in folder.walk(max_depth=2)] == ["a.txt", "b.txt", "c.csv"]
        assert [f.name async for f in folder.walk(recursive=False)] == ["a.txt", "b.txt"]
        assert [f.name for f in folder.walk_sync(file_pattern="*.csv")] == ["c.csv"]
        assert [f.name for f in await folder.list_files()] == ["a.txt", "b.txt"]

    async def test_give_a_file_by_name(self, tree):
        folder = await Dir.from_local(tree)
        file = await folder.get_file("sub/c.csv")
        assert file is not None
        with file.open_sync("r") as stream:
            assert stream.read() == "sub/c.csv"
        assert await folder.get_file("nope") is None

    def test_are_copied_and_of_equal_content_kept_once(self, tree):
        first = Dir.from_local_sync(tree)
        assert Dir.from_local_sync(tree) == first
        (tree / "a.txt").write_text("changed")
        second = Dir.from_local_sync(tree)
        assert second.path != first.path
        assert Path(first.path, "a.txt").read_text() == "a.txt"

    def test_that_lead_back_to_themselves_are_walked_once(self, tree):
        (tree / "sub" / "loop").symlink_to(tree)
        assert [f.name for f in Dir.from_local_sync(tree).walk_sync()] == ["a.txt", "b.txt", "c.csv", "d.txt"]

    def test_new_ones_can_be_filled(self):
        folder = Dir.new_remote("out")
        Path(folder.path, "a.txt").write_text("a")
        assert folder.name == "out"
        assert folder.exists_sync()
        assert [f.name for f in folder.list_files_sync()] == ["a.txt"]

    async def test_can_be_missing_or_none_at_all(self, tmp_path):
        assert not await Dir(path=str(tmp_path / "missing")).exists()
        assert Dir.empty().is_empty
        assert EmptyDir().is_empty
        assert not Dir(path="x").is_empty

    def test_travel_between_tasks(self, tree):
        @env.task
        async def produce(wanted: bool) -> Dir:
            return await Dir.from_local(tree) if wanted else Dir.empty()

        @env.task
        async def main() -> list[str]:
            assert (await produce(False)).is_empty
            return [file.name async for file in (await produce(True)).walk()]

        assert flyte.run(main).outputs()[0] == ["a.txt", "b.txt", "c.csv", "d.txt"]


class TestTables:
    frame = pd.DataFrame({"a": [1, 2], "b": ["x", "y"]})

    def test_travel_between_tasks(self):
        @env.task
        async def produce() -> DataFrame:
            return DataFrame.from_df(self.frame)

        @env.task
        async def consume(table: DataFrame) -> int:
            frame = await table.open(pd.DataFrame).all()
            return int(frame["a"].sum())

        @env.task
        async def main() -> int:
            return await consume(await produce())

        assert flyte.run(main).outputs()[0] == 3

    def test_pass_where_a_bare_frame_is_declared_and_the_other_way_round(self):
        @env.task
        async def wrapped(table: DataFrame) -> pd.DataFrame:
            return await table.open(pd.DataFrame).all()

        @env.task
        async def bare(frame: pd.DataFrame) -> DataFrame:
            return frame  # type: ignore[return-value]

        @env.task
        async def main() -> DataFrame:
            return await bare(DataFrame.from_df(await wrapped(self.frame)))

        assert flyte.run(main).outputs()[0].open(pd.DataFrame).all_sync().equals(self.frame)

    def test_are_not_made_of_other_things(self):
        @env.task
        async def wrapped(table: DataFrame) -> None:
            pass

        with pytest.raises(Exception, match="Type conversion failed for variable 'table'"):
            flyte.run(wrapped, table=[1, 2])

    async def test_are_given_as_the_type_that_is_asked_for(self):
        import pyarrow as pa

        table = DataFrame.wrap_df(self.frame)
        assert table.open(pd.DataFrame).all_sync() is self.frame
        arrow = await table.open(pa.Table).all()
        assert arrow.to_pydict() == {"a": [1, 2], "b": ["x", "y"]}
        assert DataFrame.wrap_df(arrow).open(pd.DataFrame).all_sync().equals(self.frame)
        assert [len(piece) async for piece in await table.open(pd.DataFrame).iter()] == [2]

    @pytest.mark.parametrize("format_", ["csv", "parquet"])
    def test_are_read_from_files(self, tmp_path, format_):
        path = tmp_path / f"table.{format_}"
        getattr(self.frame, f"to_{format_}")(path, index=False)
        for table in (
            DataFrame.from_existing_remote(str(path)),
            DataFrame.from_existing_remote(f"file://{path}", format=format_),
        ):
            assert table.open(pd.DataFrame).all_sync().equals(self.frame)

    async def test_are_written_where_they_are_told_to(self, tmp_path):
        method = HashFunction.from_fn(lambda frame: str(frame["a"].sum()))
        table = await DataFrame.from_local(
            self.frame, remote_destination=str(tmp_path / "new" / "t.parquet"), hash_method=method
        )
        assert (table.hash, table.format, table.val) == ("3", "parquet", None)
        assert table.open(pd.DataFrame).all_sync().equals(self.frame)
        assert DataFrame.from_local_sync(self.frame, hash_method="k").hash == "k"

    def test_say_what_is_missing_or_impossible(self, tmp_path):
        with pytest.raises(ValueError, match="No dataframe type set"):
            DataFrame.from_df(self.frame).all_sync()
        with pytest.raises(ValueError, match="neither a table nor a uri"):
            DataFrame().open(pd.DataFrame).all_sync()
        with pytest.raises(ValueError, match="not from 'avro'"):
            DataFrame.from_existing_remote("x", format="avro").open(pd.DataFrame).all_sync()
        with pytest.raises(ValueError, match=r"not as builtins\.dict"):
            DataFrame.from_df(self.frame).open(dict).all_sync()
        with pytest.raises(ValueError, match="dict is not a table"):
            DataFrame.from_df({"a": [1]}).open(pd.DataFrame).all_sync()


def test_a_remote_path_without_fsspec_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "fsspec.core", None)
    with pytest.raises(ImportError, match=r"s3://bucket/key is not on this machine\. To reach it: pip install fsspec"):
        File(path="s3://bucket/key").exists_sync()


@pytest.mark.parametrize(
    ("path", "remote"), [("s3://b/k", True), ("memory://x", True), ("file:///x", False), ("/x", False), ("C:x", False)]
)
def test_a_uri_of_another_place_is_remote(path, remote):
    assert storage.is_remote(path) is remote


def flyte_timedelta(seconds: float):
    import datetime as dt

    return dt.timedelta(seconds=seconds)


class TestRemotePaths:
    """Any place that fsspec reaches; here, its in-memory file system."""

    @pytest.fixture(autouse=True)
    def _emptied(self):
        from fsspec.implementations.memory import MemoryFileSystem

        MemoryFileSystem.store.clear()
        MemoryFileSystem.pseudo_dirs[:] = [""]

    async def test_files_are_put_read_and_fetched(self, source, tmp_path):
        file = await File.from_local(source, "memory://bucket/data.csv", hash_method=Counting())
        assert (file.path, file.name, file.hash) == ("memory://bucket/data.csv", "data.csv", "8")
        assert await file.exists()
        async with file.open("rb", block_size=4) as stream:
            assert await stream.read() == source.read_bytes()
        for path in (await file.download(), file.download_sync(tmp_path / "copy.csv")):
            assert Path(path).name in ("data.csv", "copy.csv")
            assert Path(path).read_text() == source.read_text()

    def test_files_are_written_where_a_run_keeps_its_raw_data(self):
        @env.task
        def write() -> File:
            file = File.new_remote("out.txt")
            with file.open_sync("wb") as stream:
                stream.write(b"hello")
            return file

        file = flyte.with_runcontext(raw_data_path="memory://raw/").run(write).outputs()[0]
        assert file.path.startswith("memory://raw/")
        with file.open_sync("r") as stream:
            assert stream.read() == "hello"

    async def test_folders_are_put_walked_and_fetched(self, tree, tmp_path):
        folder = await Dir.from_local(tree, "memory://bucket/tree")
        assert await folder.exists()
        assert [f.path async for f in folder.walk()] == [
            f"memory:///bucket/tree/{name}" for name in ("a.txt", "b.txt", "sub/c.csv", "sub/deep/d.txt")
        ]
        assert [f.name for f in await folder.list_files()] == ["a.txt", "b.txt"]
        file = await folder.get_file("sub/c.csv")
        assert file is not None
        with file.open_sync("r") as stream:
            assert stream.read() == "sub/c.csv"
        for path in (await folder.download(), folder.download_sync(tmp_path / "copy")):
            assert Path(path, "sub", "deep", "d.txt").read_text() == "sub/deep/d.txt"
        assert not Dir(path="memory://bucket/none").exists_sync()

    def test_tables_are_written_and_read(self):
        frame = pd.DataFrame({"a": [1, 2]})
        table = DataFrame.from_local_sync(frame, remote_destination="memory://bucket/t.parquet")
        assert table.open(pd.DataFrame).all_sync().equals(frame)
