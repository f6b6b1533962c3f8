"""The rules as asset checks: what is declared of a stage, and what a run reports."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import dagster as dg

from convml_data.markdown import markdown_table
from convml_data.rules import Consequence, Rule

if TYPE_CHECKING:
    from convml_data.pipeline.judging import Verdict

#: How much of what broke a rule a check names.
BROKEN_SHOWN = 50

_SEVERITY: dict[Consequence, dg.AssetCheckSeverity] = {
    "stops": dg.AssetCheckSeverity.ERROR,
    "drops": dg.AssetCheckSeverity.WARN,
    "fails": dg.AssetCheckSeverity.ERROR,
    "warns": dg.AssetCheckSeverity.WARN,
}


def check_specs(key: dg.AssetKey, rules: Iterable[Rule[Any]], *, of_report: bool = False) -> list[dg.AssetCheckSpec]:
    """The checks of an asset, one for each rule; later steps of a run wait for those that stop, save for reports."""
    return [
        dg.AssetCheckSpec(
            rule.name,
            asset=key,
            description=f"{rule.sentence}.{'' if of_report else ' Of the last run that made or kept some of it.'}",
            blocking=rule.consequence == "stops" and not of_report,
        )
        for rule in rules
    ]


def check_result(key: dg.AssetKey, rule: Rule[Any], verdicts: Sequence[Verdict]) -> dg.AssetCheckResult:
    """What verdicts by one rule come to, with the names and values of what broke it."""
    broken = [(verdict.stage, name, why) for verdict in verdicts for name, why in verdict.broken.items()]
    metadata: dict[str, Any] = {"judged": sum(verdict.judged for verdict in verdicts), "broken": len(broken)}
    if broken:
        metadata["what"] = dg.MetadataValue.md(markdown_table(["stage", "name", "why"], broken[:BROKEN_SHOWN]))
        metadata["remedy"] = rule.remedy
    return dg.AssetCheckResult(
        asset_key=key,
        check_name=rule.name,
        passed=not broken,
        severity=_SEVERITY[rule.consequence],
        description=_in_words(rule, broken) if broken else None,
        metadata=metadata,
    )


def what_stops(verdicts: Iterable[Verdict]) -> list[str]:
    """What keeps later steps from going on, a sentence for each rule."""
    return [f"{text}. {rule.remedy}." for rule, text in _broken_rules(verdicts) if rule.consequence == "stops"]


def what_is_amiss(verdicts: Iterable[Verdict]) -> list[str]:
    """What breaks rules and does not stop anything, a sentence for each."""
    return [text for rule, text in _broken_rules(verdicts) if rule.consequence in ("fails", "warns")]


def _broken_rules(verdicts: Iterable[Verdict]) -> list[tuple[Rule[Any], str]]:
    return [
        (verdict.rule, _in_words(verdict.rule, [(verdict.stage, *item) for item in verdict.broken.items()]))
        for verdict in verdicts
        if verdict.broken
    ]


def _in_words(rule: Rule[Any], broken: Sequence[tuple[str, str, str]]) -> str:
    stage, name, why = broken[0]
    more = f", and {len(broken) - 1} more" if len(broken) > 1 else ""
    return f"{rule.name} is broken in {stage}: {name}: {why}{more}"
