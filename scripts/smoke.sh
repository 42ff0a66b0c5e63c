#!/bin/sh
# Build the wheel, install it with its locked dependencies (and no development ones) into a clean environment, and run the
# sample from a folder that holds a decoy `pipeline.py` and `models/`: neither may shadow what is installed.
set -eu

repository=$(CDPATH= cd -- "$(dirname -- "$0")/.." && pwd)
uv="$repository/.venv/bin/uv"
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT

cd "$repository"
.venv/bin/python -m hatchling build -t wheel -d "$place/dist" >/dev/null
"$uv" pip compile pyproject.toml --constraint requirements.lock --universal --python-version 3.11 --no-emit-index-url \
  --generate-hashes --quiet --output-file "$place/runtime.lock"

python3 -m venv "$place/venv"
VIRTUAL_ENV="$place/venv" "$uv" pip sync --quiet --require-hashes "$place/runtime.lock"
VIRTUAL_ENV="$place/venv" "$uv" pip install --quiet --no-deps "$place"/dist/*.whl

mkdir -p "$place/user/models/labels"
cd "$place/user"
echo 'raise SystemExit("the decoy pipeline.py was imported")' >pipeline.py
echo 'raise SystemExit("the decoy models was imported")' >models/__init__.py
echo 'open_clip = "a decoy"' >models/tiny.toml

"$place/venv/bin/hashtag-photos" run >said.txt
cat said.txt
for name in tally.json tally.csv photos.csv report.html; do
  test -s "runs/sample/report/$name" || { echo "smoke: runs/sample/report/$name is missing" >&2; exit 1; }
done
"$place/venv/bin/hashtag-photos" run | grep -q 'nothing to do: 0 new images' ||
  { echo "smoke: the second run did work" >&2; exit 1; }
"$place/venv/bin/python" - <<'PYTHON'
import pathlib
import sys

import hashtag_photos as hp

here = pathlib.Path(hp.__file__).parent
assert (here / "models/tiny/open_clip_model.safetensors").is_file(), "the wheel holds no tiny model"
assert (here / "py.typed").is_file()
assert here.is_relative_to(sys.prefix), here
PYTHON
"$place/venv/bin/python" - "$place/venv/bin/hashtag-photos" <<'PYTHON'
import re
import signal
import subprocess
import sys
from urllib.error import HTTPError
from urllib.request import urlopen

with subprocess.Popen([sys.argv[1], "review", "runs/sample"], stdout=subprocess.PIPE, text=True) as review:
    try:
        addresses = (re.search(r"http://127\.0\.0\.1:\d+/", line) for line in review.stdout)
        address = next(filter(None, addresses), None)
        assert address, "smoke: review said no address"
        for part in ("", "review.js", "review.css", "icon.svg"):
            with urlopen(address[0] + part, timeout=30) as answer:
                assert answer.status == 200 and answer.read(), part
        try:
            urlopen(address[0] + "api/hello", timeout=30)
        except HTTPError as refused:
            assert refused.code == 403, refused
        else:
            raise AssertionError("smoke: the page's data is open to everybody")
        review.send_signal(signal.SIGINT)
        said = review.communicate(timeout=60)[0]
        assert review.returncode == 0 and "labels     0 of " in said, (review.returncode, said)
    finally:
        review.kill()
PYTHON
echo "smoke: the wheel works"
