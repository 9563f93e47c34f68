"""YAML as configs, recipes and options hold it: what is ambiguous or cannot end is refused."""

from __future__ import annotations

from typing import Any

import yaml
from yaml.composer import ComposerError


class _Loader(yaml.SafeLoader):
    """The safe loader, which refuses a key that stands twice and an alias inside of what it names."""

    def __init__(self, stream: str) -> None:
        super().__init__(stream)
        self._unfinished: list[str | None] = []

    def compose_node(self, parent: Any, index: Any) -> Any:
        event: Any = self.peek_event()
        if self.check_event(yaml.AliasEvent) and event.anchor in self._unfinished:
            what = f"the alias *{event.anchor} stands inside of what it names"
            raise ComposerError(None, None, what, event.start_mark)
        return super().compose_node(parent, index)

    def compose_sequence_node(self, anchor: Any) -> Any:
        self._unfinished.append(anchor)
        node = super().compose_sequence_node(anchor)
        self._unfinished.pop()
        return node

    def compose_mapping_node(self, anchor: Any) -> Any:
        self._unfinished.append(anchor)
        node = super().compose_mapping_node(anchor)
        self._unfinished.pop()
        seen = set()
        for key in (key for key, _ in node.value if isinstance(key, yaml.ScalarNode)):
            if key.value in seen:
                raise ComposerError(None, None, f"the key {key.value!r} stands twice", key.start_mark)
            seen.add(key.value)
        return node


def parse_yaml(text: str) -> Any:
    """The value of a YAML document.

    Raises:
        ValueError: it is none; the message is one line.
    """
    try:
        return yaml.load(text, _Loader)  # noqa: S506  (a subclass of the safe loader)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    except (yaml.YAMLError, ValueError, TypeError, AttributeError, IndexError) as error:  # PyYAML slips on bad scalars
        raise ValueError(" ".join(str(error).split()) or type(error).__name__) from None
