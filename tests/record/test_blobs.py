from __future__ import annotations

import hashlib
import os
import stat
import threading
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flyte_notebook.errors import BlobCorruptError, StoreError
from flyte_notebook.record import blobs as module
from flyte_notebook.record.blobs import BlobStore

BIG = bytes(range(256)) * 8192
"""2 MB: mapped, not read."""


@pytest.fixture
def blobs(tmp_path):
    return BlobStore(tmp_path / "blobs")


def files(blobs):
    return [path for path in blobs.root.rglob("*") if path.is_file()]


def become_somebody_else(monkeypatch):
    stranger = os.geteuid() + 1
    monkeypatch.setattr(os, "geteuid", lambda: stranger)


@given(parts=st.lists(st.binary(max_size=100), max_size=5))
@settings(deadline=None)
def test_what_is_put_is_what_is_opened(tmp_path_factory, parts):
    blobs = BlobStore(tmp_path_factory.mktemp("blobs"))
    sha = blobs.put(parts)
    assert sha == hashlib.sha256(b"".join(parts)).hexdigest()
    assert bytes(blobs.open(sha)) == bytes(BlobStore(blobs.root).open(sha)) == b"".join(parts)


@pytest.mark.parametrize("content", [b"", b"small", BIG], ids=["empty", "read", "mapped"])
def test_readers_may_write_and_disturb_nobody(blobs, content):
    sha = blobs.put([content])
    one, other = blobs.open(sha), blobs.open(sha)
    assert not one.readonly
    one[:1] = b"!"[: len(content)]
    assert bytes(other) == bytes(blobs.open(sha)) == content


def test_parts_may_be_views_of_any_item_size(blobs):
    numbers = memoryview(bytearray(BIG)).cast("d")
    sha = blobs.put([b"head", numbers])
    assert bytes(blobs.open(sha)) == b"head" + BIG


def test_equal_content_is_written_once_however_it_is_cut(blobs):
    sha = blobs.put([BIG])
    before = blobs.path(sha).stat().st_ino
    assert blobs.put([BIG[:100], BIG[100:]]) == sha
    assert blobs.path(sha).stat().st_ino == before
    assert len(files(blobs)) == 1


def test_content_that_is_there_is_not_written_again(blobs, monkeypatch):
    sha = blobs.put([BIG])
    monkeypatch.setattr(os, "write", lambda *_: pytest.fail("written again"))
    assert blobs.put([BIG]) == sha


def test_content_that_only_begins_and_ends_like_another_is_content_of_its_own(blobs):
    other = bytearray(BIG)
    other[len(BIG) // 2] ^= 1
    assert bytes(blobs.open(blobs.put([BIG]))) == BIG
    assert bytes(blobs.open(blobs.put([other]))) == other


@pytest.mark.parametrize("known", [False, True], ids=["new", "known"])
@pytest.mark.parametrize("size", [10_000, 4 * len(BIG)], ids=["small", "large"])
def test_content_that_changes_while_it_is_put_has_the_name_of_what_was_stored(blobs, monkeypatch, size, known):
    content = bytearray(size)
    if known:
        blobs.put([content])
        blobs.remove(hashlib.sha256(content).hexdigest())
    real_open, real_write = os.open, os.write

    def change_and_open(path, flags, *more, **named):
        content[:] = b"w" * size
        return real_open(path, flags, *more, **named)

    def write_and_change(descriptor, piece):
        written = real_write(descriptor, piece)
        content[:] = b"x" * size
        return written

    monkeypatch.setattr(os, "open", change_and_open)
    monkeypatch.setattr(os, "write", write_and_change)
    sha = blobs.put([content])
    assert content[:1] == b"x"
    assert len(BlobStore(blobs.root).open(sha)) == size


def test_putting_again_marks_the_blob_as_used(blobs):
    sha = blobs.put([BIG])
    os.utime(blobs.path(sha), (1, 1))
    blobs.put([BIG])
    assert blobs.path(sha).stat().st_mtime > time.time() - 60


def test_many_threads_may_put_and_open_the_same_content(blobs):
    failures = []
    barrier = threading.Barrier(8)

    def work():
        barrier.wait()
        sha = blobs.put([BIG])
        if bytes(blobs.open(sha)) != BIG:
            failures.append(sha)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert len(files(blobs)) == 1


def test_files_and_folders_are_closed_to_other_users(blobs):
    path = blobs.path(blobs.put([b"secret"]))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_a_blob_is_verified_once_and_again_when_its_file_has_changed(blobs, monkeypatch):
    hashed = []
    original = module._sha256
    monkeypatch.setattr(module, "_sha256", lambda views: hashed.append(views) or original(views))
    sha = blobs.put([BIG])
    blobs.open(sha)
    assert len(hashed) == 0
    other = BlobStore(blobs.root)
    other.open(sha)
    other.open(sha)
    assert len(hashed) == 1
    with blobs.path(sha).open("r+b") as file:
        file.write(b"?")
    for store in (blobs, other):
        with pytest.raises(BlobCorruptError):
            store.open(sha)


@pytest.mark.parametrize("content", [b"some content", BIG], ids=["read", "mapped"])
@pytest.mark.parametrize("damage", ["flip", "cut", "grow", "empty"])
def test_damage_of_any_kind_is_noticed_and_named(blobs, content, damage):
    sha = blobs.put([content])
    path = blobs.path(sha)
    with path.open("r+b") as file:
        if damage == "flip":
            file.seek(len(content) // 2)
            file.write(bytes([content[len(content) // 2] ^ 1]))
        else:
            file.truncate({"cut": len(content) - 1, "grow": len(content) + 1, "empty": 0}[damage])
    with pytest.raises(BlobCorruptError, match="is damaged") as caught:
        blobs.open(sha)
    assert str(path) in str(caught.value)


def test_a_missing_blob_is_named(blobs):
    sha = blobs.put([b"x"])
    assert blobs.exists(sha)
    blobs.remove(sha)
    assert not blobs.exists(sha)
    with pytest.raises(BlobCorruptError, match="missing from the store. Run the cell again"):
        blobs.open(sha)


def test_a_blob_that_was_cut_short_is_written_again(blobs):
    sha = blobs.put([BIG])
    os.truncate(blobs.path(sha), 1000)
    assert blobs.put([BIG]) == sha
    assert bytes(blobs.open(sha)) == BIG


@pytest.mark.parametrize("known", [True, False], ids=["of this process", "of another"])
@pytest.mark.parametrize("content", [b"some content", BIG], ids=["small", "large"])
def test_a_blob_whose_content_was_changed_is_written_again(blobs, content, known):
    sha = blobs.put([content])
    with blobs.path(sha).open("r+b") as file:
        file.write(bytes([content[0] ^ 1]))
    writer = blobs if known else BlobStore(blobs.root)
    assert writer.put([content]) == sha
    assert bytes(writer.open(sha)) == content
    assert bytes(blobs.open(sha)) == content
    assert files(blobs) == [blobs.path(sha)]


@pytest.mark.parametrize("name", ["", "..", "../../etc/passwd", "A" * 64, "ab" * 31 + "/x", "ab" * 33])
def test_only_names_of_values_are_looked_up(blobs, name):
    for ask in (blobs.path, blobs.exists, blobs.open, blobs.peek, blobs.remove):
        with pytest.raises(StoreError, match="is not the name of a value"):
            ask(name)


def test_links_are_not_followed(blobs, tmp_path):
    sha = hashlib.sha256(b"elsewhere").hexdigest()
    (tmp_path / "elsewhere").write_bytes(b"elsewhere")
    blobs.path(sha).parent.mkdir(parents=True)
    blobs.path(sha).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StoreError, match="cannot be read"):
        blobs.open(sha)
    # Putting the same content replaces the link by the real thing.
    assert blobs.put([b"elsewhere"]) == sha
    assert not blobs.path(sha).is_symlink()
    assert bytes(blobs.open(sha)) == b"elsewhere"


def test_files_of_other_users_are_not_read(blobs, monkeypatch):
    sha = blobs.put([b"x"])
    become_somebody_else(monkeypatch)
    with pytest.raises(StoreError, match="belongs to another user"):
        blobs.open(sha)


def test_a_disk_that_cannot_be_written_leaves_nothing_behind(blobs, monkeypatch):
    def full(descriptor, data):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(StoreError, match=r"cannot be stored in .*No space left on device.*%flyte clean"):
        blobs.put([BIG])
    assert files(blobs) == []


def test_what_a_killed_process_left_half_written_is_cleared_away(blobs):
    sha = blobs.put([b"whole"])
    half = blobs.root / ".half-written"
    half.write_bytes(b"wh")
    blobs.remove_leftovers(time.time() - 600)
    assert half.exists()
    blobs.remove_leftovers(time.time() + 600)
    assert files(blobs) == [blobs.path(sha)]
    assert [name for name, _, _ in blobs.scan()] == [sha]


def test_an_open_value_outlives_its_file(blobs):
    sha = blobs.put([BIG])
    content = blobs.open(sha)
    blobs.remove(sha)
    assert bytes(content) == BIG


def test_many_open_values_do_not_use_up_the_file_handles(blobs):
    import resource

    sha = blobs.put([BIG])
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(256, hard), hard))
    try:
        held = [blobs.open(sha) for _ in range(300)]
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert {bytes(content[:1000]) for content in held} == {BIG[:1000]}


def test_peeking_gives_the_content_as_it_is_read_only(blobs):
    for content in (b"", b"small", BIG):
        seen = blobs.peek(blobs.put([content]))
        assert seen.readonly
        assert bytes(seen) == content
