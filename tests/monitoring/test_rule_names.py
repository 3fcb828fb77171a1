import re
from collections.abc import Mapping
from typing import Any

import pytest

from tests.monitoring.expressions import expression_faults, result_labels
from tests.monitoring.metric_labels import with_rules
from tests.monitoring.rule_files import RULE_FILES, rules_of

RULES = [rule for file in RULE_FILES for rule in rules_of(file)]
DECLARED = with_rules(RULE_FILES)


def title(rule: Mapping[str, Any]) -> str:
    """Return a rule's name, with an alert's severity."""
    return str(rule.get("record") or f"{rule['alert']}-{rule['labels']['severity']}")


@pytest.mark.parametrize("rule", RULES, ids=title)
def test_expressions_name_what_there_is(rule: Mapping[str, Any]) -> None:
    """Each metric and label in a rule's expression comes from the code, Prometheus or another rule."""
    assert expression_faults(rule["expr"], DECLARED) == []


@pytest.mark.parametrize("rule", [rule for rule in RULES if "alert" in rule], ids=title)
def test_annotations_name_labels_of_the_result(rule: Mapping[str, Any]) -> None:
    """The result of an alert's expression can have each label in its texts."""
    text = " ".join(rule["annotations"].values())
    named = set(re.findall(r"\$labels\.(\w+)", text))
    assert named
    assert named - result_labels(rule["expr"], DECLARED) == set()


def test_a_name_that_is_not_there_is_found() -> None:
    """A metric without its suffix, a label of another metric and a lost label are faults."""
    assert expression_faults("pbs_datastore_used > 1", DECLARED) == ["no metric pbs_datastore_used"]
    assert expression_faults('pbs_up{datastore="main"}', DECLARED) != []
    assert expression_faults("sum by (datastore) (pbs_up)", DECLARED) != []
