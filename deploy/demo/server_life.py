"""Tell an ordinary day of the servers: jobs, backups, administrators, watchers, the outside."""

from collections.abc import Iterator
from typing import Final

from deploy.demo.company import Person, Server, public_ip
from deploy.demo.desk_life import Day
from deploy.demo.rows import MINUTE, SECOND, Row
from deploy.demo.windows import Process, account_made, logon, privileges, service_made
from deploy.demo.wire import asked, flow, syslog

_POWERSHELL: Final = r"C:\Windows\System32\WindowsPowerShell\v1.0\powershell.exe"
_TASKS: Final = (
    (_POWERSHELL, r"powershell.exe -NoProfile -File C:\Scripts\Inventory.ps1"),
    (_POWERSHELL, r"powershell.exe -ExecutionPolicy AllSigned -File C:\Scripts\DiskReport.ps1"),
    (r"C:\Windows\System32\taskhostw.exe", "taskhostw.exe"),
    (r"C:\Windows\System32\wbem\WmiPrvSE.exe", r"C:\Windows\system32\wbem\wmiprvse.exe -secured"),
    (r"C:\Windows\System32\SrTasks.exe", "SrTasks.exe ExecuteScheduledSPPCreation"),
    (r"C:\Windows\System32\defrag.exe", "defrag.exe -c -h -k -g -$"),
)
_JOBS: Final = (
    ("root", "/usr/lib/sysstat/sa1 1 1"),
    ("root", "test -x /usr/sbin/anacron || run-parts --report /etc/cron.hourly"),
    ("git", "/opt/git/bin/housekeeping --quiet"),
    ("www-data", "php /srv/portal/cron.php"),
)
_SOFTWARE: Final = (
    ("GoogleUpdaterService", r'"C:\Program Files\Google\GoogleUpdater\updater.exe" --system'),
    (
        "MozillaMaintenance",
        r'"C:\Program Files\Mozilla Maintenance Service\maintenanceservice.exe"',
    ),
    ("ZabbixAgent", r'"C:\Program Files\Zabbix Agent\zabbix_agentd.exe" --config zabbix.conf'),
    ("VeeamTransport", r'"C:\Program Files\Veeam\Transport\VeeamTransportSvc.exe"'),
)
OFFSITE: Final = "vault.offsite-backup.net"


def admin_account(person: Person) -> str:
    """Give the account with which an administrator works on servers."""
    return f"adm-{person.account}"


def servers(day: Day) -> Iterator[Row]:
    """Tell the day of all servers; they know no weekend."""
    for server in day.company.servers:
        if server.role == "linux":
            yield from _linux(day, server)
        else:
            yield from _windows(day, server)
    yield from _backups(day)
    yield from _polls(day)
    if day.works:
        yield from _administrators(day)


def _windows(day: Day, server: Server) -> Iterator[Row]:
    dice, place = day.dice, (server.name, server.ip)
    schedule = Process(
        dice,
        place,
        "SYSTEM",
        r"C:\Windows\System32\svchost.exe",
        "svchost.exe -k netsvcs -p -s Schedule",
    )
    for hour in range(24):
        image, words = dice.choice(_TASKS)
        at = day.between(hour, hour + 1)
        yield Process(dice, place, "SYSTEM", image, words).started(at, schedule)
    for _ in range(20):
        other = dice.choice(day.company.servers)
        at, port = day.between(0, 24), 1433 if other.role == "database" else 445
        sent, got = int(dice.lognormvariate(9, 1.5)), int(dice.lognormvariate(9, 1.5))
        yield flow(
            dice, at, server.ip, (other.ip, port), sent, got, service="smb" if port == 445 else ""
        )
    for _ in range(6):
        at = day.between(0, 24)
        service = day.company.service("ctldl.windowsupdate.com")
        yield asked(dice, at, server.ip, day.resolver, service.domain, service.ips[0])
        yield flow(
            dice, at + 40_000, server.ip, (service.ips[0], 443), 900, dice.randint(3000, 90000)
        )


def _linux(day: Day, server: Server) -> Iterator[Row]:
    dice = day.dice
    for tick in range(48):
        user, job = dice.choice(_JOBS)
        at = day.begin + tick * 30 * MINUTE + dice.randrange(SECOND, 3 * SECOND)
        yield syslog(at, server.name, "CRON", dice.randint(900, 30000), f"({user}) CMD ({job})")
    if server.name.endswith("web01"):
        # The web server's own door is knocked at by the whole internet, every day.
        for _ in range(dice.randint(10, 30)):
            name, pid = (
                dice.choice(("admin", "test", "oracle", "ubuntu", "pi")),
                dice.randint(900, 30000),
            )
            text = f"Invalid user {name} from {public_ip(dice)} port {dice.randint(1024, 65000)}"
            yield syslog(day.between(0, 24), server.name, "sshd", pid, text)
    if not day.works:
        return
    for person in dice.sample(day.company.by("it"), k=1):
        at, pid = day.between(9, 17), dice.randint(900, 30000)
        origin = f"{person.ip} port {dice.randint(49152, 65535)}"
        text = f"Accepted publickey for {person.account} from {origin} ssh2: ED25519 SHA256:k3y"
        yield syslog(at, server.name, "sshd", pid, text)
        words = dice.choice(
            (
                "/usr/bin/systemctl reload nginx",
                "/usr/bin/apt-get update",
                "/usr/bin/journalctl -u portal",
            )
        )
        there = f"PWD=/home/{person.account} ; USER=root"
        text = f"{person.account} : TTY=pts/0 ; {there} ; COMMAND={words}"
        yield syslog(at + 70 * SECOND, server.name, "sudo", pid + 3, text)


def _backups(day: Day) -> Iterator[Row]:
    """Tell the night's backups: servers to the backup server, that to the provider outside."""
    dice, vault = day.dice, day.company.server("backup")
    place = (vault.name, vault.ip)
    for server in day.company.servers:
        if server.role not in ("file", "database"):
            continue
        at = day.between(1, 2)
        size = int(dice.lognormvariate(22, 0.3))
        yield flow(
            dice, at, server.ip, (vault.ip, 2500), size, size // 900, seconds=1800, service=""
        )
        yield logon(at, place, "svc_backup", 3, (server.name, server.ip), port=50000)
    target = day.company.service(OFFSITE)
    at = day.between(2.2, 2.4)
    yield asked(dice, at, vault.ip, day.resolver, OFFSITE, target.ips[0])
    for n in range(4):
        size = int(dice.lognormvariate(21.3, 0.2))
        yield flow(
            dice,
            at + n * 12 * MINUTE,
            vault.ip,
            (target.ips[0], 443),
            size,
            size // 700,
            seconds=700,
        )
    files = day.company.server("file")
    shell = Process(
        dice,
        (files.name, files.ip),
        "svc_backup",
        r"C:\Windows\System32\svchost.exe",
        "svchost.exe -k netsvcs -p -s Schedule",
    )
    zip_ = r"C:\Program Files\7-Zip\7z.exe"
    job = Process(
        dice,
        (files.name, files.ip),
        "svc_backup",
        zip_,
        f'"{zip_}" a -tzip D:\\archive\\night.zip D:\\share\\closed',
    )
    at = day.between(3, 3.2)
    yield job.started(at, shell)
    for n in range(dice.randint(12, 30)):
        yield job.wrote(
            at + (n + 1) * 4 * SECOND, f"D:\\archive\\{day.begin // 86_400_000_000}_{n:03d}.zip"
        )


def _polls(day: Day) -> Iterator[Row]:
    """Tell the clients that ask their maker's service as regularly as clocks, many hosts alike."""
    dice, service = day.dice, day.company.service("agent.sentinel-updates.com")
    for person in day.company.people[::6]:
        first = day.between(0, 0.25)
        for n in range(24):
            at = first + n * 60 * MINUTE + dice.randrange(-2 * SECOND, 2 * SECOND)
            yield flow(
                dice,
                at,
                person.ip,
                (service.ips[0], 443),
                dice.randint(800, 830),
                dice.randint(400, 420),
            )


def _administrators(day: Day) -> Iterator[Row]:
    """Tell the work from the jump host: remote tools, installed software, scripts, accounts."""
    dice, jump = day.dice, day.company.server("jump")
    place = (jump.name, jump.ip)
    for person in day.company.by("it"):
        if dice.random() < 0.4:
            continue
        account, at = admin_account(person), day.between(9, 16.5)
        yield logon(
            at, place, account, 10, (person.host, person.ip), port=dice.randint(49152, 65535)
        )
        yield privileges(at + 1000, place, account)
        shell = Process(dice, place, account, r"C:\Windows\explorer.exe", "explorer.exe")
        console = Process(
            dice,
            place,
            account,
            r"C:\Windows\System32\mmc.exe",
            r"mmc.exe C:\Windows\system32\dsa.msc",
        )
        yield console.started(at + MINUTE, shell)
        target = dice.choice([s for s in day.company.servers if s.role in ("application", "file")])
        there, later = (target.name, target.ip), at + dice.randrange(2 * MINUTE, 40 * MINUTE)
        yield logon(later, there, account, 3, (jump.name, jump.ip), port=dice.randint(49152, 65535))
        yield privileges(later + 1000, there, account)
        if dice.random() < 0.06:
            tool = r"C:\Tools\PsExec64.exe"
            yield Process(
                dice, place, account, tool, f"PsExec64.exe \\\\{target.name} ipconfig /all"
            ).started(later, shell)
            yield service_made(later + 2 * SECOND, there, "PSEXESVC", r"%SystemRoot%\PSEXESVC.exe")
        elif dice.random() < 0.15:
            yield service_made(later + 5 * SECOND, there, *dice.choice(_SOFTWARE))
        if dice.random() < 0.03:
            dc = day.company.server("dc")
            yield account_made(
                at + 5 * MINUTE,
                (dc.name, dc.ip),
                account,
                f"svc_{dice.choice(('scan', 'print', 'sync'))}{dice.randint(1, 99)}",
            )
