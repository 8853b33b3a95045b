"""Write what the sensor on the wire and the Linux servers say: Zeek's JSON logs and syslog."""

import random
from datetime import UTC, datetime
from typing import Final

from deploy.demo.rows import Mark, Row, line

_LETTERS: Final = "ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz0123456789"


def _uid(dice: random.Random) -> str:
    return "C" + "".join(dice.choices(_LETTERS, k=17))


def flow(
    dice: random.Random,
    time_us: int,
    origin: str,
    target: tuple[str, int],
    sent: int,
    got: int,
    *,
    seconds: float | None = None,
    service: str = "ssl",
    proto: str = "tcp",
    mark: Mark | None = None,
) -> Row:
    """Say one connection from `origin` to (address, port): bytes of payload sent and got."""
    packets_out, packets_in = 4 + sent // 1400, 4 + got // 1400
    seconds = dice.lognormvariate(0.5, 1.2) if seconds is None else seconds
    return line(
        time_us,
        "zeek-conn",
        {
            "_path": "conn",
            "ts": round(time_us / 1e6, 6),
            "uid": _uid(dice),
            "id.orig_h": origin,
            "id.orig_p": dice.randint(49152, 65535),
            "id.resp_h": target[0],
            "id.resp_p": target[1],
            "proto": proto,
            "service": service,
            "duration": round(seconds, 6),
            "orig_bytes": sent,
            "resp_bytes": got,
            "conn_state": "SF",
            "local_orig": True,
            "local_resp": target[0].startswith("10."),
            "missed_bytes": 0,
            "orig_pkts": packets_out,
            "orig_ip_bytes": sent + 40 * packets_out,
            "resp_pkts": packets_in,
            "resp_ip_bytes": got + 40 * packets_in,
        },
        mark,
    )


def asked(
    dice: random.Random,
    time_us: int,
    origin: str,
    server: str,
    name: str,
    answer: str,
    mark: Mark | None = None,
) -> Row:
    """Say that `origin` asked the name server for a name; '' as the answer: there is none."""
    return line(
        time_us,
        "zeek-dns",
        {
            "_path": "dns",
            "ts": round(time_us / 1e6, 6),
            "uid": _uid(dice),
            "id.orig_h": origin,
            "id.orig_p": dice.randint(49152, 65535),
            "id.resp_h": server,
            "id.resp_p": 53,
            "proto": "udp",
            "trans_id": dice.randrange(65536),
            "query": name,
            "qclass_name": "C_INTERNET",
            "qtype_name": "A",
            "rcode_name": "NOERROR" if answer else "NXDOMAIN",
            "answers": [answer] if answer else [],
        },
        mark,
    )


def syslog(time_us: int, host: str, program: str, pid: int, text: str) -> Row:
    """Say a line of a Linux server as rsyslog forwards it."""
    at = datetime.fromtimestamp(time_us / 1e6, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f+00:00")
    return Row(time_us, "linux", f"{at} {host} {program}[{pid}]: {text}".encode())
