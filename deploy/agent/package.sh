#!/bin/sh
# Freeze the agent once and pack it: a directory under /opt, hardened units, no Python needed.
#
#   deploy/agent/package.sh OUT [deb] [rpm] [tar]     OUT: folder of the packages
#
# tar is what agents update themselves by (docs/howto/update-agents.md).
# PYTHON: the Python that is frozen (3.11 or newer). Takes its packages, with hashes, from requirements.lock.
# VERSION: of the packages, default the project's. RELEASE_KEY: public key whose releases the agent takes.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
mkdir -p "$1"
out=$(cd "$1" && pwd)
shift
python=${PYTHON:-python3}
version=${VERSION:-$(sed -n 's/^version = "\(.*\)"/\1/p' "$root/pyproject.toml")}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT INT TERM
umask 022

"$python" -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check --require-hashes -r "$here/requirements.lock"
cp -r "$root/agent" "$work/agent"
echo "$version" > "$work/agent/version.txt"
cp "$here/freeze.spec" "$here/frozen.py" "$work"
# NODEBUGRANGES: a traceback names the line, not the column.
(cd "$work" && PYTHONPATH=$work PYTHONNODEBUGRANGES=1 venv/bin/pyinstaller --log-level ERROR --noconfirm freeze.spec)

tree=$work/tree
place=$tree/opt/inopsio-agent
mkdir -p "$place/versions" "$tree/usr/bin" "$tree/lib/systemd/system" "$tree/usr/share/doc/inopsio-agent"
cp -r "$work/dist/inopsio-agent" "$place/versions/$version"
chmod -R u=rwX,go=rX "$tree"
find "$place" -name '*.so*' -exec chmod 644 {} +
if [ -n "${RELEASE_KEY:-}" ]; then cp "$RELEASE_KEY" "$place/release.pub"; chmod 644 "$place/release.pub"; fi
ln -s /opt/inopsio-agent/current/inopsio-agent "$tree/usr/bin/inopsio-agent"
cp "$root/LICENSE" "$tree/usr/share/doc/inopsio-agent/copyright"
(cd "$work" && venv/bin/python - "$tree/lib/systemd/system" <<'UNITS'
import pathlib
import sys

from agent.units import units

for name, text in units("/opt/inopsio-agent/current/inopsio-agent").items():
    pathlib.Path(sys.argv[1], name).write_text(text, encoding="utf-8")
UNITS
)
for kind in "$@"; do "$here/$kind.sh" "$tree" "$version" "$out"; done
