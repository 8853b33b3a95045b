#!/usr/bin/env bash
# PostgreSQL with TimescaleDB (Apache edition) on 127.0.0.1, from Debian's packages, not installed.
#
#   timescaledb.sh start|stop|status|env|reset    as services.sh has them
#
# The system's own apt fetches a newer suite's packages with private lists and an empty status file;
# they are unpacked into a folder and started through their own dynamic loader, so that the system's
# libc is neither used nor changed. Works as root (the server then runs as postgres, else nobody) and
# as an ordinary user.
#
# Settings (environment): INOPSIO_SERVICES_DIR; TSDB_PORT (15432, the next free one if it is taken),
# TSDB_SUITE (trixie), TSDB_PG (17), TSDB_FAST (1: no fsync, for data that may be lost).
set -euo pipefail
umask 022
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
HOME_DIR=${INOPSIO_SERVICES_DIR:-$HERE/../../.services}
mkdir -p "$HOME_DIR/timescaledb"
DIR=$(cd "$HOME_DIR/timescaledb" && pwd)
CMD=${1:-help}
SUITE=${TSDB_SUITE:-trixie}
PG=${TSDB_PG:-17}
DB=inopsio

say() { echo "timescaledb.sh: $*" >&2; }
die() { say "$*"; exit 1; }

# The server refuses to run as root.
OWNER=$(id -un)
if [ "$(id -u)" = 0 ]; then
    if getent passwd postgres >/dev/null; then OWNER=postgres; else OWNER=nobody; fi
    # Where that user may not pass, root's folder is elsewhere.
    if ! setpriv --reuid="$OWNER" --regid="$(id -g "$OWNER")" --clear-groups test -x "$DIR"; then
        DIR=/var/tmp/inopsio-services-$(printf %s "$DIR" | cksum | cut -d' ' -f1)
        mkdir -p "$DIR"
        [ "$(stat -c %u "$DIR")" = 0 ] || die "$DIR belongs to somebody else"
    fi
fi
as_owner() {
    if [ "$(id -un)" = "$OWNER" ]; then "$@"
    else setpriv --reuid="$OWNER" --regid="$(id -g "$OWNER")" --clear-groups \
             env -u LD_LIBRARY_PATH HOME="$DIR" "$@"; fi
}

ROOT=$DIR/root
DATA=$DIR/data
LOG=$DIR/postgres.log
PASSWORD=$DIR/password
PORTFILE=$DIR/port
BIN=$ROOT/usr/lib/postgresql/$PG/bin
PORT=$(cat "$PORTFILE" 2>/dev/null || echo "${TSDB_PORT:-15432}")

fetch() {
    if [ -e "$DIR/.ready-$SUITE-$PG" ]; then
        grep -q '^here=' "$BIN/postgres" || wrap  # one of before, which knows where it was made
        return 0
    fi
    command -v apt-get >/dev/null || die "needs apt-get (Debian or a derivative)"
    command -v dpkg-deb >/dev/null || die "needs dpkg-deb"
    local apt=$DIR/apt src out=""
    rm -rf "$ROOT" "$apt"
    mkdir -p "$ROOT" "$apt"/{lists/partial,cache/archives/partial,etc}
    : > "$apt/status"
    # The system's own Debian sources, with the suite's name replaced.
    for src in /etc/apt/sources.list.d/debian.sources /etc/apt/sources.list; do
        [ -s "$src" ] || continue
        case $src in *.sources) out=$apt/etc/suite.sources ;; *) out=$apt/etc/suite.list ;; esac
        sed -E "s/\b(buster|bullseye|bookworm|trixie|forky|sid)\b/$SUITE/g" "$src" > "$out"
        break
    done
    [ -n "$out" ] || die "no Debian sources found under /etc/apt"
    local o=(-o "Dir::Etc::SourceList=$out" -o Dir::Etc::SourceParts=/dev/null
             -o Dir::Etc::Preferences=/dev/null -o Dir::Etc::PreferencesParts=/dev/null
             -o "Dir::State=$apt" -o "Dir::State::Lists=$apt/lists" -o "Dir::State::status=$apt/status"
             -o "Dir::Cache=$apt/cache" -o "Dir::Cache::archives=$apt/cache/archives"
             -o Debug::NoLocking=1 -o APT::Sandbox::User=root)
    say "fetching PostgreSQL $PG and TimescaleDB from Debian $SUITE"
    apt-get "${o[@]}" -qq update >"$apt/update.log" 2>&1 \
        || { tail -5 "$apt/update.log" >&2; die "apt-get update failed"; }
    apt-get "${o[@]}" -y -qq --no-install-recommends --download-only install \
        "postgresql-$PG-timescaledb" >"$apt/get.log" 2>&1 \
        || { tail -5 "$apt/get.log" >&2; die "the download failed"; }
    # Only the server, its client programs and shared libraries; no perl, no JIT.
    local deb
    for deb in "$apt"/cache/archives/*.deb; do
        case ${deb##*/} in
            libllvm*|libperl*|libclang*|*-doc_*|libjson-perl*|libgdbm*|libdb5*|libtext*) continue ;;
            postgresql-"$PG"*|postgresql-client-"$PG"*|lib*|zlib1g_*) ;;
            *) continue ;;
        esac
        dpkg-deb -x "$deb" "$ROOT"
    done
    wrap
    rm -rf "$apt/cache" "$apt/lists"
    "$BIN/postgres" --version >/dev/null || die "the unpacked server does not start"
    touch "$DIR/.ready-$SUITE-$PG"
}

# Make each program a wrapper that starts the real one by the unpacked loader, wherever the folder is.
wrap() {
    local loader f
    loader=$(cd "$ROOT" && find usr/lib*/ -name "ld-linux*.so.*" -type f -print -quit)
    [ -n "$loader" ] || die "no dynamic loader among the packages"
    mkdir -p "$BIN/real"
    for f in "$BIN"/*; do
        [ -f "$f" ] || continue
        if head -c4 "$f" | grep -q ELF; then mv "$f" "$BIN/real/${f##*/}"; fi
        [ -f "$BIN/real/${f##*/}" ] || continue
        cat > "$f.new" <<W
#!/bin/sh
here=\$(cd "\${0%/*}" && pwd)
root=\$here/../../../../..
exec "\$root/$loader" --library-path "\$root/${loader%/*}" --argv0 "\$here/${f##*/}" "\$here/real/${f##*/}" "\$@"
W
        chmod 755 "$f.new"
        mv "$f.new" "$f"
    done
}

listens() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }
running() {
    [ -s "$DATA/postmaster.pid" ] && kill -0 "$(head -1 "$DATA/postmaster.pid")" 2>/dev/null \
        && "$BIN/pg_isready" -q -h 127.0.0.1 -p "$PORT" 2>/dev/null
}
psql_() {
    PGPASSWORD=$(cat "$PASSWORD") PGCONNECT_TIMEOUT=5 \
        "$BIN/psql" -X -h 127.0.0.1 -p "$PORT" -U postgres -d "$@"
}
free_port() {
    local p
    for p in "$PORT" $(seq 15532 100 17332); do
        if ! listens "$p"; then PORT=$p; echo "$p" > "$PORTFILE"; return 0; fi
    done
    die "no free port from $PORT on"
}

make_cluster() {
    [ -s "$DATA/PG_VERSION" ] && return 0
    [ -s "$PASSWORD" ] || (umask 077; od -An -N18 -tx1 /dev/urandom | tr -d ' \n' > "$PASSWORD")
    rm -rf "$DATA"
    mkdir -p "$DATA" "$DIR/run"
    chmod 700 "$DATA"
    touch "$LOG"
    [ "$(id -u)" != 0 ] || chown "$OWNER" "$DATA" "$DIR/run" "$PASSWORD" "$LOG"
    (cd "$DIR" && as_owner "$BIN/initdb" -D "$DATA" -U postgres -E UTF8 --locale=C.UTF-8 \
        --data-checksums -A scram-sha-256 --pwfile="$PASSWORD" >>"$LOG" 2>&1) \
        || { tail -5 "$LOG" >&2; die "initdb failed"; }
    cat >> "$DATA/postgresql.conf" <<C
listen_addresses = '127.0.0.1'
max_connections = 200
shared_buffers = 256MB
max_wal_size = 2GB
jit = off
timezone = 'UTC'
shared_preload_libraries = 'timescaledb'
timescaledb.telemetry_level = off
C
}

start() {
    fetch
    if running; then say "already running on 127.0.0.1:$PORT"; return 0; fi
    make_cluster
    free_port
    # A copied folder may belong to who copied it.
    [ "$(id -u)" != 0 ] || [ "$(stat -c %U "$DATA")" = "$OWNER" ] \
        || chown -R "$OWNER" "$DATA" "$DIR/run" "$PASSWORD" "$LOG"
    local options="-p $PORT -k '$DIR/run'"
    [ "${TSDB_FAST:-0}" = 1 ] && options="$options -c fsync=off -c synchronous_commit=off -c full_page_writes=off"
    (cd "$DIR" && as_owner setsid "$BIN/pg_ctl" -D "$DATA" -l "$LOG" -o "$options" -w -t 90 start >/dev/null) \
        || { tail -15 "$LOG" >&2; die "the server did not start"; }
    psql_ postgres -Atqc "select 1 from pg_database where datname='$DB'" | grep -q 1 \
        || psql_ postgres -qc "create database \"$DB\""
    PGOPTIONS="-c client_min_messages=error" psql_ "$DB" -qc "create extension if not exists timescaledb"
    say "TimescaleDB $(psql_ "$DB" -Atqc "select extversion || ' (' || current_setting('timescaledb.license') || ')' from pg_extension where extname = 'timescaledb'") on 127.0.0.1:$PORT"
}

stop() {
    if [ ! -s "$DATA/postmaster.pid" ]; then say "not running"; return 0; fi
    (cd "$DIR" && as_owner "$BIN/pg_ctl" -D "$DATA" -m fast -w -t 60 stop >/dev/null) && say stopped
}

case $CMD in
    start)  start ;;
    stop)   stop ;;
    status) if running; then echo "TimescaleDB runs on 127.0.0.1:$PORT"
            else echo "TimescaleDB is stopped"; exit 3; fi ;;
    env)    [ -s "$PORTFILE" ] || die "start it first"
            echo "export INOPSIO_DATABASE_URL=postgresql://postgres:$(cat "$PASSWORD")@127.0.0.1:$PORT/$DB" ;;
    reset)  stop; rm -rf "$DATA" ;;
    *)      sed -n '2,/^set -e/p' "${BASH_SOURCE[0]}" | sed -n 's/^# \{0,1\}//p'; exit 2 ;;
esac
