"""What a public project promises about itself: versions that agree, hooks, templates, an image."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from release_version import code_version, disagreements

NEWEST = "# Changelog\n\n## [1.2.3] - {date}\n\n- a line\n\n## [1.2.2] - 2020-01-01\n"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    (tmp_path / "netsurgery").mkdir()
    (tmp_path / "netsurgery" / "__init__.py").write_text('"""Doc."""\n__version__ = "1.2.3"\n')
    (tmp_path / "CHANGELOG.md").write_text(NEWEST.format(date="2020-02-02"))
    return tmp_path


def test_a_tag_of_this_commit_agrees(repo_root: Path) -> None:
    command = ["git", "-C", str(repo_root), "tag", "--points-at", "HEAD"]
    tags = subprocess.run(command, capture_output=True, text=True, check=False).stdout.split()
    for tag in tags:
        if re.fullmatch(r"v\d+\..*", tag):
            assert disagreements(tag) == []


def test_the_changelog_begins_with_the_version_of_the_code() -> None:
    assert disagreements() == []


def test_a_release_whose_versions_agree_passes(tree: Path) -> None:
    assert code_version(tree) == "1.2.3"
    assert disagreements("v1.2.3", tree) == []


@pytest.mark.parametrize(
    ("tag", "date", "code", "expected"),
    [
        ("v1.2.4", "2020-02-02", "1.2.3", "the tag is v1.2.4, the code is 1.2.3"),
        ("1.2.3", "2020-02-02", "1.2.3", "the tag is 1.2.3, the code is 1.2.3"),
        ("v1.2.3", "unreleased", "1.2.3", "has no date, and is tagged v1.2.3"),
        ("v1.2.2", "2020-02-02", "1.2.2", "CHANGELOG.md begins with 1.2.3, the code is 1.2.2"),
        (None, "soon", "1.2.3", "'soon' is neither YYYY-MM-DD nor unreleased"),
    ],
)
def test_versions_that_disagree_are_named(
    tree: Path, tag: str | None, date: str, code: str, expected: str
) -> None:
    (tree / "CHANGELOG.md").write_text(NEWEST.format(date=date))
    (tree / "netsurgery" / "__init__.py").write_text(f'__version__ = "{code}"\n')
    problems = disagreements(tag, tree)
    assert len(problems) == 1
    assert problems[0].endswith(expected)


def test_a_changelog_without_a_section_is_said(tree: Path) -> None:
    (tree / "CHANGELOG.md").write_text("# Changelog\n\n## Unreleased\n")
    assert disagreements(None, tree) == ["CHANGELOG.md: no section `## [VERSION] - DATE`"]


def test_the_release_workflow_checks_the_tag_first(repo_root: Path) -> None:
    text = (repo_root / ".github" / "workflows" / "release.yml").read_text()
    check = text.index('python tests/release_version.py "$GITHUB_REF_NAME"')
    assert check < text.index("make dist") < text.index("gh release")


def test_pre_commit_runs_what_make_runs(repo_root: Path) -> None:
    """The same commands, from the same .venv: no second version to keep in step."""
    makefile = (repo_root / "Makefile").read_text()
    recipes = re.findall(r"^(?:lint|types):.*\n((?:\t.*\n)+)", makefile, re.MULTILINE)
    commands = [
        line.strip().replace("$(BIN)", ".venv/bin") for line in "".join(recipes).splitlines()
    ]
    text = (repo_root / ".pre-commit-config.yaml").read_text()
    assert re.findall(r"entry: (.+)", text) == commands
    assert len(commands) == 3
    assert re.findall(r"language: (.+)", text) == ["system"] * 3
    assert re.findall(r"repo: (.+)", text) == ["local"]


def test_a_bug_report_asks_for_what_is_needed(repo_root: Path) -> None:
    text = (repo_root / ".github" / "ISSUE_TEMPLATE" / "bug.yml").read_text()
    for command in ("check --json", "--version", "caffe info"):
        assert f"netsurgery {command}" in text


@pytest.mark.parametrize(
    "name",
    ["README.md", "CONTRIBUTING.md", "SECURITY.md", "CODE_OF_CONDUCT.md", "CHANGELOG.md"],
)
def test_links_lead_to_files(repo_root: Path, name: str) -> None:
    text = (repo_root / name).read_text(encoding="utf-8")
    for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text):
        assert (repo_root / link).exists(), link


def test_licence_is_the_one_that_is_declared(repo_root: Path) -> None:
    assert (repo_root / "LICENSE").read_text().startswith("MIT License\n")
    assert 'license = "MIT"' in (repo_root / "pyproject.toml").read_text()


def test_image_installs_by_hash_and_runs_as_a_user(repo_root: Path) -> None:
    text = (repo_root / "Dockerfile").read_text()
    stages = re.findall(r"^FROM (\S+)(?: AS (\S+))?$", text, re.MULTILINE)
    assert stages == [("python:3.13-slim-bookworm", "slim"), ("slim", "caffe"), ("slim", "")]
    for line in re.findall(r"^RUN pip install (.*)$", text, re.MULTILINE):
        assert "--require-hashes" in line or line.startswith("--no-deps /build/netsurgery ")
    assert "\nUSER surgeon\n" in text.partition("FROM slim AS caffe")[0]
    assert text.partition("FROM slim AS caffe")[2].index("USER root") < text.rindex("USER surgeon")


def test_image_copies_what_the_package_is_built_from(repo_root: Path) -> None:
    """All that pyproject.toml names is let through, and what a build does not need is not."""
    let_through = re.findall(r"^!(.+)$", (repo_root / ".dockerignore").read_text(), re.MULTILINE)
    assert all((repo_root / name).exists() for name in let_through)
    assert {"netsurgery/", "pyproject.toml", "README.md", "LICENSE"} <= set(let_through)


@pytest.mark.parametrize("target", ["slim", "caffe"])
def test_image_can_be_built(repo_root: Path, target: str) -> None:
    """Only where docker is and answers; the caffe target reaches Debian's packages."""
    docker = shutil.which("docker")
    if not docker or subprocess.run([docker, "info"], capture_output=True, check=False).returncode:
        pytest.skip("no docker that answers")
    tag = f"netsurgery-test:{target}"
    build = [docker, "build", "-q", "-t", tag, "--target", target, str(repo_root)]
    subprocess.run(build, check=True, capture_output=True, timeout=1800)
    start = [docker, "run", "--rm", "--network", "none", tag]
    command = ["caffe", "info"] if target == "caffe" else ["--version"]  # info exits 1 without one
    done = subprocess.run([*start, *command], check=True, capture_output=True, text=True)
    assert ("1.0.0" if target == "caffe" else code_version()) in done.stdout
