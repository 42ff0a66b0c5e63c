import io
import shutil
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from conftest import picture
from made_run import LABELS, MODEL_KEY, NAMES, SECRET, make_run, order, stored
from PIL import Image

from hashtag_photos.errors import RunError, UsageError
from hashtag_photos.handlabels import HandLabel, HandLabels
from hashtag_photos.images import ImageError
from hashtag_photos.review.session import Session, StaleAnswerError, Turn
from hashtag_photos.run import Run
from hashtag_photos.stages.sample import draw_sample


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with 70 of 90 pictures drawn, and no labels yet; not to be changed."""
    return Path(make_run(tmp_path_factory.mktemp("made") / "run", 70).location)


@pytest.fixture
def run(made: Path, tmp_path: Path) -> Run:
    """A copy of it of one's own."""
    return Run(shutil.copytree(made, tmp_path / "run"))


@pytest.fixture
def session(run: Run) -> Session:
    return Session(run, MODEL_KEY, LABELS)


def answer(session: Session, coder: str, label: str, note: str = "", *, settle: bool = False) -> Turn:
    """The answer to what is asked now."""
    turn = session.next(coder, settle=settle)
    assert turn.picture is not None
    return session.answer(coder, turn.picture, label, note, rows=turn.rows, settle=settle)


def undo(session: Session, coder: str, *, settle: bool = False) -> Turn:
    last = session.next(coder, settle=settle).last
    assert last is not None
    return session.undo(coder, last.picture, rows=last.rows, settle=settle)


def imported(run: Run, sha256: str, coder: str, label: str, note: str = "", round: int = 1) -> None:
    HandLabels(run).add(
        HandLabel(
            sha256=sha256,
            label=label,
            coder=coder,
            at=datetime.now(UTC),
            question=LABELS.question_key,
            round=round,
            sampled="by_hand",
            note=note,
        )
    )


def small(run: Run, pictures: int) -> Session:
    """A session of the same pictures with a sample of so many, as if no more had been drawn."""
    folder = Path(run.location).parent / f"of-{pictures}"
    return Session(make_run(folder, pictures), MODEL_KEY, LABELS)


def test_the_sample_is_asked_in_its_order(session: Session, run: Run) -> None:
    expected = order(run)
    for number, sha256 in enumerate(expected):
        turn = session.next("ann")
        assert (turn.picture, turn.done, turn.total) == (sha256, number, 70)
        assert list(turn.ahead) == expected[number + 1 : number + 3]
        answer(session, "ann", NAMES[number % 3])
    turn = session.next("ann")
    assert (turn.picture, turn.done, turn.in_all) == (None, 70, 70)
    rows = stored(run)
    assert [row["sha256"] for row in rows] == expected
    assert [row["label"] for row in rows] == [NAMES[number % 3] for number in range(70)]
    assert {(row["coder"], row["question"], row["round"], row["sampled"]) for row in rows} == {
        ("ann", LABELS.question_key, "1", "drawn")
    }


def test_coders_are_asked_the_same_and_see_nothing_of_each_other(session: Session, run: Run) -> None:
    for label in ("friendly", "neither", "skip"):
        answer(session, "ann", label, "mine")
    turn = session.next("bob")
    assert (turn.picture, turn.done, turn.in_all, turn.last, turn.note, turn.dispute) == (
        order(run)[0],
        0,
        0,
        None,
        "",
        None,
    )
    found = session.shares("bob")
    assert found is not None
    assert found.n == 0
    assert session.coders() == ["ann"]


def test_two_sessions_of_a_run_go_on_from_each_other(session: Session, run: Run) -> None:
    other = Session(Run(run.location), MODEL_KEY, LABELS)
    answer(session, "ann", "friendly")
    answer(other, "ann", "neither")
    assert session.next("ann") == other.next("ann")
    assert session.next("ann").picture == order(run)[2]


def test_an_answer_that_comes_again_is_stored_once(session: Session, run: Run) -> None:
    turn = session.next("ann")
    for _ in range(3):
        after = session.answer("ann", turn.picture or "", "friendly", "a note", rows=turn.rows)
    assert after.picture == order(run)[1]
    assert len(stored(run)) == 1


def test_another_answer_from_a_page_that_is_behind_is_refused(session: Session, run: Run) -> None:
    turn = session.next("ann")
    answer(session, "ann", "friendly")
    with pytest.raises(StaleAnswerError, match="answered elsewhere"):
        session.answer("ann", turn.picture or "", "neither", rows=turn.rows)
    with pytest.raises(StaleAnswerError, match="answered elsewhere"):
        session.undo("ann", turn.picture or "", rows=turn.rows)
    assert [row["label"] for row in stored(run)] == ["friendly"]


def test_undo_goes_back_answer_by_answer_and_asks_again(session: Session, run: Run) -> None:
    for label in ("friendly", "neither", "conflict_and_force"):
        answer(session, "ann", label, f"why {label}")
    first, second, third, fourth = order(run)[:4]
    assert undo(session, "ann").picture == third
    again = undo(Session(run, MODEL_KEY, LABELS), "ann")  # as after a reload
    assert (again.picture, again.ahead, again.note) == (second, (third, fourth), "why neither")
    assert (again.done, again.last and again.last.picture) == (1, first)
    answer(session, "ann", "friendly")
    assert session.next("ann").picture == third
    answer(session, "ann", "friendly")
    assert session.next("ann").picture == fourth
    assert [row["label"] for row in stored(run)] == [
        *("friendly", "neither", "conflict_and_force"),
        *("", "", "friendly", "friendly"),
    ]


def test_undo_that_comes_again_takes_back_once(session: Session, run: Run) -> None:
    answer(session, "ann", "friendly")
    answer(session, "ann", "neither")
    last = session.next("ann").last
    assert last is not None
    for _ in range(3):
        session.undo("ann", last.picture, rows=last.rows)
    assert session.next("ann").done == 1
    assert [row["label"] for row in stored(run)] == ["friendly", "neither", ""]


def test_undo_ends_at_the_first_answer_and_touches_no_other_coder(session: Session) -> None:
    answer(session, "bob", "friendly")
    answer(session, "ann", "neither")
    assert undo(session, "ann").last is None
    assert session.next("bob").done == 1


def test_what_was_skipped_comes_again_at_the_end_and_once(run: Run) -> None:
    session = small(run, 4)
    first, second, third, fourth = order(session.run)
    for label in ("skip", "friendly", "skip", "neither"):
        assert not session.next("ann").again
        answer(session, "ann", label)
    turn = session.next("ann")
    assert (turn.picture, turn.again, turn.done, turn.skipped) == (first, True, 4, 2)
    session.answer("ann", first, "skip", rows=turn.rows)
    session.answer("ann", first, "skip", rows=turn.rows)  # a retry is no third time
    turn = session.next("ann")
    assert (turn.picture, turn.again) == (third, True)
    answer(session, "ann", "friendly")
    turn = session.next("ann")
    assert (turn.picture, turn.done, turn.skipped) == (None, 4, 1)
    assert [row["sha256"] for row in stored(session.run)] == [first, second, third, fourth, first, third]


def test_a_second_skip_that_is_taken_back_is_still_one(run: Run) -> None:
    session = small(run, 2)
    for label in ("skip", "friendly", "skip"):
        answer(session, "ann", label)
    assert session.next("ann").picture is None
    assert undo(session, "ann").picture == order(session.run)[0]
    assert answer(session, "ann", "skip").picture is None


def test_a_skip_that_is_taken_back_is_none(run: Run) -> None:
    session = small(run, 2)
    answer(session, "ann", "skip")
    undo(session, "ann")
    answer(session, "ann", "skip")
    answer(session, "ann", "friendly")
    assert session.next("ann").again


@pytest.mark.parametrize("label", ["unsure", "Friendly", "", "skip ", "nonsense"])
def test_a_label_that_is_no_answer_is_refused(session: Session, run: Run, label: str) -> None:
    turn = session.next("ann")
    with pytest.raises(UsageError, match="is no class"):
        session.answer("ann", turn.picture or "", label, rows=0)
    assert stored(run) == []


def test_a_picture_that_is_not_in_the_sample_is_refused(session: Session, run: Run) -> None:
    table = run.read_table(f"sample/{LABELS.question_key}.parquet")
    assert table is not None
    outside = next(row["sha256"] for row in table.to_pylist() if not row["drawn"])
    for sha256 in (outside, "0" * 64, "../../run.json", ""):
        with pytest.raises(UsageError, match="not in the sample"):
            session.answer("ann", sha256, "friendly", rows=0)
        with pytest.raises(UsageError, match="no picture that is asked"):
            session.jpeg(sha256)
    assert stored(run) == []


def test_two_spellings_of_a_name_are_not_two_coders(session: Session, run: Run) -> None:
    decomposed, composed = "Jose\u0301 Ann", "Jos\xe9 Ann"
    first = answer(session, decomposed, "friendly").last
    assert first is not None
    assert session.next(composed).done == 1
    for name in ("jos\xe9 ann", "JOSE\u0301 ANN", "Jos\xe9 \uff21nn"):
        for attempt in (
            lambda name=name: session.next(name),
            lambda name=name: session.answer(name, order(run)[1], "friendly", rows=0),
            lambda name=name: session.undo(name, first.picture, rows=first.rows),
            lambda name=name: session.shares(name),
        ):
            with pytest.raises(UsageError, match=f"is written '{composed}' in this run"):
                attempt()
    assert session.next("Jos\xe9").done == 0
    assert [row["coder"] for row in stored(run)] == [composed]


def test_two_spellings_that_are_there_already_both_go_on(session: Session, run: Run) -> None:
    imported(run, "f" * 64, "Ann", "friendly")
    imported(run, "f" * 64, "ann", "friendly")
    assert (session.next("Ann").in_all, session.next("ann").in_all) == (1, 1)


@pytest.mark.parametrize("coder", ["", "  ", "a\nb\x00", "x" * 101])
def test_a_coder_needs_a_name(session: Session, coder: str) -> None:
    with pytest.raises(UsageError, match="coder"):
        session.next(coder)


def test_labels_of_other_questions_and_pictures_don_t_count_here(session: Session, run: Run) -> None:
    other = replace(LABELS, question="Is it raining?")
    turn = session.next("ann")
    HandLabels(run).add(
        HandLabel(
            sha256=turn.picture or "",
            label="friendly",
            coder="ann",
            at=datetime.now(UTC),
            question=other.question_key,
            round=1,
            sampled="by_hand",
        )
    )
    imported(run, "f" * 64, "ann", "friendly")
    after = session.next("ann")
    assert (after.picture, after.done, after.in_all, after.last) == (turn.picture, 0, 1, None)


def test_what_was_labelled_by_hand_is_asked_all_the_same_and_in_its_place(session: Session, run: Run) -> None:
    """Such an answer is none of the sample's, and the corrected shares would have nothing of it."""
    first, second, third = order(run)[:3]
    for sha256 in (third, second):
        imported(run, sha256, "ann", "friendly", "from elsewhere")
    turn = session.next("ann")
    assert (turn.picture, turn.ahead, turn.done, turn.in_all, turn.last) == (first, (second, third), 0, 2, None)
    answer(session, "ann", "neither")
    turn = answer(session, "ann", "neither")
    assert (turn.picture, turn.done, turn.in_all) == (third, 2, 3)
    assert [row["sampled"] for row in stored(run)] == ["by_hand", "by_hand", "drawn", "drawn"]


def test_more_that_is_drawn_is_asked_without_a_new_session(session: Session, run: Run) -> None:
    answer(session, "ann", "friendly")
    draw_sample(Run(run.location), MODEL_KEY, LABELS, 80)
    turn = session.next("ann")
    assert (turn.total, turn.done) == (80, 1)
    assert turn.picture == next(sha256 for sha256 in order(run) if sha256 != order(run)[0])


def test_without_a_sample_it_says_how_to_draw_one(run: Run) -> None:
    with pytest.raises(RunError, match="--sample 200"):
        Session(run, MODEL_KEY, replace(LABELS, question="Is it raining?"))


def test_shares_are_of_one_s_own_answers_and_their_intervals_shrink(session: Session) -> None:
    widths = []
    for number in range(69):
        answer(session, "ann", NAMES[number % 3])
        answer(session, "bob", "neither")
        if number in (29, 68):
            found = session.shares("ann")
            assert found is not None
            assert (found.refused, found.n) == (None, number + 1)
            widths.append(max(each.high - each.low for each in found.shares))
            assert sum(each.value for each in found.shares) == pytest.approx(1)
            assert found.shares[2].value < 0.7, "bob, who says neither to all, is not in it"
    assert widths[1] < widths[0]


@pytest.mark.parametrize(
    ("size", "shown"),
    [
        ((1600, 1200), (1600, 1200)),
        ((3000, 1000), (2449, 816)),
        ((1080, 10_000), (465, 4303)),
        ((100, 20_000), (40, 8000)),
        ((1, 9000), (1, 8000)),
    ],
)
def test_pictures_are_shown_with_about_two_million_pixels(
    session: Session, run: Run, size: tuple[int, int], shown: tuple[int, int]
) -> None:
    """A long screenshot can be read: its width isn't what is left when its height fits."""
    sha256 = order(run)[0]
    next(Path(run.location).glob(f"images/*/{sha256}.jpg")).write_bytes(picture("teal", size))
    with Image.open(io.BytesIO(session.jpeg(sha256))) as image:
        assert image.size == pytest.approx(shown, rel=0.01)


def test_pictures_are_encoded_anew(session: Session, run: Run) -> None:
    sha256 = order(run)[0]
    path = next(Path(run.location).glob(f"images/*/{sha256}.jpg"))
    small_one = session.jpeg(sha256)
    assert small_one != path.read_bytes()
    exif = Image.Exif()
    exif[0x010E] = SECRET
    out = io.BytesIO()
    Image.new("RGB", (3000, 1000), "teal").save(out, "JPEG", exif=exif, comment=SECRET.encode())
    path.write_bytes(out.getvalue())
    content = session.jpeg(sha256)
    with Image.open(io.BytesIO(content)) as image:
        assert image.format == "JPEG"
    assert SECRET.encode() in path.read_bytes()
    assert SECRET.encode() not in content


def test_a_picture_that_can_t_be_read_can_be_skipped(session: Session, run: Run) -> None:
    first, second = order(run)[:2]
    next(Path(run.location).glob(f"images/*/{first}.jpg")).write_bytes(picture()[:200])
    with pytest.raises(ImageError):
        session.jpeg(first)
    assert answer(session, "ann", "skip").picture == second
    next(Path(run.location).glob(f"images/*/{second}.jpg")).unlink()
    with pytest.raises(OSError, match=second):
        session.jpeg(second)


# The second pass


def disagree(session: Session) -> list[str]:
    """Ann and Bob disagree on the 2nd and 4th of five pictures; on the 5th one of them skips."""
    labels = {
        "ann": ("friendly", "friendly", "neither", "friendly", "neither"),
        "bob": ("friendly", "neither", "neither", "conflict_and_force", "skip"),
    }
    for coder, said in labels.items():
        for number, label in enumerate(said):
            answer(session, coder, label, f"{coder} on {number}" if number == 1 else "")
    return [order(session.run)[1], order(session.run)[3]]


def test_settling_shows_the_disputed_pictures_with_all_answers_and_texts(session: Session, run: Run) -> None:
    disputed = disagree(session)
    turn = session.next("cleo", settle=True)
    assert (turn.picture, turn.ahead, turn.done, turn.total) == (disputed[0], (disputed[1],), 0, 2)
    assert turn.dispute is not None
    assert [(each.coder, each.label, each.note) for each in turn.dispute.answers] == [
        ("ann", "friendly", "ann on 1"),
        ("bob", "neither", "bob on 1"),
    ]
    (text,) = turn.dispute.texts
    assert text.text.startswith(SECRET)
    assert (text.posts, turn.dispute.more_posts) == (1, 0)
    answer(session, "cleo", "neither", "it is a shop", settle=True)
    assert session.next("cleo", settle=True).picture == disputed[1]
    assert stored(run)[-1] | {"at": ""} == {
        "sha256": disputed[0],
        "label": "neither",
        "coder": "cleo",
        "at": "",
        "question": LABELS.question_key,
        "round": "2",
        "note": "it is a shop",
        "sampled": "drawn",
    }
    assert HandLabels(run).verdicts(LABELS.question_key)[disputed[0]].settled == "neither"


def test_what_one_settled_nobody_else_is_asked(session: Session) -> None:
    first, second = disagree(session)
    answer(session, "cleo", "neither", settle=True)
    turn = session.next("dan", settle=True)
    assert (turn.picture, turn.done, turn.last) == (second, 1, None)
    assert undo(session, "cleo", settle=True).picture == first
    assert session.next("dan", settle=True).picture == first


def test_only_what_is_disputed_can_be_settled(session: Session, run: Run) -> None:
    disagree(session)
    agreed = order(run)[0]
    with pytest.raises(StaleAnswerError, match="not disputed"):
        session.answer("cleo", agreed, "friendly", rows=0, settle=True)
    with pytest.raises(UsageError, match="no picture that is asked"):
        session.jpeg(agreed, settle=True)


def test_a_coder_who_settles_keeps_the_blind_answer(session: Session, run: Run) -> None:
    disputed = disagree(session)
    answer(session, "ann", "neither", settle=True)
    verdict = HandLabels(run).verdicts(LABELS.question_key)[disputed[0]]
    assert (dict(verdict.answers), verdict.settled) == ({"ann": "friendly", "bob": "neither"}, "neither")


def test_what_can_t_be_settled_comes_again_once(session: Session) -> None:
    first, second = disagree(session)
    assert answer(session, "cleo", "skip", settle=True).picture == second
    turn = answer(session, "cleo", "neither", settle=True)
    assert (turn.picture, turn.again) == (first, True)
    assert answer(session, "cleo", "skip", settle=True).picture is None


def test_pictures_that_somebody_chose_can_be_settled_too(session: Session, run: Run) -> None:
    table = run.read_table(f"sample/{LABELS.question_key}.parquet")
    assert table is not None
    outside = next(row["sha256"] for row in table.to_pylist() if not row["drawn"])
    imported(run, outside, "ann", "friendly")
    imported(run, outside, "bob", "neither")
    disputed = disagree(session)
    turn = session.next("cleo", settle=True)
    assert (turn.picture, *turn.ahead) == (*disputed, outside)
    assert Image.open(io.BytesIO(session.jpeg(outside, settle=True))).size == (64, 48)
    session.answer("cleo", outside, "friendly", rows=0, settle=True)
    assert stored(run)[-1]["sampled"] == "by_hand"


def test_texts_are_of_all_near_duplicates_the_most_frequent_first(tmp_path: Path) -> None:
    import pyarrow as pa

    from hashtag_photos.stages.group import groups_path
    from hashtag_photos.tables import GROUPS

    run = make_run(tmp_path / "run", 20, text=lambda number: "the same" if number % 3 else f"text {number}")
    session = Session(run, MODEL_KEY, LABELS)
    disputed = disagree(session)[0]
    groups = run.read_table(groups_path(MODEL_KEY))
    assert groups is not None
    images = groups.column("sha256").to_pylist()
    others = [sha256 for sha256 in images if sha256 != disputed][:30]
    picture_of = [disputed if sha256 in (*others, disputed) else sha256 for sha256 in images]
    run.write_table(groups_path(MODEL_KEY), pa.table([images, picture_of], schema=GROUPS))
    dispute = session.next("cleo", settle=True).dispute
    assert dispute is not None
    assert dispute.texts[0].text == "the same"
    assert len(dispute.texts) == 5
    assert sum(each.posts for each in dispute.texts) + dispute.more_posts == 31
    assert np.all(np.diff([each.posts for each in dispute.texts]) <= 0)
