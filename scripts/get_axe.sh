#!/usr/bin/env bash
# Puts axe-core, which looks for faults that keep people from using a page, into build/axe for the tests of the report. It
# comes from npm and is held against its checksum; it is MPL-2.0, and no part of what is installed. Ends with 3 where it
# can't be had: those tests are then skipped, and say so.
set -euo pipefail
cd "$(dirname "$0")/.."
version=4.14.1
sha512=1477dafa598d8d065f273d6af302aa203c02e83131707b7fa648cd41bd3d6b734f8c22a0dab86ee6a6f64b8afbe804b214d36db85a2826965edfb3a0b9d546b5
place=build/axe
[ -f "$place/axe.min.js" ] && [ "$(cat "$place/version" 2>/dev/null)" = "$version" ] && exit 0
command -v npm >/dev/null || { echo "no npm here: axe-core is got with it" >&2; exit 3; }
mkdir -p build
work=$(mktemp -d build/axe.XXXXXX)
trap 'rm -rf "$work"' EXIT
npm pack --silent --ignore-scripts --pack-destination "$work" "axe-core@$version" >/dev/null ||
  { echo "npm can't get axe-core $version" >&2; exit 3; }
echo "$sha512  $work/axe-core-$version.tgz" | sha512sum --check --quiet
tar -xzf "$work/axe-core-$version.tgz" -C "$work" package/axe.min.js package/LICENSE
echo "$version" >"$work/package/version"
rm -rf "$place"
mv "$work/package" "$place"
echo "axe-core $version"
