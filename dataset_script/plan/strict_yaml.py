"""YAML text without duplicate keys, and the line of each of its parts."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import yaml


class DoubleKeyError(yaml.constructor.ConstructorError):
    """A mapping repeats a key. Plain YAML would silently keep the last value."""


class _StrictLoader(yaml.SafeLoader):
    """Raises `DoubleKeyError` for a repeated key."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for number, (key, (key_node, _)) in enumerate(zip(keys, node.value, strict=True)):
            if key in keys[:number]:
                raise DoubleKeyError(problem=f"{key!r} is given twice", problem_mark=key_node.start_mark)
        return super().construct_mapping(node, deep)


def load_yaml(text: str) -> Any:
    """Returns the content of YAML text.

    Raises:
        yaml.YAMLError: for invalid YAML, or a repeated key.
    """
    return yaml.load(text, Loader=_StrictLoader)


def find_line(text: str, place: tuple[Hashable, ...]) -> int:
    """Returns the line, counted from 1, of a part of YAML text; if the part is missing, the line of its parent.

    Args:
        text: valid YAML, see `load_yaml`.
        place: the keys and positions that lead from the top to the part.
    """
    loader = _StrictLoader(text)
    try:
        node = loader.get_single_node()
        line = node.start_mark.line if node else 0
        for step in place:
            if isinstance(node, yaml.MappingNode):
                found = [(key, value) for key, value in node.value if loader.construct_object(key, deep=True) == step]
            elif isinstance(node, yaml.SequenceNode) and isinstance(step, int):
                found = [(value, value) for value in node.value[step : step + 1]]
            else:
                found = []
            if not found:
                break
            key, node = found[0]
            line = key.start_mark.line
    finally:
        loader.dispose()
    return line + 1
