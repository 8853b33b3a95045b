"""Tell an ordinary day at the desks: sign-ins, programs, files, the web, and the usual slips."""

import random
from collections.abc import Iterator
from typing import Final

from deploy.demo import cloud
from deploy.demo.company import HOME, Company, Person, Service, device_id, public_ip
from deploy.demo.names import COUNTRIES
from deploy.demo.rows import HOUR, MINUTE, SECOND, Row
from deploy.demo.windows import EXPLORER, OFFICE, Process, logon
from deploy.demo.wire import asked, flow

_PROGRAMS: Final = (
    (OFFICE + "OUTLOOK.EXE", '"{0}"', 10),
    (OFFICE + "WINWORD.EXE", '"{0}" /n "C:\\Users\\{1}\\Documents\\{2}.docx"', 8),
    (OFFICE + "EXCEL.EXE", '"{0}" "C:\\Users\\{1}\\Documents\\{2}.xlsx"', 8),
    (r"C:\Program Files\Google\Chrome\Application\chrome.exe", '"{0}" --type=renderer', 16),
    (r"C:\Program Files (x86)\Microsoft\Edge\Application\msedge.exe", '"{0}" --type=utility', 8),
    (r"C:\Program Files\WindowsApps\MSTeams\ms-teams.exe", '"{0}"', 8),
    (r"C:\Windows\System32\notepad.exe", '"{0}" C:\\Users\\{1}\\Desktop\\{2}.txt', 4),
    (r"C:\Windows\splwow64.exe", "{0} 12288", 3),
    (r"C:\Windows\System32\SearchProtocolHost.exe", '"{0}" Global\\UsGthrFltPipeMssGthrPipe', 5),
    (r"C:\Program Files\7-Zip\7zFM.exe", '"{0}" "C:\\Users\\{1}\\Downloads\\{2}.zip"', 2),
    (r"C:\Program Files\Adobe\Acrobat DC\Acrobat\Acrobat.exe", '"{0}" "{2}.pdf"', 6),
    (r"C:\Program Files\SAP\FrontEnd\SAPgui\saplogon.exe", '"{0}"', 2),
)
_MAKERS: Final = (
    (r"C:\Program Files\Microsoft VS Code\Code.exe", '"{0}" .', 5),
    (r"C:\Program Files\Git\cmd\git.exe", "git.exe fetch --prune origin", 5),
    (r"C:\Windows\System32\cmd.exe", "cmd.exe /c build.cmd {2}", 3),
    (r"C:\Windows\System32\WindowsPowerShell\v1.0\powershell.exe", "powershell.exe", 1),
)
_UPDATER: Final = (
    r"C:\Program Files\Google\Update\GoogleUpdate.exe",
    r"C:\Program Files (x86)\Microsoft\EdgeUpdate\MicrosoftEdgeUpdate.exe",
    r"C:\Program Files\Windows Defender\MpCmdRun.exe",
)
_PAPERS: Final = (
    *("offer", "minutes", "plan", "report", "budget"),
    *("draft", "schedule", "summary", "checklist", "notes"),
)
_NAMED: Final = ("newsletter", "jira", "digest", "canteen", "webinar", "LinkedIn", "parking")
_SUBJECTS: Final = (
    "Minutes of {0}",
    "Re: question about {0}",
    "Your order {1}",
    "Invoice {1}",
    "Delivery note {1}",
    "Meeting on {0}",
    "Newsletter {0}",
    "Re: Re: offer {1}",
    "Ticket {1} was updated",
)


class Day:
    """Hold what a day's tellers share: dice, company, local midnight, whether it is worked."""

    __slots__ = ("begin", "company", "dice", "resolver", "works")

    def __init__(self, dice: random.Random, company: Company, begin: int, *, works: bool) -> None:
        """Prepare the day that begins at local midnight `begin` (UTC µs)."""
        self.dice, self.company, self.begin, self.works = dice, company, begin, works
        self.resolver = company.server("dc").ip

    def at(self, hour: float) -> int:
        """Give the moment so many hours after local midnight, with its own odd microseconds."""
        return self.begin + int(hour * HOUR) + self.dice.randrange(SECOND)

    def between(self, first: float, last: float) -> int:
        """Draw a moment between two hours."""
        return self.begin + int(self.dice.uniform(first, last) * HOUR)


def desks(day: Day) -> Iterator[Row]:
    """Tell the day of everybody who works on it; on a free day of the few who look in."""
    for person in day.company.people:
        if day.works and day.dice.random() < 0.93:
            yield from _worked(day, person)
        elif day.dice.random() < 0.15:
            yield from _looked_in(day, person)


def _worked(day: Day, who: Person) -> Iterator[Row]:
    dice = day.dice
    begin = who.start_h + dice.gauss(0, 0.3)
    end = begin + dice.uniform(8.0, 9.5)
    away = who.travels and dice.random() < 0.04
    office = not away and dice.random() < 0.85
    country = dice.choice(COUNTRIES) if away else HOME
    outside = day.company.office_ip if office else (public_ip(dice) if away else who.home_ip)
    yield from _signed_in(day, who, begin, outside, country)
    yield from _programs(day, who, begin, end)
    if not away:
        yield from web(day, who.ip, begin, end, dice.randint(12, 24))
    yield from _mails(day, who, begin, end)
    yield from _rare(day, who, begin, end, outside)


def _looked_in(day: Day, who: Person) -> Iterator[Row]:
    at = day.between(9, 22)
    yield cloud.sign_in(at, who.mail, who.home_ip, who.device, HOME)
    yield cloud.mailbox(at + 40 * SECOND, who.mail, "MailItemsAccessed", who.home_ip, who.device)


def _signed_in(day: Day, who: Person, begin: float, outside: str, country: str) -> Iterator[Row]:
    dice, place = day.dice, (who.host, who.ip)
    at = day.at(begin)
    if dice.random() < 0.05:
        yield logon(at - 20 * SECOND, place, who.account, 2, (who.host, "127.0.0.1"), good=False)
    yield logon(at, place, who.account, 2, (who.host, "127.0.0.1"))
    for _ in range(dice.randint(1, 3)):
        server = dice.choice([s for s in day.company.servers if s.role in ("dc", "file")])
        when, port = at + dice.randrange(8 * HOUR), dice.randint(49152, 65535)
        yield logon(when, (server.name, server.ip), who.account, 3, (who.host, who.ip), port=port)
    when = at + dice.randrange(30 * MINUTE)
    if dice.random() < 0.03:
        for n in range(dice.randint(1, 3)):
            slip = when - (n + 1) * 15 * SECOND
            yield cloud.sign_in(slip, who.mail, outside, who.device, country, good=False)
    admin = who.department == "it"
    yield cloud.sign_in(when, who.mail, outside, who.device, country, admin=admin)
    if dice.random() < 0.5:
        late = when + dice.randrange(HOUR, 7 * HOUR)
        yield cloud.sign_in(late, who.mail, outside, who.device, country, admin=admin)


def _programs(day: Day, who: Person, begin: float, end: float) -> Iterator[Row]:
    dice, place = day.dice, (who.host, who.ip)
    shell = Process(dice, place, who.account, EXPLORER, EXPLORER)
    menu = _PROGRAMS + (_MAKERS if who.department in ("engineering", "it") else ())
    weights = [w for _, _, w in menu]
    for image, words, _ in dice.choices(menu, weights, k=dice.randint(7, 14)):
        at = day.between(begin, end)
        paper = f"{dice.choice(_PAPERS)}_{dice.randint(1, 400)}"
        command = words.format(image, who.account, paper)
        program = Process(dice, place, who.account, image, command)
        yield program.started(at, shell)
        yield from _acts(day, program, who, at, paper)
    updater = dice.choice(_UPDATER)
    system = Process(
        dice,
        place,
        "SYSTEM",
        r"C:\Windows\System32\svchost.exe",
        "svchost.exe -k netsvcs -p -s Schedule",
    )
    yield Process(
        dice, place, "SYSTEM", updater, f'"{updater}" /ua /installsource scheduler'
    ).started(day.between(begin, end), system)
    if dice.random() < 0.04:
        # Excel's own signed add-in updater, as it runs on every office PC now and then.
        excel = Process(dice, place, who.account, OFFICE + "EXCEL.EXE", f'"{OFFICE}EXCEL.EXE"')
        addin = r"C:\Program Files\Meridian\ReportAddin\AddinUpdate.exe"
        yield Process(dice, place, who.account, addin, f'"{addin}" /quiet').started(
            day.between(begin, end), excel
        )


def _acts(day: Day, program: Process, who: Person, at: int, paper: str) -> Iterator[Row]:
    dice, name = day.dice, program.image.rpartition("\\")[2].lower()
    home = f"C:\\Users\\{who.account}"
    if name in ("chrome.exe", "msedge.exe", "ms-teams.exe", "outlook.exe") and dice.random() < 0.4:
        service = popular(day)
        ip = dice.choice(service.ips)
        port = dice.randint(49152, 65535)
        yield program.connected(at + dice.randrange(MINUTE), (ip, 443), service.domain, port)
    if name in ("winword.exe", "excel.exe") and dice.random() < 0.6:
        kind = "docx" if name == "winword.exe" else dice.choice(("xlsx", "xlsx", "xlsm", "csv"))
        folder = dice.choice((f"{home}\\Documents", "\\\\FS-01\\team", f"{home}\\Desktop"))
        yield program.wrote(at + dice.randrange(HOUR), f"{folder}\\{paper}.{kind}")
    elif name in ("chrome.exe", "msedge.exe") and dice.random() < 0.15:
        yield program.wrote(at + dice.randrange(MINUTE), f"{home}\\Downloads\\{paper}.pdf")


def popular(day: Day) -> Service:
    """Draw one of the services that everybody uses."""
    services = day.company.services
    return day.dice.choices(services, [s.weight for s in services])[0]


def web(day: Day, origin: str, begin: float, end: float, count: int) -> Iterator[Row]:
    """Tell so many visits of an address on the web, with the names asked before."""
    dice = day.dice
    for _ in range(count):
        at = day.between(begin, end)
        if dice.random() < 0.1:
            domain = f"www.{dice.choice(_PAPERS)}-{dice.randint(1, 3000)}.example"
            ip = public_ip(dice)
        else:
            service = popular(day)
            domain, ip = service.domain, dice.choice(service.ips)
        if dice.random() < 0.6:
            yield asked(dice, at, origin, day.resolver, domain, ip)
        own = domain in ("meridian.sharepoint.com", "teams.microsoft.com")
        sent = int(dice.lognormvariate(11.5 if own else 7.5, 1.3))
        got = int(dice.lognormvariate(10.2, 1.6))
        yield flow(dice, at + dice.randrange(20_000, 400_000), origin, (ip, 443), sent, got)
    if dice.random() < 0.05:
        typo = f"{dice.choice(_PAPERS)}{dice.randint(1, 99)}.local"
        yield asked(dice, day.between(begin, end), origin, day.resolver, typo, "")


def _mails(day: Day, who: Person, begin: float, end: float) -> Iterator[Row]:
    dice, company = day.dice, day.company
    for _ in range(dice.randint(2, 7)):
        at = day.between(begin - 1, end + 1)
        topic, number = dice.choice(_PAPERS), dice.randint(10000, 99999)
        subject = dice.choice(_SUBJECTS).format(topic, number)
        pick = dice.random()
        if pick < 0.35:
            sender = dice.choice(company.people).mail
        elif pick < 0.6:
            sender = f"info@{dice.choice(company.vendors).domain}"
        elif pick < 0.9:
            sender = dice.choice(dice.choice(company.customers).contacts)[2]
        else:
            sender = f"news@{dice.choice(_PAPERS)}-{dice.randint(1, 60)}.example"
        names = ""
        if dice.random() < 0.2:
            kind = dice.choice(
                ("pdf", "pdf", "pdf", "xlsx", "docx", "xlsm" if pick < 0.6 else "pdf")
            )
            names = f"{topic}_{number}.{kind}"
        fails = pick >= 0.9 and dice.random() < 0.25
        yield cloud.received(at, sender, who.mail, subject, dmarc=not fails, attachments=names)


def _rare(day: Day, who: Person, begin: float, end: float, outside: str) -> Iterator[Row]:
    """Tell what happens to one of a hundred on a day: rules, new phones, forgotten words."""
    dice = day.dice
    at = day.between(begin, end)
    if dice.random() < 0.010:
        word = dice.choice(_NAMED)
        rule = f"SubjectContainsWords: {word}; MoveToFolder: {word.title()}; MarkAsRead: False"
        if dice.random() < 0.3:
            colleague = dice.choice(day.company.people).mail
            rule = f"From: {colleague}; MoveToFolder: Team; StopProcessingRules: True"
        operation = dice.choice(("New-InboxRule", "New-InboxRule", "Set-InboxRule"))
        yield cloud.mailbox(at, who.mail, operation, outside, who.device, rule)
    if dice.random() < 0.009:
        phone = device_id(dice)
        yield cloud.sign_in(at, who.mail, outside, phone, HOME)
        yield cloud.factor_added(at + 90 * SECOND, who.mail, outside, who.device, HOME)
    if dice.random() < 0.3:
        yield cloud.mailbox(at, who.mail, "Send", outside, who.device)
    if dice.random() < 0.006:
        for n in range(dice.randint(4, 9)):
            wrong = at + n * 11 * SECOND
            yield cloud.sign_in(wrong, who.mail, outside, who.device, HOME, good=False)
        yield cloud.sign_in(at + 9 * MINUTE, who.mail, outside, who.device, HOME)
