"""What the pages show is what the code takes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from evergreen.settings import Settings
from evergreen.spec.loading import load
from evergreen.steps.contract import STEPS

REPOSITORY = Path(__file__).parents[3]
PAGES = [REPOSITORY / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")]
PAGES += sorted((REPOSITORY / "docs").rglob("*.md"))
_BLOCK = re.compile(r"^```(?:yaml|sql)\n(?:#|--) include/workspace/(\S+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\[[^\]]*\]\((?!https?:)([^)#]*)(?:#([^)]*))?\)")


def test_the_workspace_of_readme_and_tutorial_is_valid(tmp_path: Path) -> None:
    for page in (REPOSITORY / "README.md", REPOSITORY / "docs" / "tutorial" / "first-model.md"):
        for path, text in _BLOCK.findall(page.read_text(encoding="utf-8")):
            target = tmp_path / path
            target.parent.mkdir(exist_ok=True)
            target.write_text(text, encoding="utf-8")
    workspace = load(tmp_path)
    assert workspace.errors == ()
    assert [*workspace.datasets, *workspace.views, *workspace.models] == ["sales", "calendar", "sales_per_hour"]


def test_the_shown_model_is_under_20_lines() -> None:
    text = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    assert text.count("\n") < 150
    ((_, model),) = _BLOCK.findall(text)
    assert model.count("\n") < 20


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(REPOSITORY).as_posix())
def test_links_lead_somewhere(page: Path) -> None:
    for path, anchor in _LINK.findall(page.read_text(encoding="utf-8")):
        target = (page.parent / path) if path else page
        assert target.exists(), f"{path} of {page.name}"
        if anchor:
            assert anchor in _anchors(target.read_text(encoding="utf-8")), f"{path}#{anchor} of {page.name}"


def test_settings_are_all_described() -> None:
    text = (REPOSITORY / "docs" / "reference" / "settings.md").read_text(encoding="utf-8")
    assert [name for name in Settings.__dataclass_fields__ if f"`EVERGREEN_{name.upper()}`" not in text] == []


def test_steps_are_all_described() -> None:
    text = (REPOSITORY / "docs" / "reference" / "steps.md").read_text(encoding="utf-8")
    assert [name for _, name in STEPS if f"`{name}`" not in text] == []


def _anchors(text: str) -> set[str]:
    """As GitHub makes them of headings."""
    titles = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}
