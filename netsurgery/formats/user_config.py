"""The user's own configuration: config.toml in the user's configuration folder.

    [user]
    trusted = ["/srv/models"]         # their netsurgery.toml is used, whoever owns it; "*" is all

The folder is ~/.config/netsurgery, or netsurgery in XDG_CONFIG_HOME, where Linux has it.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from netsurgery.errors import UntrustedError
from netsurgery.formats.toml import Keys, quoted_value, read_keys
from netsurgery.io.names import name_of_file
from netsurgery.io.ownership import exposure
from netsurgery.io.user_folders import config_folder

__all__ = ["trusted_places", "user_config"]


def user_config() -> Path | None:
    """Where the user's configuration is, or would be; None for a user without a home."""
    folder = config_folder()
    return None if folder is None else folder / "config.toml"


def trusted_places() -> list[str]:
    """Absolute paths of what the user trusts, ["/"] for everything.

    Raises SettingsError for what the configuration should not hold, and UntrustedError where it
    is not the user's own.
    """
    path = user_config()
    if path is None or not os.path.exists(path):
        return []
    found = exposure(path)
    if found is not None:
        own = "expected the user's own configuration, which nobody else can change"
        raise UntrustedError(f"{path}: not used, since {found}; {own}")
    places: list[str] = read_keys(path, _KEYS).get("trusted", [])
    return places


def _places(value: Any) -> list[str]:
    if not isinstance(value, list) or not all(map(_is_place, value)):
        raise ValueError(
            f"found {quoted_value(value)}, expected a list of absolute paths in quotes, "
            'or ["*"] for everything'
        )
    return ["/" if one == "*" else os.path.expanduser(name_of_file(one)) for one in value]


def _is_place(value: Any) -> bool:
    if not isinstance(value, str) or "\0" in value:
        return False
    return value == "*" or os.path.isabs(os.path.expanduser(value))


_KEYS: Keys = {"user": {"trusted": _places}}
