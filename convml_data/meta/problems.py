"""What is wrong with a document, in the words of the one who wrote it."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal, get_args, get_origin

from pydantic import ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from convml_data.meta.data import SYNONYMS, DataSection
from convml_data.meta.fields import Section
from convml_data.meta.models import Meta
from convml_data.meta.sampling import SAMPLING_SYNONYMS
from convml_data.meta.values import show

_BOUNDS = {
    "greater_than": ("gt", "above"),
    "greater_than_equal": ("ge", "at least"),
    "less_than_equal": ("le", "at most"),
}


def problems(error: ValidationError, document: Any, top: type[Section] = Meta) -> list[str]:
    """One line for each problem: key path, what is wrong with which value, and a remedy.

    Parameters
    ----------
    error
        What the section raised.
    document
        What it was given.
    top
        The section that the whole document is.
    """
    return [_line(details, document, top) for details in error.errors(include_url=False)]


def _line(details: ErrorDetails, document: Any, top: type[Section]) -> str:
    kind, location, value = details["type"], list(details["loc"]), details["input"]
    if kind == "invalid_key":
        location.pop()
        path, _ = _find(document, location)
    elif location[-1:] == ["[key]"]:
        path, _ = _find(document, location[:-1])
    else:
        path, value = _find(document, location)  # as written, where a validator has converted it
    what, remedy = _explanation(kind, value, details.get("ctx", {}), location, path, top)
    return f"{path}: {what}; {remedy}" if path else f"{what}; {remedy}"


def _explanation(
    kind: str, value: Any, context: Mapping[str, Any], location: Sequence[int | str], path: str, top: type[Section]
) -> tuple[str, str]:
    """What is wrong, and the remedy."""
    section, key, field = _model_at(location, top)
    remedy = _example(path if path in SYNONYMS else key, field)

    if kind == "missing":
        return "is missing", remedy
    if kind == "extra_forbidden":
        return f"unknown key (value {show(value)})", _key_remedy(key, section, top)
    if value is None:
        optional = field is not None and not field.is_required()
        return "has no value", f"{remedy}, or leave the key out" if optional else remedy
    if kind == "value_error":
        what, *own_remedy = context["error"].args
        return what, own_remedy[0] if own_remedy else remedy
    if kind == "literal_error" and field is not None:
        allowed = _choices(field.annotation)
        near = _nearest(str(value), allowed)
        did_you_mean = f"did you mean {near}? " if near else ""
        return f"{show(value)} is not supported", f"{did_you_mean}supported: {', '.join(allowed)}"
    if kind in _BOUNDS:
        name, relation = _BOUNDS[kind]
        return f"{show(value)} is out of range", f"it must be {relation} {context[name]:.12g}"
    if kind == "model_type":
        inner = _section_in(field.annotation) if field is not None else section
        return (
            f"{show(value)} is not a section",
            f"indent its keys below it: {', '.join(_keys(inner or section))}",
        )
    if kind == "bool_type":
        return f"{show(value)} is neither true nor false", "write true or false, without quotes"
    if kind == "tuple_type":
        return f"{show(value)} is not a list", remedy
    if kind in ("string_type", "string_pattern_mismatch"):  # of collections, products, flags or functions
        return (
            f"{show(value)} is not a name",
            "use letters, digits, _ and -, and put quotes around words that YAML reads otherwise (no, on, 1)",
        )
    if kind == "invalid_key":
        return (
            f"this key is not text but {show(value)} to YAML",
            f"put it in quotes or leave it out; allowed: {', '.join(_keys(section))}",
        )
    return f"{show(value)} cannot be used here", remedy


def _key_remedy(key: str, section: type[Section], top: type[Section]) -> str:
    allowed = _keys(section)
    elsewhere = [path for path in _all_paths(top) if path.rpartition(".")[2] == key]
    near = f"{elsewhere[0]} (mind the indentation)" if elsewhere else _nearest(key, allowed)
    did_you_mean = f"did you mean {near}? " if near else ""
    return f"{did_you_mean}allowed: {', '.join(allowed)}"


def _keys(section: type[Section]) -> list[str]:
    return [*section.model_fields, *(SYNONYMS if issubclass(section, DataSection) else ())]


def _all_paths(section: type[Section], above: str = "") -> Iterator[str]:
    for key, field in section.model_fields.items():
        yield above + key
        inner = _section_in(field.annotation)
        if inner is not None and not issubclass(section, inner):  # a span of time holds spans of time
            yield from _all_paths(inner, f"{above}{key}.")


def _nearest(word: str, allowed: Iterable[str]) -> str | None:
    by_lower = {name.casefold(): name for name in allowed}
    near = difflib.get_close_matches(word.casefold(), by_lower, n=1, cutoff=0.75)
    return by_lower[near[0]] if near else None


def _example(key: str, field: FieldInfo | None) -> str:
    if field is None or not field.examples:
        return f"allowed: {', '.join(_keys(Meta))}"
    example = field.examples[0]
    text = example if isinstance(example, str) else json.dumps(example).replace('"', "")
    return f"write for example `{key}: {text}`"


def _model_at(location: Sequence[int | str], top: type[Section]) -> tuple[type[Section], str, FieldInfo | None]:
    """The last key of a location that is a section's own, that section, and the key's field if known."""
    section, key, field = top, "", None
    for step in location:
        if field is not None:
            inner = _section_in(field.annotation)
            if isinstance(step, int) or inner is None:
                continue
            section = inner
        key = str(step)
        field = section.model_fields.get(key)
    return section, key, field


def _section_in(annotation: Any) -> type[Section] | None:
    """The section within an annotation such as ``tuple[TimeSpan, ...] | None``."""
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return annotation
    return next(filter(None, map(_section_in, get_args(annotation))), None)


def _choices(annotation: Any) -> list[str]:
    if get_origin(annotation) is Literal:
        return list(get_args(annotation))
    return [choice for part in get_args(annotation) for choice in _choices(part)]


def _find(document: Any, location: Sequence[int | str]) -> tuple[str, Any]:
    """Path and value in the document, which may hold a synonym or, for a list or mapping, a scalar."""
    path, here = "", document
    synonyms = {key: synonym for synonym, key in (SYNONYMS | SAMPLING_SYNONYMS).items()}
    for step in location:
        if isinstance(step, int):
            if isinstance(here, list):
                path, here = f"{path}[{step}]", here[step]
        elif isinstance(here, dict):
            key = step
            synonym = synonyms.get(step)
            if step not in here and synonym is not None and synonym in here:
                key = synonym
            elif step not in here and f"{step}s" in here:  # the plural of a filter
                key = f"{step}s"
            path, here = f"{path}.{key}" if path else key, here.get(key)
    return path, here
