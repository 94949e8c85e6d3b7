"""Settings: defaults, file, environment, and what happens to nonsense."""

from __future__ import annotations

import json
import stat
from dataclasses import replace
from pathlib import Path

import pytest

from napari_omezarr_cloud import settings as module
from napari_omezarr_cloud.errors import CloudError
from napari_omezarr_cloud.settings import (
    DESCRIPTIONS,
    Settings,
    choose,
    in_force,
    in_force_everywhere,
    read_settings,
    settings,
    settings_file,
    subscribe,
)

ROOT = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def own_settings(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setattr(module, "_in_force", None)
    monkeypatch.setattr(module, "_is_unsaved", False)
    for about in DESCRIPTIONS:
        monkeypatch.delenv(about.variable, raising=False)


def write(text):
    settings_file().parent.mkdir(parents=True, exist_ok=True)
    settings_file().write_text(text, encoding="utf-8")


def test_without_a_file_the_defaults_count():
    found = read_settings({})

    assert found.settings == found.chosen == Settings()
    assert not found.notes and not found.from_environment


def test_what_was_chosen_is_there_at_the_next_start():
    wanted = Settings(cache_mb=300, requests=8, reads_ahead=False, volume_mb=256)

    choose(wanted)

    assert read_settings({}).settings == wanted


def test_a_choice_counts_at_once_and_listeners_hear_of_it():
    heard = []
    end = subscribe(heard.append)

    choose(Settings(requests=8))
    choose(Settings(requests=8))
    end()
    choose(Settings(requests=9))

    assert [each.requests for each in heard] == [8]
    assert settings().requests == 9


def test_only_the_owner_can_read_the_file():
    choose(Settings(requests=8))

    assert stat.S_IMODE(settings_file().stat().st_mode) == 0o600


def test_defaults_are_not_written_so_that_a_later_version_may_have_better_ones():
    choose(Settings(requests=8))

    assert json.loads(settings_file().read_text()) == {"requests": 8}


def test_settings_of_a_newer_version_survive_a_save():
    write('{"warp": 9}')

    choose(Settings(requests=8))

    assert json.loads(settings_file().read_text()) == {"warp": 9, "requests": 8}


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("{", id="cut off"),
        pytest.param("[1]", id="a list"),
        pytest.param("[" * 100_000, id="deeply nested"),
        pytest.param("\ud800".encode("utf-8", "surrogatepass").decode("latin-1"), id="not text"),
    ],
)
def test_a_damaged_file_is_told_and_the_defaults_count(text):
    write(text)

    found = read_settings({})

    assert found.settings == Settings()
    assert len(found.notes) == 1 and str(settings_file()) in found.notes[0]


@pytest.mark.parametrize(
    "value", [0, -1, 10**9, 1.5, "8", True, None, [8]], ids=lambda value: repr(value)
)
def test_a_value_that_makes_no_sense_costs_only_itself(value):
    write(json.dumps({"requests": value, "cache_mb": 300}))

    found = read_settings({})

    assert found.settings == Settings(cache_mb=300)
    assert "Requests at a time" in found.notes[0]


def test_the_environment_counts_more_than_the_file_and_is_not_saved():
    choose(Settings(requests=8))

    found = read_settings({"OMEZARR_REQUESTS": "3", "OMEZARR_PREFETCH": "off"})

    assert found.settings.requests == 3 and not found.settings.prefetch
    assert found.chosen.requests == 8 and found.chosen.prefetch
    assert found.from_environment == {"requests", "reads_ahead"}


def test_a_choice_does_not_undo_what_the_environment_decides(monkeypatch):
    monkeypatch.setenv("OMEZARR_REQUESTS", "3")

    choose(replace(in_force().chosen, requests=20, cache_mb=300))

    assert settings().requests == 3 and settings().cache_mb == 300
    assert read_settings({}).settings.requests == 20


@pytest.mark.parametrize("text", ["many", "0", "-5", "1e3", "9" * 5000, "٣x"])
def test_a_variable_that_makes_no_sense_is_told_and_left_out(text):
    found = read_settings({"OMEZARR_REQUESTS": text})

    assert found.settings == Settings()
    assert found.notes == (
        "OMEZARR_REQUESTS in the environment is not a number from 1 to 512: ignored.",
    )


def test_the_disk_cache_is_set_in_mb_and_automatic_where_nothing_is_said():
    assert read_settings({}).settings.disk_bytes is None
    assert read_settings({"OMEZARR_DISK_CACHE_MB": "0"}).settings.disk_bytes == 0
    assert read_settings({"OMEZARR_DISK_CACHE_MB": "3"}).settings.disk_bytes == 3 << 20

    found = read_settings({"OMEZARR_DISK_CACHE_MB": "many", "OMEZARR_DISK_CACHE_PRIVATE": "maybe"})

    assert found.settings == Settings()
    assert found.notes == (
        "OMEZARR_DISK_CACHE_MB in the environment is not a number from 0 to 67,108,864: ignored.",
        "OMEZARR_DISK_CACHE_PRIVATE in the environment is not 1 or 0: ignored.",
    )


def test_what_another_program_chose_is_followed_where_that_is_asked_for():
    choose(Settings(requests=8))
    write('{"disk_bytes": 5}')

    assert in_force_everywhere().settings.disk_bytes == 5
    assert settings().disk_bytes is None


def test_a_metered_line_loads_nothing_ahead_whatever_else_is_set():
    metered = Settings(metered=True, reads_ahead=True, prefetch_mb=500)

    assert not metered.prefetch
    assert metered.prefetch_bytes == 0


def test_a_folder_that_cannot_be_written_is_told_and_the_choice_holds_all_the_same(tmp_path):
    write("{}")
    settings_file().unlink()
    settings_file().mkdir()

    with pytest.raises(CloudError, match="Could not save the settings"):
        choose(Settings(requests=8))

    assert settings().requests == 8
    assert [each.name for each in settings_file().parent.iterdir()] == ["settings.json"]


def test_a_value_out_of_range_is_refused_and_changes_nothing():
    with pytest.raises(ValueError, match="requests must be a number from 1 to 512"):
        choose(Settings(requests=0))

    assert settings() == Settings()
    assert not settings_file().exists()


def test_every_setting_is_in_the_reference_with_its_default_and_range():
    page = (ROOT / "docs" / "reference" / "settings.md").read_text(encoding="utf-8")

    for about in DESCRIPTIONS:
        default = f"{about.default} {about.unit}".strip()
        limits = f"{about.low // about.factor} – {about.high // about.factor}"
        if about.default is None:
            default = "automatic"
        elif about.is_switch:
            default, limits = "yes" if about.default else "no", ""
        row = " | ".join(each for each in (about.title, default, limits) if each)
        assert f"| {row} |" in page, about.name
        assert f"| `{about.variable}` |" in page
