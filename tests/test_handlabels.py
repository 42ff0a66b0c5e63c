"""labels.csv: no label that was stored is ever lost, and none is made up."""

import csv
import dataclasses
import errno
import io
import os
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from filelock import FileLock
from hypothesis import given
from hypothesis import strategies as st

from hashtag_photos import handlabels
from hashtag_photos.errors import RunError, RunLockedError, StorageError, UsageError
from hashtag_photos.handlabels import BLIND, BY_HAND, COLUMNS, DRAWN, SETTLING, HandLabel, HandLabels
from hashtag_photos.labels import SKIP
from hashtag_photos.run import Run

AT = datetime(2026, 11, 22, 10, 0, 0, 123456, tzinfo=UTC)
QUESTION = "friendly-or-force-12345678"


def label(number: int = 1, said: str = "friendly", coder: str = "anna", **others: object) -> HandLabel:
    facts = {"at": AT, "question": QUESTION, "round": BLIND, "sampled": DRAWN} | others
    return HandLabel(sha256=f"{number:064x}", label=said, coder=coder, **facts)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    run = Run(tmp_path / "run")
    run.ask(model="tiny")
    return run


def file_of(run: Run) -> Path:
    return run.storage.local / "labels.csv"


def rows(run: Run) -> list[HandLabel]:
    """As another process reads them."""
    return HandLabels(run).rows()


# What is stored is what is read


NOTES = [
    "",
    "two\nlines",
    'a "quoted", word',
    "=1+1",
    "'=1+1",
    "''-x",
    "'tis",
    "@sum",
    "\ttab",
    "\r",
    "nul\0",
    "\ud800",
]
NOTES += ["back\\slash \\n \\x00", "\U0001f469\u200d\U0001f52c", "; =cmd()", "\u2028", " ", "＝1", "\x85", "😀\udc00"]


@pytest.mark.parametrize("note", NOTES, ids=ascii)
def test_a_note_is_read_as_it_was_written(run: Run, note: str) -> None:
    HandLabels(run).add(label(1, note=note), label(2, note="after"))
    assert [row.note for row in rows(run)] == [note, "after"]


@given(st.text(st.characters(codec=None, categories=None), max_size=40))
def test_any_text_is_one_safe_line_and_read_as_it_was(text: str) -> None:
    written = handlabels.escaped(text)
    assert handlabels.unescaped(written) == text
    written.encode()
    assert written.isprintable() or not set(written) & set("\n\r\0\x85\u2028\u2029\t")
    assert not written.startswith(("=", "+", "-", "@", "\t", "\r", "＝", "＋", "－", "＠"))


def test_rows_are_as_they_were_given_in_order(run: Run) -> None:
    given_ = [
        label(2, coder="=HYPERLINK(1)", note="x"),
        label(1, SKIP, at=AT.astimezone(timezone(timedelta(hours=2)))),
        label(1, "", round=SETTLING, sampled=BY_HAND),
        label(3, "conflict_and_force", coder="Jörg Müller-Lüdenscheidt", question="other-1"),
    ]
    store = HandLabels(run)
    assert store.rows() == []
    for each in given_:
        store.add(each)
    assert store.rows() == given_ == rows(run)
    assert not Path(file_of(run)).read_bytes().count(b"\r")


def test_it_is_csv_that_a_spreadsheet_opens_and_runs_nothing_of(run: Run) -> None:
    HandLabels(run).add(label(note='=cmd|"/c calc"!A1\n=2+2', coder="@me"))
    cells = list(csv.DictReader(io.StringIO(file_of(run).read_text(encoding="utf-8"), newline="")))
    assert [list(row) for row in cells] == [list(COLUMNS)]
    assert not any(value.startswith(("=", "+", "-", "@")) for value in cells[0].values())
    assert cells[0]["at"] == "2026-11-22T10:00:00.123456+00:00"


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"coder": "  "}, "needs a name"),
        ({"coder": "a\nb"}, "not as coder_name gives it"),
        ({"coder": "Jose\u0301"}, "not as coder_name gives it"),
        ({"coder": "a\x07"}, "no name of a coder"),
        ({"coder": "a" * 101}, "at most 100"),
        ({"said": "Friendly"}, "no name of a class"),
        ({"at": AT.replace(tzinfo=None)}, "no time zone"),
        ({"at": datetime.fromisoformat("9999-12-31T23:59:59-23:00")}, "in no year of UTC"),
        ({"at": datetime.fromisoformat("0001-01-01T00:00:00+10:00")}, "in no year of UTC"),
        ({"round": 3}, "no round 3"),
        ({"sampled": "maybe"}, "neither drawn nor by_hand"),
        ({"question": ""}, "no key of a question"),
        ({"note": "x" * 10_001}, "10,001 letters"),
    ],
)
def test_what_can_not_be_a_label_is_refused(wrong: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        label(**wrong)
    with pytest.raises(UsageError, match="no sha256"):
        HandLabel(**{**dataclasses.asdict(label()), "sha256": "ABC"})


# What counts


def test_the_last_row_of_a_picture_coder_question_and_round_counts(run: Run) -> None:
    store = HandLabels(run)
    store.add(label(1, "friendly"), label(1, "neither", "ben"), label(2, "friendly"), label(3, SKIP))
    store.add(label(1, "conflict_and_force"), label(2, ""), label(4, "neither", question="other-1"))
    verdicts = store.verdicts(QUESTION)
    assert {int(sha256, 16): dict(each.answers) for sha256, each in verdicts.items()} == {
        1: {"ben": "neither", "anna": "conflict_and_force"},
        3: {"anna": SKIP},
    }
    assert [each.disputed for each in verdicts.values()] == [True, False]
    assert list(store.verdicts("other-1")) == [f"{4:064x}"]


def test_a_dispute_ends_when_it_is_settled_and_comes_back_when_that_is_taken_back(run: Run) -> None:
    store = HandLabels(run)

    def verdict() -> handlabels.Verdict:
        return HandLabels(run).verdicts(QUESTION)[f"{1:064x}"]

    store.add(label(1, "friendly", note="smiles"), label(1, SKIP, "ben"))
    assert not verdict().disputed, "who skips does not disagree"
    store.add(label(1, "neither", "cleo"))
    assert (verdict().disputed, verdict().settled) == (True, None)
    store.add(label(1, "friendly", "ben", round=SETTLING, note="agreed"))
    assert (verdict().disputed, verdict().settled) == (False, "friendly")
    assert verdict().answers == {"anna": "friendly", "ben": SKIP, "cleo": "neither"}
    assert verdict().notes == {"anna": "smiles", "ben": "agreed"}
    store.add(label(1, "neither", "cleo", round=SETTLING))
    assert verdict().settled == "neither"
    store.add(label(1, "", "cleo", round=SETTLING))
    assert verdict().settled == "friendly"
    store.add(label(1, "", "ben", round=SETTLING))
    assert (verdict().disputed, verdict().settled) == (True, None)


def test_a_picture_is_of_the_sample_if_an_answer_that_counts_is(run: Run) -> None:
    store = HandLabels(run)
    store.add(label(1, sampled=BY_HAND), label(2), label(2, coder="ben", sampled=BY_HAND), label(3))
    store.add(label(3, ""), label(3, coder="ben", sampled=BY_HAND))
    assert [each.sampled for each in store.verdicts(QUESTION).values()] == [False, True, False]


def test_what_another_process_adds_is_seen(run: Run) -> None:
    reader, writer = HandLabels(run), HandLabels(run)
    for number in range(5):
        writer.add(label(number))
        assert len(reader.rows()) == len(reader.verdicts(QUESTION)) == number + 1
    writer.add(label(9), label(10))
    assert len(reader.verdicts(QUESTION)) == 7


# Nothing is lost

ADDER = """
import sys
from datetime import UTC, datetime
from hashtag_photos.handlabels import HandLabel, HandLabels
from hashtag_photos.run import Run
store, coder = HandLabels(Run(sys.argv[1])), sys.argv[2]
for number in range(int(sys.argv[3])):
    store.add(HandLabel(sha256=f"{number:064x}", label="friendly", coder=coder, at=datetime.now(UTC),
                        question="q-1", round=1, sampled="drawn", note='"note",\\n' * (number % 50)))
    print(number, flush=True)
"""


def test_two_processes_that_add_at_once_lose_nothing(run: Run) -> None:
    words = [sys.executable, "-c", ADDER, str(run.storage.local)]
    both = [subprocess.Popen([*words, name, "60"], stdout=subprocess.PIPE, text=True) for name in ("anna", "ben")]
    try:
        for each in both:
            each.communicate(timeout=100)
            assert each.returncode == 0
    finally:
        for each in both:
            each.kill()
    found = rows(run)
    assert len(found) == 120
    for name in ("anna", "ben"):
        assert [int(row.sha256, 16) for row in found if row.coder == name] == list(range(60))
    assert all(row.note == '"note",\n' * (int(row.sha256, 16) % 50) for row in found)


@pytest.mark.parametrize("until", [1, 20])
def test_killed_at_any_moment_what_was_stored_is_there(run: Run, until: int) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", ADDER, str(run.storage.local), "anna", "100000"], stdout=subprocess.PIPE, text=True
    ) as process:
        for line in process.stdout:
            if int(line) == until:
                break
        process.send_signal(signal.SIGKILL)
    found = rows(run)
    assert len(found) > until
    assert [int(row.sha256, 16) for row in found] == list(range(len(found)))
    HandLabels(run).add(label(7, coder="ben"))
    assert len(rows(run)) == len(found) + 1


def test_wherever_a_row_is_cut_it_goes_and_all_others_stay(run: Run) -> None:
    """The file cut after each of its bytes: as kill -9 or a full disk may leave it."""
    store = HandLabels(run)
    store.add(label(1, note='a "note",\nof two lines, ü'), label(2, coder="Jörg", note='"'))
    whole = file_of(run).read_bytes()
    ends = [place + 1 for place, byte in enumerate(whole) if byte == ord("\n")]
    assert len(ends) == 3
    for cut in range(len(whole) + 1):
        file_of(run).write_bytes(whole[:cut])
        # a row is whole once its last word is, its line end or not
        expected = sum(cut >= end - 1 for end in ends[1:])
        assert len(rows(run)) == expected, whole[:cut]
        HandLabels(run).add(label(3))
        assert [int(row.sha256, 16) for row in rows(run)] == [*range(1, expected + 1), 3], whole[:cut]
        assert file_of(run).read_bytes().startswith(whole[: ends[expected]])


def test_zeros_at_the_end_as_a_power_cut_leaves_them_are_no_row(run: Run) -> None:
    HandLabels(run).add(label(1))
    with file_of(run).open("ab") as file:
        file.write(b"\0" * 300)
    assert len(rows(run)) == 1
    HandLabels(run).add(label(2))
    assert len(rows(run)) == 2
    assert b"\0" not in file_of(run).read_bytes()


def test_a_full_disk_leaves_the_file_as_it_was(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    store = HandLabels(run)
    store.add(label(1))
    before = file_of(run).read_bytes()

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(StorageError, match="disk is full"):
            store.add(label(2), label(3))
    assert file_of(run).read_bytes() == before
    assert len(store.rows()) == 1
    store.add(label(2))
    assert len(rows(run)) == 2


LIMITED = """
import resource
import sys
from datetime import UTC, datetime
from hashtag_photos.errors import StorageError
from hashtag_photos.handlabels import HandLabel, HandLabels
from hashtag_photos.run import Run
store = HandLabels(Run(sys.argv[1]))
size = int(sys.argv[2])
resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
try:
    store.add(*(HandLabel(sha256=f"{number:064x}", label="friendly", coder="ben", at=datetime.now(UTC),
                          question="q-1", round=1, sampled="drawn") for number in range(40)))
except StorageError as error:
    print(error)
"""


@pytest.mark.parametrize("room", [0, 30, 1_000, 100_000])
@pytest.mark.parametrize("before", [0, 3])
def test_of_many_labels_that_don_t_fit_none_is_stored(run: Run, room: int, before: int) -> None:
    """The system writes as many bytes as there is room for, and refuses the rest."""
    HandLabels(run).add(*map(label, range(before)))
    content = file_of(run).read_bytes() if before else b""
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(run.storage.local), str(len(content) + room)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stderr == ""
    if room == 100_000:
        assert (done.stdout, len(rows(run))) == ("", before + 40)
        return
    for words in ("labels.csv: can't be written: File too large", "answer again; this label was not stored"):
        assert words in done.stdout
    assert "--run" not in done.stdout
    assert len(rows(run)) == before
    assert (file_of(run).read_bytes() if file_of(run).exists() else b"") == content
    HandLabels(run).add(label(9))
    assert len(rows(run)) == before + 1


def test_a_label_is_on_the_disk_before_add_returns(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[tuple[str, int]] = []
    fsync = os.fsync

    def noted(descriptor: int) -> None:
        found = os.fstat(descriptor)
        synced.append((str(Path(f"/proc/self/fd/{descriptor}").readlink()), found.st_size))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", noted)
    HandLabels(run).add(label(1))
    assert synced[0] == (str(file_of(run)), file_of(run).stat().st_size)
    assert synced[1][0] == str(run.storage.local), "the name of a new file, too"
    HandLabels(run).add(label(2))
    assert synced[2:] == [(str(file_of(run)), file_of(run).stat().st_size)]


def test_labels_are_added_while_a_stage_writes_and_read_while_somebody_adds(run: Run) -> None:
    with run.writing():
        assert subprocess.run(
            [sys.executable, "-c", ADDER, str(run.storage.local), "anna", "2"], capture_output=True, timeout=60
        ).stdout == b"0\n1\n"  # fmt: skip
    assert len(rows(run)) == 2


def test_a_lock_that_somebody_keeps_is_said(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handlabels, "_PATIENCE", 0.05)
    store = HandLabels(run)
    store.add(label(1))
    with FileLock(run.storage.local / handlabels._LOCK):
        with pytest.raises(RunLockedError, match="not stored"):
            HandLabels(run).add(label(2))
        assert len(rows(run)) == 1, "reading waits for nobody"
    HandLabels(run).add(label(2))
    assert len(rows(run)) == 2


# What people do to files


def edited(run: Run, change: str) -> bytes:
    """The file as something else leaves it, with the labels of pictures 1 and 2."""
    HandLabels(run).add(label(1, note="ä, b"), label(2, "neither", note="x"))
    text = file_of(run).read_text(encoding="utf-8")
    lines = text.splitlines()
    content = {
        "bom and crlf": ("\ufeff" + text.replace("\n", "\r\n")).encode(),
        "old mac": text.replace("\n", "\r").encode(),
        "no end": text.rstrip("\n").encode(),
        "no end, crlf": text.rstrip("\n").replace("\n", "\r\n").encode(),
        "blank lines": text.replace("\n", "\n\n").encode() + b",,,,,,,\n",
        "all quoted": "".join(
            ",".join(f'"{cell}"' for cell in row) + "\n" for row in csv.reader(io.StringIO(text))
        ).encode(),
        "a real line end in a note": text.replace("ä, b", "ä,\nb").encode(),
        "semicolons": text.replace("ä, b", "ä").replace('"', "").replace(",", ";").encode(),
        "tabs": text.replace("ä, b", "ä").replace('"', "").replace(",", "\t").encode(),
        "latin-1": text.encode("latin-1"),
        "utf-16": text.encode("utf-16"),
        "unknown column": text.replace("note,sampled", "note,sampled,remark").encode(),
        "missing column": text.replace("question,", "").encode(),
        "other order": text.replace("sha256,label", "label,sha256").encode(),
        "no header": "\n".join(lines[1:]).encode() + b"\n",
        "unknown label": text.replace("neither", "nobody").encode(),
        "no label": text.replace("neither", "Neither!").encode(),
        "no coder": text.replace(f"{2:064x},neither,anna", f"{2:064x},neither,").encode(),
        "another time": text.replace(
            "2026-11-22T10:00:00.123456+00:00,friendly-or-force-12345678,1,x", "22.11.26"
        ).encode(),
        "a time": text.replace("2026-11-22T10:00:00.123456+00:00", "22/11/2026").encode(),
        "a round": text.replace(",1,x,", ",one,x,").encode(),
        "a sha": text.replace(f"{2:064x}", "2").encode(),
        "an impossible time": text.replace("2026-11-22T10:00:00.123456+00:00", "9999-12-31T23:59:59-23:00").encode(),
        "a number": text.replace(f"{2:064x}", "1.2E+63").encode(),
        "an open quote": text.replace('"ä, b"', '"ä, b').encode(),
        "a cell more": text.replace(",x,drawn", ",x,y,drawn").encode(),
        "another sampled": text.replace(",x,drawn", ",x,yes").encode(),
        "another sampled, no end": text.replace(",x,drawn", ",x,yes").rstrip("\n").encode(),
        "something else": b"{}\n",
    }[change]
    file_of(run).write_bytes(content)
    return content


@pytest.mark.parametrize(
    "change",
    ["bom and crlf", "old mac", "no end", "no end, crlf", "blank lines", "all quoted", "a real line end in a note"],
)
def test_a_file_that_was_opened_elsewhere_and_saved_is_read_and_goes_on(run: Run, change: str) -> None:
    edited(run, change)
    had = rows(run)
    assert [(row.label, row.note.replace("\n", " ")) for row in had] == [("friendly", "ä, b"), ("neither", "x")]
    HandLabels(run).add(label(3, note="new"))
    assert rows(run) == [*had, label(3, note="new")]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("semicolons", r"line 1 is divided by semicolons"),
        ("tabs", r"line 1 is divided by tabs"),
        ("latin-1", r"line 2 is not UTF-8"),
        ("utf-16", r"line 1 is not UTF-8"),
        ("unknown column", r"line 1 has the column 'remark'.*the columns are sha256, label"),
        ("missing column", r"line 1 lacks the column 'question'"),
        ("other order", r"line 1 has the columns in another order"),
        ("no header", r"line 1 has the column '0000"),
        ("unknown label", r"line 3 has the label 'nobody'; the labels are friendly, neither, skip"),
        ("no label", r"line 3 can't be read: 'Neither!' is no name of a class"),
        ("no coder", r"line 3 can't be read: a coder needs a name"),
        ("another time", r"line 3 has 5 cells, not 8"),
        ("a time", r"line 2 can't be read: the time '22/11/2026' is none"),
        ("an impossible time", r"line 2 can't be read: the time 9999-12-31 23:59:59-23:00 is in no year of UTC"),
        ("a round", r"line 3 can't be read: the round 'one' is none"),
        ("a sha", r"line 3 can't be read: '2' is no sha256"),
        ("a number", r"line 3 can't be read: '1.2E\+63' is no sha256"),
        ("an open quote", r"line 2 "),
        ("a cell more", r"line 3 has 9 cells, not 8"),
        ("another sampled", r"line 3 can't be read: 'yes' is neither drawn nor by_hand"),
        ("another sampled, no end", r"line 3 can't be read: 'yes' is neither drawn nor by_hand"),
        ("something else", r"line 1 has the column '\{\}'"),
    ],
)
def test_a_damaged_file_is_said_by_line_and_left_as_it_is(run: Run, change: str, message: str) -> None:
    run.record_used("samples", QUESTION, {"seed": "1", "question": "?", "classes": ["friendly", "neither"]})
    content = edited(run, change)
    for attempt in (lambda: rows(run), lambda: HandLabels(run).add(label(3))):
        with pytest.raises(RunError, match=message) as caught:
            attempt()
        assert "mend that line, or bring the file back" in str(caught.value)
        assert "\n" not in str(caught.value)
    assert file_of(run).read_bytes() == content


def test_a_name_that_was_saved_otherwise_is_the_same_coder(run: Run) -> None:
    HandLabels(run).add(label(1, coder="Jos\xe9"))
    text = file_of(run).read_text(encoding="utf-8")
    file_of(run).write_text(text.replace("Jos\xe9", "Jose\u0301"), encoding="utf-8")
    assert rows(run) == [label(1, coder="Jos\xe9")]


def test_a_label_of_a_question_whose_classes_nobody_knows_is_taken(run: Run) -> None:
    run.record_used("samples", "other-1", {"seed": "1", "question": "?", "classes": ["friendly", "neither"]})
    HandLabels(run).add(label(1, "anything"))
    assert rows(run)[0].label == "anything"


# Elsewhere


def test_reading_writes_nothing(tmp_path: Path) -> None:
    Run(tmp_path).ask(model="tiny")
    before = sorted(tmp_path.rglob("*"))
    assert HandLabels(Run(tmp_path)).verdicts("q") == {}
    HandLabels(Run(tmp_path)).add()
    assert sorted(tmp_path.rglob("*")) == before
