#!/bin/sh
# Install the Inopsio agent on this host and let it in. As root:
#   echo TOKEN | sh install.sh https://HOUSE:8601
# Whoever pasted the command knows this text by its SHA-256. It knows the packages by theirs, and
# the house by its authority: the token goes to that house and to nobody else.
set -eu

AUTHORITY='@AUTHORITY@'
PACKAGES='@PACKAGES@'

stop() {
  echo "inopsio-agent: $1" >&2
  exit 1
}

fetch() {
  if command -v curl >/dev/null 2>&1; then
    curl -fsSk --retry 5 --retry-delay 2 --max-time 300 -o "$2" "$1"
  else
    wget -q --tries 5 --timeout 60 --no-check-certificate -O "$2" "$1"
  fi
}

[ "$(id -u)" = 0 ] || stop 'run this as root (sudo)'
url=${1:-}
[ -n "$url" ] || stop 'give the address of the house, https://HOUSE:8601'
IFS= read -r token || [ -n "$token" ] || stop 'give the token on standard input'

if command -v dpkg >/dev/null 2>&1; then
  kind=deb arch=$(dpkg --print-architecture)
elif command -v rpm >/dev/null 2>&1; then
  kind=rpm arch=$(uname -m)
else
  stop 'this system has neither dpkg nor rpm; unpack a release by hand and run "inopsio-agent install"'
fi
name='' version='' digest=''
while read -r one_kind one_arch one_version one_digest one_name; do
  if [ "$one_kind $one_arch" = "$kind $arch" ]; then
    version=$one_version digest=$one_digest name=$one_name
  fi
done <<PACKAGES
$PACKAGES
PACKAGES
[ -n "$name" ] || stop "this house has no package for $kind $arch"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' INT TERM
has=$(inopsio-agent --version 2>/dev/null | cut -d ' ' -f 2) || true
if [ "$(printf '%s\n%s\n' "$has" "$version" | sort -V | tail -n 1)" != "$has" ]; then
  fetch "$url/v1/agents/packages/$name" "$work/$name" || stop "$name could not be fetched from $url"
  echo "$digest  $work/$name" | sha256sum -c - >/dev/null || stop "$name is not what the house has"
  case $kind in
    deb) dpkg -i "$work/$name" >"$work/said" 2>&1 || { cat "$work/said" >&2; stop 'dpkg failed'; } ;;
    rpm) rpm -U --quiet "$work/$name" || stop 'rpm failed' ;;
  esac
fi
# A host that is enrolled already stays the same agent.
if [ -d /run/systemd/system ]; then
  systemctl stop inopsio-agent-respond.service inopsio-agent-watch.service inopsio-agent.service || true
fi
printf '%s\n' "$token" >"$work/token"
inopsio-agent enroll --url "$url" --token-file "$work/token" --ca-fingerprint "$AUTHORITY" \
  || stop 'it was not let in'
inopsio-agent install
[ -d /run/systemd/system ] || echo 'inopsio-agent: no systemd runs here; start it by: inopsio-agent run' >&2
