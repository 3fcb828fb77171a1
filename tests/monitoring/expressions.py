"""The metrics and labels in a PromQL expression, and the labels of its result, by Prometheus's own grammar."""

from collections.abc import Collection, Iterable, Mapping
from datetime import timedelta
from typing import Any

import promql_parser as promql

Declared = Mapping[str, frozenset[str]]
"""The labels of each metric."""

_NONE: frozenset[str] = frozenset()
_CHOOSING = {"topk", "bottomk", "limitk", "limit_ratio"}
_SET_OPERATORS = {"and", "or", "unless"}
_IN_KUBERNETES = {"namespace", "service", "endpoint"}
"""Labels that some of our metrics have of their own, and that targets in Kubernetes give to all others."""


def selectors(expr: str) -> list[tuple[str, tuple[str, ...]]]:
    """Return each selector's metric and the labels in its matchers. Raise `ValueError` if it isn't PromQL."""
    return [(_metric(selector), _matched(selector)) for selector in _selectors(promql.parse(expr))]


def clause_labels(expr: str) -> set[str]:
    """Return the labels in by, without, on, ignoring, group_left and group_right, and those that functions read."""
    found: set[str] = set()

    def visit(node: Any) -> None:
        if isinstance(node, promql.AggregateExpr) and node.modifier:
            found.update(node.modifier.labels)
        elif isinstance(node, promql.BinaryExpr) and node.modifier:
            found.update(node.modifier.matching.labels if node.modifier.matching else ())
            found.update(node.modifier.group_labels or ())
        elif isinstance(node, promql.Call):
            found.update(_read_by(node))

    promql.walk(promql.parse(expr), visit)
    return found


def fixed_lists(expr: str) -> list[str]:
    """Return the parts of an expression that keep or compare only the labels of a list: `by`, `on` or none at all."""
    found: list[str] = []

    def visit(node: Any) -> None:
        match node:
            case promql.AggregateExpr():
                fixed = not node.modifier or node.modifier.type == promql.AggModifierType.By
            case promql.BinaryExpr():
                matching = node.modifier.matching if node.modifier else None
                fixed = bool(matching and matching.type == promql.LabelModifierType.Include)
            case _:
                fixed = False
        if fixed:
            found.append(node.prettify())

    promql.walk(promql.parse(expr), visit)
    return found


def expression_faults(expr: str, declared: Declared) -> list[str]:
    """Return the metrics and labels in the expression that don't exist at their place.

    `by (datastore)` needs an operand with that label.
    """
    return _Look(declared).faults_of(expr)


def longest_range(expr: str, metrics: Collection[str]) -> timedelta:
    """Return the longest range over these metrics: in brackets behind a selector, or of a subquery with one."""
    found = [timedelta()]

    def visit(node: Any) -> None:
        of_subquery = isinstance(node, promql.SubqueryExpr)
        if of_subquery or isinstance(node, promql.MatrixSelector):
            inside = _selectors(node.expr if of_subquery else node.vector_selector)
            if any(_metric(selector) in metrics for selector in inside):
                found.append(node.range)

    promql.walk(promql.parse(expr), visit)
    return max(found)


def result_labels(expr: str, declared: Declared) -> frozenset[str]:
    """Return the labels that the result can have."""
    return _Look(declared).labels(promql.parse(expr))


def _selectors(node: Any) -> list[Any]:
    found: list[Any] = []

    def visit(part: Any) -> None:
        # The walk visits a range first, then the selector in it.
        if isinstance(part, promql.VectorSelector):
            found.append(part)

    promql.walk(node, visit)
    return found


def _metric(selector: Any) -> str:
    if selector.name:
        return str(selector.name)
    for matcher in selector.matchers.matchers:
        if matcher.name == "__name__" and matcher.op == promql.MatchOp.Equal:
            return str(matcher.value)
    raise ValueError(f"a selector without a metric: {selector.prettify()}")


def _matched(selector: Any) -> tuple[str, ...]:
    groups = [selector.matchers.matchers, *selector.matchers.or_matchers]
    return tuple(matcher.name for group in groups for matcher in group if matcher.name != "__name__")


def _text(node: Any) -> str:
    while isinstance(node, promql.ParenExpr):
        node = node.expr
    return str(node.val)


def _read_by(call: Any) -> list[str]:
    match call.func.name:
        case "label_replace":
            # The usual call only sets a label, and reads none.
            return [label] if (label := _text(call.args[3])) else []
        case "label_join":
            return [_text(argument) for argument in call.args[3:]]
        case "sort_by_label" | "sort_by_label_desc":
            return [_text(argument) for argument in call.args[1:]]
    return []


class _Look:
    """A check of one expression, which collects the missing metrics and labels."""

    def __init__(self, declared: Declared) -> None:
        self._declared = declared
        self._everything: frozenset[str] = _NONE.union(*declared.values())
        self._faults: list[str] = []

    def faults_of(self, expr: str) -> list[str]:
        self.labels(promql.parse(expr))
        return self._faults

    def labels(self, node: Any) -> frozenset[str]:
        match node:
            case promql.NumberLiteral() | promql.StringLiteral():
                found = _NONE
            case promql.VectorSelector():
                found = self._of_selector(node)
            case promql.MatrixSelector():
                found = self._of_selector(node.vector_selector)
            case promql.Call():
                found = self._of_call(node)
            case promql.AggregateExpr():
                found = self._of_aggregation(node)
            case promql.BinaryExpr():
                found = self._of_pair(node)
            case _:
                found = self.labels(node.expr)
        return found

    def _need(self, wanted: Iterable[str], there: frozenset[str], where: str) -> None:
        self._faults += [f"no label {label}: {where}" for label in wanted if label not in there]

    def _of_selector(self, node: Any) -> frozenset[str]:
        name = _metric(node)
        if name not in self._declared:
            self._faults.append(f"no metric {name}")
            return self._everything
        self._need(_matched(node), self._declared[name], node.prettify())
        return self._declared[name]

    def _of_call(self, node: Any) -> frozenset[str]:
        of = [self.labels(argument) for argument in node.args]
        name, all_of = node.func.name, _NONE.union(*of)
        self._need(_read_by(node), all_of, node.prettify())
        match name:
            case "label_replace" | "label_join":
                return all_of | {_text(node.args[1])}
            case "histogram_quantile":
                self._need(["le"], all_of, node.prettify())
                return all_of - {"le"}
            case "scalar" | "vector" | "time":
                return _NONE
            case "absent" | "absent_over_time":
                (selector,) = _selectors(node.args[0])
                return frozenset(m.name for m in selector.matchers.matchers if m.op == promql.MatchOp.Equal)
        return all_of

    def _of_aggregation(self, node: Any) -> frozenset[str]:
        inner = self.labels(node.expr)
        if node.param is not None:
            self.labels(node.param)
        by = node.modifier.labels if node.modifier else []
        self._need(by, inner, node.prettify())
        operator = str(node.op)
        if operator in _CHOOSING:
            return inner
        without = node.modifier is not None and node.modifier.type == promql.AggModifierType.Without
        left = inner - set(by) if without else frozenset(by)
        return left | {_text(node.param)} if operator == "count_values" else left

    def _of_pair(self, node: Any) -> frozenset[str]:
        left, right = self.labels(node.lhs), self.labels(node.rhs)
        modifier = node.modifier
        matching = modifier.matching if modifier else None
        if matching and matching.type == promql.LabelModifierType.Include:
            self._need(matching.labels, left, f"left of {node.op}: {node.lhs.prettify()}")
            self._need(matching.labels, right, f"right of {node.op}: {node.rhs.prettify()}")
        elif matching:
            # `ignoring` may name labels of one side only.
            self._need(matching.labels, left | right | _IN_KUBERNETES, node.prettify())
        operator = str(node.op)
        if operator in _SET_OPERATORS:
            return left | right if operator == "or" else left
        if _scalar(node.lhs) or _scalar(node.rhs):
            return left | right
        more = set(modifier.group_labels or ()) if modifier else set()
        match modifier.card if modifier else promql.VectorMatchCardinality.OneToOne:
            case promql.VectorMatchCardinality.ManyToOne:
                self._need(more, right, node.rhs.prettify())
                return left | more
            case promql.VectorMatchCardinality.OneToMany:
                self._need(more, left, node.lhs.prettify())
                return right | more
        if matching is None:
            return left
        on = matching.type == promql.LabelModifierType.Include
        return frozenset(matching.labels) if on else left - set(matching.labels)


def _scalar(node: Any) -> bool:
    match node:
        case promql.NumberLiteral():
            return True
        case promql.Call():
            return node.func.name in {"scalar", "time", "pi"}
        case promql.ParenExpr() | promql.UnaryExpr():
            return _scalar(node.expr)
        case promql.BinaryExpr():
            return _scalar(node.lhs) and _scalar(node.rhs)
    return False
