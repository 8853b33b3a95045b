"""Hold the lake's files in an S3-compatible object store, and copies of what is read.

An object is whole or absent: a PUT shows it when the last byte came, a large one (in parts) when it
is completed. Its name ends in a mark of its content, so that writing it again, even by a worker
that was overtaken, puts the same bytes; no conditional write is needed, which not every store has.
Parts of an upload that was killed are no object; a rule of the bucket lets them go.
"""

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import obstore
from obstore.exceptions import BaseError
from obstore.store import S3Store

from storage.errors import InvalidInput, Unavailable
from storage.lake.cache import Cache
from storage.lake.store import Listed, make_folder
from storage.settings import Settings

_PART: Final = 8 << 20
"""Bytes of one request: a slow line must end it within the time of one."""
_REQUEST: Final = timedelta(seconds=60)
_RETRY: Final = {"max_retries": 5, "retry_timeout": timedelta(seconds=90)}
_LOOPBACK: Final = ("http://127.0.0.1", "http://localhost", "http://[::1]")


class BucketStore:
    """Keep the files as objects under a prefix of one bucket."""

    def __init__(self, store: S3Store, cache: Cache) -> None:
        """Keep the client and the folder of copies."""
        self._store = store
        self._cache = cache

    @property
    def root(self) -> Path:
        """Give the folder of the copies."""
        return self._cache.folder

    def folder_of(self, tenant_id: str) -> Path:
        """Make the folder of the tenant's copies: a sandbox is closed before the first comes."""
        folder = self._cache.folder_of(tenant_id)
        with _told("have a folder for copies"):
            make_folder(folder)
        return folder

    def put(self, place: str, content: memoryview) -> None:
        """Upload; on return the store has it."""
        with _told(f"write {place}"):
            obstore.put(self._store, place, content, chunk_size=_PART)

    def draft(self, tenant_id: str) -> Path:
        """Give a name among the copies."""
        return self._cache.draft(tenant_id)

    def adopt(self, draft: Path, place: str) -> None:
        """Upload the draft in parts, then make it the place's copy."""
        with _told(f"write {place}"):
            obstore.put(self._store, place, draft, chunk_size=_PART)
            self._cache.keep(draft, place)

    def local(self, files: Sequence[Listed]) -> list[Path]:
        """Give copies, fetched and held against their digests where they are missing."""
        return self._cache.have(files, self._fetch)

    def copy(self, place: str, to: Path) -> bool:
        """Fetch the object, past the copies; its digest is the backup's to check."""
        try:
            self._fetch(place, to)
        except Unavailable as e:
            if isinstance(e.__cause__, FileNotFoundError):
                return False
            raise
        return True

    def remove(self, places: Sequence[str]) -> None:
        """Delete objects and copies."""
        self._cache.drop(places)
        with _told("delete files"):
            for place in places:
                try:
                    obstore.delete(self._store, place)
                except FileNotFoundError:
                    continue

    def sweep(self, tenant_id: str, known: Collection[str], grace_s: float) -> None:
        """Delete objects without a manifest row that are older than the grace period."""
        limit = datetime.now(UTC) - timedelta(seconds=grace_s)
        with _told("list files"):
            left = [
                str(one["path"])
                for page in obstore.list(self._store, f"tenant={tenant_id}", chunk_size=1000)
                for one in page
                if one["path"] not in known and one["last_modified"] < limit
            ]
        self.remove(left)

    def _fetch(self, place: str, to: Path) -> None:
        with _told(f"read {place}"):
            size = int(obstore.head(self._store, place)["size"])
            with to.open("xb") as handle:
                for start in range(0, size, _PART):
                    end = min(start + _PART, size)
                    handle.write(obstore.get_range(self._store, place, start=start, end=end))


def open_bucket(settings: Settings) -> BucketStore:
    """Read INOPSIO_LAKE_URL and the INOPSIO_LAKE_* settings; InvalidInput names what is wrong.

    Without a key id the client looks for a login of its own: AWS_* variables, a web identity,
    the machine's role.
    """
    bucket, _, prefix = settings.lake_url.removeprefix("s3://").partition("/")
    if not settings.lake_url.startswith("s3://") or not bucket:
        raise InvalidInput(f"INOPSIO_LAKE_URL is {settings.lake_url!r}; write s3://BUCKET/PREFIX")
    if bool(settings.lake_key_id) != bool(settings.lake_secret):
        raise InvalidInput("set INOPSIO_LAKE_KEY_ID and INOPSIO_LAKE_SECRET both, or neither")
    config = {"region": settings.lake_region, "bucket": bucket}
    if settings.lake_endpoint:
        config["endpoint"] = settings.lake_endpoint
    if settings.lake_key_id:
        config["access_key_id"] = settings.lake_key_id
        config["secret_access_key"] = settings.lake_secret.reveal()
    if settings.lake_token:
        config["session_token"] = settings.lake_token.reveal()
    client: dict[str, Any] = {"timeout": _REQUEST, "allow_http": _is_local(settings)}
    if settings.lake_ca:
        try:
            client["root_certificate"] = Path(settings.lake_ca).read_bytes()
        except OSError as e:
            raise InvalidInput(f"INOPSIO_LAKE_CA cannot be read: {e.strerror or e}") from e
    options: dict[str, Any] = {"config": config, "client_options": client, "retry_config": _RETRY}
    with _told("be opened"):
        store = S3Store(prefix=prefix.strip("/") or None, **options)
    return BucketStore(
        store, Cache(settings.data_dir.resolve() / "lake-copies", settings.lake_cache_mb << 20)
    )


def _is_local(settings: Settings) -> bool:
    """Say whether the endpoint is in clear and on this machine; beyond it that is refused."""
    if not settings.lake_endpoint.startswith("http://"):
        return False
    host = settings.lake_endpoint.rstrip("/").rpartition(":")[0] or settings.lake_endpoint
    if host not in _LOOPBACK and settings.lake_endpoint.rstrip("/") not in _LOOPBACK:
        raise InvalidInput(
            f"INOPSIO_LAKE_ENDPOINT is {settings.lake_endpoint!r}: events would cross the network "
            "in clear; give an https:// address, and its CA in INOPSIO_LAKE_CA if it is your own"
        )
    return True


@contextmanager
def _told(doing: str) -> Iterator[None]:
    try:
        yield
    except (BaseError, OSError, ValueError) as e:
        # Its first line only: further ones hold the request. None of it holds the secret.
        reason = str(e).strip().split("\n", 1)[0][:300]
        raise Unavailable(f"the lake's object store cannot {doing}: {reason}") from e
