"""How messages name what the caller can give, an option or an argument in Python, and counts."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Iterator

__all__ = [
    "argument",
    "counted",
    "listed",
    "names_options",
    "naming_options",
    "plural",
    "with_article",
]

#: Where the argument's name is not the option's. Of an engine they are those of EngineOptions.
_NAMES = {
    "--map": "names",
    "--slice": "cut",
    "--stage": "stages",
    "--input-shape": "input_shapes",
    "--max-memory": "set_max_memory",
    "--max-pixels": "set_max_pixels",
}
_FLAGS = {"--as-caffe", "--force", "--resume", "--verify"}
#: Endings of nouns that take more than an "s".
_PLURALS = {"axis": "axes", "box": "boxes", "index": "indices", "ss": "sses"}
#: Whose values are several.
_LISTS = {"--allow", "--stage"}
_SIZE = r"(\d+)x(\d+)"
#: A blob and its shape, or a layer and nothing.
_MAPPING = r"(?s)'?(.+?)=(NxCxHxW)?'?"

#: Letters whose names begin with a vowel, before another capital or a digit; vowels, but for those
#: spoken as in "you"; eight, eleven and eighteen.
_SPOKEN_AS_VOWEL = (
    r"[AEFHILMNORSX](?![a-z])|(?![Ee]u|[Uu]ni|[Uu]s[ei])[AEIOUaeiou][a-z]|8|1[18](?!\d)"
)

_options = False


@contextlib.contextmanager
def naming_options() -> Iterator[None]:
    """While a command runs, messages name its options."""
    global _options
    before, _options = _options, True
    try:
        yield
    finally:
        _options = before


def names_options() -> bool:
    """Whether they do."""
    return _options


def argument(option: str, python: str = "") -> str:
    """An option as the caller would give it; python: in Python, where the option does not say it.

    >>> argument("--size 24x32"), argument("--engine embedded"), argument("--labels FILE")
    ('size=(24, 32)', "engine='embedded'", 'labels')
    >>> argument("--force"), argument("--map-size"), argument("--stage deploy")
    ('force=True', 'map_size', "stages=['deploy']")
    """
    if _options or python:
        return option if _options else python
    flag, _, value = option.partition(" ")
    name = _NAMES.get(flag, flag[2:].replace("-", "_"))
    if flag in _FLAGS:
        return f"{name}=True"
    if not value or value.isupper():
        return name
    if match := re.fullmatch(_SIZE, value):
        return f"{name}=({match[1]}, {match[2]})"
    if match := re.fullmatch(_MAPPING, value):
        return f"{name}={{{match[1]!r}: {'(N, C, H, W)' if match[2] else repr('')}}}"
    if flag in _LISTS:
        return f"{name}={value.split(',')}"
    return f"{name}={value if value.isdecimal() else repr(value)}"


def counted(count: int, noun: str, form: str = "") -> str:
    """So many things, by the noun for one of them; form: the number's format.

    >>> counted(1, "label"), counted(0, "class"), counted(1200, "spatial axis", ",")
    ('1 label', '0 classes', '1,200 spatial axes')
    """
    return f"{count:{form}} {plural(noun, count)}"


def listed(words: Iterable[str], joined: str = "or") -> str:
    """One or more words with commas between, the last behind `joined`.

    >>> listed(["a"]), listed(["a", "b", "c"]), listed(["a", "b"], "and")
    ('a', 'a, b or c', 'a and b')
    """
    *most, last = words
    return f"{', '.join(most)} {joined} {last}" if most else last


def plural(noun: str, count: int) -> str:
    """The noun as it stands for so many.

    >>> plural("layer", 1), plural("layer", 2), plural("index", 2)
    ('layer', 'layers', 'indices')
    """
    if count == 1:
        return noun
    for ending, several in _PLURALS.items():
        if noun.endswith(ending):
            return noun.removesuffix(ending) + several
    return f"{noun}s"


def with_article(noun: str) -> str:
    """The noun with the "a" or "an" that it is spoken with.

    A name that begins with two capitals is spelled out; a number is read.

    >>> with_article("Softmax"), with_article("ArgMax"), with_article("MVN"), with_article("BNLL")
    ('a Softmax', 'an ArgMax', 'an MVN', 'a BNLL')
    >>> with_article("EuclideanLoss"), with_article("8x3"), with_article("10x3")
    ('a EuclideanLoss', 'an 8x3', 'a 10x3')
    """
    return f"{'an' if re.match(_SPOKEN_AS_VOWEL, noun) else 'a'} {noun}"
