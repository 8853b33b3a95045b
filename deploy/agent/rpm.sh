#!/bin/sh
# Make an RPM of a tree that package.sh has made: TREE VERSION OUT. Needs rpmbuild (Debian: rpm).
set -eu
here=$(cd "$(dirname "$0")" && pwd)
tree=$1 version=$2 out=$3
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT INT TERM
# Where /lib is a link to usr/lib, a package owns the latter.
cp -a "$tree" "$work/tree"
mkdir -p "$work/tree/usr/lib" && mv "$work/tree/lib/systemd" "$work/tree/usr/lib/systemd" && rmdir "$work/tree/lib"
rpmbuild -bb --quiet --define "_topdir $work/rpm" --define "_rpmdir $out" --define "_tree $work/tree" \
  --define "_version $version" --define "_build_name_fmt inopsio-agent-%%{VERSION}-%%{RELEASE}.%%{ARCH}.rpm" \
  --define "_build_id_links none" --define "_binary_payload ${PAYLOAD:-w6.xzdio}" --define "_dbpath $work/db" "$here/agent.spec" >&2
echo "$out/inopsio-agent-$version-1.$(uname -m).rpm"
