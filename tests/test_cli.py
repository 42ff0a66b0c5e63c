"""What a user types and sees: errors are one line that says what to do, exit code 2, and nothing half-written."""

import csv
import json
import re
import shlex
import shutil
import signal
import subprocess
import sys
import urllib.request
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from conftest import REPOSITORY, command, outside_make, picture
from live_servers import mastodon, serving, status
from PIL import Image

GOOD_POST = json.dumps({"id": 1, "media": ["http://nowhere.invalid/1.jpg"]}) + "\n"


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with what the errors are about."""
    (tmp_path / "good.jsonl").write_text(GOOD_POST)
    (tmp_path / "empty.jsonl").write_text("")
    (tmp_path / "useless.csv").write_text("name,size\na,1\n")
    (tmp_path / "bad.toml").write_text("classes = ")
    (tmp_path / "model").mkdir()
    (tmp_path / "model/open_clip_config.json").write_text("{}")
    (tmp_path / "file").write_text("in the way")
    (tmp_path / "pictures").mkdir()
    (tmp_path / "other").mkdir()
    (tmp_path / "other/x.txt").write_text("")
    return tmp_path


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--posts", "none.jsonl"], "none.jsonl: no such file; give the export's path with --posts"),
        (["--posts", "empty.jsonl"], "empty.jsonl: there are no posts in it"),
        (["--posts", "useless.csv"], "among name, size; name it with --columns media=NAME"),
        (["--posts", "useless.csv", "--columns", "media"], "not of the form FIELD=NAME"),
        (["--posts", "useless.csv", "--columns", "bild=name"], "there is no field 'bild'"),
        (["--posts", "good.jsonl", "--images", "pictures"], "--posts and --images exclude each other"),
        (["--columns", "media=x"], "give it with --posts"),
        (["--images", "pictures"], "pictures: there are no files in it"),
        (["--images", "none"], "none: no such folder"),
        (["--posts", "good.jsonl", "--model", "lagre"], "there is no model 'lagre'; near it: large"),
        (["--posts", "good.jsonl", "--model", "local-dir:model"], "there are no weights in this model folder"),
        (["--posts", "good.jsonl", "--labels", "bad.toml"], "bad.toml: is not valid TOML"),
        (["--posts", "good.jsonl", "--labels", "freindly"], "did you mean 'friendly-or-force'?"),
        (["--posts", "good.jsonl", "--device", "gpu"], "device 'gpu' can't be used"),
        (["--posts", "good.jsonl", "--precision", "fp8"], "there is no precision 'fp8': choose auto, fp32 or bf16"),
        (["--posts", "good.jsonl", "--model", "ViT-B-32/openai"], "take ViT-B-32-quickgelu/openai"),
        (["--run", "other"], "not a run folder"),
        (["--posts", "good.jsonl", "--run", "file"], "a file stands where the run folder should be"),
        (["--posts", "good.jsonl", "--run", "file/run"], "choose another with --run"),
    ],
)
def test_an_error_is_one_line_and_leaves_nothing(place: Path, words: list[str], message: str) -> None:
    before = sorted(place.rglob("*"))
    done = command("run", *words, cwd=place)
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith("error: ")
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
    assert sorted(place.rglob("*")) == before


def test_an_unwritable_run_folder(tmp_path: Path) -> None:
    """Also for root, whom permissions do not stop: nobody can make a folder in /proc."""
    done = command("run", "--run", "/proc/run", cwd=tmp_path)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "choose another run folder with --run" in done.stderr


@pytest.mark.parametrize("stage", ["download", "classify", "summarize", "report", "review"])
def test_a_stage_needs_a_run(tmp_path: Path, stage: str) -> None:
    done = command(stage, "runs/none", cwd=tmp_path)
    assert done.returncode == 2
    assert "there is no run here; start one with:" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_stages_out_of_order_say_which_is_missing(tmp_path: Path) -> None:
    (tmp_path / "good.jsonl").write_text(GOOD_POST)
    assert command("collect", "run", "--posts", "good.jsonl", cwd=tmp_path).returncode == 0
    for stage, missing in (
        ("classify", "download"),
        ("summarize", "classify"),
        ("report", "classify"),
        ("review", "classify"),
    ):
        done = command(stage, "run", cwd=tmp_path)
        assert done.returncode == 2
        assert f"run the {missing} stage first" in done.stderr


def test_what_contradicts_the_run_is_refused(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "1.jpg").write_bytes(picture())
    first = command("run", "--images", "a", "--model", "tiny", "--run", "run", cwd=tmp_path)
    assert first.returncode == 0, first.stderr
    for words, message in [
        (["--images", "b"], "holds pictures in"),
        (["--model", "base"], "was asked with model tiny and is now asked with model base"),
        (["--labels", "picture-kind"], "ask a second question beside it with the classify command"),
    ]:
        done = command("run", "--run", "run", *words, cwd=tmp_path)
        assert (done.returncode, done.stdout) == (2, ""), done.stdout
        assert message in done.stderr
    again = command("run", "--run", "run", cwd=tmp_path)
    assert again.returncode == 0
    assert (
        again.stdout.partition("\n\n")[2].split("friendly-or-force,")[1] == first.stdout.split("friendly-or-force,")[1]
    )


def test_other_posts_contradict_the_run_and_are_added_by_collect(place: Path) -> None:
    (place / "other.jsonl").write_text('{"id": 77, "media": ["http://127.0.0.1/a.jpg"], "source": "x"}\n')
    words = ("--model", "tiny", "--run", "run")
    assert command("run", "--posts", "good.jsonl", *words, cwd=place).returncode == 0
    refused = command("run", "--posts", "other.jsonl", *words, cwd=place)
    assert refused.returncode == 2
    assert "or add to it with the command collect" in refused.stderr
    added = command("collect", "run", "--posts", "other.jsonl", cwd=place)
    assert added.returncode == 0, added.stderr
    assert "collect    1 new post, " in added.stdout
    done = command("run", "--run", "run", cwd=place)
    assert done.returncode == 0, done.stderr
    assert "good.jsonl and posts of" in done.stdout


def test_another_place_for_the_same_hashtag_is_added_and_other_days_are_not(place: Path) -> None:
    with serving(mastodon([status(n) for n in range(5)])) as one, serving(mastodon([status(7)])) as other:
        words = ("run", "--hashtag", "dike", "--model", "tiny")
        first = command(*words, "--source", f"mastodon:{one.base}", cwd=place)
        assert first.returncode == 0, first.stderr
        assert "runs/dike is new: #dike on 127.0.0.1" in first.stdout
        second = command(*words, "--source", f"mastodon:{other.base}", cwd=place)
        assert second.returncode == 0, second.stderr
        assert "collect    1 new post, 6 in all" in second.stdout
        third = command(*words, "--source", f"mastodon:{one.base}", "--since", "2026-01-01", cwd=place)
        assert third.returncode == 2
        assert "and is now asked for #dike on 127.0.0.1" in third.stderr
        asked = len(one.asked) + len(other.asked)
        again = command("run", "--run", "runs/dike", cwd=place)
        assert "collect    nothing to do: 0 new posts, 6 in all" in again.stdout
        assert len(one.asked) + len(other.asked) == asked


def test_wrong_words_for_a_search(place: Path) -> None:
    before = sorted(place.rglob("*"))
    for words, message in [
        (["--hashtag", "dike"], "say where to search: --source"),
        (["--source", "bluesky"], "give the hashtag with --hashtag"),
        (["--since", "2014-01-01"], "give the hashtag with --hashtag"),
        (["--format", "minet"], "give it with --posts"),
        (["--posts", "good.jsonl", "--format", "nope"], "the formats are columns, zeeschuimer"),
        (["--hashtag", "dike", "--source", "x"], "X_BEARER_TOKEN is not set"),
        (["--hashtag", "dike", "--source", "x", "--limit", "0"], "--limit"),
    ]:
        done = command("run", *words, "--model", "tiny", cwd=place)
        assert (done.returncode, done.stdout) == (2, ""), done.stdout
        assert message in done.stderr
    assert sorted(place.rglob("*")) == before


def test_a_bug_keeps_its_traceback(tmp_path: Path) -> None:
    code = """
import sys
from hashtag_photos import cli, run
def broken(*_): raise ZeroDivisionError("a bug")
run.Run.__init__ = broken
sys.argv = ["hashtag-photos", "report", "x"]
cli.main()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert "Traceback" in done.stderr


def test_ctrl_c_exits_130_and_says_how_to_go_on(tmp_path: Path) -> None:
    program = Path(sys.executable).with_name("hashtag-photos")
    with subprocess.Popen(
        [program, "run", "--run", "run"], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        said = iter(process.stdout.readline, "")
        assert any("collect" in line for line in said), "it ended before it began"
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "the same command goes on from here" in errors
    assert "Traceback" not in errors


def make(*words: str, **environment: str) -> str:
    done = subprocess.run(
        ["make", "--dry-run", "--no-print-directory", "classify", *words],
        cwd=REPOSITORY, env=outside_make() | environment, capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    return done.stdout.splitlines()[-1].strip()


def test_each_make_variable_is_an_option_of_the_same_name() -> None:
    assert make().endswith("hashtag-photos run")
    assert make("POSTS=my posts.jsonl", "MODEL=large").endswith("run --model 'large' --posts 'my posts.jsonl'")
    assert make("RUN=it's").endswith(r"run --run 'it'\''s'")
    assert make("RETRY=1").endswith("run --retry")
    assert make("RETRY=0").endswith("hashtag-photos run")
    several = make("HASHTAG=myNYPD", "SOURCE=mastodon:mastodon.social,x", "MAX_WAIT=60", "KEEP_AUTHORS=1")
    assert shlex.split(several)[1:] == shlex.split(
        "run --hashtag myNYPD --keep-authors --max-wait 60 --source mastodon:mastodon.social,x"
    )
    download = make("CONTACT=me@example.org", "RATE=5", "PORTS=8080", "IGNORE_OPT_OUTS=1", "LOG=l", "PLACEHOLDERS=p")
    assert shlex.split(download)[1:] == shlex.split(
        "run --contact me@example.org --ignore-opt-outs --log l --placeholders p --ports 8080 --rate 5"
    )
    measured = make("MODEL=base", "DEVICE=cuda", "PRECISION=fp32")
    assert shlex.split(measured)[1:] == shlex.split("run --device cuda --model base --precision fp32")
    assert make("PYTHON=python3", "LABLES=x").endswith("run --lables 'x'"), "a misspelt one is not left out in silence"


def test_make_variables_from_the_environment_count_too() -> None:
    assert make(POSTS="p.jsonl").endswith("run --posts 'p.jsonl'"), "POSTS=p.jsonl make classify ran the sample instead"
    assert make(PRECISION="bf16").endswith("run --precision 'bf16'")
    assert make(COLUMNS="80").endswith("hashtag-photos run"), "that is how wide a terminal is"
    assert make(HOME_TOWN="x").endswith("hashtag-photos run")


def test_a_run_folder_may_be_an_address(tmp_path: Path) -> None:
    done = command("run", "--run", "nosuch://bucket/run", cwd=tmp_path)
    assert done.returncode == 2
    assert "nosuch" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_model_that_can_not_be_loaded_is_said_before_anything_is_downloaded(place: Path) -> None:
    (place / "model/open_clip_model.safetensors").write_bytes(b"garbage")
    before = sorted(place.rglob("*"))
    done = command("run", "--posts", "good.jsonl", "--model", "local-dir:model", cwd=place)
    assert done.returncode == 2
    assert "can't be loaded" in done.stderr
    assert "is damaged" in done.stderr
    assert sorted(place.rglob("*")) == before


def test_the_same_export_given_again_needs_its_columns_only_once(place: Path) -> None:
    (place / "p.csv").write_text("Nummer,Bild\n1,http://127.0.0.1/1.jpg\n")
    words = ["--posts", "p.csv", "--columns", "id=Nummer,media=Bild"]
    assert command("collect", "run", *words, cwd=place).returncode == 0
    again = command("collect", "run", "--posts", "p.csv", cwd=place)
    assert again.returncode == 0, again.stderr
    assert "nothing to do" in again.stdout


def test_a_run_goes_on_where_its_source_is_gone(place: Path) -> None:
    (place / "pictures/1.jpg").write_bytes(picture())
    assert command("run", "--images", "pictures", "--model", "tiny", "--run", "run", cwd=place).returncode == 0
    (place / "pictures").rename(place / "away")
    done = command("run", "--run", "run", cwd=place)
    assert done.returncode == 0, done.stderr
    assert "goes on with the 1 posts had, as their source can't be read now" in done.stdout


def shown_next(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 0, done.stderr
    (shown,) = re.findall(r"^next: (.*)$", done.stdout, re.MULTILINE)
    return shown


def test_the_next_command_can_be_typed_as_it_is_shown_and_so_can_a_question(place: Path) -> None:
    (place / "pictures/1.jpg").write_bytes(picture())
    assert command("run", "--images", "pictures", "--model", "tiny", "--run", "my run", cwd=place).returncode == 0
    (place / "mine.toml").write_text('[classes.a]\nprompts = ["a cat"]\n[classes.b]\nprompts = ["a dog"]\n')
    words = shlex.split(shown_next(command("classify", "my run", "--labels", "mine.toml", cwd=place)))
    assert words[1:] == ["report", "my run", "--labels", "mine.toml"]
    friendly, force = "Friendly: a police officer hugging a child", "conflict and-force: a baton | a fight"
    typed = ["--ask", friendly, force, "--device", "cpu"]
    shown = shown_next(command("classify", "my run", *typed, cwd=place))
    (key,) = re.findall(r"--labels (asked-[a-z0-9_-]+-[0-9a-f]{8})$", shown)
    assert shown_next(command("classify", "my run", "--ask", friendly, "--ask", force, cwd=place)) == shown
    done = subprocess.run(shown, shell=True, cwd=place, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "by tiny" in done.stdout
    assert re.search(r"│ conflict_and_force │", done.stdout)
    for stage in ("classify", "summarize"):
        again = command(stage, "my run", "--labels", key, cwd=place)
        assert again.returncode == 0, again.stderr
    assert (place / "my run/report").is_dir()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["my run", "--ask", "a: a cat", "b: a dog", "--labels", "picture-kind"],
            "--ask and --labels exclude each other",
        ),
        (["my run", "--ask", "a: a cat"], "at least two classes are needed"),
        (["my run", "--ask", "a cat", "a dog"], "names no class"),
        (["--ask", "a: a cat", "b: a dog", "my run"], "the run folder stands before --ask, and 'b: a dog' is none"),
        (["my run", "b: a dog"], "'b: a dog' stands after the run folder: give it with an option"),
    ],
)
def test_a_question_that_can_not_be_asked(tmp_path: Path, words: list[str], message: str) -> None:
    done = command("classify", *words, cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1), done.stderr
    assert message in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_run_goes_on_in_the_precision_that_it_began_with(place: Path) -> None:
    (place / "pictures/1.jpg").write_bytes(picture())
    words = ["--images", "pictures", "--model", "tiny", "--device", "cpu", "--run", "run"]
    assert command("run", *words, "--precision", "bf16", cwd=place).returncode == 0
    refused = command("classify", "run", "--precision", "fp32", cwd=place)
    assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)
    assert "was asked with precision bf16 and is now asked with precision fp32" in refused.stderr
    again = command("run", "--run", "run", cwd=place)
    assert again.returncode == 0, again.stderr
    assert "classify   nothing to do" in again.stdout
    shown = shown_next(command("classify", "run", "--labels", "picture-kind", "--model", "tiny", cwd=place))
    assert shown.endswith("report run --labels picture-kind")
    other = command("report", "run", "--model", "tiny", "--labels", "picture-kind", cwd=place)
    assert other.returncode == 0, other.stderr


def test_a_misspelt_option_is_an_error(tmp_path: Path) -> None:
    done = command("run", "--lables", "x", cwd=tmp_path)
    assert done.returncode == 2
    assert "No such option: --lables" in done.stderr


# The review


@pytest.fixture(scope="module")
def classified(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a classified run of 40 different pictures."""
    place = tmp_path_factory.mktemp("review")
    (place / "pictures").mkdir()
    for number in range(40):
        noise = np.random.default_rng(number).integers(0, 256, (5, 8, 3), dtype=np.uint8)
        Image.fromarray(noise).resize((160, 100), Image.Resampling.NEAREST).save(place / f"pictures/{number}.png")
    done = command("run", "--images", "pictures", "--model", "tiny", "--run", "run", cwd=place)
    assert done.returncode == 0, done.stderr
    return place


@pytest.fixture
def reviewed(classified: Path, tmp_path: Path) -> Path:
    """A copy of it, to be written to."""
    shutil.copytree(classified / "run", tmp_path / "run")
    return tmp_path


def fill_in(path: Path, said: str, coder: str, rows: slice = slice(None)) -> None:
    """The rows of an exported CSV as a person fills them in."""
    with path.open(encoding="utf-8", newline="") as file:
        table = list(csv.DictReader(file))
    for row in table[rows]:
        row |= {"label": said, "coder": coder}
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(table[0]))
        writer.writeheader()
        writer.writerows(table)


@contextmanager
def page_of(cwd: Path, *words: str) -> Iterator[tuple[subprocess.Popen[str], list[str]]]:
    """`hashtag-photos review` once it says the page's address; what it said until then."""
    program = Path(sys.executable).with_name("hashtag-photos")
    with subprocess.Popen(
        [program, "review", *words], cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            said = []
            for line in iter(process.stdout.readline, ""):
                said.append(line)
                if "http://127.0.0.1:" in line:
                    break
            yield process, said
        finally:
            process.kill()


def test_the_page_is_served_until_ctrl_c_and_what_there_is_is_said(reviewed: Path) -> None:
    with page_of(reviewed, "run", "--sample", "30") as (process, said):
        assert said[0] == "sample     30 of 40 distinct pictures\n"
        (address,) = re.findall(r"http://127\.0\.0\.1:\d+/", said[-1])
        with urllib.request.urlopen(address, timeout=30) as answer:
            assert answer.status == 200
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (0, "")
    assert "labels     0 of 30 pictures drawn have a label, by 0 coders" in output
    assert re.search(r"^next       \S*hashtag-photos review run$", output, re.MULTILINE)


def test_labels_go_out_and_come_back_and_correct_the_shares(reviewed: Path) -> None:
    out = command("review", "run", "--sample", "30", "--export", "out.csv", cwd=reviewed)
    assert out.returncode == 0, out.stderr
    assert "export     out.csv: 30 pictures drawn, 0 labels" in out.stdout
    for place, said in enumerate(("friendly", "neither", "conflict_and_force")):
        fill_in(reviewed / "out.csv", said, "anna", slice(place, None, 3))
    done = command("review", "run", "--import", "out.csv", cwd=reviewed)
    assert done.returncode == 0, done.stderr
    assert "import     30 new labels, 30 of the sample, 0 by hand" in done.stdout
    assert "by hand count for agreement alone" not in done.stdout
    again = command("review", "run", "--import", "out.csv", cwd=reviewed)
    assert "import     nothing to do: 0 new labels; 30 had already" in again.stdout
    fill_in(reviewed / "out.csv", "skip", "ben", slice(1))
    fill_in(reviewed / "out.csv", "friendly", "ben", slice(1, 3))
    assert "3 new labels" in command("review", "run", "--import", "out.csv", cwd=reviewed).stdout
    with page_of(reviewed, "run", "--coder", "anna") as (process, said):
        assert said[0].startswith("sample     30 of 40")
        process.send_signal(signal.SIGTERM)
        output, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (0, "")
    assert "labels     30 of 30 pictures drawn have a label, by 2 coders" in output
    assert re.search(r"coders disagree on 2; to settle these: \S*hashtag-photos review run --settle", output)
    shares = re.findall(r"^(?:corrected )? +([a-z_]+) +([\d.]+)\s% \([\d.]+\s% – [\d.]+\s%\)$", output, re.MULTILINE)
    assert [name for name, _ in shares] == ["friendly", "conflict_and_force", "neither"], output
    assert sum(float(share) for _, share in shares) == pytest.approx(100, abs=0.2)
    (after,) = re.findall(r"^next       (.*)$", output, re.MULTILINE)
    assert subprocess.run(after, shell=True, cwd=reviewed, capture_output=True, timeout=100).returncode == 0


def test_label_studio_is_told_what_to_ask(reviewed: Path) -> None:
    done = command("review", "run", "--export", "out.json", cwd=reviewed)
    assert done.returncode == 0, done.stderr
    assert "sample     40 of 40 distinct pictures" in done.stdout
    config = done.stdout[done.stdout.index("<View>") : done.stdout.index("</View>") + len("</View>")]
    assert ET.fromstring(config).find("Choices") is not None
    assert f"LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT={reviewed / 'run'}" in done.stdout
    assert len(json.loads((reviewed / "out.json").read_text())) == 40


def test_the_plan_says_what_it_takes_and_what_to_type(reviewed: Path) -> None:
    def plan(points: str) -> str:
        done = command("review", "run", "--plan", points, cwd=reviewed)
        assert done.returncode == 0, done.stderr
        return done.stdout

    first = plan("0.01")
    assert "±0.01 points for every class's share of pictures takes labels of all 40 distinct pictures" in first
    assert "; you have none" in first
    assert "ask again after 50 labels" in first
    (typed,) = re.findall(r"^next       draw them: \S*hashtag-photos (review run --sample 40)$", first, re.MULTILINE)
    assert not (reviewed / "run/sample").exists(), "a plan draws nothing"
    assert command(*typed.split(), "--export", "out.csv", cwd=reviewed).returncode == 0
    fill_in(reviewed / "out.csv", "friendly", "anna", slice(30))
    assert command("review", "run", "--import", "out.csv", cwd=reviewed).returncode == 0
    some = plan("0.01")
    assert "; you have 30, for ±" in some
    assert re.search(r"^next       40 are drawn: label 10 more: \S*hashtag-photos review run$", some, re.MULTILINE)
    fill_in(reviewed / "out.csv", "friendly", "anna")
    assert command("review", "run", "--import", "out.csv", cwd=reviewed).returncode == 0
    all_of_them = plan("0.01")
    assert "; you have 40, for ±0.0 points" in all_of_them
    assert re.search(r"^next       that is enough: \S*hashtag-photos report run$", all_of_them, re.MULTILINE)


def test_the_plan_knows_that_drawing_more_does_not_mend_skips(reviewed: Path) -> None:
    assert command("review", "run", "--sample", "36", "--export", "out.csv", cwd=reviewed).returncode == 0
    fill_in(reviewed / "out.csv", "friendly", "anna")
    fill_in(reviewed / "out.csv", "skip", "anna", slice(6))
    assert command("review", "run", "--import", "out.csv", cwd=reviewed).returncode == 0
    said = command("review", "run", "--plan", "5", cwd=reviewed).stdout
    assert "; you have 30, for ±" in said
    assert re.search(r"^ +6 skipped of 36 pictures may show anything, which drawing more does not mend: ", said, re.M)
    assert re.search(
        r"^next       label those that can be told after all, or ask .*hashtag-photos review run$", said, re.M
    )
    assert "draw" not in said.partition("next")[2]


def test_what_an_import_refuses_is_listed(reviewed: Path) -> None:
    assert command("review", "run", "--export", "out.csv", cwd=reviewed).returncode == 0
    fill_in(reviewed / "out.csv", "nobody", "anna", slice(25))
    none = command("review", "run", "--import", "out.csv", cwd=reviewed)
    assert none.returncode == 2
    assert "nothing in it could be taken" in none.stderr
    assert "25 refused" in none.stdout
    assert "refused    line 2 says 'nobody', which is no class; the classes are friendly" in none.stdout
    assert none.stdout.count("\nrefused ") == 20
    assert "and 5 more" in none.stdout
    fill_in(reviewed / "out.csv", "friendly", "anna", slice(24))
    some = command("review", "run", "--import", "out.csv", cwd=reviewed)
    assert some.returncode == 0, some.stderr
    assert "import     24 new labels, 24 of the sample, 0 by hand; 15 without an answer; 1 refused" in some.stdout


def test_settling_needs_a_dispute(reviewed: Path) -> None:
    done = command("review", "run", "--settle", cwd=reviewed)
    assert done.returncode == 0, done.stderr
    assert "settle     nothing to do: coders disagree on no picture" in done.stdout


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--plan", "3", "--export", "x.csv"], "--plan, --export and --import exclude each other"),
        (["--plan", "0"], "--plan 0: percentage points, such as 3"),
        (["--plan", "3", "--settle"], "--settle says nothing with --plan"),
        (["--import", "x.csv", "--sample", "3"], "--sample says nothing with --import"),
        (["--export", "x.csv", "--coder", "anna"], "--coder says nothing with --export"),
        (["--export", "x.csv", "--port", "8000"], "--port says nothing with --export"),
        (["--export", "x.xlsx"], "must end in .csv, or in .json for Label Studio"),
        (["--export", "run/run.json"], "is there already and may hold labels"),
        (["--import", "x.csv"], "x.csv: can't be read (No such file or directory)"),
        (["--coder", " "], "a coder needs a name"),
        (["--model", "base"], "are not classified by these yet"),
        (["--labels", "picture-kind", "--model", "base"], "classify run --model base --labels picture-kind"),
        (["--labels", "freindly"], "did you mean 'friendly-or-force'?"),
    ],
)
def test_wrong_words_for_a_review(reviewed: Path, words: list[str], message: str) -> None:
    before = sorted(reviewed.rglob("*"))
    done = command("review", "run", *words, cwd=reviewed)
    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
    assert sorted(reviewed.rglob("*")) == before


def test_pictures_that_came_since_the_draw_are_said(reviewed: Path, classified: Path) -> None:
    assert command("review", "run", "--sample", "20", "--export", "a.csv", cwd=reviewed).returncode == 0
    (reviewed / "more").mkdir()
    for number in range(40, 43):
        noise = np.random.default_rng(number).integers(0, 256, (5, 8, 3), dtype=np.uint8)
        Image.fromarray(noise).resize((160, 100), Image.Resampling.NEAREST).save(reviewed / f"more/{number}.png")
    for words in (("collect", "run", "--images", "more"), ("download", "run"), ("classify", "run")):
        assert command(*words, cwd=reviewed).returncode == 0
    done = command("review", "run", "--export", "b.csv", cwd=reviewed)
    assert "sample     20 of 40 distinct pictures" in done.stdout
    (typed,) = re.findall(r"3 pictures came since and can't be in it; to draw of these too: (.*)", done.stdout)
    more = subprocess.run(
        f"{typed} --export c.csv", shell=True, cwd=reviewed, capture_output=True, text=True, timeout=60
    )
    assert "sample     20 drawn now, 40 of 43 distinct pictures" in more.stdout


def test_make_review() -> None:
    for words, typed in (([], "review 'runs/sample'"), (["RUN=it's"], r"review 'it'\''s'")):
        done = subprocess.run(
            ["make", "--dry-run", "--no-print-directory", "review", *words],
            cwd=REPOSITORY, env=outside_make(), capture_output=True, text=True, timeout=60, check=True,
        )  # fmt: skip
        assert done.stdout.splitlines()[-1].strip().endswith(typed)
