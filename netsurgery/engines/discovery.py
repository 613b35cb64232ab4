"""Finding a Caffe that works, among the places where one may be.

The order: the interpreter given, else NETSURGERY_CAFFE_PYTHON, else an `import caffe` that works
in the running interpreter, else what `netsurgery caffe install` made. One that was given and
does not work is an error, not a reason to look further.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from importlib.machinery import EXTENSION_SUFFIXES, PathFinder
from pathlib import Path

from netsurgery.engines.debian import default_prefix, installed_python, why_not_installed
from netsurgery.engines.probing import (
    Caffe,
    NotUsable,
    caffe_path,
    own_path,
    path_hint,
    probe,
    resolve_python,
)
from netsurgery.errors import EngineMissing, InstallError
from netsurgery.io.argument_types import checks_arguments
from netsurgery.io.wording import argument

__all__ = [
    "Caffe",
    "Candidate",
    "ProbeResult",
    "candidates",
    "chosen",
    "find_caffe",
    "locate_caffe",
    "probe_all",
]

VARIABLE = "NETSURGERY_CAFFE_PYTHON"
GIVEN = ("--caffe-python", VARIABLE)
REMEDY = "`netsurgery caffe install` gets one"


@dataclass(frozen=True)
class Candidate:
    """A place where Caffe may be: `python` to run, or the `reason` why there is none."""

    origin: str
    place: str
    python: str | None
    reason: str = ""


@dataclass(frozen=True)
class ProbeResult:
    """What became of a candidate: its Caffe, or the reason why it cannot be used."""

    candidate: Candidate
    caffe: Caffe | None
    reason: str = ""


def candidates(caffe_python: str | None = None) -> list[Candidate]:
    """Every place to look, in order, none of them run yet. Raises EngineMissing on Windows."""
    if sys.platform == "win32":
        raise EngineMissing(
            f"real Caffe is not run on Windows; {argument('--engine embedded')} needs none"
        )
    variable = os.environ.get(VARIABLE) or None
    explicit = []
    # The command line hands the variable's value over as the option's: name the true source.
    if caffe_python and caffe_python != variable:
        explicit.append(_candidate(GIVEN[0], caffe_python))
    if variable:
        explicit.append(_candidate(VARIABLE, variable))
    return [*explicit, _this_interpreter(), _installed()]


def probe_all(caffe_python: str | None = None) -> list[ProbeResult]:
    """Try every candidate, in order; takes a second or two for each interpreter there is."""
    return [_try(candidate) for candidate in candidates(caffe_python)]


def chosen(findings: list[ProbeResult]) -> ProbeResult | None:
    """The finding that `find_caffe` would use, or None where it would raise."""
    explicit = findings[0].candidate.origin in GIVEN
    return next((f for f in findings[: 1 if explicit else None] if f.caffe is not None), None)


@checks_arguments()
def find_caffe(caffe_python: str | None = None) -> Caffe:
    """The Caffe to use, tried and described. Raises EngineMissing: what was tried, and why not.

    >>> find_caffe("/opt/caffe/bin/python").version  # doctest: +SKIP
    '1.0.0'
    >>> find_caffe("nowhere/python")
    Traceback (most recent call last):
    netsurgery.errors.EngineMissing: ...
    """
    refused = []
    for candidate in _eligible(caffe_python):
        finding = _try(candidate)
        if finding.caffe is not None:
            return finding.caffe
        refused.append(finding)
    raise _missing(refused)


def _eligible(caffe_python: str | None) -> list[Candidate]:
    """The candidates that may be used: one that was given alone, else all, in order."""
    every = candidates(caffe_python)
    return every[:1] if every[0].origin in GIVEN else every


def locate_caffe(caffe_python: str | None = None) -> str:
    """The interpreter to use, without running it where it can be trusted.

    One that was given or installed is only looked at: whoever starts it checks for caffe.Net
    anyway. The running interpreter is probed, since a caffe in it may not be Caffe, and then the
    installed one is next. Raises EngineMissing as `find_caffe` does.
    """
    refused = []
    for candidate in _eligible(caffe_python):
        if candidate.python is not None and candidate.origin != "this interpreter":
            return candidate.python
        finding = _try(candidate)
        if finding.caffe is not None:
            return finding.caffe.python
        refused.append(finding)
    raise _missing(refused)


def _try(candidate: Candidate) -> ProbeResult:
    if candidate.python is None:
        return ProbeResult(candidate, None, candidate.reason)
    try:
        return ProbeResult(candidate, probe(candidate.python, candidate.origin))
    except NotUsable as error:
        return ProbeResult(candidate, None, str(error))


def _missing(refused: list[ProbeResult]) -> EngineMissing:
    if len(refused) == 1 and refused[0].candidate.origin in GIVEN:
        only = refused[0]
        return EngineMissing(
            f"{only.candidate.origin}: {only.candidate.place}: {only.reason}; "
            f"give a Python that has pycaffe, or leave it out: {REMEDY}"
        )
    tried = "; ".join(f"{f.candidate.origin} ({f.candidate.place}): {f.reason}" for f in refused)
    return EngineMissing(f"no Caffe found: {tried}; {REMEDY}")


def _candidate(origin: str, text: str) -> Candidate:
    try:
        return Candidate(origin, text, resolve_python(text))
    except NotUsable as error:
        return Candidate(origin, text, None, str(error))


def _this_interpreter() -> Candidate:
    if not sys.executable:
        return Candidate("this interpreter", "unknown", None, "it does not know its own path")
    try:
        reason = _why_not_importable()
    except NotUsable as error:
        reason = str(error)
    python = None if reason else sys.executable
    return Candidate("this interpreter", sys.executable, python, reason)


def _why_not_importable() -> str:
    """Why `import caffe` cannot give pycaffe here; "" where it may. Runs and imports nothing."""
    left_out = {None, *map(_whole, [os.curdir, *own_path()])}
    searched = [place for place in sys.path if _whole(place) not in left_out]
    spec = PathFinder.find_spec("caffe", [*caffe_path(), *searched])
    if spec is None:
        return f"no module named caffe{path_hint()}"
    if spec.origin is None:
        folders = list(spec.submodule_search_locations or ["?"])
        return f"{folders[0]} is a folder named caffe, not pycaffe"
    folder = Path(spec.origin).parent
    if not any((folder / f"_caffe{suffix}").is_file() for suffix in EXTENSION_SUFFIXES):
        return f"{spec.origin} is named caffe but is not a built pycaffe: no _caffe.so beside it"
    return ""


def _whole(place: str) -> str | None:
    """A place of sys.path without links; None where it is sought from a folder that is gone."""
    try:
        return os.path.realpath(place)
    except OSError:
        return None


def _installed() -> Candidate:
    try:
        prefix = str(default_prefix())
    except InstallError as error:
        return Candidate("installed", "nowhere", None, str(error))
    reason = why_not_installed()
    return Candidate("installed", prefix, None if reason else installed_python(), reason)
