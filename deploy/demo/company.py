"""Make the company: people, hosts, vendors and customers, all from one seed."""

import random
import uuid
from dataclasses import dataclass, field
from typing import Final

from deploy.demo.names import COUNTRIES, FIRST, FORM, ITEMS, LAST, LINE, STREETS, TOWNS, TRADE

DOMAIN: Final = "meridian.example"
WINDOWS_DOMAIN: Final = "MERIDIAN"
HOME: Final = "DE"
_SHARES: Final = (
    ("management", 0.03),
    ("hr", 0.03),
    ("it", 0.05),
    ("finance", 0.09),
    ("purchasing", 0.06),
    ("sales", 0.18),
    ("support", 0.10),
    ("engineering", 0.22),
    ("production", 0.24),
)
_OCTETS: Final = (18, 23, 31, 34, 37, 46, 52, 62, 77, 81, 91, 94, 104, 146, 151, 185, 193, 212)


@dataclass(frozen=True, slots=True)
class Person:
    """One employee with the host and the addresses they work from; `start_h`: hours after local
    midnight at which the day usually begins.
    """

    uid: str
    name: str
    account: str
    department: str
    host: str
    ip: str
    device: str
    home_ip: str
    iban: str
    private_mail: str
    start_h: float
    travels: bool

    @property
    def mail(self) -> str:
        """Give the address at work."""
        return f"{self.account}@{DOMAIN}"


@dataclass(frozen=True, slots=True)
class Server:
    """One server; `role`: dc, file, database, application, backup, jump, linux, archive."""

    name: str
    ip: str
    role: str


@dataclass(frozen=True, slots=True)
class Vendor:
    """One supplier: what it usually asks for, in cents, how often a month and due in how long."""

    uid: str
    name: str
    iban: str
    address: str
    domain: str
    usual_cents: int
    spread: float
    a_month: float
    terms_d: int
    clerk: int


@dataclass(frozen=True, slots=True)
class Customer:
    """One customer with the mail addresses of its contacts; `seller`: index into `sales`."""

    uid: str
    name: str
    domain: str
    address: str
    contacts: tuple[tuple[str, str, str], ...]
    seller: int


@dataclass(frozen=True, slots=True)
class Service:
    """One service out on the internet that many people use."""

    domain: str
    ips: tuple[str, ...]
    weight: float


@dataclass(frozen=True, slots=True)
class Company:
    """The whole company; `by` gives the people of a department."""

    people: tuple[Person, ...]
    servers: tuple[Server, ...]
    vendors: tuple[Vendor, ...]
    customers: tuple[Customer, ...]
    items: tuple[tuple[str, str, int], ...]
    services: tuple[Service, ...]
    office_ip: str
    departments: dict[str, tuple[Person, ...]] = field(default_factory=dict)

    def by(self, department: str) -> tuple[Person, ...]:
        """Give the people of a department; none where a small company has no such department."""
        return self.departments.get(department, ())

    def server(self, role: str) -> Server:
        """Give the first server of a role."""
        return next(s for s in self.servers if s.role == role)

    def service(self, domain: str) -> Service:
        """Give a service by its domain."""
        return next(s for s in self.services if s.domain == domain)


def public_ip(dice: random.Random) -> str:
    """Draw an address on the internet."""
    return (
        f"{dice.choice(_OCTETS)}.{dice.randint(1, 254)}."
        f"{dice.randint(1, 254)}.{dice.randint(2, 253)}"
    )


def iban(dice: random.Random, country: str = HOME) -> str:
    """Draw a bank account with right check digits (ISO 13616)."""
    account = "".join(str(dice.randint(0, 9)) for _ in range(18))
    letters = "".join(str(ord(c) - 55) for c in country)
    check = 98 - int(f"{account}{letters}00") % 97
    return f"{country}{check:02d}{account}"


def device_id(dice: random.Random) -> str:
    """Draw the id of a device."""
    return str(uuid.UUID(int=dice.getrandbits(128), version=4))


def found(seed: int, people: int) -> Company:
    """Make the company of a seed with so many people (at least 20)."""
    dice = random.Random(f"company {seed}")  # noqa: S311  a made-up company, no secret
    staff = _people(dice, max(20, people))
    services = _services(dice)
    sellers = sum(p.department == "sales" for p in staff)
    clerks = sum(p.department == "finance" for p in staff)
    departments: dict[str, list[Person]] = {}
    for person in staff:
        departments.setdefault(person.department, []).append(person)
    return Company(
        people=tuple(staff),
        servers=tuple(_servers(dice, len(staff))),
        vendors=tuple(_vendors(dice, max(16, int(len(staff) * 0.4)), clerks)),
        customers=tuple(_customers(dice, max(14, int(len(staff) * 0.66)), sellers)),
        items=tuple(
            (
                f"IT-{n + 1:03d}",
                f"{ITEMS[n % 10]} {100 * (1 + n // 10)}",
                dice.randint(80, 4000) * 100,
            )
            for n in range(40)
        ),
        services=services,
        office_ip=public_ip(dice),
        departments={d: tuple(ps) for d, ps in departments.items()},
    )


def _people(dice: random.Random, count: int) -> list[Person]:
    wanted = [d for d, share in _SHARES for _ in range(max(2, round(share * count)))][:count]
    wanted += ["production"] * (count - len(wanted))
    names: set[tuple[str, str]] = set()
    while len(names) < count:
        names.add((dice.choice(FIRST), dice.choice(LAST)))
    ordered = sorted(names)
    dice.shuffle(ordered)
    return [_person(dice, n, first, last, wanted[n]) for n, (first, last) in enumerate(ordered)]


def _person(dice: random.Random, n: int, first: str, last: str, department: str) -> Person:
    account = f"{first}.{last}".lower()
    provider = dice.choice(("gmx.example", "webmail.example", "posteo.example", "mailbox.example"))
    return Person(
        uid=f"E-{1001 + n}",
        name=f"{first} {last}",
        account=account,
        department=department,
        host=f"WS-{n + 1:03d}",
        ip=f"10.20.{1 + n // 200}.{10 + n % 200}",
        device=device_id(dice),
        home_ip=public_ip(dice),
        iban=iban(dice),
        private_mail=f"{first[0]}{last}{dice.randint(1, 99)}@{provider}".lower(),
        start_h=dice.choice((7.0, 7.5, 8.0, 8.0, 8.5, 9.0)),
        travels=department in ("sales", "management") or dice.random() < 0.05,
    )


def _servers(dice: random.Random, people: int) -> list[Server]:
    more = max(1, people // 40)
    wanted = [("DC-01", "dc"), ("DC-02", "dc"), ("JMP-01", "jump"), ("SRV-BKP01", "backup")]
    wanted += [(f"FS-{n + 1:02d}", "file") for n in range(1 + more // 2)]
    wanted += [(f"DB-{n + 1:02d}", "database") for n in range(1 + more // 2)]
    wanted += [(f"SRV-APP{n + 1:02d}", "application") for n in range(2 + more)]
    wanted += [(f"lnx-{w}", "linux") for w in ("web01", "git01", "mon01", "proxy01")]
    hosts = dice.sample(range(10, 120), len(wanted))
    return [
        Server(name, f"10.20.0.{h}", role)
        for (name, role), h in zip(wanted, sorted(hosts), strict=True)
    ]


def _firms(dice: random.Random, count: int) -> list[tuple[str, str]]:
    firms: dict[str, str] = {}
    while len(firms) < count:
        trade, line = dice.choice(TRADE), dice.choice(LINE)
        firms.setdefault(f"{trade}-{line}".lower() + ".example", f"{trade} {line}")
    return [(f"{title} {dice.choice(FORM)}", domain) for domain, title in firms.items()]


def address(dice: random.Random) -> str:
    """Draw a postal address."""
    return (
        f"{dice.choice(STREETS)}straße {dice.randint(1, 140)}, "
        f"{dice.randint(10000, 99000)} {dice.choice(TOWNS)}"
    )


def _vendors(dice: random.Random, count: int, clerks: int) -> list[Vendor]:
    return [
        Vendor(
            uid=f"V-{2001 + n}",
            name=name,
            iban=iban(dice, dice.choice((HOME, HOME, HOME, "NL", "FR", "AT"))),
            address=address(dice),
            domain=domain,
            usual_cents=int(100 * dice.lognormvariate(7.6, 1.0)),
            spread=dice.uniform(0.08, 0.38),
            a_month=dice.choice((2.0, 3.0, 4.0, 5.0, 8.0)),
            terms_d=dice.choice((10, 14, 14, 21, 30)),
            clerk=dice.randrange(clerks),
        )
        for n, (name, domain) in enumerate(_firms(dice, count))
    ]


def _customers(dice: random.Random, count: int, sellers: int) -> list[Customer]:
    found_ = []
    for n, (name, domain) in enumerate(_firms(dice, count)):
        people = [
            (f"C-{30001 + n * 10 + k}", f"{dice.choice(FIRST)} {dice.choice(LAST)}")
            for k in range(dice.randint(1, 4))
        ]
        contacts = tuple(
            (uid, who, f"{who.replace(' ', '.').lower()}@{domain}") for uid, who in people
        )
        found_.append(
            Customer(
                f"K-{5001 + n}", name, domain, address(dice), contacts, dice.randrange(sellers)
            )
        )
    return found_


def _services(dice: random.Random) -> tuple[Service, ...]:
    known = (
        ("outlook.office365.com", 9.0),
        ("teams.microsoft.com", 8.0),
        ("login.microsoftonline.com", 4.0),
        ("meridian.sharepoint.com", 5.0),
        ("www.google.com", 6.0),
        ("www.bing.com", 2.0),
        ("www.linkedin.com", 2.0),
        ("www.spiegel.de", 2.0),
        ("www.wetter.com", 1.0),
        ("www.youtube.com", 2.0),
        ("github.com", 1.5),
        ("meridian.atlassian.net", 3.0),
        ("meridian.my.salesforce.com", 3.0),
        ("download.windowsupdate.com", 0.6),
        ("ctldl.windowsupdate.com", 0.6),
        ("edgedl.me.gvt1.com", 0.5),
        ("v10.events.data.microsoft.com", 1.5),
        ("agent.sentinel-updates.com", 0.3),
        ("www.dhl.de", 0.8),
        ("www.bahn.de", 0.8),
        ("www.amazon.de", 1.2),
        ("www.dropbox.com", 0.08),
        ("we.tl", 0.04),
        ("vault.offsite-backup.net", 0.0),
        ("webmail.example", 0.5),
    )
    return tuple(
        Service(domain, tuple(public_ip(dice) for _ in range(dice.randint(1, 4))), weight)
        for domain, weight in known
    )


FOREIGN: Final = COUNTRIES
