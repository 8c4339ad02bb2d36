"""Plans as YAML text: read strictly, with the lines of their parts, and written."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import yaml


class DoubleKeyError(yaml.constructor.ConstructorError):
    """A key given twice in a mapping, of which plain YAML silently keeps the last."""


class _StrictLoader(yaml.SafeLoader):
    """Refuses a key given twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for number, (key, (key_node, _)) in enumerate(zip(keys, node.value, strict=True)):
            if key in keys[:number]:
                raise DoubleKeyError(problem=f"{key!r} is given twice", problem_mark=key_node.start_mark)
        return super().construct_mapping(node, deep)


def load_yaml(text: str) -> Any:
    """Returns what YAML text holds.

    Raises:
        yaml.YAMLError: for text that is no YAML, or gives a key twice.
    """
    return yaml.load(text, Loader=_StrictLoader)


def find_line(text: str, place: tuple[Hashable, ...]) -> int:
    """Returns the line, from 1, on which a part of YAML text stands; that of the last part above it that there is.

    Args:
        text: the text, which `load_yaml` reads.
        place: the keys and positions that lead to the part from the top.
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
