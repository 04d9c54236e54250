"""Parts that are chosen by name: built in, or announced by another package under an entry-point group."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any

from pw_core.errors import ErrorCode, PWError


@dataclass(frozen=True)
class PluginGroup:
    """One kind of part.

    Args:
        group: the entry-point group in which other packages announce theirs.
        what: what one is called in messages, e.g. "target provider".
        key: where its name stands in the configuration, e.g. "reconstruct.depth"; empty: nowhere.
        built_in: `module:attribute` by name; these go first.
        protocol: a runtime-checkable protocol that what is made must fit; None: anything.
        needs: what that protocol asks for, in words.
        error: the exception to raise.
        unknown, failed: its code for a name that nobody has; for what cannot be imported or made.
    """

    group: str
    what: str
    key: str
    built_in: Mapping[str, str]
    protocol: type | None
    needs: str
    error: type[PWError]
    unknown: ErrorCode
    failed: ErrorCode

    def names(self) -> list[str]:
        """Built-in and installed ones."""
        return sorted({*self.built_in, *(e.name for e in entry_points(group=self.group))})


def load_plugin(group: PluginGroup, name: str, settings: Mapping[str, Any]) -> Any:
    """The part of that name, made from its settings: `make(**settings)`.

    Raises:
        PWError (of the group's class and codes): a name nobody has, one that cannot be imported, settings that it does
            not take, or one that does not fit the group's protocol. What the part itself says of its settings passes.
    """
    where = f"{group.key}.provider: " if group.key else f"{group.what} "
    if name in group.built_in:
        module, _, attribute = group.built_in[name].partition(":")
        make: Callable[..., Any] = getattr(import_module(module), attribute)
    else:
        found = [e for e in entry_points(group=group.group) if e.name == name]
        if not found:
            raise group.error(
                f"{where}'{name}' is not known; there are: {', '.join(group.names())}. Others announce themselves in "
                f"the entry-point group '{group.group}'", code=group.unknown,
            )  # fmt: skip
        try:
            make = found[0].load()
        except Exception as error:
            raise group.error(f"{where}'{name}' ({found[0].value}) cannot be imported: {error}",
                              code=group.failed) from error  # fmt: skip
    try:
        made = make(**settings)
    except TypeError as error:
        raise group.error(f"{where}'{name}' does not take the settings {sorted(settings)}: {error}",
                          code=group.failed) from error  # fmt: skip
    if group.protocol is not None and not isinstance(made, group.protocol):
        raise group.error(f"{where}'{name}' makes a {type(made).__name__}, which lacks {group.needs}",
                          code=group.failed)  # fmt: skip
    return made
