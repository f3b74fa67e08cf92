"""Documents that steps of many jobs share. Needs the capability `documents`."""

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
