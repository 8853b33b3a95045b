"""Lend hosts the agent's packages, and the one command by which a host gets and joins.

The folder `agent-packages` in the data folder holds packages and `packages.json`, which names each
with its SHA-256. Nothing of it is secret: what a host fetches it knows by hash. The command that is
pasted has the hash of the script, the script those of the packages and of the house's authority.
"""

import functools
import hashlib
import json
import re
import shlex
import shutil
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Final

from fastapi import APIRouter, Request
from fastapi import Path as InPath
from fastapi.responses import FileResponse, PlainTextResponse

from api.desk import desk_of
from storage.errors import InvalidInput, NotFound

router: Final = APIRouter(prefix="/v1/agents", tags=["agents"])
FOLDER: Final = "agent-packages"
LISTED: Final = "packages.json"
LARGEST: Final = 256 << 20
_VERSION: Final = r"(\d+(?:\.\d+){1,3})"
_NAMES: Final = {
    "deb": re.compile(rf"inopsio-agent_{_VERSION}_([a-z0-9]{{2,12}})\.deb"),
    "rpm": re.compile(rf"inopsio-agent-{_VERSION}-1\.([a-z0-9_]{{2,12}})\.rpm"),
    "msi": re.compile(rf"inopsio-agent-{_VERSION}\.(msi)"),
}
_BEGINS: Final = {
    "deb": b"!<arch>\n",
    "rpm": b"\xed\xab\xee\xdb",
    "msi": b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",
}
_SCRIPT: Final = Path(__file__).with_name("agent_install.sh")
_NAME: Final = r"^inopsio-agent[A-Za-z0-9._-]{1,80}$"


@dataclass(frozen=True, slots=True)
class Package:
    """One package: for which kind of system and machine, and what it must hash to."""

    kind: str
    arch: str
    version: str
    sha256: str
    size: int
    name: str

    @property
    def turn(self) -> tuple[int, ...]:
        """Order by version, 0.10 after 0.9."""
        return tuple(int(part) for part in self.version.split("."))


def held(data: Path) -> list[Package]:
    """Give the house's packages, the newest of each kind and machine."""
    try:
        rows = json.loads((data / FOLDER / LISTED).read_bytes())
        found = sorted((Package(**row) for row in rows), key=lambda p: p.turn)
    except FileNotFoundError:
        return []
    except (OSError, ValueError, TypeError, AttributeError) as wrong:
        where = data / FOLDER / LISTED
        raise InvalidInput(f"{where} cannot be read ({wrong}); add the packages anew") from None
    newest = {(p.kind, p.arch): p for p in found if (data / FOLDER / p.name).is_file()}
    return [newest[key] for key in sorted(newest)]


def add(data: Path, files: Iterable[Path]) -> list[Package]:
    """Take packages into the house; give what was taken. InvalidInput for what is none."""
    new = [(_looked_at(file), file) for file in files]
    folder = data / FOLDER
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    for package, file in new:
        target = folder / package.name
        draft = target.with_name(f".{target.name}")
        shutil.copyfile(file, draft)
        if _digest(draft) != package.sha256:
            raise InvalidInput(f"{file} changed while it was read; add it again")
        draft.replace(target)
    listed = folder / LISTED
    rows = json.loads(listed.read_bytes()) if listed.exists() else []
    named = {row["name"]: row for row in rows} | {p.name: asdict(p) for p, _ in new}
    draft = listed.with_name(f".{LISTED}")
    draft.write_text(json.dumps([named[name] for name in sorted(named)], indent=1) + "\n")
    draft.replace(listed)  # the last: what it names is there
    return [package for package, _ in new]


def _looked_at(file: Path) -> Package:
    for kind, name in _NAMES.items():
        said = name.fullmatch(file.name)
        if said is None:
            continue
        try:
            with file.open("rb") as content:
                if content.read(8)[: len(_BEGINS[kind])] != _BEGINS[kind]:
                    raise InvalidInput(f"{file} is no .{kind} package, whatever its name")
            size = file.stat().st_size
            if size > LARGEST:
                raise InvalidInput(f"{file} is over {LARGEST >> 20} MB")
            return Package(kind, said[2], said[1], _digest(file), size, file.name)
        except OSError as wrong:
            raise InvalidInput(f"{file} cannot be read: {wrong}") from None
    raise InvalidInput(
        f"{file.name} is no package's name: see `make agent-deb`, `agent-rpm`, `agent-msi`"
    )


def _digest(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def script(data: Path, fingerprint: str) -> str:
    """Give the script that installs and enrols; NotFound while the house has no package."""
    rows = [p for p in held(data) if p.kind != "msi"]
    if not rows:
        raise NotFound("the house has no package of the agent: `inopsio agent package add FILE`")
    lines = "\n".join(f"{p.kind} {p.arch} {p.version} {p.sha256} {p.size} {p.name}" for p in rows)
    return _template().replace("@AUTHORITY@", fingerprint).replace("@PACKAGES@", lines)


@functools.cache
def _template() -> str:
    return _SCRIPT.read_text(encoding="utf-8")


def command(data: Path, url: str, token: str, fingerprint: str) -> str:
    """Give the one line to paste into a shell of a host, whether it has the agent or not.

    Without packages in the house it is the agent's own command, which must be there already.
    """
    try:
        text = script(data, fingerprint)
    except NotFound:
        return enrolling(url, token, fingerprint)
    digest = hashlib.sha256(text.encode()).hexdigest()
    place = shlex.quote(f"{url}/v1/agents/install.sh")
    return (
        f"i=$(mktemp) && {{ curl -fsSkm 60 {place} || timeout 60 wget -qO- "
        f'--no-check-certificate {place}; }} | head -c {len(text.encode())} > "$i"'
        f' && echo "{digest}  $i" | sha256sum -c - > /dev/null'
        f' && echo {token} | $(command -v sudo) sh "$i" {shlex.quote(url)}'
    )


def enrolling(url: str, token: str, fingerprint: str) -> str:
    """Give the command of a host that has the agent already.

    The token goes by standard input: whoever is on the host can read the words of a command.
    """
    return (
        f"echo {token} | inopsio-agent enroll --url {shlex.quote(url)} --token-file -"
        f" --ca-fingerprint {fingerprint}"
    )


def on_windows(data: Path, url: str, token: str, fingerprint: str) -> str:
    """Give the line for an administrator's PowerShell: fetch the MSI, compare it, install, enrol.

    Without an MSI in the house the host must have it already, in the folder of the command.
    """
    joins = f"INOPSIO_URL={url} INOPSIO_TOKEN={token} INOPSIO_CA_FINGERPRINT={fingerprint}"
    package = next((p for p in held(data) if p.kind == "msi"), None)
    if package is None:
        return _installing("(Get-Item inopsio-agent-*.msi)[-1].FullName", joins)
    # A name of its own in the system's folder: whoever else writes there could not wait for it.
    place = _quoted(f"{url}/v1/agents/packages/{package.name}")
    return (
        '$m = "$env:windir\\Temp\\$([guid]::NewGuid()).msi"; '
        f"curl.exe -fsSk -o $m {place}; "
        f"if ((Get-FileHash $m).Hash -eq '{package.sha256}') {{ {_installing('$m', joins)} }} "
        "else { Write-Error 'this is not the package of the house' }; Remove-Item $m"
    )


def _installing(msi: str, joins: str) -> str:
    return (
        "$p = Start-Process msiexec.exe -Wait -PassThru -ArgumentList "
        f"('/i \"' + {msi} + '\" /qn ' + "
        f'{_quoted(joins)}); if ($p.ExitCode) {{ Write-Error "msiexec: $($p.ExitCode)" }}'
    )


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


@router.get("/install.sh", summary="What installs the agent", response_class=PlainTextResponse)
def installs(request: Request) -> PlainTextResponse:
    """Give the script; whoever runs it compares it with the hash in the command."""
    data = desk_of(request).settings.data_dir
    text = script(data, request.app.state.authority.fingerprint)
    return PlainTextResponse(text, headers={"Cache-Control": "no-store"})


@router.get("/packages/{name}", summary="A package of the agent", response_class=FileResponse)
def package(request: Request, name: Annotated[str, InPath(pattern=_NAME)]) -> FileResponse:
    """Give the package: only such as the house lists."""
    data = desk_of(request).settings.data_dir
    if name not in {p.name for p in held(data)}:
        raise NotFound(f"{name} is not there; make the command anew")
    return FileResponse(data / FOLDER / name, media_type="application/octet-stream")
