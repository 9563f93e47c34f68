"""The console: log lines stay whole, tables align numbers, nothing is drawn where there is no terminal."""

from __future__ import annotations

import logging

from hyperofa.console import progress_bar, setup_logging, table, track


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
