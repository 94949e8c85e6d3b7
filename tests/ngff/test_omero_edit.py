"""``omero`` changed: what is said is there, all else is as it was, and the list tells it all."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_omezarr_cloud.errors import MetadataError
from napari_omezarr_cloud.ngff import Channel, Window
from napari_omezarr_cloud.ngff.omero import OWN_KEY, Rendering, parse_omero
from napari_omezarr_cloud.ngff.omero_document import omero_in, with_omero, with_omero_in_copy
from napari_omezarr_cloud.ngff.omero_edit import edited_omero, omero_changes

DAPI = Channel("DAPI", "0000FF", Window(10, 900, 0, 65535))
OMERO: dict[str, Any] = {
    "id": 1,
    "channels": [
        {
            "label": "DAPI",
            "color": "0000ff",
            "coefficient": 1,
            "family": "linear",
            "active": True,
            "window": {"start": 10.0, "end": 900, "min": 0, "max": 65535, "note": "by hand"},
        },
        {"label": 488, "color": "#00FF00", "window": {"start": 5, "end": 50, "min": 0, "max": 60}},
        {"label": "beyond the channel axis"},
    ],
    "rdefs": {"model": "color", "projection": "normal"},
    "version": "0.4",
}


def said(before: object, after: object) -> list[str]:
    return [str(each) for each in omero_changes(before, after)]


def test_what_is_changed_is_written_and_all_else_stays() -> None:
    before = copy.deepcopy(OMERO)
    new = Rendering(
        (
            Channel("nuclei", "FF0000", Window(12.5, 70000, 1, 2), active=False),
            Channel("488", "00FF00", Window(-3, 50)),
        ),
        default_z=3,
        model="greyscale",
    )

    after = edited_omero(before, new)

    assert before == OMERO
    expected = copy.deepcopy(OMERO)
    expected["channels"][0] |= {"label": "nuclei", "color": "FF0000", "active": False}
    expected["channels"][0]["window"] |= {"start": 12.5, "end": 70000, "max": 70000}
    expected["channels"][1] |= {"color": "00FF00", "active": True}  # without "#", and stated
    expected["channels"][1]["window"] |= {"start": -3, "min": -3}
    expected["rdefs"] |= {"defaultZ": 3}
    assert after == expected
    assert said(before, after) == [
        "channel 0 “nuclei”, name: DAPI → nuclei",
        "channel 0 “nuclei”, colour: 0000ff → FF0000",
        "channel 0 “nuclei”, shown: yes → no",
        "channel 0 “nuclei”, contrast limits: 10 to 900 → 12.5 to 70000",
        "channel 0 “nuclei”, range of the contrast slider: 0 to 65535 → 0 to 70000",
        "channel 1 “488”, colour: #00FF00 → 00FF00",
        "channel 1 “488”, contrast limits: 5 to 50 → -3 to 50",
        "channel 1 “488”, range of the contrast slider: 0 to 60 → -3 to 60",
        "channel 1 “488”, shown: not stated → yes",
        "image, z shown first: not stated → 3",
    ]


def test_numbers_are_told_with_as_many_digits_as_tell_them_apart() -> None:
    def seen(start: float, end: float) -> object:
        return {"channels": [{"window": {"start": start, "end": end}}]}

    (change,) = omero_changes(seen(5, 9), seen(29.990000000000236, 1080.010000000475))
    assert change.after == "29.99 to 1080.01"
    (change,) = omero_changes(seen(1, 2.0), seen(1, 2.0000000001))
    assert (change.before, change.after) == ("(1, 2.0)", "(1, 2.0000000001)")


def test_the_same_look_changes_nothing_however_it_is_spelt() -> None:
    same = Rendering((DAPI, Channel("488", "00FF00", Window(5, 50))), model="color")

    assert said(OMERO, edited_omero(OMERO, same)) == [
        "channel 1 “488”, colour: #00FF00 → 00FF00",
        "channel 1 “488”, shown: not stated → yes",
    ]


@pytest.mark.parametrize("nothing", [None, [], {"channels": "red", "rdefs": 3}])
def test_where_nothing_usable_is_all_is_written_as_the_format_asks(nothing: object) -> None:
    after = edited_omero(nothing, Rendering((DAPI,), 2, 1, "color"))

    assert after == {
        "channels": [
            {
                "label": "DAPI",
                "color": "0000FF",
                "active": True,
                "window": {"start": 10, "end": 900, "min": 0, "max": 65535},
            }
        ],
        "rdefs": {"defaultT": 1, "defaultZ": 2, "model": "color"},
    }


def test_a_grey_model_gives_way_to_colours_only() -> None:
    grey = {"rdefs": {"model": "greyscale"}}

    assert edited_omero(grey, Rendering((DAPI,)))["rdefs"]["model"] == "color"
    white = Rendering((Channel(color="FFFFFF"),), model="color")
    assert edited_omero(grey, white)["rdefs"]["model"] == "greyscale"


def test_a_colormap_is_read_back_until_somebody_gives_the_channel_a_colour() -> None:
    viridis = Channel("DAPI", "FFFFFF", colormap="viridis")
    after = edited_omero({"channels": [{OWN_KEY: {"x": 1}}]}, Rendering((viridis,)))

    assert after["channels"][0]["color"] == "FFFFFF"
    assert parse_omero(after, notes=[]).channels[0].colormap == "viridis"
    assert said(None, after)[1:3] == [
        "channel 0 “DAPI”, colour: not stated → FFFFFF",
        "channel 0 “DAPI”, colormap in napari: not stated → viridis",
    ]
    plain = edited_omero(after, Rendering((Channel(color="FFFFFF"),)))
    assert plain["channels"][0][OWN_KEY] == {"x": 1}
    after["channels"][0]["color"] = "FF0000"
    assert parse_omero(after, notes=[]).channels[0].colormap is None


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 300) | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["channels", "rdefs", "label", "color", "window", "start", "min", "active", OWN_KEY]
            )
            | st.text(max_size=4),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)
looks = st.builds(
    Channel,
    st.none() | st.just("a"),
    st.none() | st.just("00FF00"),
    st.none() | st.just(Window(1, 2.5)),
    active=st.booleans(),
    inverted=st.booleans(),
)


@given(json_values, st.lists(looks, max_size=3))
def test_any_metadata_take_any_look(there: object, channels: list[Channel]) -> None:
    before = copy.deepcopy(there)
    after = edited_omero(there, Rendering(tuple(channels), default_z=1))

    assert there == before
    json.dumps(after, allow_nan=False)
    read = parse_omero(after, notes=[])
    for wanted, found in zip(channels, read.channels, strict=False):
        assert wanted.color in (None, found.color)
        assert (found.active, found.inverted) == (wanted.active, wanted.inverted)
        if wanted.window is not None:
            assert found.window is not None
            assert (found.window.start, found.window.end) == (1, 2.5)
    assert edited_omero(after, Rendering(tuple(channels), default_z=1)) == after
    assert omero_changes(after, after) == ()
    assert all("\n" not in line for line in said(there, after))


ATTRIBUTES = {"multiscales": [{"name": "x"}], "omero": OMERO}
OTHERS = {"_ARRAY_DIMENSIONS": ["x"], "mine": {"omero": 1}}
DOCUMENTS = {
    ".zattrs": {**OTHERS, **ATTRIBUTES},
    "zarr.json": {"zarr_format": 3, "attributes": {**OTHERS, "ome": ATTRIBUTES}, "extra": [1]},
}


@pytest.mark.parametrize("key", DOCUMENTS)
def test_a_document_keeps_everything_and_the_former_settings(key: str) -> None:
    document = DOCUMENTS[key]
    raw = json.dumps(document).encode()

    new = with_omero(raw, {"channels": []}, where="here", key=key)

    held = omero_in(new, where="here", key=key)
    assert (held.omero, held.former, held.has_former) == ({"channels": []}, OMERO, True)
    back = json.loads(with_omero(new, held.former, where="here", key=key))
    own = (back if key == ".zattrs" else back["attributes"]).pop(OWN_KEY)
    assert back == document
    assert own == {"former_omero": {"channels": []}}
    assert with_omero(raw, OMERO, where="here", key=key) is raw


def test_settings_beside_ome_are_changed_where_they_stand() -> None:
    raw = b'{"attributes": {"ome": {"multiscales": []}, "omero": {"a": NaN}}}'

    new = with_omero(raw, {"b": 1}, where="here", key="zarr.json")

    attributes = json.loads(new)["attributes"]
    assert (attributes["omero"], "omero" in attributes["ome"]) == ({"b": 1}, False)
    assert b"NaN" in new  # the former ones, as they were


def test_the_copy_of_all_documents_says_the_same() -> None:
    raw = json.dumps({"metadata": {".zattrs": {"omero": 1, "x": 2}, "0/.zattrs": {}}}).encode()

    new = json.loads(with_omero_in_copy(raw, {"b": 1}, where="here"))

    assert new == {"metadata": {".zattrs": {"omero": {"b": 1}, "x": 2}, "0/.zattrs": {}}}
    gone = json.loads(with_omero_in_copy(raw, None, where="here"))
    assert gone["metadata"][".zattrs"] == {"x": 2}


def test_a_key_of_ours_that_is_somebody_elses_is_left_alone() -> None:
    raw = json.dumps({OWN_KEY: "taken"}).encode()

    with pytest.raises(MetadataError, match="something else stands there"):
        with_omero(raw, {}, where="here", key=".zattrs")
