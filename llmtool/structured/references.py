"""The subschemas of a JSON Schema, and the subschemas that its references point to."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote, urldefrag, urljoin

Schema = dict[str, Any]

DEFINITIONS = ("$defs", "definitions")
_MAPS = ("properties", "patternProperties", "dependentSchemas", "dependencies", *DEFINITIONS)
_LISTS = ("allOf", "anyOf", "oneOf", "prefixItems", "items")
_SINGLE = (
    *("items", "additionalItems", "unevaluatedItems", "contains", "additionalProperties"),
    *("unevaluatedProperties", "propertyNames", "not", "if", "then", "else"),
)
_REFERENCES = ("$ref", "$dynamicRef", "$recursiveRef")
# In these drafts a reference replaces the schema that contains it.
_OLD_DRAFTS = ("draft-03", "draft-04", "draft-06", "draft-07")


class References:
    """Resolves the references of a schema: JSON pointers, `$id`, `$anchor` and `#`.

    Example:
        >>> references = References({"$defs": {"a/b": {"type": "null"}}})
        >>> references.resolve("#/$defs/a~1b", "")
        ({'type': 'null'}, '')
    """

    def __init__(self, root: Schema) -> None:
        dialect = str(root.get("$schema"))
        self.replace_siblings = any(draft in dialect for draft in _OLD_DRAFTS)
        self._id = "id" if "draft-03" in dialect or "draft-04" in dialect else "$id"
        self._targets: dict[str, tuple[Any, str]] = {"": (root, self.base_of(root, ""))}
        stack: list[tuple[Any, str]] = [(root, "")]
        while stack:
            node, base = stack.pop()
            if isinstance(node, dict):
                base = self._add(node, base)
                stack += [(child, base) for child in _subschemas(node)]

    def base_of(self, node: Schema, base: str) -> str:
        """Return the base URI of a subschema; `base` is that of the schema around it."""
        own = node.get(self._id)
        is_replaced = self.replace_siblings and "$ref" in node
        if not isinstance(own, str) or own.startswith("#") or is_replaced:
            return base
        return urldefrag(urljoin(base, own)).url

    def resolve(self, reference: str, base: str) -> tuple[Any, str] | None:
        """Return the subschema that a reference points to and its base URI; None if not found."""
        whole = base + reference if reference.startswith("#") else urljoin(base, reference)
        uri, fragment = urldefrag(whole)
        if fragment and not fragment.startswith("/"):
            return self._targets.get(f"{uri}#{unquote(fragment)}")
        found = self._targets.get(uri)
        for part in fragment.split("/")[1:]:
            if found is None:
                return None
            node, base = found
            key = unquote(part).replace("~1", "/").replace("~0", "~")
            if isinstance(node, list) and key.isdecimal() and int(key) < len(node):
                found = node[int(key)], base
            elif isinstance(node, dict) and key in node:
                child = node[key]
                found = child, self.base_of(child, base) if isinstance(child, dict) else base
            else:
                return None
        return found

    def _add(self, node: Schema, base: str) -> str:
        base = self.base_of(node, base)
        self._targets.setdefault(base, (node, base))
        own = str(node.get(self._id, ""))
        anchors = [node.get("$anchor"), node.get("$dynamicAnchor")]
        for anchor in [*anchors, own[1:] if own.startswith("#") else None]:
            if anchor is not None:
                self._targets[f"{base}#{anchor}"] = node, base
        return base


def has_many_paths(root: Schema, limit: int) -> bool:
    """Return whether more than `limit` paths of references and keywords lead to subschemas.

    Example:
        >>> has_many_paths({"items": {"$ref": "#"}}, 1000)
        True
    """
    references, n_paths = References(root), 0
    stack: list[tuple[Any, str]] = [(root, "")]
    while stack and n_paths <= limit:
        node, base = stack.pop()
        if isinstance(node, dict):
            n_paths += 1
            base = references.base_of(node, base)
            named = [node[key] for key in _REFERENCES if isinstance(node.get(key), str)]
            targets = [references.resolve(name, base) for name in named]
            stack += [target for target in targets if target is not None]
            stack += [(child, base) for child in _subschemas(node)]
    return n_paths > limit


def _subschemas(node: Schema) -> Iterator[Any]:
    for key, value in node.items():
        if key in _MAPS and isinstance(value, dict):
            yield from value.values()
        elif key in _LISTS and isinstance(value, list):
            yield from value
        elif key in _SINGLE:
            yield value
