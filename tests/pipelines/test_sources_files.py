import gzip
import itertools
import os
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipelines.sources import Chunk
from pipelines.sources.files import FileSource, walk

LINE = b'{"class_uid":1007,"time":1600000000000}\n'


def texts(*paths: Path) -> dict[str, str]:
    """Give member -> start of what it says, or the reason why it does not."""
    return {i.member: i.reason or b"".join(i.chunks).decode() for i in walk(paths)}


def test_a_folder_is_read_in_depth_and_in_order(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "2").write_text("two")
    (tmp_path / "a.txt").write_text("one")
    with zipfile.ZipFile(tmp_path / "c.zip", "w") as archive:
        archive.writestr("m", "three")
    found = list(walk([tmp_path]))
    root = str(tmp_path)
    assert [i.file for i in found] == [f"{root}/a.txt", f"{root}/c.zip", f"{root}/b/2"]
    assert texts(tmp_path) == {
        f"{root}/a.txt": "one",
        f"{root}/c.zip!m": "three",
        f"{root}/b/2": "two",
    }


def test_links_out_of_the_folder_and_odd_files_are_not_read(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    (tmp_path / "secret").write_text("secret")
    (folder / "out").symlink_to(tmp_path / "secret")
    os.mkfifo(folder / "pipe")
    found = texts(folder, tmp_path / "none")
    assert found[f"{folder}/pipe"] == "not a regular file"
    assert "No such file" in found[f"{tmp_path}/none"]
    assert len(found) == 2


def test_the_same_content_is_the_same_source(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(LINE)
    (tmp_path / "b").write_bytes(LINE)
    (tmp_path / "c").write_bytes(LINE * 2)
    sources = [i.source("ocsf_json") for i in walk([tmp_path])]
    assert sources[0] == sources[1] != sources[2]


def test_reading_resumes_without_loss_or_double(tmp_path: Path) -> None:
    (tmp_path / "a.json.gz").write_bytes(gzip.compress(LINE * 1000))
    source = FileSource((str(tmp_path),), max_bytes=1000)
    whole = list(source.chunks({}))
    assert len(whole) > 10
    for cut in (1, 5, len(whole)):
        done = {whole[0].source: whole[cut - 1].offset}
        assert list(source.chunks(done)) == whole[cut:]
    assert b"".join(c.value for c in whole) == LINE * 1000


def test_what_is_refused_is_named_and_the_rest_is_read(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"\x89PNG\r\n\x1a\n")
    (tmp_path / "b").write_bytes(LINE)
    source = FileSource((str(tmp_path),))
    assert [c.name for c in source.chunks({})] == [f"{tmp_path}/b"]
    ((name, reason),) = source.refused
    assert name == f"{tmp_path}/a"
    assert "format not recognised" in reason


def following(file: Path) -> tuple[FileSource, Iterator[Chunk]]:
    """Follow a file; a wait without news ends it."""
    source = FileSource((str(file),), follow=True)
    source.wait = lambda _: source.close()
    return source, source.chunks({})


def test_a_growing_file_gives_whole_lines_only(tmp_path: Path) -> None:
    file = tmp_path / "log"
    file.write_bytes(LINE + LINE[:10])
    _, chunks = following(file)
    first = next(chunks)
    assert (first.value, first.offset, first.position) == (LINE, len(LINE), 0)
    with file.open("ab") as out:
        out.write(LINE[10:] + LINE)
    second = next(chunks)
    assert (second.value, second.position) == (LINE * 2, len(LINE))
    assert second.source == first.source
    assert list(chunks) == []


def test_rotation_and_truncation_lose_nothing(tmp_path: Path) -> None:
    file = tmp_path / "log"
    file.write_bytes(LINE * 3)
    _, chunks = following(file)
    seen = [next(chunks)]
    file.rename(tmp_path / "log.1")
    file.write_bytes(LINE)
    seen.append(next(chunks))
    with file.open("ab") as out:
        out.write(LINE * 5)
    seen.append(next(chunks))
    file.write_bytes(LINE * 2)
    seen.append(next(chunks))
    assert [len(c.value) // len(LINE) for c in seen] == [3, 1, 5, 2]
    assert len({c.source for c in seen}) == 3
    assert list(itertools.islice(chunks, 1)) == []


def test_a_followed_file_resumes_at_its_byte(tmp_path: Path) -> None:
    file = tmp_path / "log"
    file.write_bytes(LINE * 3)
    _, chunks = following(file)
    done = next(chunks)
    with file.open("ab") as out:
        out.write(LINE)
    source = FileSource((str(file),), follow=True)
    source.wait = lambda _: source.close()
    (more,) = source.chunks({done.source: done.offset})
    assert (more.value, more.position) == (LINE, 3 * len(LINE))


def test_an_unreadable_file_is_refused(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may read everything")
    (tmp_path / "a").write_bytes(LINE)
    (tmp_path / "a").chmod(0)
    assert "denied" in texts(tmp_path)[f"{tmp_path}/a"]
