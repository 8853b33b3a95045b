"""Backups are deleted, files get a new ending within minutes, a note says where to pay."""

from collections.abc import Iterator
from typing import Final

from deploy.demo.rows import MINUTE, SECOND, Row
from deploy.demo.server_life import admin_account
from deploy.demo.tale import Tale
from deploy.demo.windows import EXPLORER, Process, logon

NAME: Final = "ransomware"
START_H: Final = (0.5, 5.5)
FIRST_DAY: Final = 3
AT_NIGHT: Final = True
_VSSADMIN: Final = r"C:\Windows\System32\vssadmin.exe"
_WBADMIN: Final = r"C:\Windows\System32\wbadmin.exe"
_CMD: Final = r"C:\Windows\System32\cmd.exe"
_TEAMS: Final = ("finance", "projects", "legal", "drawings", "hr", "sales")
_KINDS: Final = ("docx", "xlsx", "pdf", "dwg", "pptx", "vsdx")


def planted(tale: Tale) -> Iterator[Row]:
    """Tell it: half an hour on a file server, or on the PC of somebody with many files."""
    dice = tale.dice
    who = tale.cast.person("finance", "engineering", "production")
    if dice.random() < 0.6:
        server = dice.choice([s for s in tale.company.servers if s.role == "file"])
        place, root = (server.name, server.ip), "D:\\share"
    else:
        place, root = (who.host, who.ip), f"C:\\Users\\{who.account}\\Documents"
    tale.about(("host", place[0]), ("ip", place[1]), ("user", who.account))
    desk = Process(dice, place, who.account, EXPLORER, EXPLORER)
    name = "".join(dice.choices("abcdefghkmnprstuvwxz", k=7))
    image = f"C:\\Users\\Public\\{name}.exe"
    locker = Process(dice, place, who.account, image, f'"{image}" -p {root}')
    at = tale.later(0)
    yield locker.started(at, desk)
    shell = Process(dice, place, who.account, _CMD, f"cmd.exe /c {name}.bat")
    yield shell.started(at + 4 * SECOND, locker)
    mark = tale.step("shadow copies deleted")
    words = "vssadmin.exe delete shadows /all /quiet"
    yield Process(dice, place, who.account, _VSSADMIN, words).started(at + 6 * SECOND, shell, mark)
    if dice.random() < 0.5:
        words = "wbadmin.exe delete catalog -quiet"
        yield Process(dice, place, who.account, _WBADMIN, words).started(
            at + 9 * SECOND, shell, mark
        )
    mark, ending = tale.step("files rewritten with one new ending"), _ending(tale)
    count = dice.randint(160, 420)
    step = int(dice.uniform(0.3, 1.4) * SECOND)
    begin = at + dice.randrange(MINUTE, 4 * MINUTE)
    for n in range(count):
        folder = f"{root}\\{_TEAMS[n * len(_TEAMS) // count]}"
        kind = dice.choice(_KINDS)
        yield locker.wrote(begin + n * step, f"{folder}\\{n:04d}_{kind}.{kind}.{ending}", mark)
    mark, note = (
        tale.step("ransom note"),
        dice.choice(("README_TO_RESTORE.txt", "HOW_TO_DECRYPT.txt", "RESTORE-MY-FILES.txt")),
    )
    for n, team in enumerate(_TEAMS):
        yield locker.wrote(begin + count * step + n * SECOND, f"{root}\\{team}\\{note}", mark)


def _ending(tale: Tale) -> str:
    return tale.dice.choice(
        ("locked", "enc", "crypt", "".join(tale.dice.choices("abcdefghkmnprtuvwx", k=6)))
    )


def near_miss(tale: Tale) -> Iterator[Row]:
    """Tell the big archive job of the month's end, and an administrator who lists the copies."""
    dice, server = tale.dice, tale.company.server("file")
    place = (server.name, server.ip)
    tale.about(("host", server.name))
    system = Process(
        dice,
        place,
        "svc_backup",
        r"C:\Windows\System32\svchost.exe",
        "svchost.exe -k netsvcs -p -s Schedule",
    )
    image = r"C:\Program Files\7-Zip\7z.exe"
    job = Process(
        dice, place, "svc_backup", image, f'"{image}" a -tzip D:\\archive\\month.zip D:\\share'
    )
    at = tale.later(0)
    yield job.started(at, system)
    mark = tale.step("archive job writes hundreds of .zip")
    for n in range(dice.randint(300, 480)):
        yield job.wrote(at + n * 700_000, f"D:\\archive\\month\\{n:04d}.zip", mark)
    admin, jump = tale.cast.person("it"), tale.company.server("jump")
    account, later = admin_account(admin), at + 50 * MINUTE
    yield logon(later, place, account, 10, (jump.name, jump.ip), port=50311)
    shell = Process(dice, place, account, _CMD, "cmd.exe")
    mark = tale.step("shadow copies listed")
    yield Process(dice, place, account, _VSSADMIN, "vssadmin.exe list shadows").started(
        later + MINUTE, shell, mark
    )
