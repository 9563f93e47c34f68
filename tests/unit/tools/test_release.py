"""The release command: what it refuses, where it writes the version, and the text of the tag. Packaging tests build with it."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

import hyperofa
import hyperofa_eval
from hyperofa.errors import HyperofaError, InputError
from tools import release

ROOT = Path(__file__).parents[3]
CHANGELOG = """# Changelog

## [0.4.0]

### Added

- No date.

## [0.3.0] - 2030-01-02

### Added

- A thing.

### Fixed

- Another.

## [0.2.1] - 2030-01-01

### Added

[0.3.0]: https://example.org/
"""


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A committed tree that holds the version 0.2.0 wherever the project does."""
    for role in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{role}_NAME", "tests")
        monkeypatch.setenv(f"GIT_{role}_EMAIL", "tests@localhost")
    root = tmp_path / "checkout"
    texts = {
        "hyperofa/__init__.py": '"""Ours."""\n__version__ = "0.2.0"\n',
        "eval/hyperofa_eval/__init__.py": '__version__ = "0.2.0"\n',
        "pyproject.toml": 'dependencies = ["numpy>=2", "hyperofa-eval==0.2.0"]\n',
        "CITATION.cff": "cff-version: 1.2.0\nversion: 0.2.0\ndate-released: 2020-01-01\n",
        "README.md": "`pip install hyperofa_eval-0.2.0-py3-none-any.whl hyperofa-0.2.0-py3-none-any.whl`, model 0.2.0\n",
        "CHANGELOG.md": CHANGELOG,
    }
    for name, text in texts.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")
    for words in (["init", "--quiet"], ["add", "."], ["commit", "--quiet", "--message", "first"]):
        subprocess.run(["git", *words], cwd=root, check=True)
    return root


@pytest.mark.parametrize(
    ("version", "said"),
    [
        ("0.3", "'0.3' is no version"),
        ("v0.3.0", "'v0.3.0' is no version"),
        ("0.03.0", "is no version"),
        ("0.1.9", "0.1.9 is older than 0.2.0"),
        ("0.2.0", "has no entry for 0.2.0"),
        ("0.2.1", "the entry for 0.2.1 is empty"),
        ("0.4.0", "the entry for 0.4.0 has no date"),
    ],
)
def test_what_cannot_be_released_is_one_line(
    checkout: Path, capsys: pytest.CaptureFixture[str], version: str, said: str
) -> None:
    assert release.main([version], checkout) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert not (checkout / "dist").exists()


def test_a_tree_with_changes_and_a_version_with_a_tag_are_refused(checkout: Path) -> None:
    (checkout / "new.txt").touch()
    with pytest.raises(InputError, match=r"not clean \(1 file, such as new.txt\); commit"):
        release.check(checkout, "0.3.0")
    (checkout / "new.txt").unlink()
    assert release.check(checkout, "0.3.0").date == "2030-01-02"
    subprocess.run(["git", "tag", "v0.3.0"], cwd=checkout, check=True)
    with pytest.raises(InputError, match=r"tag v0\.3\.0 is there already"):
        release.check(checkout, "0.3.0")


def test_no_checkout_is_told(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_DIR", str(checkout / "nowhere"))
    with pytest.raises(HyperofaError, match="git tag failed"):
        release.check(checkout, "0.3.0")


def test_the_version_is_written_everywhere_once(checkout: Path) -> None:
    assert release.set_version(checkout, "0.3.0", "2030-01-02") == sorted([*release.PLACES, *release.MENTIONED])
    assert release.current_version(checkout) == "0.3.0"
    left = [name for name in release.PLACES if "0.2.0" in (checkout / name).read_text(encoding="utf-8")]
    assert left == []
    wheels = "`pip install hyperofa_eval-0.3.0-py3-none-any.whl hyperofa-0.3.0-py3-none-any.whl`, model 0.2.0\n"
    assert (checkout / "README.md").read_text(encoding="utf-8") == wheels
    assert "date-released: 2030-01-02" in (checkout / "CITATION.cff").read_text(encoding="utf-8")
    assert release.set_version(checkout, "0.3.0", "2030-01-02") == []


def test_a_place_that_lost_its_version_stops_before_anything_is_written(checkout: Path) -> None:
    (checkout / "pyproject.toml").write_text("dependencies = []\n", encoding="utf-8")
    with pytest.raises(HyperofaError, match=r"pyproject\.toml: does not say its version"):
        release.set_version(checkout, "0.3.0", "2030-01-02")
    assert release.current_version(checkout) == "0.2.0"


def test_a_failed_build_leaves_nothing(
    checkout: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    half = "import pathlib, sys; pathlib.Path(sys.argv[1], 'half.whl').touch(); sys.exit('no such backend')"
    monkeypatch.setattr(release, "BUILD", half)
    with pytest.raises(HyperofaError, match="the build failed"):
        release.build(checkout, checkout / "dist")
    assert "no such backend" in capsys.readouterr().err
    assert list((checkout / "dist").iterdir()) == []


def test_the_text_of_the_tag_has_no_line_that_git_drops(checkout: Path) -> None:
    text = release.tag_text("0.3.0", release.read_entry(checkout, "0.3.0"))
    assert text == "HyperOFA 0.3.0, 2030-01-02\n\nAdded:\n\n- A thing.\n\nFixed:\n\n- Another.\n"


def test_this_version_stands_everywhere_and_in_the_changelog() -> None:
    version = hyperofa.__version__
    assert hyperofa_eval.__version__ == release.current_version(ROOT) == version
    entry = release.read_entry(ROOT, version)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert f"hyperofa-eval=={version}" in project["dependencies"]
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert (citation["version"], str(citation["date-released"])) == (version, entry.date)
    assert citation["license"] == project["license"]
    named = re.findall(r"hyperofa(?:_eval)?-([\d.]+\d)-py3", (ROOT / "README.md").read_text(encoding="utf-8"))
    assert set(named) <= {version}
