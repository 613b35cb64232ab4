"""TOML files of a few known keys; errors have the line."""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from netsurgery.errors import SettingsError
from netsurgery.formats.limits import MAX_TOML
from netsurgery.io.reader import read_text

__all__ = ["Keys", "parse_keys", "quoted_value", "read_keys", "read_toml", "toml_string"]

#: Section -> key -> what makes its value of the TOML's; raises ValueError.
Keys = Mapping[str, Mapping[str, Callable[[Any], Any]]]

#: The parser's time and memory grow with the square of a key's parts: 60 KB took 3.5 GB.
MAX_DOTS = 200


def read_keys(path: Path, known: Keys) -> dict[str, Any]:
    """Key -> value of a TOML file; no two sections have a key of the same name.

    Raises SettingsError, with the line, for what is not known.
    """
    return parse_keys(path, read_toml(path), known)


def read_toml(path: Path) -> str:
    """The text of a TOML file. Raises SettingsError."""
    return read_text(path, MAX_TOML, SettingsError, "settings as TOML")


def parse_keys(path: Path, text: str, known: Keys) -> dict[str, Any]:
    """`read_keys` of the text of the file at `path`."""
    for number, line in enumerate(text.splitlines(), 1):
        if line.count(".") > MAX_DOTS:
            raise SettingsError(
                f"{path}:{number}: more than {MAX_DOTS} dots, expected a short line"
            )
    # Python 3.10 has no tomllib; tomli is the same parser.
    tomllib = importlib.import_module("tomllib" if sys.version_info >= (3, 11) else "tomli")
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(_syntax(path, str(error))) from error
    except ValueError as error:  # Python's own limit on the digits of a number
        raise SettingsError(f"{path}: a number of too many digits") from error
    except RecursionError as error:
        raise SettingsError(f"{path}: nested too deeply") from error
    return _Reader(path, text, known).values(tables)


def quoted_value(value: Any) -> str:
    """A value for a message: as Python writes it, and short."""
    if isinstance(value, dict):
        return "a table"
    try:
        text = repr(value)
    except RecursionError:
        return "a value nested too deeply"
    return text if len(text) <= 60 else f"{text[:57]}..."


def toml_string(text: str) -> str:
    """A string as TOML. Raises ValueError for one that TOML cannot hold."""
    if any(0xD800 <= ord(c) < 0xE000 for c in text):
        raise ValueError("not UTF-8")
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + re.sub(r"[\x00-\x1f\x7f]", lambda c: f"\\u{ord(c[0]):04x}", escaped) + '"'


def _syntax(path: Path, message: str) -> str:
    """The parser's message, its place moved to the front."""
    place = re.search(r" \(at (?:line (\d+), column (\d+)|end of document)\)$", message)
    if place is None:
        return f"{path}: {message}"
    where = f":{place[1]}:{place[2]}" if place[1] else ""
    what = message[: place.start()] + ("" if place[1] else " at the end of the file")
    return f"{path}{where}: {what}"


class _Reader:
    """Turns parsed tables into values; errors point at the line."""

    def __init__(self, path: Path, text: str, known: Keys) -> None:
        self.path, self.lines, self.known = path, text.splitlines(), known

    def values(self, tables: dict[str, Any]) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for section, table in tables.items():
            if section not in self.known:
                known = ", ".join(f"[{name}]" for name in self.known)
                what = "section" if isinstance(table, dict) else "key"
                raise self.error(section, None, f"unknown {what} {section!r}; expected {known}")
            if not isinstance(table, dict):
                raise self.error(section, None, f"{section} is not a section; write [{section}]")
            for key, value in table.items():
                values[key] = self.value(section, key, value)
        return values

    def value(self, section: str, key: str, value: Any) -> Any:
        if key not in self.known[section]:
            known = ", ".join(self.known[section])
            raise self.error(section, key, f"unknown key {key!r} in [{section}]; expected {known}")
        try:
            return self.known[section][key](value)
        except ValueError as error:
            raise self.error(section, key, f"{key}: {error}") from None

    def error(self, section: str, key: str | None, what: str) -> SettingsError:
        return SettingsError(f"{self.path}:{self.line(section, key)}: {what}")

    def line(self, section: str, key: str | None) -> int:
        """The line of a section or of a key in it; the parser gives no places."""
        header = re.compile(rf"\s*\[\[?\s*{_bare_or_quoted(section)}\s*[\].]")
        own = re.compile(rf"\s*{_bare_or_quoted(section)}\s*[.=]")
        inside = False
        for number, line in enumerate(self.lines, 1):
            if re.match(r"\s*\[", line):
                inside = bool(header.match(line))
                last = rf"\.\s*{_bare_or_quoted(key or '')}\s*\]"
                match = inside and (key is None or re.search(last, line))
            elif inside and key:
                match = re.match(rf"\s*{_bare_or_quoted(key)}\s*[.=]", line)
            else:
                match = own.match(line) and (key is None or re.search(_bare_or_quoted(key), line))
            if match:
                return number
        return 1


def _bare_or_quoted(word: str) -> str:
    """A pattern for a TOML key."""
    return rf"""["']?{re.escape(word)}["']?"""
