"""Weights from a hub on 127.0.0.1: had once, checked, and then had without it. The hub's model is the bundled one."""

import json
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest
from fake_hub import COMMIT, Hub, serving, with_hub

from hashtag_photos.errors import ModelError
from hashtag_photos.models import bundled, find_model, find_weights

TINY = {path.name: path.read_bytes() for path in (bundled() / "tiny").iterdir() if path.name.startswith("open_clip")}
WEIGHTS = TINY["open_clip_model.safetensors"]
NAME = "hf-hub:test/tiny"
# gives OpenCLIP a model of its own: the architecture of tiny, preprocessed unusually, with weights at test/tagged
REGISTER = f"""
import json, sys, tempfile, pathlib, open_clip
TOKENIZER = dict(hf_tokenizer_name="test/words")
from open_clip import pretrained
folder = pathlib.Path(tempfile.mkdtemp())
config = json.loads({TINY["open_clip_config.json"].decode()!r})["model_cfg"]
config["text_cfg"] |= TOKENIZER
(folder / "tagged.json").write_text(json.dumps(config))
open_clip.add_model_config(folder)
cfg = pretrained._apcfg(hf_hub="test/tagged/pytorch_model.bin", mean=(0.1, 0.2, 0.3), resize_mode="longest")
pretrained._PRETRAINED["tagged"] = dict(drawn=cfg)
"""


@pytest.fixture
def hub() -> Iterator[Hub]:
    with serving(Hub({"test/tiny": dict(TINY)})) as hub:
        yield hub


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


def fetched(hub: Hub, home: Path, *words: str | Path) -> dict[str, str]:
    """What `models fetch` says, by the first word of each line."""
    done = with_hub(hub, home, "models", "fetch", *words)
    assert done.returncode == 0, done.stderr
    return dict(re.findall(r"^(\w+) +(.+)$", done.stdout, flags=re.MULTILINE))


def test_weights_are_brought_checked_and_had_from_then_on_without_a_request(hub: Hub, home: Path) -> None:
    first = fetched(hub, home, NAME)
    assert "nothing" not in first
    assert (first["sha256"], first["commit"]) == (sha256(WEIGHTS).hexdigest(), COMMIT)
    assert (home.parent / first["weights"]).read_bytes() == WEIGHTS
    asked = len(hub.asked)
    second = fetched(hub, home, NAME)
    assert second.pop("nothing") == "to do: it is there"
    assert second == first
    assert len(hub.asked) == asked


def test_a_machine_without_network_takes_what_it_has_also_where_the_hub_moved(hub: Hub, home: Path) -> None:
    first = fetched(hub, home, NAME)
    hub.commit = "f" * 40
    hub.repositories["test/tiny"]["open_clip_model.safetensors"] = WEIGHTS[:-1] + b"!"
    # as another program does that looks for a small file: the cache now takes the new commit for the newest
    done = with_hub(
        hub, home, code="import huggingface_hub as h; h.hf_hub_download('test/tiny', 'open_clip_config.json')"
    )
    assert done.returncode == 0, done.stderr
    asked = len(hub.asked)
    assert fetched(hub, home, NAME)["commit"] == first["commit"]
    assert len(hub.asked) == asked


def test_without_a_hub_it_ends_soon_and_says_the_way_out(home: Path) -> None:
    with serving(Hub()) as gone:
        pass
    begun = time.monotonic()
    done = with_hub(gone, home, "models", "fetch", NAME)
    assert time.monotonic() - begun < 20, "the hub's library alone would try again and again"
    assert (done.returncode, done.stdout) == (2, "")
    assert "are not on this machine and can't be had: [Errno 111] Connection refused; bring them from" in done.stderr
    assert f"hashtag-photos models fetch {NAME} --to FOLDER, and here --model local-dir:FOLDER" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("hf-hub:test/other", "the hub has no repository test/other, or not for everybody (log in with HF_TOKEN)"),
        (
            "hf-hub:test/empty",
            "no weights that OpenCLIP takes (open_clip_model.safetensors or open_clip_pytorch_model.bin)",
        ),
    ],
)
def test_what_the_hub_does_not_have(hub: Hub, home: Path, name: str, message: str) -> None:
    hub.repositories["test/empty"] = {"README.md": b"nothing"}
    done = with_hub(hub, home, "models", "fetch", name)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert message in done.stderr


def test_bytes_that_are_not_those_that_the_hub_states_are_not_kept(hub: Hub, home: Path) -> None:
    hub.sent["open_clip_model.safetensors"] = WEIGHTS[:-1] + b"!"
    done = with_hub(hub, home, "models", "fetch", NAME)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert "came damaged from test/tiny (their sha256 is not what it states), and are deleted again" in done.stderr
    hub.sent.clear()
    assert fetched(hub, home, NAME)["sha256"] == sha256(WEIGHTS).hexdigest()


def test_bytes_that_came_to_harm_later_are_named_and_can_be_had_again(hub: Hub, home: Path) -> None:
    path = home.parent / fetched(hub, home, NAME)["weights"]
    path.resolve().write_bytes(WEIGHTS[:1000])
    done = with_hub(hub, home, "models", "fetch", NAME)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert "the weights are damaged" in done.stderr
    (blob,) = re.findall(r"; delete (\S+) and type: hashtag-photos models fetch hf-hub:test/tiny$", done.stderr.strip())
    Path(blob).unlink()
    assert fetched(hub, home, NAME)["sha256"] == sha256(WEIGHTS).hexdigest()


def test_older_weights_are_taken_where_there_are_no_safe_ones(hub: Hub, home: Path) -> None:
    hub.repositories["test/tiny"]["open_clip_pytorch_model.bin"] = hub.repositories["test/tiny"].pop(
        "open_clip_model.safetensors"
    )
    assert fetched(hub, home, NAME)["weights"].endswith(f"{COMMIT}/open_clip_pytorch_model.bin")


def test_a_folder_can_be_carried_and_still_says_where_it_is_from(hub: Hub, home: Path) -> None:
    said = fetched(hub, home, NAME, "--to", "carried/tiny")
    folder = home.parent / "carried/tiny"
    assert said["next"].startswith("carry carried/tiny over; there: ")
    assert said["next"].endswith("hashtag-photos run --model local-dir:carried/tiny")
    assert sorted(path.name for path in folder.iterdir()) == [
        "open_clip_config.json",
        "open_clip_model.safetensors",
        "origin.json",
    ]
    elsewhere = home.parent / "elsewhere"
    shutil.copytree(folder, elsewhere)
    spec = find_model(f"local-dir:{elsewhere}")
    weights = find_weights(spec)
    assert weights is not None
    assert (weights.hub, weights.commit, weights.sha256) == ("test/tiny", COMMIT, sha256(WEIGHTS).hexdigest())
    assert spec.key.rpartition("-")[2] == find_model(f"local-dir:{folder}").key.rpartition("-")[2]
    before = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert "nothing" in fetched(hub, home, NAME, "--to", "carried/tiny")
    assert {path: path.stat().st_mtime_ns for path in folder.iterdir()} == before
    assert list((home.parent / "carried").iterdir()) == [folder]


def test_a_carried_folder_that_came_to_harm_is_an_error(hub: Hub, home: Path) -> None:
    fetched(hub, home, NAME, "--to", "carried")
    folder = home.parent / "carried"
    (folder / "open_clip_model.safetensors").write_bytes(WEIGHTS[:1000])
    weights = find_weights(find_model(f"local-dir:{folder}"))
    assert weights is not None
    with pytest.raises(ModelError, match=r"the weights are damaged.*delete the folder and bring it again"):
        _ = weights.sha256
    (folder / "origin.json").write_text("{")
    with pytest.raises(ModelError, match=r"origin.json: can't be read"):
        find_weights(find_model(f"local-dir:{folder}"))


def test_nothing_else_is_overwritten(hub: Hub, home: Path) -> None:
    (home.parent / "mine").mkdir()
    (home.parent / "mine/notes.txt").write_text("mine")
    (home.parent / "file").write_text("mine")
    for taken in ("mine", "file"):
        done = with_hub(hub, home, "models", "fetch", NAME, "--to", taken)
        assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
        assert "something else stands there; choose a new folder with --to" in done.stderr
    done = with_hub(hub, home, "models", "fetch", NAME, "--to", "file/below")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert "can't be written" in done.stderr
    done = with_hub(hub, home, "models", "fetch", "tiny", "--to", "new")
    assert "is a folder already: copy" in done.stderr
    assert sorted(path.name for path in home.parent.iterdir()) == ["file", "home", "mine"]


def test_an_open_clip_name_becomes_a_folder_with_its_preprocessing_and_tokenizer(hub: Hub, home: Path) -> None:
    hub.repositories["test/tagged"] = {"pytorch_model.safetensors": WEIGHTS}
    hub.repositories["test/words"] = {"tokenizer.json": b"{}", "tokenizer_config.json": b"{}"}
    code = f"""{REGISTER}
from hashtag_photos.cli import app
app(["models", "fetch", "tagged/drawn", "--to", "carried"], standalone_mode=False)
named = open_clip.create_model("tagged", pretrained="drawn")
carried = open_clip.create_model("local-dir:carried")
for model in (named, carried):
    print(json.dumps(open_clip.get_model_preprocess_cfg(model)))
    print(sum(float(each.double().sum()) for each in model.state_dict().values()))
"""
    done = with_hub(hub, home, code=code)
    assert done.returncode == 0, done.stderr
    *_, named, values, carried, carried_values = done.stdout.splitlines()
    assert json.loads(named) == json.loads(carried)
    assert json.loads(carried)["resize_mode"] == "longest"
    assert json.loads(carried)["mean"] == [0.1, 0.2, 0.3]
    assert values == carried_values
    assert json.loads((home.parent / "carried/tokenizer.json").read_text()) == {}
    asked = len(hub.asked)
    again = with_hub(hub, home, code=REGISTER + "\nfrom hashtag_photos.weights import *\n"
        "from hashtag_photos.models import *\nfetch(find_model('tagged/drawn'))")  # fmt: skip
    assert again.returncode == 0, again.stderr
    assert len(hub.asked) == asked, "tokenizers are had without a request, too"


def test_a_killed_fetch_leaves_nothing_that_looks_whole(hub: Hub, home: Path) -> None:
    fetched(hub, home, NAME)
    code = f"""
import os, signal
from hashtag_photos import weights
from hashtag_photos.models import find_model
write = weights._write
def killed(path, content):
    write(path, content)
    os.kill(os.getpid(), signal.SIGKILL)
weights._write = killed
weights.pack(find_model({NAME!r}), weights.Path("carried"))
"""
    done = with_hub(hub, home, code=code)
    assert done.returncode == -signal.SIGKILL
    assert not (home.parent / "carried").exists()
    assert "nothing" not in fetched(hub, home, NAME, "--to", "carried")


def test_the_list_is_there_at_once_and_says_what_is_here(hub: Hub, home: Path) -> None:
    snapshot = home / f"hub/models--timm--PE-Core-B-16/snapshots/{COMMIT}"
    snapshot.mkdir(parents=True)
    (snapshot / "open_clip_model.safetensors").write_bytes(b"weights")
    (home / "hub/models--timm--PE-Core-B-16/refs").mkdir()
    (home / "hub/models--timm--PE-Core-B-16/refs/main").write_text(COMMIT)
    done = with_hub(hub, home, "models")
    assert done.returncode == 0, done.stderr
    base, large, tiny, *_ = done.stdout.split("\n\n")
    assert base.startswith("base       PE-Core-B-16, 448 million parameters, weights of 1.8 GB, Apache-2.0. Perception")
    assert re.search(rf"on this machine: home/hub/\S*open_clip_model.safetensors, commit {COMMIT}$", base)
    assert re.search(r"not on this machine; to bring it: \S*hashtag-photos models fetch large$", large)
    assert "bundled, 4 million parameters, weights of 8 MB" in tiny
    assert "hashtag-photos models measure" in done.stdout
    assert hub.asked == []
    code = "import sys; sys.argv = ['x', 'models']\nfrom hashtag_photos.cli import main\n"
    code += "try: main()\nfinally: print({'torch', 'open_clip', 'pyarrow', 'PIL'} & set(sys.modules), file=sys.stderr)"
    light = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert light.stderr.strip() == "set()"


def test_what_a_model_costs_is_measured_also_where_its_weights_are_not(hub: Hub, home: Path) -> None:
    code = f"""{REGISTER.replace('"test/words"', "None")}
from hashtag_photos.models import find_model
from hashtag_photos.stages.measure import measure
for name in ("tiny", "tagged/drawn"):
    done = measure(find_model(name), device="cpu", seconds=0.2)
    assert done.prepared > 0 and done.encoded > 0
    assert abs(done.seconds - 1 / done.prepared - 1 / done.encoded) < 1e-9
    print(done.device, done.precision, done.own_weights)
"""
    done = with_hub(hub, home, code=code)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == ["cpu fp32 True", "cpu fp32 False"]
    assert hub.asked == [], "measuring downloads nothing"
    said = with_hub(hub, home, "models", "measure", "tiny", "--device", "cpu")
    assert re.search(
        r"^tiny +decoded [\d,]+/s, by the model [\d,.]+/s: \d+ \w+ on cpu in fp32$", said.stdout, re.MULTILINE
    )
    unknown = with_hub(hub, home, "models", "measure", NAME)
    assert (unknown.returncode, unknown.stderr.count("\n")) == (2, 1)
    assert f"type: hashtag-photos models fetch {NAME}" in unknown.stderr
