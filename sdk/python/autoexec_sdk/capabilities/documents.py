"""Documents that steps of many jobs share. Needs the capability `documents`.

What JSON has no type for stands in documents and filters as MongoDB's extended JSON: a date is found as
`{"$date": "2024-01-01T00:00:00Z"}`, and stays one when the document is saved again. A new one is made by `date`; a text that looks like
a date is a text, by which no document expires."""

from __future__ import annotations

import json
from typing import Any

from .. import host


def find(collection: str, filter: dict[str, Any], limit: int = 1000) -> list[Any]:
    """Documents whose fields have these values; at most `limit`."""
    doing = f"looking for documents in {collection}"
    return [json.loads(text) for text in host.call("documents", "find", collection, json.dumps(filter), limit, doing=doing)]


def save(collection: str, filter: dict[str, Any], document: dict[str, Any]) -> None:
    """Replaces the document whose fields have these values, or adds it."""
    doing = f"saving a document in {collection}"
    host.call("documents", "save", collection, json.dumps(filter), json.dumps(document), doing=doing)


def remove(collection: str, filter: dict[str, Any]) -> int:
    """Removes the documents whose fields have these values; returns how many. An empty filter is invalid."""
    return host.call("documents", "remove", collection, json.dumps(filter), doing=f"removing documents from {collection}")


def date(seconds: float) -> dict[str, Any]:
    """A date in a document, to the millisecond, from seconds since 1970: what `clock.now` gives."""
    return {"$date": {"$numberLong": str(int(seconds * 1000))}}
