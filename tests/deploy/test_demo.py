from datetime import UTC, datetime, timedelta
from pathlib import Path

from deploy.demo.bad_day import story
from deploy.ingest import read_only

NOW = datetime(2026, 1, 2, 12, tzinfo=UTC)


def test_every_sample_is_read_whole(tmp_path: Path) -> None:
    results = list(read_only(story(tmp_path, NOW), "main", None))
    assert len(results) == 9
    assert [r for r in results if not r.is_whole() or not r.events] == []
    assert len({r.format for r in results}) >= 7


def test_the_story_is_told_once(tmp_path: Path) -> None:
    first = [p.read_bytes() for p in story(tmp_path, NOW)]
    assert [p.read_bytes() for p in story(tmp_path, NOW + timedelta(days=1))] == first
    assert not any(b"{{" in text for text in first)
