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

# Whoever is on the way may send anything: no more of it than the package has is kept.
fetch() {
  if command -v curl >/dev/null 2>&1; then
    curl -fsSk --retry 5 --retry-delay 2 --max-time 600 "$1"
  else
    timeout 600 wget -q --no-check-certificate -O - "$1"
  fi | head -c "$3" >"$2"
  [ -s "$2" ]
}

begin_again() {
  rm -rf "$work"
  if [ -n "$were_active" ]; then
    # shellcheck disable=SC2086
    systemctl start $were_active || true
  fi
}

case $0 in
  "${TMPDIR:-/tmp}"/tmp.*) rm -f "$0" ;;
esac
[ "$(id -u)" = 0 ] || stop 'run this as root (sudo)'
url=${1:-}
[ -n "$url" ] || stop 'give the address of the house, https://HOUSE:8601'
IFS= read -r token || [ -n "$token" ] || stop 'give the token on standard input'

if [ -e /var/lib/dpkg/status ] && command -v dpkg >/dev/null 2>&1; then
  kind=deb arch=$(dpkg --print-architecture)
elif command -v rpm >/dev/null 2>&1; then
  kind=rpm arch=$(uname -m)
else
  stop 'this system has neither dpkg nor rpm; unpack a release by hand and run "inopsio-agent install"'
fi
name='' version='' digest='' size=0
while read -r one_kind one_arch one_version one_digest one_size one_name; do
  if [ "$one_kind $one_arch" = "$kind $arch" ]; then
    version=$one_version digest=$one_digest size=$one_size name=$one_name
  fi
done <<PACKAGES
$PACKAGES
PACKAGES
[ -n "$name" ] || stop "this house has no package for $kind $arch"

work=$(mktemp -d) were_active=''
trap begin_again EXIT
trap 'exit 1' INT TERM
has=$(inopsio-agent --version 2>/dev/null | cut -d ' ' -f 2) || true
if command -v dpkg-query >/dev/null 2>&1 && [ "$kind" = deb ]; then
  # One whose installation was cut off counts for none.
  dpkg-query -W -f '${db:Status-Status}' inopsio-agent 2>/dev/null | grep -qx installed || has=''
fi
if [ "$(printf '%s\n%s\n' "$has" "$version" | sort -V | tail -n 1)" != "$has" ] || [ -z "$has" ]; then
  fetch "$url/v1/agents/packages/$name" "$work/$name" "$size" || stop "$name could not be fetched from $url"
  echo "$digest  $work/$name" | sha256sum -c - >/dev/null || stop "$name is not what the house has"
  case $kind in
    deb) dpkg -i "$work/$name" >"$work/said" 2>&1 || { cat "$work/said" >&2; stop 'dpkg failed'; } ;;
    rpm) rpm -U --quiet "$work/$name" || stop 'rpm failed' ;;
  esac
fi
# The same host stays the same agent. What runs must not hold its folder meanwhile.
if [ -d /run/systemd/system ]; then
  for unit in inopsio-agent-respond.path inopsio-agent-respond.service inopsio-agent-watch.service inopsio-agent.service; do
    if systemctl -q is-active "$unit"; then were_active="$were_active $unit"; fi
  done
  # shellcheck disable=SC2086
  [ -z "$were_active" ] || systemctl stop $were_active
fi
printf '%s\n' "$token" >"$work/token"
inopsio-agent enroll --url "$url" --token-file "$work/token" --ca-fingerprint "$AUTHORITY" \
  || stop 'it was not let in; what ran before goes on'
inopsio-agent install
[ -d /run/systemd/system ] || echo 'inopsio-agent: no systemd runs here; start it by: inopsio-agent run' >&2
