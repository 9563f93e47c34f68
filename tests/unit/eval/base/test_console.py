"""The console: log lines stay whole, tables align numbers, nothing is drawn where there is no terminal."""

from __future__ import annotations

import io
import logging
import re

import pytest

from hyperofa_eval.base.console import console, progress_bar, setup_logging, table, track


def test_a_long_log_line_is_one_line(capsys):
    setup_logging({"hyperofa": logging.INFO})
    line = "a/very/long/path/" * 20 + " is [already] done"
    logging.getLogger("hyperofa.test").info("%s", line)
    assert capsys.readouterr().err == line + "\n"


def test_progress_is_silent_without_a_terminal(capsys):
    with progress_bar("working", 3) as advance:
        advance(3)
    assert list(track([1, 2, 3], "working")) == [1, 2, 3]
    assert capsys.readouterr().err.strip() == ""


@pytest.mark.parametrize(("rank", "lines"), [(None, 2), ("0", 2), ("1", 0)])
def test_long_progress_is_told_line_by_line_without_a_terminal(capsys, monkeypatch, rank, lines):
    monkeypatch.delenv("RANK", raising=False) if rank is None else monkeypatch.setenv("RANK", rank)
    setup_logging({"hyperofa": logging.INFO})
    seconds = iter([0.0, 59.0, 60.0, 60.0, 90.0, 180.0, 180.0, 300.0])
    monkeypatch.setattr("hyperofa_eval.base.console.time.monotonic", lambda: next(seconds))
    with progress_bar("working", 10) as advance:
        for done in (1, 2, 1, 2, 4):  # after 59, 60, 90, 180 and 300 seconds
            advance(done)
    told = ["working: 3 of 10, about 140 s left", "working: 6 of 10, about 160 s left"]
    assert capsys.readouterr().err.splitlines() == told[:lines]


def test_a_note_is_told_beside_the_progress(capsys, monkeypatch):
    monkeypatch.delenv("RANK", raising=False)
    setup_logging({"hyperofa": logging.INFO})
    monkeypatch.setattr("hyperofa_eval.base.console._LOG_EVERY", 0.0)
    with progress_bar("training", 3) as advance:
        advance(note="loss 1.5")
        advance(5)  # of several processes at once, more than there is
    assert capsys.readouterr().err == "training: 1 of 3, loss 1.5, about 0 s left\n"


def test_without_a_known_end_what_is_done_is_told(capsys, monkeypatch):
    monkeypatch.delenv("RANK", raising=False)
    setup_logging({"hyperofa": logging.INFO})
    monkeypatch.setattr("hyperofa_eval.base.console._LOG_EVERY", 0.0)
    with progress_bar("reading text", None) as advance:
        advance(12_000)
    assert capsys.readouterr().err == "reading text: 12,000\n"


def test_what_an_earlier_run_did_is_no_speed(capsys, monkeypatch):
    monkeypatch.delenv("RANK", raising=False)
    setup_logging({"hyperofa": logging.INFO})
    seconds = iter([0.0, 0.1, 60.0, 60.0])
    monkeypatch.setattr("hyperofa_eval.base.console.time.monotonic", lambda: next(seconds))
    with progress_bar("working", 100) as advance:
        advance(90)
        advance(5)
    assert capsys.readouterr().err == "working: 95 of 100, about 60 s left\n"


def test_progress_in_a_library_is_silent(capsys, monkeypatch):
    logging.getLogger("hyperofa_eval.base.console").setLevel(logging.NOTSET)
    logging.getLogger("hyperofa_eval.base.console").handlers.clear()
    monkeypatch.setattr("hyperofa_eval.base.console._LOG_EVERY", 0.0)
    assert list(track([1, 2, 3], "working")) == [1, 2, 3]
    assert capsys.readouterr().err == ""


def test_a_table_shows_its_cells(capsys):
    table("scores", ("language", "top-10"), [("tur", 51.3), ("kor", 38.0)])
    shown = capsys.readouterr().out
    assert "scores" in shown
    assert "51.30" in shown


def test_text_stands_as_it_is(capsys):
    """Neither ``:b:`` nor ``[CLS]`` is a picture or a style."""
    setup_logging({"hyperofa": logging.INFO})
    logging.getLogger("hyperofa.test").warning("malformed keys such as %r", "a:b:c")
    console.print("a:b:c")
    table("keys of [a]", ("[key]", "n"), [("a:b:c", 1), ("[CLS]", 2), ("[bold]", 3)])
    captured = capsys.readouterr()
    assert captured.err == "malformed keys such as 'a:b:c'\na:b:c\n"
    assert all(word in captured.out for word in ("keys of [a]", "[key]", "a:b:c", "[CLS]", "[bold]"))


WIDE = [f"characters/token {which} {i}" for i in range(4) for which in ("before", "after")]


@pytest.mark.parametrize("columns", [None, "40", "80"])
def test_headings_and_cells_are_whole_in_a_file(capsys, monkeypatch, columns):
    monkeypatch.delenv("COLUMNS", raising=False)
    monkeypatch.setenv("FORCE_COLOR", "1")
    if columns:
        monkeypatch.setenv("COLUMNS", columns)
    title = "60,000 entries → " + "a/very/long/path/" * 20
    table(title, ["language", *WIDE], [["swh " + "x" * 120, *range(1000, 1008)]])
    shown = re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out).splitlines()
    assert shown[0] == title
    assert all(heading in shown[2] for heading in ["language", *WIDE])
    assert "swh " + "x" * 120 in shown[4]
    assert len(shown) == 6


@pytest.mark.parametrize("width", [200, 80, 20])
def test_headings_are_whole_in_a_narrow_terminal(monkeypatch, width):
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    screen = Terminal()
    monkeypatch.setattr("sys.stdout", screen)
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setenv("NO_COLOR", "1")
    table("scores", ["language", *WIDE], [["swh", *range(1000, 1008)]])
    lines = re.sub(r"\x1b\[[0-9;]*m", "", screen.getvalue()).splitlines()[1:]
    head = [[cell.strip() for cell in line.strip("┃").split("┃")] for line in lines if line.startswith("┃")]
    assert "…" not in screen.getvalue()
    stacked = ["".join(parts).replace(" ", "") for parts in zip(*head, strict=True)]
    assert stacked == [name.replace(" ", "") for name in ("language", *WIDE)]
