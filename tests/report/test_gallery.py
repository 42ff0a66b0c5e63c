import base64
import io
import re
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import picture
from made_pictures import LABELS, Made, Seen, elements, gallery, make_run, page, sha256, tally_of, wall
from PIL import Image

from hashtag_photos.records import PhotoStatus
from hashtag_photos.report.gallery import MEMBERS, OF_EACH, Gallery
from hashtag_photos.report.pictures import Shown, counted_pictures
from hashtag_photos.run import Run

HOSTILE = "<script>window.hacked=1</script><img src=x onerror=window.hacked=2>\"'{{ 7*7 }}\u202e\u0000"


def color(number: int) -> tuple[int, int, int]:
    return (number * 53 % 256, number * 97 % 256, number * 151 % 256)


def made(number: int, friendly: float, **facts: object) -> Made:
    """An image of a color of its own that is so friendly, in a post of its own."""
    facts = {"seen": (Seen(number=number, hours=number),)} | facts
    return Made(
        content=picture(color(number)), chances=(friendly, (1 - friendly) * 0.75, (1 - friendly) * 0.25), **facts
    )


def of(run: Run, **options: bool) -> Gallery:
    return gallery(run, tally_of(run), **options)


def of_and_page(run: Run, **options: bool) -> tuple[Gallery, str]:
    tally = tally_of(run)
    found = gallery(run, tally, **options)
    return found, page(tally, found, authors=options.get("authors", True))


def names(shown: tuple[Shown, ...]) -> list[str]:
    return [each.picture for each in shown]


def opened(data: str | None) -> Image.Image:
    assert data is not None
    kind, _, content = data.partition(",")
    assert kind == "data:image/jpeg;base64"
    return Image.open(io.BytesIO(base64.b64decode(content)))


def test_of_each_class_the_most_typical_and_the_most_doubtful_first(tmp_path: Path) -> None:
    images = [made(number, 0.55 + 0.04 * number) for number in range(9)]
    run = make_run(tmp_path / "run", *images, made(20, 0.1), made(21, 0.45))
    friendly, force, unsure = of(run).classes
    typical = sorted(images, key=lambda each: -each.chances[0])
    assert names(friendly.typical) == [each.sha256 for each in typical[:OF_EACH]]
    assert names(friendly.doubtful) == [each.sha256 for each in reversed(typical[OF_EACH:])], "and none twice"
    assert (friendly.label, friendly.title, friendly.pictures) == ("friendly", "Friendly", 9)
    assert (force.label, force.pictures) == ("force", 1)  # and no class without pictures
    assert (unsure.label, unsure.typical, names(unsure.doubtful)) == ("unsure", (), [made(21, 0.45).sha256])
    first = friendly.typical[0]
    assert first.margin == pytest.approx(0.87 - 0.13 * 0.75)
    assert [title for title, _ in first.probabilities] == ["Friendly", "Force", "Neither"]
    assert [share for _, share in first.probabilities] == pytest.approx([0.87, 0.0975, 0.0325])


def test_a_class_without_any_doubtful_picture_is_said_to_have_none(tmp_path: Path) -> None:
    def doubtful(name: str, *friendly: float) -> tuple[bool, bool]:
        images = [made(number, share) for number, share in enumerate(friendly)]
        found, html = of_and_page(make_run(tmp_path / name, *images))
        return found.classes[0].clear, "the next class is nearest; none is near another class" in html

    near, far = 0.71, 0.72  # the next class has three quarters of the rest
    assert doubtful("clear", *[0.9] * OF_EACH, far) == (True, True)
    assert doubtful("near", *[0.9] * OF_EACH, far, near) == (False, False)
    assert doubtful("few", 0.9) == (True, False)  # it stands above already


def test_the_most_shared_are_in_the_most_posts_and_in_more_than_one(tmp_path: Path) -> None:
    twice_in_one_post = (Seen(number=0), Seen(number=0))
    once = made(1, 0.9, seen=twice_in_one_post)
    two = made(2, 0.9, seen=tuple(Seen(number=number) for number in (1, 2)))
    three = made(3, 0.8, seen=tuple(Seen(number=number) for number in (3, 4, 5)))
    (friendly,) = of(make_run(tmp_path / "run", once, two, three)).classes
    assert [(each.picture, each.posts) for each in friendly.shared] == [(three.sha256, 3), (two.sha256, 2)]
    assert {each.picture: each.posts for each in friendly.typical}[once.sha256] == 1


def test_near_duplicates_are_one_picture_with_all_their_posts(tmp_path: Path) -> None:
    first = made(0, 0.8, seen=(Seen(number=9, hours=9), Seen(number=8, hours=8)))
    others = [
        made(number, 0.99, of=first.content, seen=(Seen(number=number, hours=number), Seen(number=9, hours=9)))
        for number in range(1, 8)
    ]
    run = make_run(tmp_path / "run", first, *others, made(30, 0.7))
    found, html = of_and_page(run)
    (friendly,) = found.classes
    assert friendly.pictures == 2
    assert names(friendly.typical)[0] == first.sha256  # by its own probability, not by those of its group
    shown = friendly.typical[0]
    assert (shown.images, shown.posts, shown.first_seen) == (8, 9, "2014-04-22T10:30:00Z")
    assert (len(shown.links), shown.more) == (3, 6)
    (group,) = found.largest
    assert (group.number, group.whole.picture, len(group.members)) == (1, first.sha256, MEMBERS)
    assert group.members[0].picture == first.sha256
    assert {each.picture for each in group.members} <= {each.sha256 for each in (first, *others)}
    assert (group.members[0].images, group.members[0].posts) == (1, 2)
    assert group.members[0].first_seen == "2014-04-22T17:30:00Z"  # of this image alone
    assert '8 images in 9 posts, first on <span class="day">2014-04-22</span>; 5 of the images' in html
    assert "and 6 more" in html


def test_pictures_in_the_most_posts_have_the_numbers_of_the_tally(tmp_path: Path) -> None:
    images = []
    for group, size in enumerate((2, 4, 3)):
        centre = made(10 * group, 0.9)
        images += [centre, *(made(10 * group + other, 0.9, of=centre.content) for other in range(1, size))]
    same_file = made(90, 0.9, seen=[Seen(number=number) for number in range(90, 100)])
    one_post = [made(80, 0.9, seen=[Seen(number=80)]), made(81, 0.9, of=picture(color(80)), seen=[Seen(number=80)])]
    run = make_run(tmp_path / "run", *images, same_file, *one_post)
    tally = tally_of(run)
    found = gallery(run, tally)
    assert [(each.number, each.whole.picture) for each in found.largest] == [
        (number, each.picture) for number, each in enumerate(tally.largest, 1)
    ]
    assert [(each.whole.images, each.whole.posts, len(each.members)) for each in found.largest] == [
        (1, 10, 1),
        (4, 4, 4),
        (3, 3, 3),
        (2, 2, 2),
    ]
    html = page(tally, found)
    assert "These are in the most posts." in html
    assert '<span class="aside">in 10 posts, first on <span class="day">2014-04-22</span></span>' in html
    assert '<span class="aside">4 images in 4 posts, first on <span class="day">2014-04-22</span></span>' in html


def test_without_near_duplicates_pictures_can_be_in_many_posts(tmp_path: Path) -> None:
    _, html = of_and_page(make_run(tmp_path / "run", made(1, 0.9, seen=[Seen(number=1), Seen(number=2)]), made(3, 0.9)))
    assert "This one is in the most posts." in html
    assert "No near-duplicates were found: 2 images, 2 distinct pictures." in html


def test_a_picture_links_to_its_first_posts(tmp_path: Path) -> None:
    seen = [
        Seen(number=1, hours=None, url="https://late.example/1"),
        Seen(number=2, hours=30, url="https://third.example/2"),
        Seen(number=3, hours=2, url="http://second.example:8080/@bob/3?a=1&b=2", author="bob"),
        Seen(number=4, hours=1, url="https://first.example/4", author=None),
    ]
    run = make_run(tmp_path / "run", made(0, 0.9, seen=seen), keep_authors=True)
    found, html = of_and_page(run)
    (shown,) = found.classes[0].typical
    assert [(each.url, each.host, each.author, each.day) for each in shown.links] == [
        ("https://first.example/4", "first.example", None, "2014-04-22"),
        ("http://second.example:8080/@bob/3?a=1&b=2", "second.example", "bob", "2014-04-22"),
        ("https://third.example/2", "third.example", "ann", "2014-04-23"),
    ]
    assert shown.more == 1
    assert 'href="http://second.example:8080/@bob/3?a=1&amp;b=2" rel="noopener noreferrer"' in html
    assert "by <bdi>bob</bdi> on <bdi>second.example</bdi>" in html
    read = [facts["aria-label"] for tag, facts in elements(html) if tag == "a" and "aria-label" in facts]
    own = shown.picture[:12]
    assert read[:3] == [
        f"post 1 of picture {own}: 2014-04-22 on first.example",
        f"post 2 of picture {own}: 2014-04-22 on second.example",
        f"post 3 of picture {own}: 2014-04-23 on third.example",
    ], "heard without what stands around them"


def test_links_to_other_posts_have_other_names(tmp_path: Path) -> None:
    def seen(*numbers: int) -> list[Seen]:
        return [Seen(number=number, url=f"https://one.example/{number}") for number in numbers]

    first = made(0, 0.9, seen=seen(5, 6))
    twin = made(1, 0.8, of=first.content, seen=seen(1, 2))
    run = make_run(tmp_path / "run", first, twin, *(made(number, 0.7, seen=seen(number)) for number in range(10, 15)))
    tally = tally_of(run)
    links = [
        (facts["aria-label"], facts["href"])
        for tag, facts in elements(page(tally, gallery(run, tally), wall(run, tally)))
        if tag == "a" and "aria-label" in facts
    ]
    assert len({href for _, href in links}) == 9
    assert len(set(links)) == len({name for name, _ in links})


def test_what_is_no_plain_address_is_no_link(tmp_path: Path) -> None:
    urls = [
        None,
        "",
        "javascript:alert(1)",
        " https://white.example/",
        "JavaScript:alert(1)//https://a.example",
        "java\nscript:alert(1)",
        "data:text/html,<script>alert(1)</script>",
        "file:///etc/passwd",
        "https://good.example\\@evil.example/",
        "https://good.example@evil.example/",
        "http://[::1",
        "//evil.example/1",
        "https://",
        "https://turned.example/\u202eegami",
    ]
    images = [made(number, 0.9, seen=[Seen(number=number, url=url)]) for number, url in enumerate(urls)]
    run = make_run(tmp_path / "run", *images)
    tally = tally_of(run)
    shown = counted_pictures(run, tally).shown([each.sha256 for each in images])
    assert len(shown) == len(urls)
    for each, url in zip(shown.values(), urls, strict=True):
        (link,) = each.links
        assert (link.url, link.host, link.day) == (None, "test", "2014-04-22"), url
    html = page(tally, gallery(run, tally))
    assert "2014-04-22 (without an address)" in html
    assert not [facts for tag, facts in elements(html) if tag == "a" and not facts["href"].startswith("#")]


def test_a_picture_from_a_folder_is_named_by_its_file(tmp_path: Path) -> None:
    def seen(number: int, attachment: str, **facts: object) -> list[Seen]:
        return [Seen(number=number, attachment=attachment, **{"url": None, "hours": None} | facts)]

    run = make_run(
        tmp_path / "run",
        made(0, 0.9, seen=seen(0, "file:///home/me/Bilder%20%C3%BC/hug%20%3Cb%3E%E2%80%AE.jpg")),
        made(1, 0.8, seen=seen(1, "file:///home/me/b.jpg", hours=1, alt="A hug")),
        made(2, 0.7, seen=seen(2, "file:///home/me/c.jpg", url="https://social.example/2")),
    )
    found, html = of_and_page(run)
    assert [(each.alt, each.links[0].file) for each in found.classes[0].typical] == [
        ("File hug <b>.jpg", "hug <b>.jpg"),
        ("A hug", "b.jpg"),
        (f"Picture {found.classes[0].typical[2].picture[:12]}", None),
    ]
    shown = " ".join(re.sub(r"\s+", " ", html).split())
    assert "<p>In 1 post: <bdi>hug &lt;b&gt;.jpg</bdi></p>" in shown
    assert "<p>In 1 post: <bdi>b.jpg</bdi>, 2014-04-22</p>" in shown
    assert "/home/me" not in html
    _, html = of_and_page(run, authors=False)
    assert ".jpg" not in html  # a name of a file may be that of a person


def test_nothing_from_outside_turns_the_words_after_it(tmp_path: Path) -> None:
    turning = "a\u202eb\u2069c\u200fd\u061ce\u2067\u200d"
    seen = [Seen(number=0, author=turning, alt=turning, attachment="file:///x/\u202e.jpg")]
    labels = replace(LABELS, classes=tuple(replace(each, title=f"{turning} {each.name}") for each in LABELS.classes))
    run = make_run(tmp_path / "run", made(0, 0.9, seen=seen), keep_authors=True, labels=labels)
    tally = replace(tally_of(run), run=turning)
    html = page(tally, gallery(run, tally), wall(run, tally), labels=labels)
    assert "by <bdi>abcde\u200d</bdi>" in html
    assert "<bdi>abcde\u200d friendly</bdi>" in html
    assert not set("\u202e\u2067\u200f\u061c\u2069") & set(html)


def test_authors_names_are_shown_where_the_run_keeps_them(tmp_path: Path) -> None:
    for keep in (True, False):
        run = make_run(tmp_path / str(keep), made(0, 0.9, seen=[Seen(number=0, author="ann")]), keep_authors=keep)
        (friendly,) = of(run).classes
        assert friendly.typical[0].links[0].author == ("ann" if keep else None)


def test_without_authors_nothing_is_there_that_posts_say(tmp_path: Path) -> None:
    seen = Seen(number=0, url="https://social.example/@zoe/1", author="zoe", alt="Zoe at the harbour")
    twin = made(1, 0.8, of=picture(color(0)), seen=[replace(seen, number=1)])
    run = make_run(tmp_path / "run", made(0, 0.9, seen=[seen]), twin, keep_authors=True)
    _, named = of_and_page(run)
    assert "zoe" in named
    assert "Zoe at the harbour" in named
    found, html = of_and_page(run, authors=False)
    (shown,) = found.classes[0].typical
    assert (shown.links, shown.described, shown.posts) == ((), False, 2)
    assert "zoe" not in html.lower()
    assert "social.example" not in html
    assert "2 images in 2 posts, first on 2014-04-22" in html


def test_a_picture_is_described_as_by_the_first_post_that_does(tmp_path: Path) -> None:
    seen = [
        Seen(number=0, hours=0, alt="  \n "),
        Seen(number=1, hours=3, alt="later words"),
        Seen(number=2, hours=2, alt=" A line\nof\u2028 police\x07 "),
    ]
    run = make_run(
        tmp_path / "run", made(0, 0.9, seen=seen), made(1, 0.8), made(2, 0.7, seen=[Seen(number=9, alt="x" * 999)])
    )
    found, html = of_and_page(run)
    (friendly,) = found.classes
    described, plain, long = friendly.typical
    assert (described.alt, described.described) == ("A line of police", True)
    assert (plain.alt, plain.described) == (f"Picture {plain.picture[:12]}", False)
    assert (len(long.alt), long.alt[-1]) == (300, "…")
    found = elements(html)
    first = next(at for at, (_, facts) in enumerate(found) if facts.get("alt") == "A line of police")
    (_, box), (_, blurred), (_, sharp) = found[first - 1 : first + 2]
    assert (blurred["src"], sharp["src"]) == (described.blurred, described.data)
    assert ("hidden" in blurred, "hidden" in sharp) == (False, True), "also where no style is"
    assert box["aria-label"] == "Show the picture: A line of police"
    assert blurred["aria-hidden"] == sharp["aria-hidden"] == "true", "it is read out once"


def test_an_alternative_text_is_that_of_the_picture_s_own_place_in_a_post(tmp_path: Path) -> None:
    both = (made(0, 0.9, seen=[Seen(number=5, alt="the first")]), made(1, 0.8, seen=[Seen(number=5, alt="the second")]))
    (friendly,) = of(make_run(tmp_path / "run", *both)).classes
    assert [each.alt for each in friendly.typical] == ["the first", "the second"]


def test_thumbnails_are_small_upright_and_say_nothing_else(tmp_path: Path) -> None:
    wide = Image.new("RGB", (1200, 600), "white")
    wide.paste("red", (0, 0, 600, 600))
    out = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees
    exif[0x010E] = "a secret place"
    wide.save(out, "JPEG", exif=exif, comment=b"a secret comment", quality=95)
    clear = io.BytesIO()
    Image.new("RGBA", (40, 30), (0, 0, 0, 0)).save(clear, "PNG")
    run = make_run(
        tmp_path / "run",
        Made(content=out.getvalue(), chances=(0.9, 0.1, 0.0)),
        Made(content=clear.getvalue(), chances=(0.8, 0.1, 0.1), format="PNG"),
    )
    (friendly,) = of(run).classes
    turned, white = friendly.typical
    image = opened(turned.data)
    assert opened(turned.blurred).size == (3, 6)  # nobody is known by so few pixels
    assert (turned.width, turned.height) == image.size == (140, 280)
    assert image.getpixel((70, 40))[1] < 60  # red above
    assert image.getpixel((70, 240))[1] > 200
    content = base64.b64decode(turned.data.partition(",")[2])
    assert b"secret" not in content
    assert not image.getexif()
    assert (white.width, white.height) == (40, 30)  # never enlarged
    assert min(opened(white.data).getpixel((20, 15))) > 250


def test_files_that_are_gone_or_damaged_are_told(tmp_path: Path) -> None:
    good, damaged, gone = (made(number, 0.9 - 0.1 * number) for number in range(3))
    run = make_run(tmp_path / "run", good, damaged, gone)
    for each, content in ((damaged, damaged.content[:200]), (gone, None)):
        path = tmp_path / "run/images" / each.sha256[:2] / f"{each.sha256}.jpg"
        path.write_bytes(content) if content else path.unlink()
    found, html = of_and_page(run)
    assert [each.data is not None for each in found.classes[0].typical] == [True, False, False]
    assert (found.files, found.unreadable) == (3, 2)
    assert "2 of 3 pictures that belong here can’t be shown" in html
    assert html.count("Its file is gone or damaged.") == 2


def test_without_pictures_what_there_is_to_say_of_them_stays(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", made(0, 0.9, seen=[Seen(number=0, alt="A hug")]))
    found, html = of_and_page(run, pictures=False)
    (shown,) = found.classes[0].typical
    assert (shown.data, shown.width, shown.height, shown.alt) == (None, 0, 0, "A hug")
    assert (found.pictures, found.files, found.unreadable) == (False, 0, 0)
    assert "“<bdi>A hug</bdi>”" in html
    assert "data:image/" not in html
    assert "gone or damaged" not in html


def test_images_that_count_no_more_are_not_shown(tmp_path: Path) -> None:
    centre = made(0, 0.9, status=PhotoStatus.PLACEHOLDER)
    left = made(1, 0.8, of=centre.content)
    run = make_run(tmp_path / "run", centre, left, made(2, 0.7, status=PhotoStatus.BROKEN))
    (friendly,) = of(run).classes
    assert names(friendly.typical) == [left.sha256]
    assert (friendly.typical[0].images, friendly.pictures) == (1, 1)


def test_it_is_the_same_each_time(tmp_path: Path) -> None:
    images = [made(number, 0.6, seen=[Seen(number=number % 3, hours=None)]) for number in range(12)]
    run = make_run(tmp_path / "run", *images)
    assert of(run) == of(run)
    assert len(set(names(of(run).classes[0].typical))) == OF_EACH


def test_what_posts_and_authors_say_is_inert(tmp_path: Path) -> None:
    words = HOSTILE.replace("\u0000", "")
    seen = [
        Seen(
            number=0,
            author=words,
            alt=words,
            url=f"https://social.example/{words.replace(' ', '')}".replace("\u202e", ""),
        )
    ]
    labels = replace(LABELS, classes=tuple(replace(each, title=f"{words} {each.name}") for each in LABELS.classes))
    run = make_run(tmp_path / "run", made(0, 0.9, seen=seen), keep_authors=True, labels=labels)
    tally = tally_of(run)
    html = page(tally, gallery(run, tally), labels=labels)
    found = elements(html)
    assert [tag for tag, _ in found].count("script") == 1  # ours
    assert not [name for _, facts in found for name in facts if name.startswith("on") or name == "style"]
    assert {facts["src"][:11] for tag, facts in found if tag == "img"} == {"data:image/"}
    assert re.search(r"\{\{ 7\*7 \}\}", html)
    (link,) = {facts["href"] for tag, facts in found if tag == "a" and facts["href"].startswith("http")}
    assert link == seen[0].url


def test_sha256_names_are_those_of_the_files(tmp_path: Path) -> None:
    image = made(0, 0.9)
    (friendly,) = of(make_run(tmp_path / "run", image)).classes
    assert friendly.typical[0].picture == sha256(image.content)
    assert opened(friendly.typical[0].data).size == (48, 32)
