"""Names that a user gives to references."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import msgspec

from llmtool import files
from llmtool.errors import ModelNotFound
from llmtool.models import registry
from llmtool.models.reference import check_name

if TYPE_CHECKING:
    from llmtool.models.store import Store


def set_alias(store: Store, name: str, reference: str | None) -> None:
    """Give a model another name, or take the name away (None).

    A relative path is stored as an absolute one.

    Raises:
        UsageError: the name cannot be one, or the aliases would run in a circle.
        ModelNotFound: the reference is an unknown name, or there is no such alias.
    """
    check_name(name)
    with files.lock(store.registry_file):
        known = registry.load(store.registry_file)
        aliases = {key: value for key, value in known.aliases.items() if key != name}
        if reference is None and name not in known.aliases:
            raise ModelNotFound(f"there is no alias {name!r}")
        if reference is not None:
            aliases[name] = reference
            path = store.resolve(reference, {**aliases}).path
            if path is not None and not path.is_absolute():
                aliases[name] = os.path.abspath(path)
        registry.save(store.registry_file, msgspec.structs.replace(known, aliases=aliases))
