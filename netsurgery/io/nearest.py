"""Which known names may have been meant by an unknown one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

__all__ = ["did_you_mean", "nearest", "question"]

#: How alike two names are at least, from 0 to 1: one letter of three may differ.
_ALIKE = 0.66
#: Comparing takes the product of two lengths; nobody mistypes a name of more characters.
_LONGEST = 120
#: Names looked at, those of them compared in full, and names listed where none is alike.
_SEEN, _COMPARED, _LISTED = 50_000, 1_000, 6


def nearest(name: object, known: Iterable[str]) -> tuple[str, ...]:
    """Those of `known` that are most like `name`, at most three; () where none is like it.

    Neither case nor ``-`` for ``_`` counts; else names that begin with it are like it.

    >>> nearest("ip3", ["conv1", "ip1", "ip2"])
    ('ip1', 'ip2')
    """
    import difflib  # only where something is wrong

    if not isinstance(name, str) or not 0 < len(name) <= _LONGEST:
        return ()
    folded: dict[str, str] = {}
    for each in known:
        if 0 < len(each) <= _LONGEST and len(folded) < _SEEN:
            folded.setdefault(_folded(each), each)
    matcher = difflib.SequenceMatcher(b=_folded(name), autojunk=False)
    ratios: dict[str, float] = {}
    for key in folded:
        matcher.set_seq1(key)
        if len(ratios) == _COMPARED:
            break
        if matcher.real_quick_ratio() >= _ALIKE and matcher.quick_ratio() >= _ALIKE:
            ratios[key] = matcher.ratio()
    best = max(ratios.values(), default=0.0)
    close = [folded[key] for key, ratio in ratios.items() if ratio >= max(best, _ALIKE)]
    begin = _folded(name)
    longer = [each for key, each in folded.items() if key.startswith(begin) and len(begin) > 2]
    return tuple((close or longer)[:3])


def did_you_mean(name: object, known: Iterable[str], what: str = "") -> str:
    """The end of a message about an unknown `name`: which of `known` may have been meant.

    "" where none is like it, or it is one of them. With `what`, a plural, the first of `known` are
    listed where none is like it.

    >>> did_you_mean("ip", ["conv1", "ip1"])
    '; did you mean ip1?'
    >>> did_you_mean("fc6", ["conv1", "ip1"], "layers")
    '; its layers are conv1, ip1'
    """
    names = list(dict.fromkeys(known))
    if name in names:
        return ""
    near = nearest(name, names)
    if near:
        return question(near)
    if not what or not names:
        return ""
    listed = ", ".join(names[:_LISTED])
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return f"; its {what} are {listed}{more}"


def question(near: Sequence[str]) -> str:
    """The end of a message that asks whether one of these was meant; "" for none.

    >>> question(["ip1", "ip2"])
    '; did you mean ip1 or ip2?'
    """
    if not near:
        return ""
    head = ", ".join(near[:-1])
    return f"; did you mean {f'{head} or ' if head else ''}{near[-1]}?"


def _folded(name: str) -> str:
    return name.lower().replace("_", "-")
