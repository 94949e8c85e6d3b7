"""A location is shown without secrets, goes only downwards, and survives being written down."""

from __future__ import annotations

import pickle
import subprocess
import sys
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_omezarr_cloud.errors import CloudError, LinkError, MetadataError
from napari_omezarr_cloud.location import (
    Access,
    Location,
    aliases,
    moved_note,
    parse_location,
    understood,
)

SECRET = "T0pSecretSignature"
# Any text but half characters, which neither a URL nor a file name can hold.
TEXT = st.text(st.characters(codec="utf-8"), max_size=12)
PART = TEXT.filter(lambda part: part not in ("", ".", "..") and not {"/", "\0"} & set(part))
METADATA = (".zattrs", ".zgroup", ".zmetadata", ".zarray", "zarr.json")
KEY: st.SearchStrategy[str] = (
    st.lists(PART, max_size=4).map("/".join).filter(lambda key: not key.endswith(METADATA))
)
ENDPOINT = st.sampled_from(["https://h.org", "http://localhost:9000", "https://[::1]:1"])
ACCESS = st.builds(
    Access,
    anonymous=st.sampled_from([None, True, False]),
    profile=st.none() | TEXT.filter(bool),
    region=st.none() | st.just("eu-west-1"),
)
LOCATION = st.one_of(
    st.builds(
        Location,
        st.just("s3"),
        st.sampled_from(["bucket", "a.b_c"]),
        KEY,
        endpoint=st.none() | ENDPOINT | st.just("https://h.org/store/v1%"),
        access=ACCESS,
    ),
    st.builds(Location, st.just("gs"), st.just("b"), KEY, access=ACCESS),
    st.builds(Location, st.just("az"), st.just("c"), KEY, account=st.just("me"), access=ACCESS),
    st.builds(Location, st.just("http"), st.just(""), KEY, endpoint=ENDPOINT),
    st.builds(Location, st.just("file"), st.just(""), KEY.map(lambda key: "/" + key)),
)


@given(LOCATION)
def test_what_is_shown_opens_the_same_place_again(location: Location) -> None:
    assert parse_location(str(location), environ={}) == location


@given(LOCATION, st.just(f"sig={SECRET}&se=2030"))
def test_the_whole_text_brings_the_query_back(location: Location, query: str) -> None:
    signed = location if location.kind == "file" else _with_query(location, query)

    assert parse_location(signed.to_text(), environ={}) == signed


@given(LOCATION)
def test_a_location_is_shown_in_one_line_of_visible_characters(location: Location) -> None:
    assert str(location).isprintable()
    assert understood(location).isprintable()


@given(LOCATION)
def test_no_way_of_showing_a_location_shows_its_query(location: Location) -> None:
    signed = _with_query(location, f"sig={SECRET}")

    shown = [str(signed), repr(signed), f"{signed}", f"{signed!r}", signed.name, understood(signed)]

    assert not [text for text in shown if SECRET in text]
    assert pickle.loads(pickle.dumps(signed)) == signed


@given(
    scheme=st.sampled_from(
        ["s3", "gs", "az", "abfs", "https", "https:/", "s3+https", "ftp", "git"]
    ),
    before=TEXT,
    after=TEXT,
    form=st.sampled_from(["{s}://{b}?{S}", "{s}://h/{b}?{a}={S}", "{s}://h:{b}/?{S}&{a}"]),
)
def test_no_error_repeats_a_query(scheme: str, before: str, after: str, form: str) -> None:
    text = form.format(s=scheme, b=before, a=after.strip("=").join("__"), S=SECRET)

    _assert_never_shown(text)


@pytest.mark.parametrize("scheme", ["s3", "gs", "az", "abfs", "https", "s3+http", "ftp", "zarr2"])
@pytest.mark.parametrize("password", ["{}", "a:{}", "a/{}", "a?{}", "a#{}", "a@{}", "a b{}", "[{}"])
def test_a_password_in_a_link_is_refused_and_not_repeated(scheme: str, password: str) -> None:
    text = f"{scheme}://user:{password.format(SECRET)}@host.org/x.zarr"

    with pytest.raises(LinkError):
        parse_location(text, environ={"AZURE_STORAGE_ACCOUNT_NAME": "me"})
    _assert_never_shown(text)


@pytest.mark.parametrize("endpoint", ["https://u:{}@h", "https://h?{}", "h#{}", "ftp://h/?a={}"])
def test_an_endpoint_with_a_secret_is_refused_and_not_repeated(endpoint: str) -> None:
    with pytest.raises(LinkError) as caught:
        parse_location("s3://b/k", endpoint=endpoint.format(SECRET), environ={})

    assert SECRET not in str(caught.value)


@given(LOCATION, st.lists(PART.filter(lambda part: not set(part) & set(":\\%")), min_size=1))
def test_a_child_lies_below_and_its_parents_lead_back(location: Location, parts: list[str]) -> None:
    child = location.child("/".join(parts))

    climbed: Location | None = child
    for _ in parts:
        assert climbed is not None
        climbed = climbed.parent()
    assert climbed == location
    assert child.key.startswith(location.key)


@pytest.mark.parametrize(
    "path",
    [
        "../x",
        "a/../../x",
        "..",
        "%2e%2e/x",
        "a/%252E%252E/x",
        "..%2fx",
        "/etc/passwd",
        "%2fetc",
        "http://evil.invalid/x",
        "file:///etc/passwd",
        "s3:/b/x",
        "a/b\ud800",
        "%25" * 2000,
    ],
)
@pytest.mark.parametrize("base", ["s3://b/x.zarr", "https://h/x.zarr", "/data/x.zarr"])
def test_metadata_cannot_lead_out_of_the_image(base: str, path: str) -> None:
    with pytest.raises(MetadataError) as caught:
        parse_location(base, environ={}).child(path)

    assert path.rstrip("\ud800")[:200] in str(caught.value)
    assert str(caught.value).isprintable()
    assert base in str(caught.value)


@pytest.mark.parametrize("path", [r"..\x", r"a\..\..\x", "C:/x", "C:x"])
def test_metadata_cannot_lead_out_of_a_local_image_on_windows(path: str) -> None:
    with pytest.raises(MetadataError):
        parse_location("C:/data/x.zarr").child(path)


def test_a_child_keeps_endpoint_access_and_query() -> None:
    location = parse_location("https://h/x.zarr?sig=abc", environ={})

    assert location.child("./labels//0/").to_text() == "https://h/x.zarr/labels/0?sig=abc"
    assert location.child("") == location.child(".") == location


def test_the_top_of_a_bucket_server_or_disk_has_no_parent() -> None:
    tops = ["s3://b", "https://h", "/", "C:/"]

    assert [parse_location(top, environ={}).parent() for top in tops] == [None] * 4
    assert str(parse_location("C:/x").parent()) == "C:/"
    assert str(parse_location("/x").parent()) == "/"


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("s3://b/a/cells.ome.zarr", "cells"),
        ("https://h/cells.zarr?sig=1", "cells"),
        ("/data/cells.ozx", "cells"),
        ("/data/cells.zarr.zip", "cells"),
        ("s3://b/cells.zarr/0", "cells/0"),
        ("s3://b/plate.zarr/A/1/0", "plate/A/1/0"),
        ("s3://b/cells.zarr/labels/nuclei", "nuclei"),
        ("s3://b/zarr/00-11", "00-11"),
        ("s3://b/7", "7"),
        ("s3://b/.zarr", ".zarr"),
        ("s3://bucket", "bucket"),
        ("https://host:1", "host:1"),
        ("/", "/"),
    ],
)
def test_a_layer_is_named_after_the_image(text: str, name: str) -> None:
    assert parse_location(text, environ={}).name == name


def test_a_path_style_link_can_be_read_as_s3() -> None:
    location = parse_location("https://h:9000/b/x.zarr", access=Access(profile="lab"))

    assert str(location.as_s3()) == "s3://b/x.zarr?endpoint=https://h:9000&profile=lab"


@pytest.mark.parametrize("text", ["https://h", "https://h/b/k?sig=1", "https://h/ü/k", "gs://b/k"])
def test_what_cannot_be_path_style_s3_is_not_read_as_s3(text: str) -> None:
    assert parse_location(text).as_s3() is None


def test_the_old_ebi_host_is_tried_last_and_known_moves_first() -> None:
    asked = parse_location("https://uk1s3.embassy.ebi.ac.uk/idr/zarr/v0.1/4007801.zarr/0")

    places = aliases(asked)

    assert [str(place) for place in places] == [
        "https://livingobjects.ebi.ac.uk/idr/zarr/v0.4/idr0044A/4007801.zarr/0",
        "https://livingobjects.ebi.ac.uk/idr/zarr/v0.1/4007801.zarr/0",
        "https://uk1s3.embassy.ebi.ac.uk/idr/zarr/v0.1/4007801.zarr/0",
    ]
    assert str(places[0]) in moved_note(asked, places[0])
    assert moved_note(asked, asked) == ""


def test_the_old_ebi_host_is_known_as_an_s3_endpoint_too() -> None:
    asked = "s3://ebi-ngff-challenge-2024/x.zarr?endpoint=https://uk1s3.embassy.ebi.ac.uk"

    assert str(aliases(parse_location(asked))[0]) == (
        "s3://bioimaging-01-pub/ebi-ngff-challenge-2024/x.zarr"
        "?endpoint=https://livingobjects.ebi.ac.uk"
    )


@pytest.mark.parametrize(
    "text",
    [
        "https://h/idr/zarr/v0.1/4007801.zarr",
        "https://livingobjects.ebi.ac.uk/idr/zarr/v0.5/idr0066/x.zarr",
        "https://uk1s3.embassy.ebi.ac.uk/x.zarr?sig=signed-for-this-host",
    ],
)
def test_other_places_are_tried_where_they_are(text: str) -> None:
    location = parse_location(text)

    assert aliases(location) == (location,)


def test_importing_locations_loads_no_library() -> None:
    code = (
        "import sys, napari_omezarr_cloud.location; "
        "print(*{'numpy', 'zarr', 'obstore', 'napari', 'asyncio', 'pathlib'} & set(sys.modules))"
    )

    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )

    assert loaded.stdout.strip() == ""


def _with_query(location: Location, query: str) -> Location:
    return replace(location, query=query)


def _assert_never_shown(text: str) -> None:
    try:
        location = parse_location(text, environ={})
    except CloudError as error:
        shown = [str(error), repr(error), str(error.where), repr(pickle.loads(pickle.dumps(error)))]
    else:
        shown = [str(location), repr(location), understood(location), location.name]
    assert not [line for line in shown if SECRET in line]
