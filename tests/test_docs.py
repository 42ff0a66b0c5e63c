"""What the documents say is what there is: commands, options, statuses, fields, files, and snippets that run."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import REPOSITORY, SAMPLE
from typer.testing import CliRunner

from hashtag_photos.cli import app
from hashtag_photos.labels import find_labels, label_set_presets
from hashtag_photos.models import presets
from hashtag_photos.records import PhotoStatus
from hashtag_photos.sources.exports import ALIASES
from hashtag_photos.sources.formats.known import FORMATS

README = (REPOSITORY / "README.md").read_text()
ARCHITECTURE = (REPOSITORY / "ARCHITECTURE.md").read_text()


def help_of(*words: str) -> str:
    return CliRunner(env={"COLUMNS": "200", "NO_COLOR": "1"}).invoke(app, [*words, "--help"]).output


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, flags=re.DOTALL | re.MULTILINE)


def test_every_command_is_documented_and_every_documented_one_exists() -> None:
    commands = {command.name or command.callback.__name__ for command in app.registered_commands}
    commands |= {group.name for group in app.registered_groups}
    assert {"run", "collect", "download", "classify", "summarize", "report", "review", "models"} <= commands
    assert set(re.findall(r"`hashtag-photos ([a-z]+)", README)) == commands


def test_documented_options_exist() -> None:
    uses = re.findall(r"`hashtag-photos ([a-z]+)((?: [^\s`]+)*)", README)
    assert any("--" in words for _, words in uses)
    for command, words in uses:
        below = re.findall(r"^ ([a-z]+)", words) if command == "models" else []
        for option in re.findall(r"--[a-z-]+", words):
            assert option in help_of(command, *below), f"{command} {option}"


def test_documented_variables_are_options_of_the_run() -> None:
    used = set(re.findall(r"\b([A-Z][A-Z_]{2,})=", README))
    assert used >= {"POSTS", "IMAGES", "MODEL", "LABELS", "RUN", "DEVICE", "COLUMNS", "FILES"}
    assert used >= {"HASHTAG", "SOURCE", "SINCE", "UNTIL", "LIMIT", "MAX_WAIT", "KEEP_AUTHORS"}
    for name in used:
        assert f"--{name.lower().replace('_', '-')}" in help_of("run")


def test_documented_targets_exist() -> None:
    targets = set(re.findall(r"^([a-z]+):", (REPOSITORY / "Makefile").read_text(), flags=re.MULTILINE))
    contributing = (REPOSITORY / "CONTRIBUTING.md").read_text()
    assert set(re.findall(r"(?:^ *|`)make ([a-z]+)", README + contributing, flags=re.MULTILINE)) <= targets


def test_every_status_and_field_is_documented() -> None:
    for name in [*PhotoStatus, *ALIASES, *presets(), *label_set_presets(), *FORMATS, "columns"]:
        assert name == "ok" or f"`{name}`" in README, name


def test_the_label_set_in_the_readme_is_one(tmp_path: Path) -> None:
    (text,) = blocks("toml")
    (tmp_path / "mine.toml").write_text(text)
    assert find_labels(str(tmp_path / "mine.toml")).class_names == ("cheering", "quiet")


def test_the_python_in_the_readme_runs(tmp_path: Path) -> None:
    (code,) = blocks("python")
    first, second, *_ = sorted((SAMPLE / "www/media").glob("*.webp"))
    shutil.copy(first, tmp_path / "a.jpg")
    shutil.copy(second, tmp_path / "b.png")
    (tmp_path / "posts.jsonl").write_text('{"id": 1, "media": ["http://127.0.0.1/a.jpg"]}\n')
    words = [sys.executable, "-W", "error", "-c", code]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert len(re.findall(r"^\w+ \{'friendly': ", done.stdout, flags=re.MULTILINE)) == 2
    assert (tmp_path / "runs/mynypd/report/tally.csv").exists()


@pytest.mark.parametrize("folder", ["", "sources", "stages", "review"])
def test_every_file_has_its_line_in_the_architecture(folder: str) -> None:
    for path in (REPOSITORY / "pipeline/hashtag_photos" / folder).iterdir():
        if path.suffix == ".py" and path.name != "__init__.py":
            assert path.name in ARCHITECTURE, path


def test_files_that_documents_link_to_exist() -> None:
    for document in REPOSITORY.glob("*.md"):
        for target in re.findall(r"\]\(([^)#]+)\)", document.read_text()):
            assert target.startswith("https://") or (REPOSITORY / target).exists(), f"{document.name}: {target}"
