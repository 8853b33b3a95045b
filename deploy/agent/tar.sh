#!/bin/sh
# Make what agents update themselves by, of a tree that package.sh has made: TREE VERSION OUT.
set -eu
tree=$1 version=$2 out=$3
name=inopsio-agent_${version}_linux-$(uname -m).tar.xz
tar --sort=name --owner=0 --group=0 --numeric-owner --format=ustar -C "$tree/opt/inopsio-agent/versions/$version" -cf - . \
  | xz "${LEVEL:--6}" -T1 > "$out/$name"
echo "$out/$name"
