"""What can go wrong, said so that the reader knows what to do next."""


class ShelfwiseError(Exception):
    """Base of every error that shelfwise raises on purpose. Its text is for people: one line, and what to do."""


class UsageError(ShelfwiseError):
    """The caller asked for something that cannot be: a bad argument, an unknown category, k = 0."""


class InvalidProduct(ShelfwiseError):
    """One product record does not fulfil the product contract."""


class InvalidTaxonomy(ShelfwiseError):
    """A set of category paths is not a taxonomy."""


class InvalidBundle(ShelfwiseError):
    """A bundle folder is missing, incomplete or changed since it was written."""


class InvalidReranker(ShelfwiseError):
    """A reranker folder is missing, incomplete or changed since it was written."""


class IncompatibleIndex(ShelfwiseError):
    """An index and a bundle, or an index and this version of shelfwise, do not belong together."""


class ServerError(ShelfwiseError):
    """Elasticsearch is not there, is of a version that does not fit, or refused a request."""


class UnknownProduct(UsageError):
    """No product of this id is in the index."""


class UnknownCategory(UsageError):
    """No category of this name is in the taxonomy or the index."""


class UnknownRetriever(UsageError):
    """A fusion weight names a retriever that gave no list."""


class InvalidSynonyms(UsageError):
    """A synonym file is missing, or a line of it is not of the format."""
