"""Makes a release in a clean checkout: one version everywhere, wheels, sdists, and the text of the tag. Nothing is uploaded.

``python -m tools.release 0.3.0`` writes the version where it stands, commits that, and builds both distributions from the
commit. ``docs/`` and tests are not run: ``./launch/test.sh`` comes before.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hyperofa.errors import HyperofaError, InputError

ROOT = Path(__file__).resolve().parents[1]
VERSION = re.compile(r"(?:0|[1-9]\d*)(?:\.(?:0|[1-9]\d*)){2}")
PLACES = {
    "hyperofa/__init__.py": r'(?m)^(__version__ = ")[^"]*(?=")',
    "eval/hyperofa_eval/__init__.py": r'(?m)^(__version__ = ")[^"]*(?=")',
    "pyproject.toml": r'("hyperofa-eval==)[^"]*(?=")',
    "CITATION.cff": r"(?m)^(version: ).*$",
}
"""The files that hold the version, each with the pattern of what stands before it."""
MENTIONED = {"README.md": r"(\bhyperofa(?:_eval)?-)\d[\w.]*(?=-py3-none-any\.whl)"}
"""Files that name the wheels, where they do."""
RELEASED = r"(?m)^(date-released: ).*$"
BUILD = """
import os, pathlib, sys
from setuptools import build_meta
out, *sources = sys.argv[1:]  # a build replaces sys.argv
for source in sources:
    os.chdir(source)
    print(build_meta.build_sdist(out), file=sys.stderr)
    print(build_meta.build_wheel(out), file=sys.stderr)
"""
"""What pip asks of the build backend, for both distributions in one process."""


@dataclass(frozen=True)
class Entry:
    """What ``CHANGELOG.md`` says of one version: its date (``YYYY-MM-DD``) and its text."""

    date: str
    text: str


def git(root: Path, *words: str) -> str:
    """What a git command prints in ``root``; raises :class:`HyperofaError` with its complaint."""
    try:
        done = subprocess.run(["git", *words], cwd=root, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise HyperofaError("git is not installed", todo="a release is made from a git checkout") from None
    if done.returncode:
        raise HyperofaError(f"git {words[0]} failed ({done.stderr.strip()})", where=root)
    return done.stdout.strip()


def read_entry(root: Path, version: str) -> Entry:
    """The changelog's entry of a version.

    Raises:
        InputError: there is none, it has no date, or it says nothing.
    """
    text = (root / "CHANGELOG.md").read_text(encoding="utf-8")
    matches = re.search(rf"(?ms)^## \[{re.escape(version)}\]([^\n]*)\n(.*?)(?=^## |^\[[^\]\n]+\]: |\Z)", text)
    todo = f"write '## [{version}] - YYYY-MM-DD' and below it what changed"
    if matches is None:
        raise InputError(f"has no entry for {version}", where="CHANGELOG.md", todo=todo)
    date = re.fullmatch(r" - (\d{4}-\d\d-\d\d)", matches[1].rstrip())
    if date is None:
        raise InputError(f"the entry for {version} has no date", where="CHANGELOG.md", todo=todo)
    if not re.search(r"(?m)^[^#\s]", matches[2]):
        raise InputError(f"the entry for {version} is empty", where="CHANGELOG.md", todo=todo)
    return Entry(date[1], matches[2].strip())


def current_version(root: Path) -> str:
    """The version of ``hyperofa/__init__.py``."""
    text = (root / "hyperofa" / "__init__.py").read_text(encoding="utf-8")
    matches = re.search(r'(?m)^__version__ = "([^"]*)"', text)
    if matches is None:
        raise HyperofaError("holds no __version__", where="hyperofa/__init__.py")
    return matches[1]


def check(root: Path, version: str) -> Entry:
    """Refuse what cannot be released; returns the changelog's entry.

    Raises:
        InputError: the version has another form, is older than today's or was released before, the changelog does not have
            it, or the tree holds changes that are not committed.
        HyperofaError: this is no git checkout.
    """
    if not VERSION.fullmatch(version):
        raise InputError(f"{version!r} is no version", todo="give three numbers, such as 0.3.0")
    now = current_version(root)
    if [int(part) for part in version.split(".")] < [int(part) for part in now.split(".")]:
        raise InputError(f"{version} is older than {now}", where="hyperofa/__init__.py", todo="give a newer version")
    entry = read_entry(root, version)
    if git(root, "tag", "--list", f"v{version}"):
        raise InputError(f"the tag v{version} is there already", todo="give a newer version")
    changed = git(root, "status", "--porcelain")
    if changed:
        more = changed.splitlines()
        raise InputError(
            f"the tree is not clean ({len(more)} file{'s' if len(more) > 1 else ''}, such as {more[0].split()[-1]})",
            todo="commit or remove what is there",
        )
    return entry


def set_version(root: Path, version: str, date: str) -> list[str]:
    """Write the version, and the date of the citation, wherever they stand; returns the files that changed.

    Raises:
        HyperofaError: a file does not hold the version where it is expected; then none is changed.
    """
    texts = {}
    for name, pattern in {**PLACES, **MENTIONED}.items():
        before = (root / name).read_text(encoding="utf-8")
        after, count = re.subn(pattern, rf"\g<1>{version}", before)
        if name == "CITATION.cff":
            after, count = re.subn(RELEASED, rf"\g<1>{date}", after)
        if not count and name in PLACES:
            raise HyperofaError("does not say its version where it did", where=name, todo="see tools/release.py")
        if after != before:
            texts[name] = after
    for name, text in texts.items():
        (root / name).write_text(text, encoding="utf-8")
    return sorted(texts)


def build(root: Path, out: Path) -> list[Path]:
    """Build sdist and wheel of both distributions from the last commit into ``out``, all or none; returns the four files.

    The build needs setuptools in this Python, and no package index.

    Raises:
        HyperofaError: a build fails; its output is shown.
    """
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out) as name:
        folder = Path(name)
        git(root, "archive", "--format=tar", f"--output={folder / 'source.tar'}", "HEAD")
        shutil.unpack_archive(folder / "source.tar", folder / "source", filter="data")
        made = folder / "made"
        made.mkdir()
        words = [sys.executable, "-c", BUILD, made.resolve(), folder / "source" / "eval", folder / "source"]
        moment = git(root, "log", "-1", "--format=%ct")  # the time of all files in the wheels
        environment = {**os.environ, "SOURCE_DATE_EPOCH": moment}
        done = subprocess.run(
            [str(word) for word in words], env=environment, capture_output=True, text=True, check=False
        )
        if done.returncode:
            sys.stderr.write(done.stdout + done.stderr)
            raise HyperofaError("the build failed (its output stands above)", where=root)
        return [path.replace(out / path.name) for path in sorted(made.iterdir())]


def tag_text(version: str, entry: Entry) -> str:
    """The message of the annotated tag. Git takes lines that begin with ``#`` for comments, so headings end with a colon."""
    text = re.sub(r"(?m)^#+ +(.+?) *$", r"\1:", entry.text)
    return f"HyperOFA {version}, {entry.date}\n\n{text}\n"


def release(root: Path, version: str, out: Path) -> str:
    """Make the release; returns what is to be shown: the files, the tag's text, and the commands that publish it.

    Raises:
        InputError: see :func:`check`.
        HyperofaError: see :func:`set_version` and :func:`build`.
    """
    entry = check(root, version)
    changed = set_version(root, version, entry.date)
    if changed:
        git(root, "commit", "--quiet", "--message", f"Version {version}", "--", *changed)
    files = build(root, out)
    text = tag_text(version, entry)
    message = out / f"v{version}.txt"
    message.write_text(text, encoding="utf-8")
    lines = [f"built from commit {git(root, 'rev-parse', '--short', 'HEAD')}:", *(f"  {path}" for path in files)]
    lines += ["", f"the text of the tag ({message}):", *(f"  {line}".rstrip() for line in text.splitlines()), ""]
    lines += ["nothing was uploaded; to publish:", f"  git tag --annotate v{version} --file {message}"]
    return "\n".join([*lines, f"  git push origin HEAD v{version}", ""])


def main(words: Sequence[str] | None = None, root: Path = ROOT) -> int:
    """``python -m tools.release VERSION``; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tools.release", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("version", metavar="VERSION", help="three numbers, such as 0.3.0")
    parser.add_argument("--out", type=Path, default=None, metavar="DIR", help="for the built files (default: dist)")
    args = parser.parse_args(words)
    try:
        sys.stdout.write(release(root, args.version, args.out or root / "dist"))
    except HyperofaError as error:
        sys.stderr.write(f"python -m tools.release: error: {error}\n")
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
