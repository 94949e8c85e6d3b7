"""What was said of a place lets in, is renewed, and is nobody else's business."""

from __future__ import annotations

import base64
import json
import os
import pickle
import subprocess
import sys
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest

import napari_omezarr_cloud as noc
from napari_omezarr_cloud.errors import AccessRefusedError, CloudError, CredentialsError, LinkError
from napari_omezarr_cloud.location import parse_location
from napari_omezarr_cloud.store import keys, place_access
from napari_omezarr_cloud.store.place_access import (
    PlaceAccess,
    access_file,
    access_for,
    all_access,
    choose_access,
    for_workers,
    forget_access,
    settled,
)
from tests.fixtures.disk import files_of
from tests.fixtures.fake_clouds import Asked, FakeWebServer, Refused

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from napari_omezarr_cloud.store.disk import DiskCache
    from tests.fixtures.images import Written
    from tests.fixtures.servers import S3Server

pytestmark = pytest.mark.usefixtures("no_access")

NAME = "v04 by ome-zarr-py.ome.zarr"


@pytest.fixture(scope="session")
def stored(s3: S3Server, ome_zarr: Callable[[str], Written]) -> S3Server:
    """The S3 server, with an image in its private bucket."""
    s3.put_folder(ome_zarr("v04 by ome-zarr-py").path, s3.private)
    return s3


def keys_of(server: S3Server, secret: str = "") -> dict[str, str]:
    return {
        "access_key_id": server.access_key,
        "secret_access_key": secret or server.secret_key,
    }


# ---- which place is meant -----------------------------------------------------------------------


def test_the_nearest_place_counts() -> None:
    choose_access(PlaceAccess("s3://lab", "profile", profile="all"))
    choose_access(PlaceAccess("s3://lab/mine", "profile", profile="mine", region="eu-west-1"))

    assert str(settled(parse_location("s3://lab/mine/a.zarr"))).endswith(
        "?region=eu-west-1&profile=mine&anonymous=false"
    )
    assert settled(parse_location("s3://lab/mines/a.zarr")).access.profile == "all"
    assert settled(parse_location("s3://other/a.zarr")).access.profile is None


def test_what_a_link_says_itself_counts_more() -> None:
    choose_access(PlaceAccess("s3://lab", "profile", profile="all"))

    assert settled(parse_location("s3://lab/a.zarr?profile=other")).access.profile == "other"
    assert settled(parse_location("s3://lab/a.zarr?anonymous=true")).access.profile is None


def test_keys_are_for_the_server_that_was_named() -> None:
    choose_access(PlaceAccess("s3://lab?endpoint=https://s3.lab.org", "environment"))

    assert access_for(parse_location("s3://lab/a?endpoint=https://elsewhere.org")) is None
    assert settled(parse_location("s3://lab/a")).endpoint == "https://s3.lab.org"


def test_what_was_said_is_there_at_the_next_start_and_readable_by_its_owner_alone() -> None:
    choose_access(PlaceAccess("s3://lab", "profile", profile="all", requester_pays=True))
    place_access._lasting.clear()
    place_access._read_at = None

    assert all_access() == (PlaceAccess("s3://lab", "profile", profile="all", requester_pays=True),)
    assert access_file().stat().st_mode & 0o077 == 0
    assert forget_access("s3://lab")
    assert all_access() == ()


def test_a_file_that_somebody_spoilt_says_nothing() -> None:
    access_file().parent.mkdir(parents=True, exist_ok=True)
    access_file().write_text(
        json.dumps({"places": [3, {"place": "s3://b", "way": "sas"}, {"place": "??"}, {"way": 1}]})
    )

    assert all_access() == ()


@pytest.mark.parametrize(
    ("said", "secrets", "why"),
    [
        (PlaceAccess("s3://lab", "sas"), {"sas": "x"}, "no way in there"),
        (PlaceAccess("https://a.org/lab", "keys"), {}, r"s3://BUCKET\?endpoint=https://a.org"),
        (PlaceAccess("s3://lab", "keys"), {"access_key_id": "x"}, "it needs: Secret access key"),
        (PlaceAccess("s3://lab", "profile"), {}, "it needs: Profile"),
        (
            PlaceAccess("s3://lab", region="wJalrXUt/K7MDENG"),
            {},
            "what was given is no region",
        ),
        (PlaceAccess("https://lab.org", "token"), {"token": "a\nb"}, "cannot be sent"),
        (PlaceAccess("https://lab.org", "headers"), {"headers": "nothing"}, "Name: value"),
    ],
)
def test_what_cannot_be_meant_is_refused_and_never_quoted(
    said: PlaceAccess, secrets: dict[str, str], why: str
) -> None:
    with pytest.raises(LinkError, match=why):
        choose_access(said, secrets)

    assert all_access() == ()


# ---- S3 -----------------------------------------------------------------------------------------


def test_keys_that_were_typed_open_a_private_bucket(stored: S3Server) -> None:
    place = f"s3://{stored.private}?endpoint={stored.endpoint}"
    choose_access(PlaceAccess(place, "keys"), keys_of(stored))

    image = noc.open(f"s3://{stored.private}/{NAME}")  # the place says where it is

    assert image.read(2).shape == image.levels[2].shape
    assert not access_file().exists()  # they hold for this run
    # A web link to the same server means the same place.
    assert noc.open(f"{stored.endpoint}/{stored.private}/{NAME}").location.kind == "s3"


def test_keys_in_the_keyring_are_there_at_the_next_start(
    stored: S3Server, ring: dict[tuple[str, str], str]
) -> None:
    place = f"s3://{stored.private}?endpoint={stored.endpoint}"
    choose_access(PlaceAccess(place, "keys", in_keyring=True), keys_of(stored))
    keys._typed.clear()  # as a new start

    assert noc.open(f"s3://{stored.private}/{NAME}").levels[0].shape == (6, 96, 80)
    assert stored.secret_key not in access_file().read_text()
    assert stored.access_key not in access_file().read_text()
    assert forget_access(place)
    assert ring == {}


def test_keys_that_the_keyring_lost_are_asked_for(
    stored: S3Server, ring: dict[tuple[str, str], str]
) -> None:
    place = f"s3://{stored.private}?endpoint={stored.endpoint}"
    choose_access(PlaceAccess(place, "keys", in_keyring=True), keys_of(stored))
    keys._typed.clear()
    ring.clear()

    with pytest.raises(CredentialsError, match="not in this computer's keyring"):
        noc.open(f"s3://{stored.private}/{NAME}")


@pytest.mark.usefixtures("no_ring")
def test_where_there_is_no_keyring_keys_hold_for_this_run(stored: S3Server) -> None:
    place = f"s3://{stored.private}?endpoint={stored.endpoint}"

    with pytest.raises(CloudError, match="hold until the program ends") as caught:
        choose_access(PlaceAccess(place, "keys", in_keyring=True), keys_of(stored))

    assert stored.secret_key not in str(caught.value)
    assert noc.open(f"s3://{stored.private}/{NAME}").levels[0].shape == (6, 96, 80)


def test_an_open_image_goes_on_with_new_keys(stored: S3Server) -> None:
    place = f"s3://{stored.private}?endpoint={stored.endpoint}"
    choose_access(PlaceAccess(place, "keys"), keys_of(stored))
    image = noc.open(f"s3://{stored.private}/{NAME}")
    choose_access(PlaceAccess(place, "keys"), keys_of(stored, "revoked-secret"))
    with pytest.raises(CloudError, match="does not accept the credentials") as caught:
        image.read(0)
    assert "revoked-secret" not in str(caught.value)

    choose_access(PlaceAccess(place, "keys"), {"secret_access_key": stored.secret_key})

    assert image.read(0).shape == (6, 96, 80)


def test_an_open_image_goes_on_after_signing_in_again(
    web: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    server, link = web
    good = ["AKIAFIRST"]

    def sign_in(key: str) -> None:
        keys = f"aws_access_key_id={key}\naws_secret_access_key=of-{key}\n"
        (tmp_path / "credentials").write_text(f"[lab]\n{keys}")

    def check(asked: Asked) -> None:
        if f"Credential={good[0]}/" not in asked.headers.get("authorization", ""):
            raise Refused(400, "ExpiredToken")

    server.check = check
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    sign_in("AKIAFIRST")
    name = parse_location(link).key.removeprefix("data/")
    image = noc.open(f"s3://data/{quote(name)}?endpoint={server.url}&profile=lab")
    good[0] = "AKIASECOND"
    with pytest.raises(CloudError, match=r"have run out \(400, ExpiredToken"):
        image.read(0)

    sign_in("AKIASECOND")

    assert image.read(0).any()


def test_a_bucket_in_another_region_is_found_there(web: Any) -> None:
    server, link = web

    def check(asked: Asked) -> None:
        if "/eu-west-1/s3/" not in asked.headers.get("authorization", ""):
            raise Refused(400, "AuthorizationHeaderMalformed", "<Region>eu-west-1</Region>")

    server.check = check
    name = parse_location(link).key.removeprefix("data/")
    link = f"s3://data/{quote(name)}?endpoint={server.url}"
    noc.set_access(link, "keys", access_key_id="id-of-lab", secret_access_key="secret-of-lab")

    assert "its region is eu-west-1" in str(noc.try_access(link))
    assert noc.open(link).read(1).any()
    with pytest.raises(CloudError, match=r"in another region.*Its region is eu-west-1"):
        noc.open(link, region="us-west-2")


# ---- the web ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("way", "secrets", "wanted"),
    [
        ("token", {"token": "Bearer t0ken-t0ken"}, ("authorization", "Bearer t0ken-t0ken")),
        (
            "password",
            {"user": "me", "password": "pass-word"},
            ("authorization", "Basic " + base64.b64encode(b"me:pass-word").decode()),
        ),
        ("headers", {"headers": "X-Api-Key: k3y-k3y; X-Lab: b"}, ("x-api-key", "k3y-k3y")),
    ],
)
def test_a_web_server_gets_what_it_wants(
    web: Any, way: str, secrets: dict[str, str], wanted: tuple[str, str]
) -> None:
    server, link = web
    server.wanted = wanted
    with pytest.raises(AccessRefusedError):
        noc.open(link)

    choose_access(PlaceAccess(server.url, way), secrets)
    image = noc.open(link)

    assert image.read(1).shape == image.levels[1].shape
    assert {asked.status for asked in server.log[-3:]} == {200}


@pytest.mark.parametrize(
    ("way", "secrets", "wanted"),
    [
        ("token", {"token": "t0ken-t0ken"}, ("authorization", "Bearer t0ken-t0ken")),
        ("headers", {"headers": "X-Api-Key: k3y-k3y"}, ("x-api-key", "k3y-k3y")),
        ("automatic", {}, ("?token=t0ken-t0ken", "")),
    ],
)
def test_who_is_sent_on_to_a_stranger_does_not_tell_him_who_asks(
    web: Any, way: str, secrets: dict[str, str], wanted: tuple[str, str], tmp_path: Path
) -> None:
    """As servers do whose files lie in a bucket elsewhere, with a link that is signed for it."""
    stranger, link = web
    path, query = link.removeprefix(stranger.url), ""
    with FakeWebServer() as server:
        if way == "automatic":
            query = wanted[0]
        else:
            server.wanted = wanted
            choose_access(PlaceAccess(server.url, way), secrets)
        server.sends_on_to = stranger.url
        image = noc.open(f"{server.url}{path}{query}")
        assert image.read(0).any()
        noc.download(f"{server.url}{path}/zarr.json{query}", tmp_path)

    let_in = [asked.peer for asked in server.log if asked.status == 302]
    assert len(let_in) > len(set(let_in))  # connections are used more than once
    assert stranger.log
    for asked in stranger.log:
        assert "t0ken" not in repr(asked.headers) + asked.query
        assert "k3y" not in repr(asked.headers)


def test_a_token_that_runs_out_is_no_blank_and_is_renewed(web: Any) -> None:
    server, link = web
    server.wanted = ("authorization", "Bearer first-token")
    choose_access(PlaceAccess(server.url, "token"), {"token": "first-token"})
    image = noc.open(link)
    server.wanted = ("authorization", "Bearer second-token")

    with pytest.raises(CloudError, match="nothing needs to be restarted"):
        image.read(0)
    choose_access(PlaceAccess(server.url, "token"), {"token": "second-token"})

    assert image.read(0).any()


def test_a_token_goes_to_no_other_server(web: Any) -> None:
    server, link = web
    choose_access(PlaceAccess("http://127.0.0.1:1", "token"), {"token": "first-token"})

    noc.open(link)

    assert not any("authorization" in asked.headers for asked in server.log)


# ---- Azure --------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["account-key", "sas", "token"])
def test_a_container_is_entered(azure: Any, way: str) -> None:
    cloud, link = azure
    with pytest.raises(AccessRefusedError, match="container is private, or not there"):
        noc.open(link)
    place = str(parse_location(link).parent())
    given = {"account-key": cloud.key, "sas": f"?{cloud.sas()}", "token": cloud.token}

    choose_access(PlaceAccess(place, way), {way.replace("-", "_"): given[way]})
    image = noc.open(link)

    assert image.read(1).shape == image.levels[1].shape


def test_a_sas_that_has_run_out_says_so_and_is_renewed_in_place(azure: Any) -> None:
    cloud, link = azure
    image = noc.open(f"{link}&{cloud.sas(until='2026-06-02T00:00:00Z')}")
    cloud.now = cloud.now.replace(day=3)

    with pytest.raises(CloudError, match="credentials have run out"):
        image.read(0)
    place = str(parse_location(link).parent())
    choose_access(PlaceAccess(place, "sas"), {"sas": cloud.sas()})

    assert image.read(0).any()


# ---- Google -------------------------------------------------------------------------------------


def test_a_bucket_is_entered_with_a_token_or_a_key_file(google: Any, tmp_path: Path) -> None:
    cloud, link = google
    with pytest.raises(AccessRefusedError):
        noc.open(link)
    place = str(parse_location(link).parent())
    file = tmp_path / "key.json"
    file.write_text(cloud.service_account())

    choose_access(PlaceAccess(place, "token"), {"token": next(iter(cloud.tokens))})
    assert noc.open(link).levels
    choose_access(PlaceAccess(place, "service-account", file=str(file)))
    image = noc.open(link)

    assert image.read(1).shape == image.levels[1].shape
    assert "private_key" not in access_file().read_text()


def test_the_environments_service_account_is_used_where_strangers_are_refused(
    google: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cloud, link = google
    file = tmp_path / "key.json"
    file.write_text(cloud.service_account())
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(file))

    assert noc.open(link).levels


def test_google_is_told_which_project_pays(google: Any) -> None:
    cloud, link = google
    cloud.requester_pays = True
    place = str(parse_location(link).parent())
    token = {"token": next(iter(cloud.tokens))}
    with pytest.raises(CloudError, match="which project pays"):
        choose_access(PlaceAccess(place, "token", requester_pays=True), token)
        noc.open(link)

    choose_access(PlaceAccess(place, "token", requester_pays=True, project="lab"), token)
    image = noc.open(link)

    assert image.traffic.is_paid
    assert cloud.log[-1].headers["x-goog-user-project"] == "lab"


# ---- who pays, proxies and certificates ---------------------------------------------------------


def test_amazon_is_told_that_the_requester_pays(stored: S3Server, web: Any) -> None:
    server, link = web
    bucket = f"s3://data?endpoint={server.url}"
    choose_access(PlaceAccess(bucket, "keys", requester_pays=True), keys_of(stored))

    image = noc.open(f"s3://data/{parse_location(link).name}.ome.zarr")

    assert server.log[-1].headers["x-amz-request-payer"] == "requester"
    assert image.traffic.is_paid
    assert image.traffic.nbytes > 0


# ---- what is sent elsewhere ---------------------------------------------------------------------


def test_a_pickled_place_has_no_query_elsewhere_and_has_it_here(monkeypatch: Any) -> None:
    from napari_omezarr_cloud.location import sealed

    link = parse_location("https://host/a.zarr?token=s3cret-t0ken")
    raw = pickle.dumps(link)

    assert b"s3cret" not in raw
    assert pickle.loads(raw) == link
    monkeypatch.setattr(sealed, "_texts", {})
    assert pickle.loads(raw).query == ""


def test_workers_of_this_machine_get_in_through_their_environment(
    web: Any,
) -> None:
    server, link = web
    server.wanted = ("authorization", "Bearer w0rker-t0ken")
    choose_access(PlaceAccess(server.url, "token"), {"token": "w0rker-t0ken"})
    image = noc.open(link)
    signed = parse_location(f"{link}?sig=s1gned-link")

    environment = {**os.environ, **for_workers()}
    task = pickle.dumps([image.location, signed])
    program = (
        "import pickle, sys, napari_omezarr_cloud as noc\n"
        "for place in pickle.load(sys.stdin.buffer): print(noc.open(place).read(1).shape)"
    )
    worker = [sys.executable, "-c", program]
    done = subprocess.run(worker, env=environment, input=task, capture_output=True, check=True)

    assert done.stdout.decode().split("\n")[:2] == [str(image.levels[1].shape)] * 2
    assert server.log[-1].query == "sig=s1gned-link"
    assert b"w0rker" not in task
    assert b"s1gned" not in task
    with pytest.raises(TypeError, match="secrets are not pickled"):
        pickle.dumps(keys.Secrets({"token": "w0rker-t0ken"}))


def test_the_shown_link_is_that_of_the_image_and_opens_again(web: Any) -> None:
    server, link = web
    server.wanted = ("authorization", "Bearer t0ken-t0ken")
    choose_access(PlaceAccess(server.url, "token"), {"token": "t0ken-t0ken"})

    image = noc.open(link)

    assert str(image.location) == str(parse_location(link))


def test_what_was_kept_may_be_moved_into_the_keyring_and_out_of_it(
    ring: dict[tuple[str, str], str],
) -> None:
    choose_access(PlaceAccess("https://lab.org", "token"), {"token": "t0ken-t0ken"})
    choose_access(PlaceAccess("https://lab.org", "token", in_keyring=True))
    held = list(ring.values())
    choose_access(PlaceAccess("https://lab.org", "token"))

    assert [json.loads(each) for each in held] == [{"token": "t0ken-t0ken"}]
    assert ring == {}
    assert keys.typed() == {"https://lab.org": {"token": "t0ken-t0ken"}}
    with pytest.raises(LinkError, match="it needs: User name, Password"):
        choose_access(PlaceAccess("https://lab.org", "password"))


def test_who_must_sign_on_again_is_told_how(
    stored: S3Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    about = "sso_start_url=https://lab.awsapps.com/start\nsso_region=us-east-1\n"
    role = "sso_account_id=123456789012\nsso_role_name=reader\n"
    (tmp_path / "config").write_text(
        f"[sso-session lab]\n{about}[profile lab]\nsso_session=lab\n{role}region=us-east-1\n"
    )
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))

    with pytest.raises(CredentialsError, match=r"signing in failed: .*SSO") as caught:
        noc.open(f"s3://{stored.private}/{NAME}?endpoint={stored.endpoint}&profile=lab")

    assert "aws sso login" in caught.value.hint


def test_the_disk_cache_knows_a_place_by_its_short_link(web: Any, disk: DiskCache) -> None:
    server, link = web
    choose_access(PlaceAccess(f"s3://data?endpoint={server.url}", "anonymous"))
    short = f"s3://data/{parse_location(link).key.removeprefix('data/')}"
    noc.open(short).read(1)
    assert files_of(disk)

    noc.clear_cache(parse_location(short))

    assert not files_of(disk)
