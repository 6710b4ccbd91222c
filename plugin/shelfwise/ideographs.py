"""Ideographs: Chinese is written without spaces, so that words are told by its characters."""

IDEOGRAPHS = "\u3400-\u4dbf\u4e00-\u9fff"  # as a class of a regular expression has them
