#!/usr/bin/env bash
# Puts snac2, a small server that speaks Mastodon's API, into build/snac for the tests. It comes from Debian's backports,
# through this machine's own package sources; nothing is installed, and nothing outside build/ is written.
set -euo pipefail
cd "$(dirname "$0")/.."
place=build/snac
[ -x "$place/usr/bin/snac" ] && exit 0
for needed in apt-get dpkg-deb; do
  command -v "$needed" >/dev/null || { echo "no $needed here: snac2 is got from Debian's packages" >&2; exit 3; }
done
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
suite=$(. /etc/os-release && echo "${VERSION_CODENAME:-bookworm}")
case $suite in bookworm | trixie) ;; *) suite=bookworm ;; esac
mkdir -p "$work"/{lists/partial,cache/archives/partial,sources}
cp -a /etc/apt/sources.list.d/. "$work/sources/" 2>/dev/null || true
if [ -f "$work/sources/debian.sources" ]; then
  sed -E "s/^Suites:.*/Suites: $suite-backports/" "$work/sources/debian.sources" |
    awk -v RS= '/debian-security/ { next } { print $0 "\n" }' >"$work/backports.sources"
  sources="$work/backports.sources"
else
  sed -nE "s/^deb (\[[^]]*\] )?([^ ]+\/debian\/?) [^ ]+ .*/deb \1\2 $suite-backports main/p" /etc/apt/sources.list |
    sort -u >"$work/backports.list"
  sources="$work/backports.list"
fi
cat >"$work/apt.conf" <<CONF
Dir::State::lists "$work/lists";
Dir::Cache "$work/cache";
Dir::Etc::sourcelist "$sources";
Dir::Etc::sourceparts "-";
APT::Sandbox::User "";
Acquire::Retries "3";
CONF
export APT_CONFIG="$work/apt.conf"
apt-get update -qq
(cd "$work" && apt-get download -qq "snac2/$suite-backports")
mkdir -p "$place"
dpkg-deb -x "$work"/snac2_*.deb "$place"
said=$("$place/usr/bin/snac" 2>&1 || true)
case $said in snac*) echo "${said%%$'\n'*}" ;; *) echo "snac2 doesn't run here: $said" >&2; rm -rf "$place"; exit 1 ;; esac
