"""A database that vanishes without a word is noticed within half a minute, from both ends."""

import socket

import psycopg
from psycopg.conninfo import conninfo_to_dict

from storage.database.roles import logins
from tests.services import address_of


def test_the_line_is_tried_while_nothing_is_said() -> None:
    with (
        psycopg.connect(logins(address_of("timescaledb")).owner) as tx,
        socket.socket(fileno=socket.dup(tx.fileno())) as line,
    ):
        idle_s = line.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE)
        pause_s = line.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL)
        tries = line.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT)
        assert line.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        assert idle_s + pause_s * tries <= 30
        assert line.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) <= 30_000
        at_server = tx.execute("SHOW tcp_keepalives_idle").fetchone()
    assert at_server == (str(idle_s),)


def test_what_the_address_says_of_the_line_stands() -> None:
    told = conninfo_to_dict(logins("postgresql://a:b@db/x?keepalives_idle=90").writer)
    assert (told["keepalives_idle"], told["keepalives_interval"]) == ("90", "5")
