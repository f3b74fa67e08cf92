"""Documents that steps of many jobs share. Needs the capability `documents`.

What JSON has no type for stands in documents and filters as MongoDB's extended JSON: a date is found as
`{"$date": "2024-01-01T00:00:00Z"}`, and stays one when the document is saved again. A new one is made by `date`; a text that looks like
a date is a text, by which no document expires."""

import json

from .. import host


def find(collection, filter, limit=1000):
    """Documents whose fields have these values; at most `limit`."""
    doing = f"looking for documents in {collection}"
    return [json.loads(text) for text in host.call("documents", "find", collection, json.dumps(filter), limit, doing=doing)]


def save(collection, filter, document):
    """Replaces the document whose fields have these values, or adds it."""
    doing = f"saving a document in {collection}"
    host.call("documents", "save", collection, json.dumps(filter), json.dumps(document), doing=doing)


def remove(collection, filter):
    """Removes the documents whose fields have these values; returns how many."""
    return host.call("documents", "remove", collection, json.dumps(filter), doing=f"removing documents from {collection}")


def date(seconds):
    """A date in a document, to the millisecond, from seconds since 1970: what `clock.now` gives."""
    return {"$date": {"$numberLong": str(int(seconds * 1000))}}
