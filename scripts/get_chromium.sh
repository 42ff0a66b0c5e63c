#!/usr/bin/env bash
# Installs Debian's chromium for the tests of the labelling page, through this machine's own package sources, if it is
# missing. Ends with 3 where that isn't possible: `make test` then skips those tests, and says so; CI fails.
set -euo pipefail
place=${CHROMIUM:-/usr/bin/chromium}
if [ ! -x "$place" ]; then
  [ "$place" = /usr/bin/chromium ] || { echo "CHROMIUM=$place: there is no such program" >&2; exit 3; }
  command -v apt-get >/dev/null || { echo "no apt-get here: chromium is got from Debian's packages" >&2; exit 3; }
  [ "$(id -u)" = 0 ] || { echo "not root: as root, apt-get install chromium; or name one with CHROMIUM=" >&2; exit 3; }
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -qq
  # on Ubuntu the package is a stand-in for a snap, which no container can run
  maintainer=$(apt-cache show --no-all-versions chromium 2>/dev/null | sed -n 's/^Maintainer: //p')
  case $maintainer in *Debian*) ;; *) echo "no chromium of Debian's here" >&2; exit 3 ;; esac
  apt-get install -qq --no-install-recommends --yes chromium >/dev/null
fi
said=$("$place" --version --no-sandbox 2>/dev/null || true)
[ -n "$said" ] || { echo "$place doesn't run here" >&2; exit 1; }
echo "$said"
