"""A netsurgery.toml found in a folder or above, without being named: used only if trusted.

Whoever wrote it chooses the net that is run. One of /tmp may be another user's, as may the file
behind a link; git has the same rule for its own files (safe.directory).
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

from netsurgery.errors import UntrustedError
from netsurgery.formats.engine_choice import EngineChoice
from netsurgery.formats.settings import Settings, find_settings, read_settings_keys
from netsurgery.formats.toml import toml_string
from netsurgery.formats.user_config import trusted_places, user_config, user_engine
from netsurgery.io.ownership import exposure

__all__ = [
    "ALL_KEYS",
    "check_trusted",
    "chosen_engine",
    "load_found",
    "merged",
    "with_found",
]

#: All that a file says of a net and its pictures.
ALL_KEYS = tuple(
    name for name in Settings.__dataclass_fields__ if name not in ("path", "preprocess", "engine")
)


def with_found(
    settings: Settings,
    start: Path,
    *,
    trust: bool | None = None,
    keys: Collection[str] = ALL_KEYS,
) -> Settings:
    """`settings`, and what of `keys` they leave out from the nearest netsurgery.toml.

    That of the folder `start` or of the nearest folder above; its path is the result's. trust:
    True uses it whoever can change it, False never, None if that is the user alone or the user's
    configuration trusts it. Raises SettingsError, and UntrustedError for one that is not trusted;
    it is not even opened then.
    """
    missing = settings.missing(keys)
    path = find_settings(start) if missing and trust is not False else None
    return settings if path is None else merged(settings, load_found(path, trust, missing))


def load_found(path: Path, trust: bool | None, keys: Collection[str] = ALL_KEYS) -> Settings:
    """What the file that was found at `path` says of `keys`; trust and errors as `with_found`.

    The files that it names by a relative path are held to the same, where `keys` has them.
    """
    if trust is None:
        check_trusted(path, path)
    settings, relative = read_settings_keys(path)
    if trust is None:
        for key in relative.intersection(keys):
            check_trusted(getattr(settings, key), path)
    return Settings(**{key: getattr(settings, key) for key in keys}, path=path)


def chosen_engine(
    start: Path, trust: bool | None = None
) -> tuple[EngineChoice | None, tuple[str, ...]]:
    """The engine that the nearest netsurgery.toml names, else the user's configuration.

    And notes: one that is not trusted chooses none, whoever needs what it says of the net refuses
    it. Raises SettingsError for either file where it cannot be read.
    """
    notes: list[str] = []
    path = find_settings(start) if trust is not False else None
    if path is not None:
        try:
            engine = load_found(path, trust, ["engine"]).engine
            if engine is not None:
                return engine, ()
        except UntrustedError as error:
            notes.append(str(error))
    try:
        return user_engine(), tuple(notes)
    except UntrustedError as error:
        return None, tuple(dict.fromkeys([*notes, str(error)]))


def check_trusted(path: Path, settings: Path) -> None:
    """Raise UntrustedError where others decide what a file holds: `settings`, or one it names."""
    if exposure(path) is None:
        return
    # The configuration is read only where it decides: it may be refused itself.
    reason = exposure(path, trusted_places())
    if reason is None:
        return
    by_name = "" if path == settings else f", which {settings} names"
    raise UntrustedError(
        f"{path}{by_name}: not used, since {reason}; --trust-config uses it, --ignore-config goes "
        f"on without it{_for_good(path)}"
    )


def _for_good(path: Path) -> str:
    """The setting that trusts a file and its folder, to be copied from the message."""
    where = user_config()
    try:
        # As TOML it is one name, whatever another user has put into it.
        setting = f"trusted = [{toml_string(str(path if path.is_symlink() else path.parent))}]"
    except ValueError:
        return ""
    return f"; {setting} under [user] in {where} allows it for good" if where else ""


def merged(over: Settings, under: Settings) -> Settings:
    """`over`, with what it leaves out taken from `under`."""
    missing = over.missing(Settings.__dataclass_fields__)
    return replace(over, **{name: getattr(under, name) for name in missing})
