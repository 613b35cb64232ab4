"""The user's own configuration: config.toml in the user's configuration folder.

    [user]
    trusted = ["/srv/models"]         # their netsurgery.toml is used, whoever owns it; "*" is all

    [engine]
    name = "embedded"                 # what runs nets; `netsurgery caffe use` writes it

The folder is ~/.config/netsurgery, or netsurgery in XDG_CONFIG_HOME, where Linux has it.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from netsurgery.errors import OutputError, SettingsError, UntrustedError
from netsurgery.formats.engine_choice import ENGINE_KEYS, EngineChoice
from netsurgery.formats.toml import Keys, parse_keys, quoted_value, read_keys, read_toml
from netsurgery.io.names import name_of_file
from netsurgery.io.ownership import exposure
from netsurgery.io.user_folders import config_folder

__all__ = ["set_user_engine", "trusted_places", "user_config", "user_engine"]


def user_config() -> Path | None:
    """Where the user's configuration is, or would be; None for a user without a home."""
    folder = config_folder()
    return None if folder is None else folder / "config.toml"


def trusted_places() -> list[str]:
    """Absolute paths of what the user trusts, ["/"] for everything. Raises as `user_engine`."""
    places: list[str] = _read().get("trusted", [])
    return places


def user_engine() -> EngineChoice | None:
    """The engine that the user has chosen.

    Raises SettingsError for what the configuration should not hold, and UntrustedError where it
    is not the user's own.
    """
    engine: EngineChoice | None = _read().get("name")
    return engine


def set_user_engine(engine: EngineChoice | None) -> Path:
    """Write the engine into the configuration, None to take it out; the file's other lines stay.

    Returns the file. Raises SettingsError for a user without a home and as `user_engine`,
    OutputError.
    """
    from netsurgery.io.files import Outputs

    path = user_config()
    if path is None:
        raise SettingsError("there is no home folder for the user's configuration")
    before = _read()
    if before.get("name") == engine:
        return path
    lines = read_toml(path).splitlines() if os.path.exists(path) else []
    # Line by line, so that the user's comments stay; `_says` checks what came of it.
    lines = [line for line in lines if not _NAME.match(line)]
    after = {key: value for key, value in before.items() if key != "name"}
    if engine is not None:
        after["name"] = engine
        if not any(map(_ENGINE.fullmatch, lines)):
            lines += [*([""] if lines else []), "[engine]"]
        header = next(at for at, line in enumerate(lines) if _ENGINE.fullmatch(line))
        lines.insert(header + 1, f'name = "{engine}"')
    text = "".join(f"{line}\n" for line in lines)
    if not _says(path, text, after):  # it is written in another form
        raise SettingsError(
            f"{path}: the engine is not a line name = ... under [engine]; edit it by hand"
        )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{path.parent}: {error.strerror}") from error
    with Outputs([path], force=True) as outputs:
        outputs[path].write(text.encode())
    return path


def _says(path: Path, text: str, values: dict[str, Any]) -> bool:
    """Whether a configuration of this text, which nobody has written yet, holds the values."""
    try:
        return parse_keys(path, text, _KEYS) == values
    except SettingsError:
        return False


def _read() -> dict[str, Any]:
    path = user_config()
    if path is None or not os.path.exists(path):
        return {}
    exposed = exposure(path)
    if exposed is not None:
        own = "expected the user's own configuration, which nobody else can change"
        raise UntrustedError(f"{path}: not used, since {exposed}; {own}")
    return read_keys(path, _KEYS)


def _places(value: Any) -> list[str]:
    if not isinstance(value, list) or not all(map(_is_place, value)):
        raise ValueError(
            f"found {quoted_value(value)}, expected a list of absolute paths in quotes, "
            'or ["*"] for everything'
        )
    return ["/" if text == "*" else os.path.expanduser(name_of_file(text)) for text in value]


def _is_place(value: Any) -> bool:
    if not isinstance(value, str) or "\0" in value:
        return False
    return value == "*" or os.path.isabs(os.path.expanduser(value))


_KEYS: Keys = {"user": {"trusted": _places}, **ENGINE_KEYS}
#: The line of the engine: of the keys that are known only its is called so.
_NAME = re.compile(r"\s*[\"']?name[\"']?\s*=")
#: The line that its section begins with.
_ENGINE = re.compile(r"""\s*\[\s*(["']?)engine\1\s*\]\s*(#.*)?""")
