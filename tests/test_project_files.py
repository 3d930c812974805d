"""The files for contributors: their commands exist, their links lead somewhere, and versions agree."""

from __future__ import annotations

import ast
import re
import subprocess
from pathlib import Path

import pytest
import yaml
from environments import source_distribution

import yolo_callbacks

ROOT = Path(__file__).parent.parent
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
GUIDES = [ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md", ROOT / ".github" / "PULL_REQUEST_TEMPLATE.md"]


def targets() -> list[str]:
    return re.findall(r"^([a-z][\w-]*):(?!=)", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)


def commands(workflow: Path) -> list[str]:
    jobs = yaml.safe_load(workflow.read_text(encoding="utf-8"))["jobs"].values()
    return [step["run"] for job in jobs for step in job["steps"] if "run" in step]


def test_make_without_a_target_runs_the_demo():
    assert targets()[0] == "demo"


def test_make_help_lists_every_target():
    done = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert re.findall(r"^make (\S+)  +\S", done.stdout, re.MULTILINE) == targets()


@pytest.mark.parametrize("guide", GUIDES, ids=lambda guide: guide.name)
def test_the_make_targets_of_a_guide_exist(guide):
    text = guide.read_text(encoding="utf-8")
    named = re.findall(r"^make ([\w-]+)|`make ([\w-]+)`", text, re.MULTILINE)
    assert {start or inline for start, inline in named} <= set(targets())


@pytest.mark.parametrize("guide", GUIDES, ids=lambda guide: guide.name)
def test_the_links_of_a_guide_lead_somewhere(guide):
    for target in re.findall(r"\]\(([^)#:]+)", guide.read_text(encoding="utf-8")):
        assert (guide.parent / target).exists(), target


def test_the_source_distribution_has_what_the_readme_links_to():
    included = source_distribution()
    linked = set(re.findall(r"\]\(([\w./-]+)[#)]", (ROOT / "README.md").read_text(encoding="utf-8")))
    assert "docs/api.md" in linked
    assert linked <= included


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda workflow: workflow.name)
def test_a_workflow_runs_make_targets_only(workflow):
    jobs = yaml.safe_load(workflow.read_text(encoding="utf-8"))["jobs"].values()
    matrix = [target for job in jobs for target in job.get("strategy", {}).get("matrix", {}).get("target", [])]
    run = {command.removeprefix("make ") for command in commands(workflow)} - {"${{ matrix.target }}"}
    assert run | set(matrix) <= set(targets())
    assert commands(workflow)


def test_the_citation_has_the_version_of_the_package():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == yolo_callbacks.__version__


def test_tests_are_collected_on_a_machine_with_a_gpu():
    """Such a machine may have neither an index nor the tools of development: the package is on PYTHONPATH."""
    tools = {"grimp", "hatchling", "jsonschema", "mlflow", "nbclient", "nbformat", "optuna", "pycocotools", "ray"}
    found = {}
    for path in [*ROOT.glob("tests/**/*.py")]:
        body = ast.parse(path.read_text(encoding="utf-8")).body
        modules = [node.module or "" for node in body if isinstance(node, ast.ImportFrom)]
        modules += [alias.name for node in body if isinstance(node, ast.Import) for alias in node.names]
        if needed := tools.intersection(module.partition(".")[0] for module in modules):
            found[path.name] = needed
    assert found == {}
    assert (ROOT / "_yolo_callbacks_boot.py").is_file()
