"""Reading ``meta.yaml``."""

from __future__ import annotations

from collections.abc import Hashable
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import ValidationError

from convml_data.errors import MetaError
from convml_data.meta.fields import Section
from convml_data.meta.models import Meta
from convml_data.meta.problems import problems
from convml_data.meta.values import show

META_NAME = "meta.yaml"

S = TypeVar("S", bound=Section)


def read_meta(path: Path) -> Meta:
    """The description of a dataset in a file.

    Raises
    ------
    MetaError
        The file cannot be read, is not YAML, or does not describe a dataset; all problems with its
        keys and values are in the one error, a line each.
    """
    try:
        text = path.read_bytes().decode()
    except FileNotFoundError as error:
        raise MetaError(
            "there is no such file", where=str(path), remedy="Write one, or name the folder that holds it"
        ) from error
    except IsADirectoryError as error:
        raise MetaError(
            "this is a folder, not a file", where=str(path), remedy="Move it away and write the file"
        ) from error
    except OSError as error:
        raise MetaError(
            f"the file cannot be read ({error.strerror})",
            where=str(path),
            remedy="Mend the path or its permissions",
        ) from error
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise MetaError(
            f"line {line} is not UTF-8 text (byte {error.object[error.start]:#04x})",
            where=str(path),
            remedy="Save the file as UTF-8",
        ) from error
    return parse_meta(text, str(path))


def parse_meta(text: str, where: str) -> Meta:
    """The description of a dataset in a text; ``where`` names its file in errors.

    Raises
    ------
    MetaError
        As :func:`read_meta`.
    """
    document = parse_yaml(text, where)
    if document is None:
        raise MetaError(
            "the file is empty",
            where=where,
            remedy="Write at least source, product, time, domain and sampling",
        )
    if not isinstance(document, dict):
        raise MetaError(
            f"the file holds {show(document)}, not keys with values",
            where=where,
            remedy="Write `key: value` lines, beginning with `source: goes16`",
        )
    return as_section(Meta, document, where)


def as_section(section: type[S], document: dict[Any, Any], where: str) -> S:
    """A section from what a YAML file holds; ``where`` names the file in errors.

    Raises
    ------
    MetaError
        Keys or values are wrong: all problems, a line each.
    """
    try:
        return section.model_validate(document)
    except ValidationError as error:
        lines = problems(error, document, section)
        if len(lines) == 1:
            raise MetaError(lines[0], where=where) from None
        listed = ".".join(f"\n  {Path(where).name}: {line}" for line in lines)
        raise MetaError(f"{len(lines)} problems:{listed}", where=where) from None


def parse_yaml(text: str, where: str) -> Any:
    """What a text in YAML holds, without the readings that nobody means; MetaError where it is none."""
    try:
        return yaml.load(text, _Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        position = f" at line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        reason = ", ".join(filter(None, (error.context, error.problem)))
        raise MetaError(
            f"this is not YAML{position}: {reason}" if not isinstance(error, _DuplicateKeyError) else reason,
            where=where,
            remedy=error.note or "Mend that line; indent with spaces and close quotes and brackets",
        ) from error
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        column = error.position - text.rfind("\n", 0, error.position)
        raise MetaError(
            f"this is not YAML at line {line}, column {column}: it has the character {error.character:#x}",
            where=where,
            remedy="Delete that character",
        ) from error
    except RecursionError as error:
        raise MetaError("the file is nested too deeply to read", where=where, remedy="Flatten it") from error


class _DuplicateKeyError(yaml.constructor.ConstructorError):
    """A key that is twice in a mapping."""


class _Loader(yaml.SafeLoader):
    """Plain YAML, without the readings that nobody means.

    A key given twice is an error rather than the last one's. What looks like an octal (``014``) or
    a sexagesimal number (``14:30``) stays text, and so does what YAML cannot make a number or a time
    of (``2020-02-30``), so that the models judge it.
    """

    def __init__(self, stream: str) -> None:
        super().__init__(stream)
        self.deep_construct = True  # finds a value that contains itself

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        lines: dict[Hashable, int] = {}
        for key_node, _ in node.value:
            if key_node.tag == "tag:yaml.org,2002:merge":
                continue
            key = self.construct_object(key_node, deep=True)
            if isinstance(key, Hashable) and key in lines:
                first, second = lines[key] + 1, key_node.start_mark.line + 1
                raise _DuplicateKeyError(
                    problem=f"key {key} is given twice, in line {first} and line {second}",
                    problem_mark=key_node.start_mark,
                    note="Keep one of them",
                )
            if isinstance(key, Hashable):
                lines[key] = key_node.start_mark.line
        return super().construct_mapping(node, deep=deep)

    def construct_number_or_time(self, node: yaml.ScalarNode) -> Any:
        digits = node.value.lstrip("+-")
        octal = len(digits) > 1 and digits.replace("_", "").isdecimal() and digits[0] == "0"
        if octal or (":" in digits and not node.tag.endswith("timestamp")):
            return node.value
        construct = yaml.SafeLoader.yaml_constructors[node.tag]
        try:
            return construct(self, node)
        except ValueError:
            return node.value


for _kind in ("int", "float", "timestamp"):
    _Loader.add_constructor(f"tag:yaml.org,2002:{_kind}", _Loader.construct_number_or_time)
