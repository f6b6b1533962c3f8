"""Reports on a whole dataset: how complete it is, and whether what lies on disk meets the rules."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import dagster as dg

from convml_data.meta.dataset import Dataset
from convml_data.rules import Rule, rules_of
from convml_data.store.layout import layout_of
from convml_data_dagster.assets.names import asset_key, group_name, kinds, uri
from convml_data_dagster.checks import check_result, check_specs
from convml_data_dagster.failures import errors_as_failures
from convml_data_dagster.io_managers import io_manager_key, store_of

if TYPE_CHECKING:
    from convml_data.pipeline.judging import Verdict


def completeness_asset(dataset: Dataset) -> dg.AssetsDefinition:
    """``<dataset>/report/completeness``: what is there of what was expected."""

    @dg.asset(
        key=_key(dataset, "completeness"),
        deps=[asset_key(dataset, "scene_ids")],
        group_name=group_name(dataset, "report"),
        kinds=kinds(dataset, "json"),
        metadata=uri(dataset, layout_of(dataset).completeness),
        code_version=dataset.fingerprint("scene_ids"),
        required_resource_keys={io_manager_key(dataset.name)},
        description=(
            "For each day how many scans were expected and seen, how many are scenes, why the others were dropped, and "
            "for how many scenes each stage is done. Counted by the names of files, of which none is opened."
        ),
    )
    def completeness(context: dg.AssetExecutionContext) -> dg.MaterializeResult[Any]:
        from convml_data.pipeline.completeness import make_completeness

        with errors_as_failures():
            store = store_of(context, dataset.name)
            report = make_completeness(store)
        stages = report.days[0].done if report.days else ()
        return dg.MaterializeResult(
            metadata={
                "path": dg.MetadataValue.path(store.files.url(store.layout.completeness)),
                "scans_expected": sum(day.expected for day in report.days),
                "scans_seen": sum(day.seen for day in report.days),
                "scenes": report.scenes,
                "unreadable": sum(day.unreadable for day in report.days),
                **{f"{stage}_done": report.total(stage) for stage in stages},
                "days": dg.MetadataValue.md(report.to_markdown()),
            }
        )

    return completeness


def files_asset(dataset: Dataset) -> dg.AssetsDefinition:
    """``<dataset>/report/files``: every file held against the rules."""
    key, rules = _key(dataset, "files"), _all_rules(dataset)

    @dg.asset(
        key=key,
        deps=[asset_key(dataset, "scene_ids")],
        group_name=group_name(dataset, "report"),
        kinds=kinds(dataset, "json"),
        metadata=uri(dataset, layout_of(dataset).files_report),
        check_specs=check_specs(key, rules, of_report=True),
        code_version=dataset.fingerprint("scene_ids"),
        required_resource_keys={io_manager_key(dataset.name)},
        description=(
            "Every file of the dataset held against the rules that `convml-data validate` prints: what a run makes is "
            "judged as it is made, and this is for what has happened to it since. Each file is opened."
        ),
    )
    def files(context: dg.AssetExecutionContext) -> Iterator[dg.MaterializeResult[Any]]:
        from convml_data.pipeline.judging import write_files_report

        with errors_as_failures():
            store = store_of(context, dataset.name)
            verdicts = write_files_report(store)
        by_rule: dict[str, list[Verdict]] = {rule.name: [] for rule in rules}
        for verdict in verdicts:
            by_rule[verdict.rule.name].append(verdict)
        yield dg.MaterializeResult(
            metadata={
                "path": dg.MetadataValue.path(store.files.url(store.layout.files_report)),
                "judged": sum(verdict.judged for verdict in verdicts),
                "broken": sum(len(verdict.broken) for verdict in verdicts),
            },
            check_results=[check_result(key, rule, by_rule[rule.name]) for rule in rules],
        )

    return files


def _key(dataset: Dataset, report: str) -> dg.AssetKey:
    return dg.AssetKey([dataset.name, "report", report])


def _all_rules(dataset: Dataset) -> list[Rule[Any]]:
    """The rules on the dataset and its auxiliary products, each name once."""
    products = (dataset, *map(dataset.aux, dataset.meta.aux_products))
    rules = {rule.name: rule for product in products for rule in rules_of(product).all}
    return list(rules.values())
