#!/bin/sh
# Build the agent as one Debian package: a frozen directory under /opt, hardened units, no Python needed.
#
#   deploy/agent/deb.sh [OUT]      OUT: folder of the package, default build/
#
# PYTHON: the Python that is frozen (3.11 or newer). Takes its packages, with hashes, from requirements.lock.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
out=${1:-$root/build}
python=${PYTHON:-python3}
version=$(sed -n 's/^version = "\(.*\)"/\1/p' "$root/pyproject.toml")
arch=$(dpkg --print-architecture)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT INT TERM

"$python" -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check --require-hashes -r "$here/requirements.lock"
cp -r "$root/agent" "$work/agent"
cat > "$work/start.py" <<'START'
from agent.cli import main

main()
START
(cd "$work" && PYTHONPATH=$work venv/bin/pyinstaller --log-level ERROR --noconfirm --onedir --strip --name inopsio-agent \
  --paths . --collect-submodules agent --collect-data agent.checks \
  --exclude-module tkinter --exclude-module psutil --exclude-module unittest --exclude-module pydoc \
  --exclude-module asyncio --exclude-module multiprocessing --exclude-module setuptools start.py)

tree=$work/tree
mkdir -p "$tree/opt" "$tree/usr/bin" "$tree/lib/systemd/system" "$tree/DEBIAN" "$tree/usr/share/doc/inopsio-agent"
cp -r "$work/dist/inopsio-agent" "$tree/opt/inopsio-agent"
ln -s /opt/inopsio-agent/inopsio-agent "$tree/usr/bin/inopsio-agent"
cp "$root/LICENSE" "$tree/usr/share/doc/inopsio-agent/copyright"
(cd "$work" && venv/bin/python - "$tree/lib/systemd/system" <<'UNITS'
import pathlib
import sys

from agent.install import units

for name, text in units("/opt/inopsio-agent/inopsio-agent").items():
    pathlib.Path(sys.argv[1], name).write_text(text, encoding="utf-8")
UNITS
)
cat > "$tree/DEBIAN/control" <<CONTROL
Package: inopsio-agent
Version: $version
Architecture: $arch
Maintainer: Inopsio <security@inopsio.example>
Installed-Size: $(du -sk "$tree" | cut -f1)
Depends: libc6 (>= 2.31), passwd
Recommends: nftables
Section: admin
Priority: optional
Description: Inopsio endpoint agent
 Watches this host (processes, connections, files, sign-ins, packages, settings)
 and ships what happens to an Inopsio server. Nothing is sent before
 inopsio-agent enroll names one.
CONTROL
cat > "$tree/DEBIAN/postinst" <<'POSTINST'
#!/bin/sh
set -e
if [ "$1" = configure ]; then
  getent passwd inopsio-agent >/dev/null || \
    useradd --system --user-group --no-create-home --shell /usr/sbin/nologin inopsio-agent
  if [ -d /run/systemd/system ]; then
    systemctl daemon-reload
    systemctl try-restart inopsio-agent-watch.service inopsio-agent-respond.service inopsio-agent.service
  fi
fi
POSTINST
cat > "$tree/DEBIAN/prerm" <<'PRERM'
#!/bin/sh
set -e
[ "$1" != remove ] || /opt/inopsio-agent/inopsio-agent lift || true
if [ "$1" = remove ] && [ -d /run/systemd/system ]; then
  systemctl disable --now inopsio-agent-respond.service inopsio-agent-watch.service inopsio-agent.service || true
fi
PRERM
cat > "$tree/DEBIAN/postrm" <<'POSTRM'
#!/bin/sh
set -e
[ ! -d /run/systemd/system ] || systemctl daemon-reload || true
if [ "$1" = purge ]; then
  rm -rf /etc/inopsio-agent /var/lib/inopsio-agent
  ! getent passwd inopsio-agent >/dev/null || userdel inopsio-agent
  ! getent group inopsio-agent >/dev/null || groupdel inopsio-agent
fi
POSTRM
chmod 755 "$tree/DEBIAN/postinst" "$tree/DEBIAN/prerm" "$tree/DEBIAN/postrm"
mkdir -p "$out"
dpkg-deb --root-owner-group -Zxz --build "$tree" "$out/inopsio-agent_${version}_${arch}.deb" >/dev/null
echo "$out/inopsio-agent_${version}_${arch}.deb"
