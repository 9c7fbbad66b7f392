from __future__ import annotations

import datetime as dt
import logging
import os
import pickle
import stat
import threading
import time
from pathlib import Path

import pytest

from flyte_notebook.errors import JournalError, StoreError
from flyte_notebook.record import home as homes
from flyte_notebook.record.codec import converter
from flyte_notebook.record.envelope import EXTERNAL, INLINE
from flyte_notebook.record.model import Phase
from flyte_notebook.record.store import Store, default_home, open_store
from tests.record.journal_cases import RUN, clean, ended, finished, large, put, started, submitted, value

LONG_AGO = dt.timedelta(days=7)


@pytest.fixture
def store(home):
    store = open_store()
    yield store
    store.close()


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """A working folder without $FLYTE_NOTEBOOK_HOME, and with a data directory that is this test's."""
    monkeypatch.delenv("FLYTE_NOTEBOOK_HOME")
    monkeypatch.delenv("JPY_SESSION_NAME", raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setattr(homes, "_said", set())
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def become_somebody_else(monkeypatch):
    stranger = os.geteuid() + 1
    monkeypatch.setattr(os, "geteuid", lambda: stranger)


# --- where it is ------------------------------------------------------------------------------------------------------


def test_the_variable_says_where_the_store_is(home, monkeypatch):
    assert default_home() == home
    monkeypatch.setenv("FLYTE_NOTEBOOK_HOME", "~/runs")
    assert default_home() == Path.home() / "runs"


def test_otherwise_it_is_beside_the_notebook(elsewhere, monkeypatch, tmp_path):
    assert default_home() == elsewhere / ".flyte_notebook"
    notebooks = tmp_path / "notebooks"
    notebooks.mkdir()
    monkeypatch.setenv("JPY_SESSION_NAME", str(notebooks / "a.ipynb"))
    assert default_home() == notebooks / ".flyte_notebook"


@pytest.mark.parametrize("session", ["a.ipynb", "", "/no/such/folder/a.ipynb", "0b9c-uuid"])
def test_a_session_that_is_no_path_is_the_working_folder(elsewhere, monkeypatch, session):
    monkeypatch.setenv("JPY_SESSION_NAME", session)
    assert default_home() == elsewhere / ".flyte_notebook"


def test_on_a_network_file_system_it_moves_and_says_so_once(elsewhere, monkeypatch, tmp_path, caplog):
    monkeypatch.setattr(homes, "on_network", lambda path: path == elsewhere)
    assert default_home() == default_home() == tmp_path / "data" / "flyte_notebook"
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert record.getMessage() == (
        f"Runs are recorded in {tmp_path}/data/flyte_notebook, because {elsewhere} is on a network file system. "
        "Set FLYTE_NOTEBOOK_HOME to choose."
    )


def test_in_the_folder_of_another_user_it_moves(elsewhere, monkeypatch, tmp_path, caplog):
    become_somebody_else(monkeypatch)
    assert default_home() == tmp_path / "data" / "flyte_notebook"
    assert "belongs to another user" in caplog.text


MOUNTS = r"""
/dev/vda / ext4 rw 0 0
proc /proc proc rw 0 0
server:/home /home nfs4 rw 0 0
/dev/vdb /home/local ext4 rw 0 0
//server/share /mnt/win\040share cifs rw 0 0
user@host: /mnt/ssh fuse.sshfs rw 0 0
overlay /mnt/overlay fuse.fuse-overlayfs rw 0 0
C: /mnt/c 9p rw 0 0
/dev/vdc /twice ext4 rw 0 0
server:/twice /twice nfs rw 0 0
"""


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/", False),
        ("/srv/x", False),
        ("/home", True),
        ("/home/ann/notebooks", True),
        ("/homeless", False),
        ("/home/local/ann", False),
        ("/mnt/win share/x", True),
        ("/mnt/ssh", True),
        ("/mnt/overlay/x", False),
        ("/mnt/c/Users", True),
        ("/twice/x", True),
    ],
)
def test_network_file_systems_are_known_by_their_mounts(tmp_path, path, expected):
    mounts = tmp_path / "mounts"
    mounts.write_text(MOUNTS.lstrip())
    assert homes.on_network(Path(path), mounts) is expected
    assert homes.on_network(Path(path), tmp_path / "none") is False


# --- opening ----------------------------------------------------------------------------------------------------------


def test_a_store_is_closed_to_others_and_to_git(tmp_path):
    store = Store(tmp_path / "a" / "home")
    assert stat.S_IMODE(store.home.stat().st_mode) == 0o700
    assert (store.home / ".gitignore").read_text() == "*\n"
    assert {path.name for path in store.home.iterdir()} == {".gitignore", "journal.db"}
    store.close()


def test_a_store_that_was_open_to_others_is_closed_to_them(tmp_path):
    tmp_path.chmod(0o755)
    (tmp_path / ".gitignore").write_text("mine\n")
    Store(tmp_path).close()
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o700
    assert (tmp_path / ".gitignore").read_text() == "mine\n"


def test_each_process_opens_a_folder_once(home, tmp_path):
    store = open_store()
    assert open_store(home) is store
    (tmp_path / "link").symlink_to(home)
    assert open_store(tmp_path / "link") is store
    assert open_store(tmp_path / "other") is not store
    store.close()
    again = open_store()
    assert again is not store
    assert again.journal.usable
    again.close()
    open_store(tmp_path / "other").close()


def test_many_threads_get_the_same_store(home):
    stores = []
    threads = [threading.Thread(target=lambda: stores.append(open_store())) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(stores) == 8
    assert len({id(store) for store in stores}) == 1
    stores[0].close()


def test_changing_the_working_folder_does_not_move_the_store(elsewhere, tmp_path, monkeypatch):
    store = open_store()
    monkeypatch.chdir(tmp_path)
    assert open_store() is store
    store.close()
    assert open_store().home == tmp_path / ".flyte_notebook"
    open_store().close()


def test_another_variable_is_another_store(home, tmp_path, monkeypatch):
    store = open_store()
    monkeypatch.setenv("FLYTE_NOTEBOOK_HOME", str(tmp_path / "second"))
    second = open_store()
    assert second.home == tmp_path / "second"
    monkeypatch.setenv("FLYTE_NOTEBOOK_HOME", str(home))
    assert open_store() is store
    second.close()
    store.close()


def test_a_store_whose_journal_has_failed_is_opened_anew(store):
    put(store.journal, started())
    store.journal.append(started())
    with pytest.raises(JournalError):
        store.journal.flush().result(20)
    again = open_store()
    assert again is not store
    put(again.journal, started("second-1"))
    assert len(again.journal.runs()) == 2
    again.close()


def test_a_store_of_another_user_is_refused(tmp_path, monkeypatch):
    Store(tmp_path / "home").close()
    become_somebody_else(monkeypatch)
    with pytest.raises(StoreError, match=r"home belongs to another user: it is not used. Set FLYTE_NOTEBOOK_HOME"):
        Store(tmp_path / "home")


@pytest.mark.parametrize("name", ["journal.db", "journal.db-wal", "kernels"])
def test_a_link_in_the_place_of_the_journal_is_refused(tmp_path, name):
    (tmp_path / "trap").write_bytes(b"")
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / name).symlink_to(tmp_path / "trap")
    with pytest.raises(StoreError, match=f"{name} is not a regular file"):
        Store(tmp_path / "home")


# --- cleaning ---------------------------------------------------------------------------------------------------------


def age(store, *shas, days=1):
    for sha in shas:
        os.utime(store.blobs.path(sha), (time.time() - days * 86400,) * 2)


def record(store, run, number, *, days, blob=None, **more):
    """A finished run of `days` ago with one action whose output is `blob`."""
    at = time.time() - days * 86400
    put(store.journal, started(run, at=at, **more), submitted(number, run=run, at=at, inputs=value("1" * 500)))
    output = value() if blob is None else large(blob)
    put(store.journal, ended(number, run=run, at=at, output=output), finished(run, at=at))


def test_cleaning_removes_old_runs_and_what_only_they_needed(store):
    shared, old, new, unused = (store.blobs.put([bytes([number]) * 5000]) for number in range(4))
    record(store, "old-1", 1, days=30, blob=old)
    record(store, "old-2", 2, days=20, blob=shared)
    record(store, "new-3", 3, days=1, blob=shared)
    record(store, "new-4", 4, days=0, blob=new)
    age(store, shared, old, new, unused)
    expected = store.plan_cleaning(LONG_AGO)
    assert expected.runs == ["old-2", "old-1"]
    assert expected.blobs == 2
    assert 2 * 5000 + 1000 < expected.bytes < 2 * 5000 + 3000
    assert [store.blobs.exists(sha) for sha in (shared, old, new, unused)] == [True] * 4
    assert len(store.journal.runs()) == 4
    left = expected.left
    assert (left.runs, left.values, left.files) == (2, 2 * 5000, 0)
    assert (
        0 < left.journal < (store.home / "journal.db").stat().st_size + (store.home / "journal.db-wal").stat().st_size
    )
    assert clean(store, LONG_AGO) == expected
    assert [store.blobs.exists(sha) for sha in (shared, old, new, unused)] == [True, False, True, False]
    assert [run.name for run in store.journal.runs()] == ["new-4", "new-3"]
    assert store.journal.output("new-3", f"{3:020x}") == large(shared)
    assert clean(store, LONG_AGO).runs == []


def test_cleaning_gives_the_space_back(store):
    for number in range(200):
        record(store, f"old-{number:03}", number, days=30)
    store.journal.close()
    before = (store.home / "journal.db").stat().st_size
    assert len(clean(open_store(), LONG_AGO).runs) == 200
    open_store().close()
    assert (store.home / "journal.db").stat().st_size < before / 2


def test_runs_in_progress_are_never_removed_nor_what_they_resume_from(store):
    record(store, "base-1", 1, days=30)
    record(store, "other-2", 2, days=30)
    long_ago = time.time() - 30 * 86400
    put(store.journal, started("going-3", at=long_ago, resumed_from="base-1"), submitted(3, run="going-3"))
    assert store.plan_cleaning(LONG_AGO).runs == ["other-2"]
    assert store.journal.delete(["going-3", "base-1", "other-2", "unknown"]) == ["other-2"]
    put(store.journal, ended(3, run="going-3"), finished("going-3"))
    assert store.journal.run("going-3").phase is Phase.SUCCEEDED
    assert store.journal.delete(["base-1"]) == ["base-1"]


def test_values_on_their_way_into_the_record_are_not_removed(store):
    put(store.journal, started())
    fresh, stale = store.blobs.put([b"fresh" * 1000]), store.blobs.put([b"stale" * 1000])
    age(store, stale)
    assert clean(store, dt.timedelta(0)).blobs == 1
    assert [store.blobs.exists(sha) for sha in (fresh, stale)] == [True, False]
    put(store.journal, submitted(1), ended(1, output=large(fresh)), finished(at=time.time()))
    age(store, fresh)
    assert clean(store, LONG_AGO).blobs == 0


def test_blobs_that_values_name_stay_with_them(store):
    pieces = [os.urandom(EXTERNAL), os.urandom(EXTERNAL), os.urandom(INLINE // 2)]
    draft = converter(list[bytes]).encode(pieces)
    kept = draft.seal(store.blobs)
    small = converter(bytes).encode(os.urandom(EXTERNAL)).seal(store.blobs)
    put(store.journal, started(), submitted(1, inputs=small), ended(1, output=kept), finished(at=time.time()))
    names = [sha for sha, _, _ in store.blobs.scan()]
    assert len(names) >= 3
    age(store, *names)
    assert clean(store, LONG_AGO).blobs == 0
    assert converter(list[bytes]).decode(store.journal.output(RUN, f"{1:020x}"), store.blobs) == pieces
    assert clean(store, dt.timedelta(0)).blobs == len(names)
    assert list(store.blobs.scan()) == []


def test_a_damaged_value_does_not_stop_cleaning(store):
    sha = store.blobs.put([b"r\0\0\0\xff\xff\0\0{not json"])
    record(store, "new-1", 1, days=0, blob=sha)
    record(store, "old-2", 2, days=30)
    assert clean(store, LONG_AGO).runs == ["old-2"]
    assert store.blobs.exists(sha)


def make(folder, *, days):
    """A folder with a file in it, last changed `days` ago."""
    (folder / "sub").mkdir(parents=True)
    (folder / "sub" / "file.csv").write_bytes(b"1,2\n" * 1000)
    for path in (*folder.rglob("*"), folder):
        os.utime(path, (time.time() - days * 86400,) * 2)
    return folder


def speak(store, run, number, *paths):
    """A run of now with an action whose input names the first path, and whose output, a blob, pickles the others."""
    now = time.time()
    named = value(f'{{"$":"File","path":"{paths[0]}"}}')
    pickled = large(store.blobs.put([b"x" * 9000 + pickle.dumps([Path(path) for path in paths[1:]])]))
    put(store.journal, started(run, at=now), submitted(number, run=run, inputs=named, at=now))
    put(store.journal, ended(number, run=run, output=pickled, at=now), finished(run, at=now))


def test_files_of_a_run_go_with_it_unless_another_run_speaks_of_them(store):
    for run, number in (("gone-aaa111", 1), ("used-bbb222", 2), ("far-ccc333", 3), ("also-ddd444", 4)):
        record(store, run, number, days=30)
        make(store.runs / run, days=30)
    speak(
        store,
        "new-1",
        5,
        *(store.runs / name / "sub" / "file.csv" for name in ("used-bbb222", "far-ccc333", "also-ddd444")),
    )
    cleaned = clean(store, LONG_AGO)
    assert set(cleaned.runs) == {"gone-aaa111", "used-bbb222", "far-ccc333", "also-ddd444"}
    assert cleaned.bytes > 4000
    assert sorted(folder.name for folder in store.runs.iterdir()) == ["also-ddd444", "far-ccc333", "used-bbb222"]


def test_files_of_no_run_go_when_they_are_old_and_no_value_speaks_of_them(store):
    def content(number, days=30):
        return make(store.data / "content" / f"{number:02x}" / f"{number:02x}{'7' * 62}", days=days)

    used, pickled, fresh, gone = content(1), content(2), content(3, days=1), content(4)
    loose, lost = (make(store.data / "loose" / f"{number:016x}", days=30) for number in (1, 2))
    record(store, "old-1", 1, days=30)
    speak(store, "new-2", 2, used / "sub" / "file.csv", pickled, loose / "sub")
    dead, busy = make(store.data / ".incoming-dead", days=30), make(store.data / ".incoming-busy", days=0)
    assert store.plan_cleaning(LONG_AGO).bytes > 3 * 4000
    assert gone.exists()
    assert clean(store, LONG_AGO).bytes > 3 * 4000
    assert [path for path in (used, pickled, fresh, gone, loose, lost, dead, busy) if not path.exists()] == [
        gone,
        lost,
        dead,
    ]


@pytest.mark.parametrize(
    "name", ["..", ".", "", "../..", "../content", "link", "a/b", "./kept-1", "../../precious", "{precious}"]
)
def test_only_folders_of_runs_are_removed_whatever_a_run_is_called(store, name):
    precious = make(store.home / "precious", days=30)
    kept = [make(store.runs / "kept-1", days=30), make(store.runs / "a" / "b", days=30), precious]
    kept.append(make(store.data / "content" / "ab" / ("ab" * 32), days=1))
    (store.runs / "link").symlink_to(precious)
    name = name.format(precious=precious)
    record(store, name, 1, days=30)
    assert clean(store, LONG_AGO).runs == [name]
    assert all((folder / "sub" / "file.csv").exists() for folder in kept)
    assert (store.runs / "link").is_symlink()
