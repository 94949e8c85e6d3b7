"""What a person pastes, and how it is understood."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from napari_omezarr_cloud.errors import LinkError
from napari_omezarr_cloud.location import (
    Access,
    Location,
    looks_like_ome_zarr,
    parse_location,
    understood,
)

CORPUS_NAME = "v04_ünïcode name with spaces #1 50% a+b.zarr"


def parse(
    text: str,
    endpoint: str | None = None,
    access: Access | None = None,
    environ: dict[str, str] | None = None,
) -> Location:
    """Parse without what this computer's environment holds."""
    return parse_location(text, endpoint=endpoint, access=access, environ=environ or {})


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        pytest.param("s3://b/k.zarr", "s3://b/k.zarr", id="s3"),
        pytest.param("S3A://b/k.zarr", "s3://b/k.zarr", id="s3a in upper case"),
        pytest.param("s3:/b//k.zarr/", "s3://b/k.zarr", id="slashes lost and doubled"),
        pytest.param("s3://b", "s3://b", id="bucket alone"),
        pytest.param(
            "s3://b/k?endpoint=https://h:9000/", "s3://b/k?endpoint=https://h:9000", id="endpoint"
        ),
        pytest.param(
            "s3://b/k?endpoint=localhost:9000&region=r&profile=lab&anonymous",
            "s3://b/k?endpoint=http://localhost:9000&region=r&profile=lab&anonymous=true",
            id="every option",
        ),
        pytest.param("s3://h:9000/b/k", "s3://b/k?endpoint=https://h:9000", id="host for a bucket"),
        pytest.param(
            "s3+http://10.0.0.1:9000/b/k", "s3://b/k?endpoint=http://10.0.0.1:9000", id="s3+http"
        ),
        pytest.param("s3+https://b.s3.amazonaws.com/k", "s3://b/k", id="s3+https Amazon"),
        pytest.param("https://b.s3.amazonaws.com/k", "s3://b/k", id="virtual host"),
        pytest.param("http://b.s3.us-east-1.amazonaws.com/k", "s3://b/k?region=us-east-1", id="r"),
        pytest.param("https://b.s3-eu-west-1.amazonaws.com/k", "s3://b/k?region=eu-west-1", id="-"),
        pytest.param(
            "https://a.b.s3.us-gov-west-1.amazonaws.com/k",
            "s3://a.b/k?region=us-gov-west-1",
            id="dotted bucket",
        ),
        pytest.param("https://s3.eu-west-1.amazonaws.com/b/k", "s3://b/k?region=eu-west-1", id="p"),
        pytest.param("https://s3.amazonaws.com/b/k", "s3://b/k", id="path style, no region"),
        pytest.param(
            "https://b.s3.dualstack.ap-southeast-2.amazonaws.com/k",
            "s3://b/k?region=ap-southeast-2",
            id="dualstack",
        ),
        pytest.param(
            "https://s3.cn-north-1.amazonaws.com.cn/b/k",
            "s3://b/k?endpoint=https://s3.cn-north-1.amazonaws.com.cn&region=cn-north-1",
            id="China",
        ),
        pytest.param("gs://b/k", "gs://b/k", id="gs"),
        pytest.param("https://storage.googleapis.com/b/k", "gs://b/k", id="gs path style"),
        pytest.param("https://a.b.storage.googleapis.com/k", "gs://a.b/k", id="gs virtual host"),
        pytest.param("https://storage.cloud.google.com/b/k", "gs://b/k", id="gs with login"),
        pytest.param("az://c/k?account=me", "az://c/k?account=me", id="az"),
        pytest.param(
            "abfss://c@me.dfs.core.windows.net/k", "az://c/k?account=me", id="abfss with account"
        ),
        pytest.param("https://me.blob.core.windows.net/c/k", "az://c/k?account=me", id="blob host"),
        pytest.param("HTTPS://Host:443/Path/a.zarr#t", "https://host/Path/a.zarr", id="https"),
        pytest.param("http://h:9000/b/a.zarr", "http://h:9000/b/a.zarr", id="MinIO path style"),
        pytest.param("https://[::1]:8080/a", "https://[::1]:8080/a", id="IPv6"),
        pytest.param("www.h.org/a.zarr", "https://www.h.org/a.zarr", id="www"),
        pytest.param("s3.embl.de/b/a.zarr", "https://s3.embl.de/b/a.zarr", id="no scheme"),
        pytest.param("localhost:9000/b/a", "http://localhost:9000/b/a", id="no scheme, local"),
        pytest.param(r"C:\data\x y.zarr", "C:/data/x y.zarr", id="Windows path"),
        pytest.param("C:/data/x.zarr/", "C:/data/x.zarr", id="Windows path with slashes"),
        pytest.param(r"\\server\share\x.zarr", "//server/share/x.zarr", id="Windows share"),
        pytest.param("file:///a%20b/%23c.zarr/", "/a b/#c.zarr", id="file URL"),
        pytest.param("file://C:/x.zarr", "C:/x.zarr", id="file URL of a drive"),
        pytest.param("file://localhost/x.zarr", "/x.zarr", id="file URL with localhost"),
    ],
)
def test_every_form_of_link_is_understood_and_shown_in_one_way(text: str, shown: str) -> None:
    location = parse(text)

    assert str(location) == shown
    assert parse(shown) == location


@pytest.mark.parametrize(
    "pasted",
    [
        "  s3://b/x.zarr \n",
        '"s3://b/x.zarr"',
        "<s3://b/x.zarr>",
        "“s3://b/x.zarr”",
        "s3://b/x.zarr'",
        "\u200bs3://b/\u200bx.zarr\ufeff",
        "s3://b/\n   x.zarr",
        "s3://b/x.zarr//",
        "s3://b/x.zarr/.zattrs",
        "s3://b/x.zarr/.zgroup",
        "s3://b/x.zarr/.zmetadata",
        "s3://b/x.zarr/zarr.json",
        "s3://b/x.zarr/.zarray",
        "s3://b/x.zarr/0/.zarray",
        "s3://b/x.zarr/s0/.zarray/",
        "s3://b/x.zarr/0/zarr.json",
    ],
)
def test_what_is_pasted_around_or_behind_a_link_is_forgiven(pasted: str) -> None:
    assert str(parse(pasted)) == "s3://b/x.zarr"


def test_metadata_of_an_image_inside_a_series_opens_that_image() -> None:
    assert str(parse("https://h/x.zarr/0/.zattrs")) == "https://h/x.zarr/0"
    assert str(parse("https://h/x.zarr/0/1/.zarray")) == "https://h/x.zarr/0"


def test_a_query_pasted_with_a_metadata_file_is_kept_for_requests() -> None:
    location = parse("https://h/a b/x.zarr/.zattrs?sig=a%2Fb c")

    assert location.to_text() == "https://h/a%20b/x.zarr?sig=a%2Fb%20c"
    assert location.has_secret


def test_a_signed_amazon_link_stays_the_url_that_was_signed() -> None:
    location = parse("https://b.s3.amazonaws.com/x.zarr?X-Amz-Signature=SECRET")

    assert (location.kind, str(location)) == ("http", "https://b.s3.amazonaws.com/x.zarr")


def test_an_azure_sas_goes_to_the_container_it_is_for() -> None:
    location = parse("https://me.blob.core.windows.net/c/x.zarr?sv=2024&sig=a%2Fb")

    assert (location.kind, location.account, location.bucket) == ("az", "me", "c")
    assert location.query == "sv=2024&sig=a%2Fb"


def test_only_the_unknown_part_of_a_query_is_a_secret() -> None:
    assert not parse("s3://b/k?endpoint=https://h&region=r&profile=p&anonymous=no").has_secret
    assert parse("s3://b/k?region=r&token=SECRET").query == "token=SECRET"


def test_percent_signs_are_decoded_once_in_links_and_never_in_paths(tmp_path: Path) -> None:
    assert parse("s3://b/a%2520b+c#1.zarr").key == "a%20b+c#1.zarr"
    assert parse("https://h/50% a%2Bb.zarr").key == "50% a+b.zarr"
    assert parse(f"{tmp_path}/a%20b?c#1.zarr").key == f"{tmp_path}/a%20b?c#1.zarr"


def test_a_path_with_every_difficult_character_stays_itself(tmp_path: Path) -> None:
    folder = tmp_path / CORPUS_NAME
    folder.mkdir()

    location = parse_location(folder)

    assert location.kind == "file"
    assert Path(location.key).samefile(folder)
    assert str(location) == str(folder)


def test_a_relative_path_and_home_become_absolute(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")

    assert parse("data/x.zarr").key == os.path.join(os.getcwd(), "data/x.zarr")
    assert parse("~/x.zarr").key == "/home/me/x.zarr"


def test_a_folder_with_a_dot_in_its_name_is_no_host() -> None:
    assert parse("image.zarr/0").kind == "file"
    assert parse("2024.05.raw/x.zarr").kind == "file"
    assert parse("./s3.embl.de/x.zarr").kind == "file"


def test_the_endpoint_comes_from_the_link_then_the_argument_then_the_environment() -> None:
    environ = {"AWS_ENDPOINT_URL": "http://all:1", "AWS_ENDPOINT_URL_S3": "http://env:1"}
    linked = "s3://b/k?endpoint=http://link:1"

    def endpoint(text: str, argument: str | None = None) -> str | None:
        return parse(text, endpoint=argument, environ=environ).endpoint

    assert endpoint(linked, "http://arg:1") == "http://link:1"
    assert endpoint("s3://b/k", "http://arg:1") == "http://arg:1"
    assert endpoint("s3://b/k") == "http://env:1"


def test_amazons_own_endpoint_is_the_default_and_gives_the_region() -> None:
    assert str(parse("s3://b/k", endpoint="https://s3.eu-west-1.amazonaws.com")) == (
        "s3://b/k?region=eu-west-1"
    )


def test_an_amazon_link_is_not_sent_to_the_environments_endpoint() -> None:
    environ = {"AWS_ENDPOINT_URL": "https://minio.lab"}

    location = parse("https://b.s3.eu-west-1.amazonaws.com/k", environ=environ)

    assert location.endpoint == "https://s3.eu-west-1.amazonaws.com"
    assert parse(str(location), environ=environ) == location


def test_a_web_link_to_the_named_endpoint_is_read_as_bucket_and_key() -> None:
    location = parse("https://h:9000/b/x.zarr", endpoint="h:9000/")

    assert str(location) == "s3://b/x.zarr?endpoint=https://h:9000"


def test_the_link_goes_before_the_given_access() -> None:
    access = Access(anonymous=True, profile="lab", region="eu-west-1")

    assert parse("s3://b/k?anonymous=false&region=r", access=access).access == Access(
        False, "lab", "r"
    )


def test_the_azure_account_may_come_from_the_environment() -> None:
    assert parse("az://c/k", environ={"AZURE_STORAGE_ACCOUNT_NAME": "me"}).account == "me"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        pytest.param("", "No link", id="nothing"),
        pytest.param(' "" ', "No link", id="quotes only"),
        pytest.param("ftp://h/x.zarr", "'ftp'", id="unknown scheme"),
        pytest.param("s3://", "no bucket", id="no bucket"),
        pytest.param("s3://b!/k", "bucket", id="impossible bucket"),
        pytest.param("s3://b/../k", "'..'", id="dots"),
        pytest.param("https://h/%2e%2e/k", "'..'", id="encoded dots"),
        pytest.param("https:///", "no host", id="no host"),
        pytest.param("https://h:99999/x", "host name", id="port too large"),
        pytest.param("https://h\u202eevil/x", "host name", id="deceiving host"),
        pytest.param("s3://b/k\ns3://b/l", "more than one", id="two links"),
        pytest.param("s3://b/k?anonymous=perhaps", "anonymous", id="neither yes nor no"),
        pytest.param("s3://b/k?endpoint=ftp://h", "endpoint", id="endpoint of another kind"),
        pytest.param("az://c/k", "?account=", id="no account"),
        pytest.param("abfs://c@h.org/k", "storage account", id="host is no account"),
        pytest.param("s3://b/\0", "null", id="null character"),
        pytest.param("https://me:pw@h/x", "user name or a password", id="password"),
        pytest.param("abfs://me:pw@h/x", "user name or a password", id="password for Azure"),
        pytest.param("s3://b/\ud800", "no text", id="half a character"),
    ],
)
def test_a_link_that_makes_no_sense_is_refused_with_the_reason(text: str, says: str) -> None:
    with pytest.raises(LinkError) as caught:
        parse(text)

    assert says in str(caught.value)


@pytest.mark.skipif(os.name == "nt", reason="a share is an ordinary path there")
def test_a_file_url_of_another_computer_is_refused() -> None:
    with pytest.raises(LinkError, match="another computer"):
        parse("file://server/share/x.zarr")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (
            "https://b.s3.eu-west-1.amazonaws.com/k d",
            "Amazon S3, bucket 'b', key 'k d', region eu-west-1, "
            "anonymous first, then the environment's credentials",
        ),
        (
            "s3://b/k?endpoint=https://h&profile=lab",
            "S3 server https://h, bucket 'b', key 'k', profile 'lab'",
        ),
        (
            "https://h/x.zarr?token=SECRET",
            "web server https://h, path '/x.zarr', "
            "with the rest of the link kept for the requests, not shown",
        ),
        ("gs://b?anonymous=true", "Google Cloud Storage, bucket 'b', anonymous"),
        (
            "az://c/k?account=me&anonymous=false",
            "Azure storage account 'me', container 'c', key 'k', "
            "with the environment's credentials",
        ),
        ("/data/x.zarr", "local path '/data/x.zarr'"),
    ],
)
def test_one_line_says_how_a_link_was_understood(text: str, line: str) -> None:
    assert understood(parse(text)) == line


@pytest.mark.parametrize(
    ("text", "ours"),
    [
        ("s3://b/anything", True),
        ("GS://b/x", True),
        ("az://c/x", True),
        ("abfs://c/x", True),
        ("https://h/x.ome.zarr?sig=1", True),
        ("https://h/x.ZARR/labels/0", True),
        ("https://h/x.ozx", True),
        ("https://h/x/zarr.json", True),
        ("https://h/x.png?like=y.zarr", False),
        ("https://h/x.zarrow", False),
        ("https://h/", False),
        ("/data/x.zarr/", True),
        ("/data/x.zarr.zip", True),
        (CORPUS_NAME, True),
        (r"C:\x.zarr\0", True),
        ("/data/x.tif", False),
        ("ftp://h/x.zarr", False),
        ("", False),
    ],
)
def test_the_reader_knows_its_links_by_their_text(text: str, ours: bool) -> None:
    assert looks_like_ome_zarr(text) is ours


@pytest.mark.parametrize(
    "text",
    ["htt ps://host/a.zarr?token=5ecret", "https:0//host/a.zarr?token=5ecret",
     "zip::https:0/host/a.zip?sas=5ecret", "a://b?5ecret"],
)  # fmt: skip
def test_a_spoilt_link_is_no_path_and_its_token_is_not_shown(text: str) -> None:
    with pytest.raises(LinkError) as caught:
        parse_location(text)

    assert "5ecret" not in str(caught.value)


@pytest.mark.skipif(os.name == "nt", reason="Windows deletes no folder that somebody is in")
def test_a_path_in_a_folder_that_is_gone_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()

    with pytest.raises(LinkError, match=r"image\.zarr.*does not exist any more"):
        parse_location("image.zarr")
    assert parse_location("/data/image.zarr").key == "/data/image.zarr"
