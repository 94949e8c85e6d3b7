"""No secret is written, shown, logged, pickled or copied, whichever way it came in."""

from __future__ import annotations

import base64
import logging
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

import pytest
from qtpy.QtGui import QGuiApplication
from qtpy.QtWidgets import QApplication, QLabel, QPlainTextEdit, QTextEdit

import napari_omezarr_cloud as noc
from napari_omezarr_cloud import settings
from napari_omezarr_cloud.chunks import engine
from napari_omezarr_cloud.cli import main
from napari_omezarr_cloud.location import parse_location
from napari_omezarr_cloud.napari import recent
from napari_omezarr_cloud.napari.live import add_live, plan_live, start_live
from napari_omezarr_cloud.napari.open_url import show_dialog
from napari_omezarr_cloud.napari.place_access import show_access
from napari_omezarr_cloud.napari.snippet import as_python
from tests.fixtures.disk import files_of
from tests.fixtures.fake_clouds import FakeAzure
from tests.fixtures.secret_hunt import SECRETS, Gossip, Hunt, environment, forms, homes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from napari_omezarr_cloud.store.disk import DiskCache
    from tests.fixtures.images import Written

pytestmark = pytest.mark.usefixtures("no_access")


@pytest.fixture
def gossip(ome_zarr: Callable[[str], Written]) -> Iterator[Gossip]:
    """A server that repeats what it is told, with the image ``data/…``."""
    with Gossip() as server:
        server.put_folder(ome_zarr("v05 by ome-zarr-py").path, "data")
        yield server


@pytest.fixture
def profile(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """An AWS profile ``lab``."""
    file = tmp_path_factory.mktemp("aws") / "credentials"
    keys = f"aws_access_key_id={SECRETS['profile-key-id']}\n"
    keys += f"aws_secret_access_key={SECRETS['profile-secret']}\n"
    file.write_text(f"[lab]\n{keys}")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(file))


def name_of(server: Any) -> str:
    return quote(next(iter(server.objects)).split("/")[1])


def ways(server: Gossip) -> dict[str, tuple[str, str, dict[str, str]]]:
    """A link by name, with how to get in and the secrets that are given for that."""
    name = name_of(server)
    web, bucket = f"{server.url}/data/{name}", f"s3://data/{name}?endpoint={server.url}"
    google = f"gs://data/{name}?endpoint={server.url}"
    query = urlencode({"X-Amz-Signature": SECRETS["signature"]})
    typed = {
        "access_key_id": SECRETS["typed-key-id"],
        "secret_access_key": SECRETS["typed-secret"],
        "session_token": SECRETS["typed-session"],
    }
    return {
        "keys": (bucket, "keys", typed),
        "profile": (bucket + "&profile=lab", "", {}),
        "environment": (bucket + "&anonymous=false", "", {}),
        "link": (f"{web}?{query}", "", {}),
        "token": (web, "token", {"token": SECRETS["token"]}),
        "password": (web, "password", {"user": "me", "password": SECRETS["password"]}),
        "headers": (web, "headers", {"headers": f"X-Api-Key: {SECRETS['header']}"}),
        "google": (google, "token", {"token": SECRETS["google"]}),
    }


def caught(do: Callable[[], object]) -> BaseException:
    with pytest.raises(noc.CloudError) as found:
        do()
    return found.value


@pytest.mark.usefixtures("profile", "ring")
def test_no_secret_is_left_behind_by_python_or_the_shell(
    gossip: Gossip,
    disk: DiskCache,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    caplog.set_level(logging.DEBUG)
    for variable, value in environment().items():
        monkeypatch.setenv(variable, value)
    monkeypatch.setenv("OMEZARR_DISK_CACHE_PRIVATE", "1")
    monkeypatch.setattr(settings, "_in_force", None)
    hunt = Hunt()

    for label, (link, way, secrets) in ways(gossip).items():
        if way:
            said = noc.set_access(link, way, keyring=True, **secrets)
            hunt.add(f"{label}: what was said", said, noc.known_access())
        image = noc.open(link)
        image.read(1)
        plan = noc.plan_save(image, tmp_path / label, level=1)
        noc.save(image, tmp_path / label, level=1)
        blurred = noc.apply(image, noc.Step("gaussian", {"sigma": 1.0}))
        noc.run(image, noc.Step("gaussian", {"sigma": 1.0}), tmp_path / f"{label} run", level=1)
        hunt.add(f"{label}: open", image, image.location, image.opened, image.pyramid, image.levels)
        hunt.add(f"{label}: made of it", blurred, blurred.recipe, plan, plan.plan.to_json())
        hunt.add(f"{label}: text", noc.try_access(link, write=True), image.notes, image.traffic)
        hunt.add(f"{label}: store", image.levels[0].zarr.store, vars(image.opened.store))
        gossip.refuses = True
        hunt.add(f"{label}: refused", caught(lambda link=link: noc.open(link)))
        hunt.add(f"{label}: midway", caught(lambda image=image: image.read(0)))
        hunt.add(f"{label}: trial", noc.try_access(link, write=True))
        main(["info", link])
        main(["access", "test", link])
        gossip.refuses = False
        if way:
            assert main(["access", "list"]) == 0
            hunt.add_files(f"{label}: settings", homes()[0])
            noc.forget_access(link)
    hunt.add("a password in a link", caught(lambda: noc.open(
        f"https://me:{quote(SECRETS['url-password'], safe='')}@host/image.zarr"
    )))  # fmt: skip
    main(["info", f"https://me:{quote(SECRETS['url-password'], safe='')}@host/image.zarr"])
    for folder in homes():
        hunt.add_files("home", folder)
    hunt.add_files("saved", tmp_path)
    hunt.add("printed", *capsys.readouterr())
    hunt.add("logged", *(record.getMessage() for record in caplog.records))

    assert hunt.leaks() == []
    assert len(hunt.found) > 200
    assert len(files_of(disk)) > 20, "what needs keys was kept on disk"
    carried = str([(asked.query, dict(asked.headers)) for asked in gossip.log])
    assert {"typed-key-id", "token", "header", "google", "signature"} <= {
        name for form, name in forms().items() if form in carried
    }, "the secrets were used at all"


def test_no_secret_of_azures_is_left_behind(
    ome_zarr: Callable[[str], Written], tmp_path: Path
) -> None:
    hunt = Hunt()
    with FakeAzure() as cloud:
        cloud.put_folder(ome_zarr("v05 by ome-zarr-py").path, "private")
        cloud.key = base64.b64encode(SECRETS["account"].encode()).decode()
        cloud.token = SECRETS["sas"]
        link = f"az://private/{name_of(cloud)}?account=labaccount&endpoint={cloud.endpoint}"
        signature = parse_location(f"{link}&{cloud.sas()}").query.rpartition("sig=")[2]
        given = {"account-key": cloud.key, "sas": cloud.sas(), "token": cloud.token}
        for way, secret in given.items():
            noc.set_access(link, way, **{way.replace("-", "_"): secret})
            image = noc.open(link)
            noc.save(image, tmp_path / way, level=1)
            hunt.add(way, image, image.location, image.opened, vars(image.opened.store))
            cloud.key, before = base64.b64encode(b"another").decode(), cloud.key
            cloud.token = "another"
            hunt.add(way, caught(lambda image=image: image.read(0)), noc.try_access(link))
            cloud.key, cloud.token = before, SECRETS["sas"]
            noc.forget_access(link)
        image = noc.open(f"{link}&{cloud.sas()}")
        noc.save(image, tmp_path / "in the link", level=1)
        hunt.add("in the link", image, image.location, image.opened)
    hunt.add_files("saved", tmp_path)

    assert hunt.leaks() == []
    assert not [where for where, data in hunt.found.items() if signature.encode() in data]


@pytest.mark.usefixtures("profile", "ring")
@pytest.mark.parametrize("label", ["keys", "link", "token"])
def test_no_secret_is_shown_or_kept_by_the_window(
    viewer: Any,
    qtbot: Any,
    gossip: Gossip,
    told: list[str],
    caplog: pytest.LogCaptureFixture,
    label: str,
) -> None:
    caplog.set_level(logging.DEBUG)
    link, way, secrets = ways(gossip)[label]
    hunt = Hunt()
    if way:
        dialog = show_access(viewer, parse_location(link))
        qtbot.waitUntil(dialog.fields.in_keyring.isEnabled, timeout=10000)
        names = [dialog.way.itemData(number).name for number in range(dialog.way.count())]
        dialog.way.setCurrentIndex(names.index(way))
        for name, secret in secrets.items():
            dialog.fields.lines[name].setText(secret)
        dialog.fields.in_keyring.setChecked(True)
        hunt.add("typed", dialog._wish())
        dialog.test_button.click()
        qtbot.waitUntil(lambda: not dialog._is_busy, timeout=20000)
        assert dialog.status.text().startswith("Reading: yes")
    opener = show_dialog(viewer)
    opener.link.setEditText(link)
    opener.open_button.click()
    qtbot.waitUntil(lambda: len(viewer.layers) > 0, timeout=20000)
    plan = plan_live(noc.Step("gaussian", {"sigma": 1.0}), [viewer.layers[0]])
    live = add_live(viewer, plan, start_live(plan).result())
    QGuiApplication.clipboard().setText(as_python(viewer, live))
    qtbot.waitUntil(lambda: engine().jobs_under_way == 0, timeout=20000)
    gossip.refuses = True
    opener.link.setEditText(link.replace(".ome.zarr", "-other.ome.zarr"))
    opener.open_button.click()
    qtbot.waitUntil(lambda: not opener.is_opening, timeout=20000)
    opener.link.clearEditText()

    for layer in viewer.layers:
        hunt.add("layer", layer.name, layer.metadata, layer.source, layer.data, layer)
    hunt.add("viewer", viewer, recent.recent_links(), QGuiApplication.clipboard().text())
    hunt.add("told", *told)
    hunt.add("logged", *(record.getMessage() for record in caplog.records))
    for widget in QApplication.allWidgets():
        if isinstance(widget, QLabel):
            hunt.add("label", widget.text())
        elif isinstance(widget, QPlainTextEdit | QTextEdit):
            hunt.add("text", widget.toPlainText())
        hunt.add("tool tip", widget.toolTip())
    for folder in homes():
        hunt.add_files("home", folder)

    assert hunt.leaks() == []
