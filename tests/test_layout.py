"""Where lines of code live, held: imports point one way, heavy ones are late, public names are what they are."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import REPOSITORY

import hashtag_photos as hp

PACKAGE = REPOSITORY / "pipeline/hashtag_photos"
#: each floor may import from itself and from those before it
FLOORS = [
    {"errors", "words", "records", "estimate", "agreement", "sampling", "manners"},
    {"storage", "lease", "imagestore", "models", "weights", "tables"},
    {"run", "http", "images", "pixels", "labels", "handlabels", "devices", "clip", "thumbnails", "duplicates"},
    {"sources"},
    {"stages"},
    {"engines", "report", "review"},
    {"terminal", "reviewing", "cli"},
]


def floor(module: str) -> int:
    return next(number for number, names in enumerate(FLOORS) if module in names)


def imported(path: Path) -> set[str]:
    """Our modules that a file imports, by the first part of their name; those for types alone do not count."""
    found: set[str] = set()

    def visit(node: ast.AST) -> None:
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            return
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("hashtag_photos"):
            below = node.module.split(".")[1:]
            found.update(below[:1] or [alias.name for alias in node.names])
        for child in ast.iter_child_nodes(node):
            visit(child)

    visit(ast.parse(path.read_text()))
    return found


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_one_way(path: Path) -> None:
    own = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    if own == "__init__":
        return
    for module in imported(path):
        assert floor(module) <= floor(own), f"{own} imports {module}"


def loaded_by(code: str) -> set[str]:
    """Names of heavy packages that are loaded after some code ran in a fresh interpreter."""
    watched = {"torch", "torchvision", "open_clip", "pyarrow", "duckdb", "PIL", "aiohttp", "pandas", "scipy", "sklearn"}
    watched |= {"vl_convert", "ray"}
    code = f"import sys\n{code}\nprint(' '.join(sorted({watched} & set(sys.modules))), file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    return set(done.stderr.split())


def test_importing_the_package_is_light() -> None:
    assert loaded_by("import hashtag_photos") == set()


@pytest.mark.parametrize(
    "words",
    [
        ["--help"],
        ["run", "--help"],
        ["classify", "--help"],
        ["report", "--help"],
        ["compare", "--help"],
        ["review", "--help"],
        ["models"],
    ],
    ids=" ".join,
)
def test_help_is_light(words: list[str]) -> None:
    code = f"""
sys.argv = ["hashtag-photos", *{words!r}]
from hashtag_photos.cli import main
try:
    main()
except SystemExit as end:
    assert not end.code
"""
    assert loaded_by(code) == set()


def test_public_names_are_sorted_and_there() -> None:
    assert hp.__all__ == sorted(hp.__all__)
    assert dir(hp) == hp.__all__
    for name in hp.__all__:
        assert getattr(hp, name).__doc__, name
    assert (PACKAGE / "py.typed").exists()


def test_a_function_stays_a_function_after_its_module_was_loaded() -> None:
    """A stage's module may not take the place of the stage's function: both would be hashtag_photos.download."""
    for name in ("collect", "download", "classify", "summarize", "write_report", "compare"):
        assert callable(getattr(hp, name))


def test_a_name_that_is_none_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'clasify'"):
        _ = hp.clasify


def test_only_the_command_line_prints() -> None:
    for path in PACKAGE.rglob("*.py"):
        calls = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
        prints = [call for call in calls if isinstance(call.func, ast.Name) and call.func.id == "print"]
        assert path.name in ("cli.py", "terminal.py") or not prints, path
