"""Give the text of the agent's systemd units: each with the rights that it needs, and no others.

`inopsio-agent.service` ships: it has the network, no rights. `inopsio-agent-watch.service` looks:
it has rights and no network. `inopsio-agent-respond.service` does what the house asks for on this
host, and is left out by `--no-response`; it has no network either, runs only while there is
something to do or in force, and is started by `inopsio-agent-respond.path`.
`inopsio-agent-update.service` puts a new version in place: root, for as long as that takes, no
network; `inopsio-agent-update.path` starts it.
"""

from typing import Final

SHIP: Final = "inopsio-agent.service"
WATCH: Final = "inopsio-agent-watch.service"
RESPOND: Final = "inopsio-agent-respond.service"
RESPOND_PATH: Final = "inopsio-agent-respond.path"
UPDATE: Final = "inopsio-agent-update.service"
UPDATE_PATH: Final = "inopsio-agent-update.path"
USER: Final = "inopsio-agent"

_COMMON: Final = """\
RestartSec=5
User=inopsio-agent
Group=inopsio-agent
StateDirectory=inopsio-agent
StateDirectoryMode=0700
RuntimeDirectory=inopsio-agent
RuntimeDirectoryMode=0700
RuntimeDirectoryPreserve=yes
UMask=0077
Environment=INOPSIO_AGENT_BOOT=%b MALLOC_ARENA_MAX=1 MALLOC_TRIM_THRESHOLD_=65536
NoNewPrivileges=yes
ProtectSystem=strict
PrivateTmp=yes
PrivateMounts=yes
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectKernelLogs=yes
ProtectControlGroups=yes
ProtectClock=yes
ProtectHostname=yes
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
RemoveIPC=yes
SystemCallArchitectures=native
MemoryMax=160M
CPUQuota=25%
TasksMax=64
"""

_RIGHTS_WITHOUT_NETWORK: Final = """\
ProtectHome=read-only
PrivateDevices=yes
MemoryDenyWriteExecute=yes
IPAddressDeny=any
DevicePolicy=closed
CapabilityBoundingSet={capabilities}
AmbientCapabilities={capabilities}
RestrictAddressFamilies=AF_NETLINK AF_UNIX
"""

SHIP_UNIT: Final = (
    """\
[Unit]
Description=Inopsio agent: ships what was seen
After=network-online.target
Wants=network-online.target

[Service]
ExecStart={program} --data /var/lib/inopsio-agent run --only ship
Restart=always
"""
    + _COMMON
    + """\
ProtectHome=yes
PrivateDevices=yes
PrivateUsers=yes
ProtectProc=invisible
ProcSubset=pid
MemoryDenyWriteExecute=yes
CapabilityBoundingSet=
AmbientCapabilities=
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX
SystemCallFilter=@system-service
SystemCallFilter=~@privileged @resources

[Install]
WantedBy=multi-user.target
"""
)

WATCH_UNIT: Final = (
    """\
[Unit]
Description=Inopsio agent: looks at this host
StartLimitIntervalSec=0

[Service]
Type=notify
NotifyAccess=main
WatchdogSec=180
WatchdogSignal=SIGKILL
ExecStart={program} --data /var/lib/inopsio-agent run --only look
Restart=always
"""
    + _COMMON
    + _RIGHTS_WITHOUT_NETWORK
    + """\
SystemCallFilter=@system-service bpf fanotify_init fanotify_mark name_to_handle_at
SystemCallFilter=~@resources

[Install]
WantedBy=multi-user.target
"""
)
CAPABILITIES: Final = (
    "CAP_NET_ADMIN CAP_DAC_READ_SEARCH CAP_SYS_PTRACE CAP_AUDIT_READ CAP_BPF CAP_PERFMON "
    "CAP_SYS_ADMIN"
)
"""Netlink; files of others; processes of others; audit; the programs in the kernel; fanotify."""

RESPOND_UNIT: Final = (
    """\
[Unit]
Description=Inopsio agent: does what the house asks for on this host
PartOf=inopsio-agent-watch.service
StartLimitIntervalSec=0

[Service]
Type=notify
NotifyAccess=main
WatchdogSec=180
WatchdogSignal=SIGKILL
ExecStart={program} --data /var/lib/inopsio-agent run --only respond --idle-s 60
Restart=on-failure
"""
    + _COMMON
    + _RIGHTS_WITHOUT_NETWORK
    + """\
SystemCallFilter=@system-service pidfd_open pidfd_send_signal fanotify_init fanotify_mark
SystemCallFilter=~@resources
"""
)
RESPOND_PATH_UNIT: Final = """\
[Unit]
Description=Inopsio agent: waits for what the house asks for
PartOf=inopsio-agent-watch.service

[Path]
PathExists=/var/lib/inopsio-agent/respond/wanted

[Install]
WantedBy=multi-user.target inopsio-agent-watch.service
"""
RESPONDING: Final = "CAP_NET_ADMIN CAP_KILL CAP_DAC_READ_SEARCH CAP_SYS_PTRACE CAP_SYS_ADMIN"
"""nftables; processes of others; files of others; memory maps; fanotify's word on programs."""

UPDATE_UNIT: Final = """\
[Unit]
Description=Inopsio agent: puts a signed new version in place

[Service]
Type=oneshot
ExecStart={program} update
TimeoutStartSec=900
StateDirectory=inopsio-agent-update
StateDirectoryMode=0755
UMask=0022
NoNewPrivileges=yes
ProtectSystem=strict
ReadWritePaths=/opt/inopsio-agent /var/lib/inopsio-agent
ProtectHome=yes
PrivateTmp=yes
PrivateMounts=yes
PrivateDevices=yes
PrivateNetwork=yes
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectKernelLogs=yes
ProtectControlGroups=yes
ProtectClock=yes
ProtectHostname=yes
ProtectProc=invisible
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
MemoryDenyWriteExecute=yes
SystemCallArchitectures=native
IPAddressDeny=any
RestrictAddressFamilies=AF_UNIX
CapabilityBoundingSet=CAP_DAC_OVERRIDE CAP_SETUID CAP_SETGID CAP_KILL
SystemCallFilter=@system-service
SystemCallFilter=~@resources
MemoryMax=512M
TasksMax=32
"""

UPDATE_PATH_UNIT: Final = """\
[Unit]
Description=Inopsio agent: waits for a new version

[Path]
PathExists=/var/lib/inopsio-agent/update/ready

[Install]
WantedBy=multi-user.target
"""


def units(program: str) -> dict[str, str]:
    """Give the text of each unit. What updates is the last version that was seen to do well."""
    return {
        SHIP: SHIP_UNIT.format(program=program),
        WATCH: WATCH_UNIT.format(program=program, capabilities=CAPABILITIES),
        RESPOND: RESPOND_UNIT.format(program=program, capabilities=RESPONDING),
        RESPOND_PATH: RESPOND_PATH_UNIT,
        UPDATE: UPDATE_UNIT.format(program=program.replace("/current/", "/good/")),
        UPDATE_PATH: UPDATE_PATH_UNIT,
    }
