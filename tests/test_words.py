from hashtag_photos.words import harmless, plain

TURNING = "a\u202eb\u200ec\u200fd\u061ce\u00adf\ufeffg\x07"


def test_text_in_one_line_has_nothing_that_is_not_seen() -> None:
    assert plain(f" {TURNING}\n h\u2028i\u2067j\u2069") == "abcdefg h ij"
    assert plain("\u0646\u200c\u06cc \U0001f468\u200d\U0001f469") == "\u0646\u200c\u06cc \U0001f468\u200d\U0001f469"
    assert (plain("x" * 9, 9), plain("x" * 10, 9)) == ("x" * 9, "x" * 8 + "…")


def test_text_in_lines_keeps_them_and_what_turns_nothing_outside() -> None:
    assert harmless(f"{TURNING}\n57\u00a0%\u00a0\th") == "abcdefg\n57\u00a0%\u00a0\th"
    closed = "say \u2068\u05d0 \u2067b\u2069\u2069 and so on"
    assert harmless(closed) == closed
    assert harmless("\u2069a\u2068") == harmless("a\u2069") == harmless("\u2067a") == "a"
    assert harmless("plain") == "plain"
