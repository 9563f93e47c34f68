"""The console: log lines stay whole, tables align numbers, nothing is drawn where there is no terminal."""

from __future__ import annotations

import logging

from hyperofa.console import console, progress_bar, setup_logging, table, track


def test_a_long_log_line_is_one_line(capsys):
    setup_logging()
    line = "a/very/long/path/" * 20 + " is [already] done"
    logging.getLogger("hyperofa.test").info("%s", line)
    assert capsys.readouterr().err == line + "\n"


def test_progress_is_silent_without_a_terminal(capsys):
    with progress_bar("working", 3) as advance:
        advance(3)
    assert list(track([1, 2, 3], "working")) == [1, 2, 3]
    assert capsys.readouterr().err.strip() == ""


def test_a_table_shows_its_cells(capsys):
    table("scores", ("language", "top-10"), [("tur", 51.3), ("kor", 38.0)])
    shown = capsys.readouterr().out
    assert "scores" in shown
    assert "51.30" in shown


def test_text_stands_as_it_is(capsys):
    """Neither ``:b:`` nor ``[CLS]`` is a picture or a style."""
    setup_logging()
    logging.getLogger("hyperofa.test").warning("malformed keys such as %r", "a:b:c")
    console.print("a:b:c")
    table("keys of [a]", ("[key]", "n"), [("a:b:c", 1), ("[CLS]", 2), ("[bold]", 3)])
    captured = capsys.readouterr()
    assert captured.err == "malformed keys such as 'a:b:c'\na:b:c\n"
    assert all(word in captured.out for word in ("keys of [a]", "[key]", "a:b:c", "[CLS]", "[bold]"))
