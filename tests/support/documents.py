"""Holds a JSON document against its TypedDict: what is in it, of which type, and nothing else."""

from pksm.documents import stored

DOCUMENTS = stored.schemas()


def faults(document):
    """Return what is wrong with a document, by the TypedDict of its schema: lines "where: what"."""
    return list(stored.faults(document))
