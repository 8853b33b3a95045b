import polars as pl

from pipelines.parsers.auditd import parse, split

EVENT = b"""type=SYSCALL msg=audit(1.000:%d): arch=c000003e syscall=59 pid=7 exe="/bin/id" auid=1000
type=EXECVE msg=audit(1.000:%d): argc=1 a0="id"
"""


def test_message_never_parts_an_audit_event() -> None:
    text = b"".join(EVENT % (n, n) for n in range(500))
    messages = list(split([text], 1000))
    assert len(messages) > 1 or messages[0][1] == text
    for _, message in messages:
        assert message.startswith(b"type=SYSCALL")


def test_same_id_far_away_is_another_event() -> None:
    other = b"".join(EVENT % (n, n) for n in range(100, 140))
    late = b'type=EXECVE msg=audit(1.000:1): argc=1 a0="late"\n'
    parts = list(parse([EVENT % (1, 1) + other + late]))
    frame = pl.concat([part.frame for part in parts], how="diagonal")
    assert frame["process.file.path"].to_list()[1] == "/bin/id"
    assert frame["process.file.path"].to_list()[-1] is None
