#!/bin/sh
# Make a Debian package of a tree that package.sh has made: TREE VERSION OUT.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
tree=$1 version=$2 out=$3
arch=$(dpkg --print-architecture)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT INT TERM
cp -a "$tree" "$work/tree"
doc=$work/tree/usr/share/doc/inopsio-agent
cat > "$doc/changelog" <<CHANGES
inopsio-agent ($version) stable; urgency=medium

  * See CHANGELOG.md of the project.

 -- Inopsio <security@inopsio.example>  $(date -R -u -d "@${SOURCE_DATE_EPOCH:-0}")
CHANGES
gzip -9n "$doc/changelog"
cat > "$doc/copyright" <<COPYRIGHT
Copyright 2026 Inopsio. Under the Apache License 2.0: /usr/share/common-licenses/Apache-2.0.
The libraries in /opt/inopsio-agent are under their own licences (their *.dist-info folders).
COPYRIGHT
mkdir -p "$work/tree/usr/share/lintian/overrides"
for tag in dir-or-file-in-opt custom-library-search-path embedded-library library-not-linked-against-libc \
  shared-library-lacks-prerequisites maintainer-script-calls-systemctl hardening-no-pie; do
  echo "inopsio-agent: $tag" >> "$work/tree/usr/share/lintian/overrides/inopsio-agent"
done
mkdir "$work/tree/DEBIAN"
(cd "$work/tree" && find opt usr lib -type f -exec md5sum {} + > DEBIAN/md5sums)
cat > "$work/tree/DEBIAN/control" <<CONTROL
Package: inopsio-agent
Version: $version
Architecture: $arch
Maintainer: Inopsio <security@inopsio.example>
Installed-Size: $(du -sk --exclude=DEBIAN "$work/tree" | cut -f1)
Depends: libc6 (>= 2.31), passwd
Recommends: nftables
Section: admin
Priority: optional
Description: Inopsio endpoint agent
 Watches this host (processes, connections, files, sign-ins, packages, settings)
 and ships what happens to an Inopsio server. Nothing is sent before
 inopsio-agent enroll names one.
CONTROL
for name in postinst prerm postrm; do
  sed "s/@VERSION@/$version/g" "$here/scripts/$name" > "$work/tree/DEBIAN/$name"
  chmod 755 "$work/tree/DEBIAN/$name"
done
dpkg-deb --root-owner-group -Zxz --build "$work/tree" "$out/inopsio-agent_${version}_${arch}.deb" >/dev/null
echo "$out/inopsio-agent_${version}_${arch}.deb"
