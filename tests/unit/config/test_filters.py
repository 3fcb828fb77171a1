"""The settings `[filters]`: patterns, their sources, and the errors."""

from typing import Any

import pytest

from pbs_exporter.config import Filters, keeps
from pbs_exporter.errors import ConfigError
from tests.support.exporter import main_of
from tests.support.settings import load


@pytest.mark.parametrize(
    ("patterns", "kept"),
    [
        ((), ["", "a", "a/b", "b", "[x]"]),
        (("a",), ["a"]),
        (("a*",), ["a", "a/b"]),
        (("*",), ["", "a", "a/b", "b", "[x]"]),
        (("!a",), ["", "a/b", "b", "[x]"]),
        (("!a*", "!b"), ["", "[x]"]),
        (("a*", "!a/*"), ["a"]),
        (("!a/*", "a*"), ["a"]),
        (("",), [""]),
        (("!",), ["a", "a/b", "b", "[x]"]),
        (("A",), []),
        (("?", "a?b"), ["a", "a/b", "b"]),
        (("[[]x]",), ["[x]"]),
    ],
)
def test_patterns(patterns: tuple[str, ...], kept: list[str]) -> None:
    """A name is kept if it matches a plain pattern, or if there are none, and matches no excluding pattern."""
    assert [name for name in ("", "a", "a/b", "b", "[x]") if keeps(patterns, name)] == kept


GOOD = {
    "PBS_EXPORTER__PBS__ENDPOINT": "https://pbs.example.com:8007",
    "PBS_EXPORTER__PBS__TOKEN_ID": "a@pbs!b",
    "PBS_EXPORTER__PBS__TOKEN_SECRET": "x",
}


def from_file(text: str, tmp_path: Any) -> Filters:
    """Load a settings file with this section."""
    file = tmp_path / "settings.toml"
    file.write_text(f"[filters]\n{text}\n")
    return main_of(load(str(file), GOOD, {})[0]).filters


def test_filters_of_a_file(tmp_path: Any) -> None:
    """The file has lists, in which an empty pattern is the root namespace."""
    filters = from_file('datastores = ["a", "!b*"]\nnamespaces = ["", "!"]\ngroups = ["vm/*"]', tmp_path)
    assert filters == Filters(datastores=("a", "!b*"), namespaces=("", "!"), groups=("vm/*",))


def test_filters_of_the_environment() -> None:
    """The environment has patterns separated by commas, with or without spaces."""
    environ = {"PBS_EXPORTER__FILTERS__DATASTORES": "a, !b*", "PBS_EXPORTER__FILTERS__NAMESPACES": ",prod"}
    assert main_of(load(None, GOOD | environ, {})[0]).filters == Filters(
        datastores=("a", "!b*"), namespaces=("", "prod")
    )


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ('datastores = "main"', '"main" is not a list'),
        ("datastores = 5", "5 is not a list"),
        ("datastores = [5]", "5 is not text"),
        ('datastores = [["a"]]', "a list is not text"),
        ('datastores = ["a", ""]', '"" is an empty pattern'),
        ('groups = ["!"]', '"!" is an empty pattern'),
        ('datastores = ["a[b"]', '"a[b" has a [ without its ]'),
        ('namespaces = ["[]"]', '"[]" has a [ without its ]'),
        ('groups = ["vm"]', '"vm" has no /'),
    ],
)
def test_bad_filters(text: str, complaint: str, tmp_path: Any) -> None:
    """An invalid pattern prevents the start, with a line that has the fault and the remedy."""
    with pytest.raises(ConfigError) as error:
        from_file(text, tmp_path)
    (problem,) = error.value.problems
    assert complaint in problem
    assert "write a list of patterns" in problem
