"""What the person may set: read from a small file, overridden by the environment, applied at once.

One dataclass describes each setting (range, variable, words); the file, the environment and the
dialog follow from it.
"""

from __future__ import annotations

import json
import logging
import os
import tempfile
import threading
from contextlib import suppress
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, cast

from platformdirs import user_config_path

from napari_omezarr_cloud.errors import CloudError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

__all__ = [
    "DESCRIPTIONS",
    "Description",
    "InForce",
    "Settings",
    "choose",
    "in_force",
    "in_force_everywhere",
    "read_settings",
    "replace_json",
    "settings",
    "settings_file",
    "subscribe",
    "value_in_environment",
]

_NAME = "napari-omezarr-cloud"
_MIB = 1 << 20
_YES, _NO = ("1", "true", "yes", "on"), ("0", "false", "no", "off")

_log = logging.getLogger("napari_omezarr_cloud")


@dataclass(frozen=True)
class Description:
    """One setting, in words and limits."""

    title: str
    help: str
    variable: str
    """In the environment; it counts more than the file."""
    low: int = 0
    high: int = 1
    """Least and greatest value of a number; both included."""
    unit: str = ""
    factor: int = 1
    """How much of the value one of the unit is: where people write MB of what is kept in bytes."""
    name: str = ""
    """The field of `Settings`."""
    default: int | bool | None = False
    """None: a number that is found out, unless one is given."""

    @property
    def is_switch(self) -> bool:
        """Whether it is yes or no, and not a number."""
        return isinstance(self.default, bool)

    def accepts(self, value: object) -> bool:
        """Tell whether a value may be set."""
        if self.is_switch:
            return isinstance(value, bool)
        if value is None:
            return self.default is None
        is_number = isinstance(value, int) and not isinstance(value, bool)
        return is_number and self.low <= cast("int", value) <= self.high

    @property
    def expected(self) -> str:
        """What is accepted, as the end of a sentence."""
        if self.is_switch:
            return "1 or 0"
        return f"a number from {self.low // self.factor:,} to {self.high // self.factor:,}"

    def from_text(self, text: str) -> int | bool | None:
        """Return what a variable's text means; None if it makes no sense."""
        word = text.strip().lower()
        if self.is_switch:
            return True if word in _YES else False if word in _NO else None
        if not word.isdecimal() or len(word) > 11:
            return None
        value = int(word) * self.factor
        return value if self.accepts(value) else None


def _describe(default: Any, about: Description) -> Any:
    return field(default=default, metadata={"about": about})


@dataclass(frozen=True)
class Settings:
    """What the engine and the window go by; sizes in MB of 2²⁰ bytes."""

    cache_mb: int = _describe(
        1024,
        Description(
            "Memory for pixels",
            "What was looked at stays in memory up to this size, and is there at once when you "
            "come back to it.",
            "OMEZARR_CACHE_MB",
            low=16,
            high=1 << 20,
            unit="MB",
        ),
    )
    requests: int = _describe(
        128,
        Description(
            "Requests at a time",
            "How many pieces are asked for at the same time, at most: on a slow line there are "
            "fewer, so that the first ones come soon. More is faster where every answer takes "
            "long; fewer is kinder to a small server.",
            "OMEZARR_REQUESTS",
            low=1,
            high=512,
        ),
    )
    reads_ahead: bool = _describe(
        True,
        Description(
            "Load ahead",
            "Load what you will probably look at next: neighbouring places, planes and time "
            "points. It always waits for what is on screen.",
            "OMEZARR_PREFETCH",
        ),
    )
    prefetch_mb: int = _describe(
        64,
        Description(
            "At most ahead",
            "How many MB of pixels may be loaded ahead of what one layer shows.",
            "OMEZARR_PREFETCH_MB",
            low=1,
            high=1 << 16,
            unit="MB",
        ),
    )
    metered: bool = _describe(
        False,
        Description(
            "I pay for every megabyte (metered line)",
            "Load only what is on screen, nothing ahead.",
            "OMEZARR_METERED",
        ),
    )
    volume_mb: int = _describe(
        64,
        Description(
            "A volume in 3D",
            "In 3D the finest resolution is shown whose volume is no larger than this. More is "
            "sharper, slower, and needs more memory on the graphics card.",
            "OMEZARR_VOLUME_MB",
            low=1,
            high=1 << 16,
            unit="MB",
        ),
    )
    disk_bytes: int | None = _describe(
        None,
        Description(
            "Keep what was loaded",
            "What was loaded once is there at once the next time, also without a network. "
            "Automatic: 10 GB, or a tenth of what is free if that is less.",
            "OMEZARR_DISK_CACHE_MB",
            high=1 << 46,
            unit="MB",
            factor=_MIB,
        ),
    )
    """Most bytes on disk; 0 keeps nothing there."""
    disk_private: bool = _describe(
        False,
        Description(
            "Keep private data, too",
            "Data that need a password, key or token. The files are readable by you alone.",
            "OMEZARR_DISK_CACHE_PRIVATE",
        ),
    )

    @property
    def cache_bytes(self) -> int:
        """Most bytes of voxels in memory."""
        return self.cache_mb * _MIB

    @property
    def prefetch(self) -> bool:
        """Whether anything is loaded ahead: it is wanted, and the line is not metered."""
        return self.reads_ahead and not self.metered

    @property
    def prefetch_bytes(self) -> int:
        """Most bytes of voxels that are loaded ahead of what a layer shows; 0 where none are."""
        return self.prefetch_mb * _MIB if self.prefetch else 0

    @property
    def volume_bytes(self) -> int:
        """Most bytes of the voxels of one volume in 3D."""
        return self.volume_mb * _MIB


DESCRIPTIONS: tuple[Description, ...] = tuple(
    replace(each.metadata["about"], name=each.name, default=each.default)
    for each in fields(Settings)
)
"""All settings, in the order in which they are shown."""


@dataclass(frozen=True)
class InForce:
    """What counts now, and why."""

    settings: Settings
    """What counts."""
    chosen: Settings
    """What the file says; the defaults where it says nothing."""
    from_environment: frozenset[str] = frozenset()
    """Names of the settings that a variable of the environment decides."""
    notes: tuple[str, ...] = ()
    """What could not be understood and how it was taken, in sentences."""

    def explained(self, about: Description) -> str:
        """Return what a setting means, and who decides it."""
        is_fixed = about.name in self.from_environment
        return about.help + f" Set by {about.variable} in the environment." * is_fixed


def settings_file() -> Path:
    """Return where the person's choice is kept."""
    return user_config_path(_NAME) / "settings.json"


def read_settings(environ: Mapping[str, str] = os.environ) -> InForce:
    """Read the file and the environment; what makes no sense is left out, with a note.

    Parameters
    ----------
    environ
        Where the variables are looked up.
    """
    said, notes = _read_file()
    known = {}
    for about in DESCRIPTIONS:
        if about.name not in said:
            continue
        if about.accepts(said[about.name]):
            known[about.name] = said[about.name]
        else:
            notes.append(
                f"{about.title!r} in {settings_file()} is not {about.expected}: "
                f"{'automatic' if about.default is None else about.default} is used."
            )
    chosen = Settings(**known)
    variables = {}
    for about in DESCRIPTIONS:
        text = environ.get(about.variable, "")
        if not text.strip():
            continue
        value = about.from_text(text)
        if value is None:
            notes.append(f"{about.variable} in the environment is not {about.expected}: ignored.")
        else:
            variables[about.name] = value
    return InForce(
        replace(chosen, **cast("dict[str, Any]", variables)),
        chosen,
        frozenset(variables),
        tuple(notes),
    )


def _read_file() -> tuple[dict[str, Any], list[str]]:
    file = settings_file()
    try:
        said = json.loads(file.read_bytes())
    except FileNotFoundError:
        return {}, []
    except OSError as error:
        why = (error.strerror or type(error).__name__).lower()
    except (ValueError, RecursionError):
        why = "it is damaged"
    else:
        if isinstance(said, dict):
            return said, []
        why = "it is damaged"
    return {}, [f"The settings in {file} could not be read ({why}): the defaults are used."]


def value_in_environment(name: str) -> int | bool | None:
    """Return what a variable of the environment says of a setting now; None: nothing sensible."""
    about = next(each for each in DESCRIPTIONS if each.name == name)
    return about.from_text(os.environ.get(about.variable, ""))


_lock = threading.Lock()
_is_unsaved = False
_in_force: InForce | None = None
_listeners: list[Callable[[Settings], None]] = []


def in_force() -> InForce:
    """Return what counts now; file and environment are read once in a process."""
    global _in_force
    with _lock:
        if _in_force is None:
            _in_force = read_settings()
            for note in _in_force.notes:
                _log.warning("%s", note)
        return _in_force


def in_force_everywhere() -> InForce:
    """Return what counts for all programs of the person: another may have changed the file."""
    return in_force() if _is_unsaved else read_settings()


def settings() -> Settings:
    """Return the settings that count now; cheap enough to ask each time."""
    known = _in_force
    return (known or in_force()).settings


def choose(chosen: Settings) -> InForce:
    """Apply the person's choice at once, and keep it for the next start.

    What a variable of the environment decides stays as it is in this process.

    Raises
    ------
    ValueError
        If a value is out of its range.
    CloudError
        If it cannot be saved; it is applied all the same.
    """
    global _in_force, _is_unsaved
    for about in DESCRIPTIONS:
        if not about.accepts(getattr(chosen, about.name)):
            raise ValueError(f"{about.name} must be {about.expected}")
    before = in_force()
    kept = {name: getattr(before.settings, name) for name in before.from_environment}
    now = InForce(replace(chosen, **kept), chosen, before.from_environment)
    with _lock:
        _in_force = now
        listeners = list(_listeners)
    if now.settings != before.settings:
        for listener in listeners:
            listener(now.settings)
    _is_unsaved = True
    _save(chosen)
    _is_unsaved = False
    return now


def subscribe(listener: Callable[[Settings], None]) -> Callable[[], None]:
    """Call ``listener(settings)`` after each change, in the thread that made it.

    Returns
    -------
    callable
        Ends the subscription.
    """
    with _lock:
        _listeners.append(listener)

    def end() -> None:
        with _lock, suppress(ValueError):
            _listeners.remove(listener)

    return end


def _save(chosen: Settings) -> None:
    """Replace the file as a whole; only what differs from the defaults, which may get better.

    Settings of another version that are not known here are kept.
    """
    ours = {about.name for about in DESCRIPTIONS}
    said = {name: value for name, value in _read_file()[0].items() if name not in ours}
    for about in DESCRIPTIONS:
        value = getattr(chosen, about.name)
        if value != about.default:
            said[about.name] = value
    file = settings_file()
    try:
        replace_json(file, said)
    except OSError as error:
        raise CloudError(
            "Could not save the settings",
            where=str(file),
            why=(error.strerror or type(error).__name__).lower(),
            hint="They hold until the program ends.",
        ) from error


def replace_json(file: Path, document: object) -> None:
    """Write one of the person's files as a whole or not at all, readable by its owner alone.

    Raises
    ------
    OSError
        If it cannot be written; what was there before is left.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    handle, fresh = tempfile.mkstemp(dir=file.parent, prefix=file.name)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as opened:
            json.dump(document, opened, indent=1)
        os.replace(fresh, file)
    except OSError:
        with suppress(OSError):
            os.unlink(fresh)
        raise
