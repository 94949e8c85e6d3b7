from __future__ import annotations

import json

import pytest

from napari_omezarr_cloud.ngff import Channel, Window


def _channels(read, *channels: object) -> tuple[tuple[Channel, ...], tuple[str, ...]]:
    image = read({"omero": {"channels": list(channels)}})
    return image.channels, image.notes


def test_a_channel_keeps_everything_that_is_said_of_it(read) -> None:
    window = {"min": 0, "max": 65535, "start": 100, "end": 40000}
    said = {"label": "DAPI", "color": "00FFFF", "active": False, "inverted": True, "window": window}

    channels, notes = _channels(read, said)

    assert channels == (Channel("DAPI", "00FFFF", Window(100, 40000, 0, 65535), False, True),)
    assert notes == ()


def test_a_channel_without_active_is_shown(read) -> None:
    assert _channels(read, {"label": "a"})[0][0].active is True


@pytest.mark.parametrize(
    ("color", "kept"),
    [
        ("00ff00", "00FF00"),
        ("#FF0000", "FF0000"),
        ("0x00ff00", "00FF00"),
        (" FFFFFF ", "FFFFFF"),
        ("f80", "FF8800"),
        ("#00FF00FF", "00FF00"),
        (255, "0000FF"),
        (12, "00000C"),
        (-16776961, "FF0000"),
        (65535.0, "00FFFF"),
    ],
)
def test_colours_are_normalised(read, color: object, kept: str) -> None:
    assert _channels(read, {"color": color})[0][0].color == kept


@pytest.mark.parametrize("color", ["red", "", "12345", "GGGGGG", True, [255, 0, 0], {}, 1e300])
def test_an_unusable_colour_is_none_with_a_note(read, color: object) -> None:
    (channel,), notes = _channels(read, {"color": color, "label": "a"})

    assert (channel.name, channel.color) == ("a", None)
    assert "color" in notes[0]


@pytest.mark.parametrize(
    "window",
    [
        '{"start": 500, "end": 5}',
        '{"start": 5, "end": 5}',
        '{"start": NaN, "end": Infinity}',
        '{"start": "low", "end": "high"}',
        '{"min": 0, "max": 255}',
        "[0, 255]",
        "null",
    ],
)
def test_an_unusable_window_is_none_for_that_channel_only(read, window: str) -> None:
    good = {"start": 1, "end": 2, "min": "low", "max": None}

    channels, notes = _channels(read, {"window": json.loads(window)}, {"window": good})

    assert [channel.window for channel in channels] == [None, Window(1, 2, None, None)]
    assert "channel 0: " in notes[0]
    assert "window" in notes[0]


def test_the_same_trouble_of_many_channels_is_one_note(read) -> None:
    _, notes = _channels(read, *({"label": str(i)} for i in range(44)))

    assert len(notes) == 1
    assert "(44 in all)" in notes[0]


@pytest.mark.parametrize("active", [0, 1, "false", None])
def test_active_is_true_or_false_whatever_is_written(read, active: object) -> None:
    (channel,), _ = _channels(read, {"active": active})

    assert channel.active is (active != 0)


def test_what_is_no_channel_keeps_its_place(read) -> None:
    channels, notes = _channels(read, {"label": "a"}, None, {"label": "c"})

    assert [channel.name for channel in channels] == ["a", None, "c"]
    assert "channel 1: no object" in " ".join(notes)


@pytest.mark.parametrize("channels", [None, {}, "DAPI", 3])
def test_channels_that_are_no_list_are_none_with_a_note(read, channels: object) -> None:
    image = read({"omero": {"channels": channels}})

    assert image.channels == ()
    assert "channels" in image.notes[0]


@pytest.mark.parametrize("omero", [{}, {"channels": []}, None])
def test_no_channels_need_no_note(read, omero: object) -> None:
    assert read({"omero": omero}).notes == ()


def test_defaults_say_which_plane_comes_first(read) -> None:
    image = read({"omero": {"rdefs": {"defaultZ": 118, "defaultT": 2.0, "model": "greyscale"}}})

    assert (image.default_z, image.default_t, image.model) == (118, 2, "greyscale")


def test_odd_defaults_are_not_used(read) -> None:
    image = read({"omero": {"rdefs": {"defaultZ": -1, "defaultT": "last", "model": 3}}})

    assert (image.default_z, image.default_t, image.model) == (None, None, None)
    assert "defaultZ" in image.notes[0]


def test_names_are_plain_text_on_one_line(read) -> None:
    labels = ["<script>alert(1)</script>", "two\nlines\0", "\ud800", " ", 488]

    channels, _ = _channels(read, *({"label": label} for label in labels))

    names = [channel.name for channel in channels]
    assert names == ["<script>alert(1)</script>", "two lines", None, None, "488"]
