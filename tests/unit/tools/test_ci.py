"""The forge's workflow and the hooks of pre-commit run what ``launch/test.sh`` runs, in the pinned versions."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[3]
SCRIPT = (ROOT / "launch" / "test.sh").read_text(encoding="utf-8")


def test_the_workflow_runs_the_same_script_on_every_supported_python() -> None:
    text = (ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8")
    job = yaml.safe_load(text)["jobs"]["test"]
    assert [step["run"] for step in job["steps"] if "run" in step] == [".ci/run"]
    assert (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()[-1].endswith("exec ./launch/test.sh")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    supported = [match[1] for line in project["classifiers"] if (match := re.search(r":: (3\.\d+)$", line))]
    assert job["strategy"]["matrix"]["python"] == supported


def test_the_hooks_run_the_pinned_linter_and_type_checker() -> None:
    (group,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))["repos"]
    assert group["repo"] == "local"
    commands = [hook["entry"].replace(" --force-exclude", "") for hook in group["hooks"]]
    assert commands == [".venv/bin/ruff check", ".venv/bin/ruff format --check", ".venv/bin/mypy"]
    script = SCRIPT.replace('"', "").replace("$bin", ".venv/bin")
    assert [command for command in commands if command not in script] == []
    pins = (ROOT / "requirements" / "constraints.txt").read_text(encoding="utf-8")
    assert re.findall(r"(?m)^(mypy|ruff)==[\d.]+$", pins) == ["mypy", "ruff"]
