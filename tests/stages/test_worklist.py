import sqlite3
from collections import Counter
from collections.abc import Collection
from pathlib import Path

import pytest

from hashtag_photos.records import Attachment, Post
from hashtag_photos.records import PhotoStatus as Status
from hashtag_photos.run import Run
from hashtag_photos.stages import worklist
from hashtag_photos.stages.worklist import Again, Worklist, last_statuses
from hashtag_photos.tables import photos_table, posts_table


def run_with(folder: Path, *posts: list[str]) -> Run:
    run = Run(folder / "run")
    run.ask(sources=[])
    add(run, *posts)
    return run


def add(run: Run, *posts: list[str]) -> None:
    first = run.dataset("posts").count_rows()
    attachments = [tuple(Attachment(url=url) for url in urls) for urls in posts]
    made = [Post(source="test", id=str(number), attachments=each) for number, each in enumerate(attachments, first)]
    run.append("posts", posts_table(made))


def tried(run: Run, post: str, url: str, status: Status, attempt: int = 1, reason: str | None = None) -> None:
    row = {"source": "test", "post_id": post, "position": 0, "url": url, "status": status, "attempt": attempt}
    run.append("photos", photos_table([{**row, "fetched_at": "2026-01-01T00:00:00+00:00", "reason": reason}]))


def listed(run: Run, folder: Path, again: Collection[Status] = ()) -> Worklist:
    folder.mkdir()
    return Worklist(run, folder, Again(frozenset(again)))


def test_hosts_are_shared_out_evenly_and_each_goes_to_one_share(tmp_path: Path) -> None:
    sizes = {"large": 50, **{f"h{number}": 10 for number in range(10)}, "one": 1}
    urls = [f"http://{host}.invalid/{number}" for host, size in sizes.items() for number in range(size)]
    urls += ["https://LARGE.invalid:443/another", "http://large.invalid./dot", "", "no address"]
    with listed(run_with(tmp_path, urls, urls[:5]), tmp_path / "list") as work:
        assert (work.attachments, work.addresses, work.hosts) == (len(urls) + 5, len(urls), len(sizes) + 1)
        work.share_out(3)
        with sqlite3.connect(work.path) as database:
            shares = dict(database.execute("SELECT name, share FROM host").fetchall())
            found = database.execute("SELECT share, count(*) FROM address JOIN host ON host.id = host GROUP BY 1")
            loads = dict(found.fetchall())
    assert len(shares) == len(sizes) + 1, "a host is one, however it is written"
    assert set(loads) == {0, 1, 2}
    assert sum(loads.values()) == len(urls)
    assert sorted(loads.values()) == [50, 50, 55] or max(loads.values()) - min(loads.values()) <= 10


def test_addresses_are_known_by_what_became_of_them_last(tmp_path: Path) -> None:
    """Not by an attempt that another followed, nor by what is to be asked again."""
    urls = {name: f"http://a.invalid/{name}" for name in ("stand-in", "opted", "busy", "gone", "new")}
    run = run_with(tmp_path, *[[url] for url in urls.values()])
    tried(run, "0", urls["stand-in"], Status.OK)
    tried(run, "1", urls["opted"], Status.OPTED_OUT)
    tried(run, "2", urls["busy"], Status.TIMEOUT)
    tried(run, "3", urls["gone"], Status.GONE, reason="the server answered 404")
    tried(run, "0", urls["stand-in"], Status.PLACEHOLDER, attempt=2)
    add(run, [f"{url}#again" for url in urls.values()])
    assert last_statuses(run) == {"gone": 1, "opted_out": 1, "placeholder": 1, "timeout": 1}

    def known(folder: str, again: Collection[Status]) -> tuple[dict[str, str], int, int]:
        with listed(run, tmp_path / folder, again) as work:
            attachments = work.attachments
            outcomes = {work.sharing(number)[0]["url"]: outcome["status"] for number, outcome in work.known()}
            outcomes = {url.partition("#")[0].rpartition("/")[2]: status for url, status in outcomes.items()}
            return outcomes, attachments, work.addresses

    assert known("first", ()) == ({"stand-in": "placeholder", "opted": "opted_out", "gone": "gone"}, 6, 2)
    assert known("retry", [Status.TIMEOUT]) == ({"stand-in": "placeholder", "opted": "opted_out", "gone": "gone"}, 7, 2)
    assert known("bold", [Status.OPTED_OUT]) == ({"stand-in": "placeholder", "gone": "gone"}, 7, 3)


def test_what_is_done_is_left_out_by_who_reads_the_list_later(tmp_path: Path) -> None:
    with listed(run_with(tmp_path, [f"http://a.invalid/{number}" for number in range(5)]), tmp_path / "list") as work:
        work.mark_done([1, 4])
        assert work.addresses == 3
        with sqlite3.connect(work.path) as database:
            left = database.execute("SELECT id FROM address WHERE NOT done ORDER BY id").fetchall()
        assert left == [(2,), (3,), (5,)]


def test_attempts_of_what_is_asked_again_go_on_counting(tmp_path: Path) -> None:
    run = run_with(tmp_path, ["http://a.invalid/1"], ["http://a.invalid/1#b"])
    tried(run, "0", "http://a.invalid/1", Status.TIMEOUT)
    tried(run, "0", "http://a.invalid/1", Status.SERVER_ERROR, attempt=2)
    with listed(run, tmp_path / "list", [Status.TIMEOUT, Status.SERVER_ERROR]) as work:
        assert work.addresses == 1
        assert sorted((row["post_id"], row["attempt"], row["url"]) for row in work.sharing(1)) == [
            ("0", 3, "http://a.invalid/1"),
            ("1", 1, "http://a.invalid/1#b"),
        ]


def test_a_finished_run_is_seen_without_reading_its_posts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = run_with(tmp_path, ["http://a.invalid/1"], [])
    tried(run, "0", "http://a.invalid/1", Status.GONE)
    counts: Counter[str] = Counter()
    monkeypatch.setattr(worklist, "_attachments", lambda batch: counts.update(["read"]) or iter(()))
    with listed(run, tmp_path / "list") as work:
        assert (work.attachments, work.addresses, work.hosts) == (0, 0, 0)
    assert not counts
    add(run, ["http://a.invalid/2"])
    with listed(run, tmp_path / "list2"):
        assert counts


def test_what_a_port_blocked_is_asked_again_where_that_port_is_allowed(tmp_path: Path) -> None:
    run = run_with(tmp_path, ["http://a.example:8080/1.jpg"], ["http://a.example:8081/1.jpg"], ["http://10.0.0.1/"])
    for post, port in (("0", 8080), ("1", 8081)):
        tried(run, post, f"http://a.example:{port}/1.jpg", Status.BLOCKED, reason=f"port {port} is not 80 or 443")
    tried(run, "2", "http://10.0.0.1/", Status.BLOCKED, reason="leads to an address that is not public")
    folder = tmp_path / "list"
    folder.mkdir()
    with Worklist(run, folder, Again(ports=frozenset({8080}))) as work:
        assert list(work.known()) == []
        assert [each["post_id"] for each in work.sharing(1)] == ["0"]
        assert (work.attachments, work.sharing(1)[0]["attempt"]) == (1, 2)


def test_an_address_is_one_however_its_scheme_and_host_are_spelled(tmp_path: Path) -> None:
    same = ["http://a.example/B.jpg", "HTTP://A.Example/B.jpg#top", "http://a.example/B.jpg#"]
    with listed(run_with(tmp_path, same, ["http://a.example/b.jpg"]), tmp_path / "list") as work:
        assert (work.attachments, work.addresses) == (4, 2)
