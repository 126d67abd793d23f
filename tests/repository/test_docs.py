"""The documents say what the code does, and the code does nothing that they leave out."""

import re
from pathlib import Path

import pytest
from service.tools.docs_tables import DOCUMENTS as MADE_DOCUMENTS
from service.tools.docs_tables import REFERENCE, TABLES, tables_in, with_tables
from typer.main import get_command

from anypod import __version__
from anypod.cli import app
from anypod.core.errors import CODES
from anypod.settings import Settings, setting_rows
from anypod.telemetry import metric_rows

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "service/docs"
DOCUMENTS = [*sorted(ROOT.glob("*.md")), *sorted(DOCS.rglob("*.md"))]


def commands() -> set[str]:
    command = get_command(app)
    return set(command.list_commands(None)) if hasattr(command, "list_commands") else set()


@pytest.mark.parametrize("name", TABLES)
def test_the_reference_and_the_code_agree_on(name: str) -> None:
    written = {name: text for document in MADE_DOCUMENTS for name, text in tables_in(document.read_text()).items()}
    assert written.get(name) == TABLES[name](), f"the table of {name} is not the code's: run `make docs`"


def test_a_table_that_the_code_has_outgrown_is_found() -> None:
    text = REFERENCE.read_text()
    without = re.sub(r"^\| `overloaded` .*\n", "", text, flags=re.MULTILINE)
    added = text.replace("| `malformed` ", "| `misshapen` | 400 | 4400 | no | Invented. |\n| `malformed` ", 1)
    for wrong in (without, added):
        assert wrong != text
        assert tables_in(wrong)["error codes"] != TABLES["error codes"]()
        assert with_tables(wrong) == text


def test_the_reference_lists_every_command_and_no_other() -> None:
    assert set(re.findall(r"^\| `anypod ([a-z]+)`", REFERENCE.read_text(), re.MULTILINE)) == commands()


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_a_document_names_only_what_exists(document: Path) -> None:
    text = document.read_text()
    assert not unknown_names(text)
    assert not [link for link in relative_links(text) if not (document.parent / link).exists()]


def unknown_names(text: str) -> set[str]:
    """Settings, commands, metrics and error codes of which the code knows nothing."""
    settings = {variable for row in setting_rows(Settings(dev=True, host="127.0.0.1")) for variable in row.variables}
    metrics = {row.name for row in metric_rows()}
    return (
        (set(re.findall(r"\bANYPOD_[A-Z_]*[A-Z]\b", text)) - settings)
        | (set(re.findall(r"(?:`|/|^)anypod ([a-z]+)\b", text, re.MULTILINE)) - commands())
        | (set(re.findall(r"\banypod_[a-z_]+", text)) - metrics)
        | (set(re.findall(r'code="([a-z_]+)"', text)) - CODES.keys())
    )


def test_a_name_that_the_code_does_not_know_is_found() -> None:
    text = 'Set ANYPOD_PROT, run `anypod begin`, watch `anypod_losses_total{code="lost"}`; ANYPOD_PORT and `anypod dev` are known.'
    assert unknown_names(text) == {"ANYPOD_PROT", "begin", "anypod_losses_total", "lost"}


def relative_links(text: str) -> list[str]:
    links = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", text)
    return [link for link in links if "://" not in link]


def test_a_document_that_leads_nowhere_is_found() -> None:
    assert relative_links("[here](service/docs/a.md#x) [there](https://example.com/)") == ["service/docs/a.md"]


def test_the_changelog_begins_with_what_is_being_made() -> None:
    titles = re.findall(r"^## (.*)$", (DOCS / "changelog.md").read_text(), re.MULTILINE)
    assert titles[0] in {"Unreleased", __version__} or titles[0].startswith(f"{__version__} ")


@pytest.mark.parametrize("page", sorted((DOCS / "decisions").glob("*.md")), ids=lambda path: path.name)
def test_a_decision_tells_its_context_its_choice_and_its_price(page: Path) -> None:
    assert re.fullmatch(r"\d{4}-[a-z0-9-]+\.md", page.name)
    assert re.findall(r"^## (.*)$", page.read_text(), re.MULTILINE) == ["Context", "Choice", "Price"]
