"""Build the agent's MSI, on Linux: `python -m deploy.agent.windows.msi OUT` in the project.

Needs `mvn`, `wixl` and `binutils-mingw-w64-x86-64`. VERSION: of the package, default the project's.
"""

import os
import subprocess
import sys
import tempfile
import tomllib
import uuid
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Final

from deploy.agent.windows.tree import HERE, PROGRAM, ROOT, make

_WIX: Final = "http://schemas.microsoft.com/wix/2006/wi"
_OURS: Final = uuid.UUID("0a7c6c5c-3d64-4f52-8d0b-6f9a1f6f5b21")
"""Names of components come from this and their path: the same file is the same component."""
SERVICE: Final = "InopsioAgent"
_UNSAID: Final = (
    # HideTarget: the command with the token is in no log.
    "UPDATE `CustomAction` SET `Type` = 11282 WHERE `Action` = 'Enrol'",
    "DELETE FROM `Property` WHERE `Property` = 'SecureCustomProperties'",
    (
        "INSERT INTO `Property` (`Property`, `Value`) VALUES ('SecureCustomProperties', "
        "'WIX_DOWNGRADE_DETECTED;WIX_UPGRADE_DETECTED;"
        "INOPSIO_URL;INOPSIO_TOKEN;INOPSIO_CA_FINGERPRINT')"
    ),
    # The old version goes before anything is done, as Windows demands.
    (
        "UPDATE `InstallExecuteSequence` SET `Sequence` = 1450 "
        "WHERE `Action` = 'RemoveExistingProducts'"
    ),
)
"""What wixl takes and does not write, or writes elsewhere."""


def build(out: Path, version: str) -> Path:
    """Build the MSI in a folder; give it."""
    out.mkdir(parents=True, exist_ok=True)
    made = out / f"inopsio-agent-{version}.msi"
    with tempfile.TemporaryDirectory() as place:
        work = Path(place)
        tree = work / "tree"
        make(tree, work, version)
        pack(tree, work, version, made)
    return made


def pack(tree: Path, work: Path, version: str, made: Path) -> None:
    """Pack a tree that is there."""
    listed = work / "program.wxs"
    ET.ElementTree(_files(tree)).write(listed, encoding="utf-8", xml_declaration=True)
    words = ["-a", "x64", "-D", f"Version={version}", "-o", str(made.resolve())]
    subprocess.run(["wixl", *words, str(HERE / "agent.wxs"), str(listed)], check=True, cwd=tree)
    for said in _UNSAID:
        subprocess.run(["msibuild", str(made), "-q", said], check=True)


def _files(tree: Path) -> ET.Element:
    """List every file as a component of its own, in the folders that they lie in."""
    ET.register_namespace("", _WIX)
    wix = ET.Element(f"{{{_WIX}}}Wix")
    fragment = _sub(wix, "Fragment")
    group = _sub(_sub(wix, "Fragment"), "ComponentGroup", Id="Program")
    folders = {tree: _sub(fragment, "DirectoryRef", Id="INSTALLFOLDER")}
    for path in sorted(tree.rglob("*")):
        name = path.relative_to(tree).as_posix()
        mark = uuid.uuid5(_OURS, name)
        if path.is_dir():
            above = folders[path.parent]
            folders[path] = _sub(above, "Directory", Id=f"d{mark.hex}", Name=path.name)
            continue
        id_ = "program" if name == PROGRAM else f"f{mark.hex}"
        part = _sub(folders[path.parent], "Component", Id=f"c{mark.hex}", Guid=str(mark))
        _sub(part, "File", Id=id_, Name=path.name, Source=name, KeyPath="yes")
        if id_ == "program":
            _serve(part)
        _sub(group, "ComponentRef", Id=f"c{mark.hex}")
    return wix


def _serve(part: ET.Element) -> None:
    """Let the program be a service."""
    _sub(
        part,
        "ServiceInstall",
        Id="Service",
        Name=SERVICE,
        DisplayName="Inopsio Agent",
        Description="Watches this host and ships what happens to an Inopsio server.",
        Type="ownProcess",
        Start="auto",
        ErrorControl="normal",
        Arguments="-m agent service",
    )
    _sub(
        part,
        "ServiceControl",
        Id="ServiceControl",
        Name=SERVICE,
        Start="install",
        Stop="both",
        Remove="uninstall",
        Wait="yes",
    )


def _sub(above: ET.Element, kind: str, **said: str) -> ET.Element:
    return ET.SubElement(above, f"{{{_WIX}}}{kind}", said)


def main() -> None:
    """Build what the words name."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    version = os.environ.get("VERSION") or str(project["project"]["version"])
    made = build(Path(sys.argv[1] if len(sys.argv) > 1 else "build"), version)
    sys.stdout.write(f"{made} ({made.stat().st_size >> 10} KB)\n")


if __name__ == "__main__":
    main()
