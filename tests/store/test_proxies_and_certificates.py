"""A laboratory's proxy and its own certificates are taken from the environment."""

from __future__ import annotations

import ipaddress
import ssl
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

import napari_omezarr_cloud as noc
from napari_omezarr_cloud.errors import LinkError, UnreachableError

if TYPE_CHECKING:
    from pathlib import Path


# What carries a secret is sent by another client.
with_and_without_token = pytest.mark.parametrize(
    "query", [pytest.param("", id="public"), pytest.param("?token=t0ken-t0ken", id="token")]
)


@with_and_without_token
def test_requests_go_through_the_proxy(
    web: Any, monkeypatch: pytest.MonkeyPatch, query: str
) -> None:
    proxy, link = web
    path = link.removeprefix(proxy.url)
    monkeypatch.setenv("HTTP_PROXY", proxy.url)

    image = noc.open(f"http://images.test{path}{query}")

    assert image.read(1).any()
    assert all(asked.path.startswith("http://images.test/") for asked in proxy.log)


@with_and_without_token
@pytest.mark.usefixtures("impatient")
def test_hosts_may_be_left_out_of_the_proxy(
    web: Any, monkeypatch: pytest.MonkeyPatch, query: str
) -> None:
    proxy, link = web
    monkeypatch.setenv("HTTP_PROXY", proxy.url)
    monkeypatch.setenv("NO_PROXY", ".test")

    with pytest.raises(UnreachableError):
        noc.open(f"http://images.test{link.removeprefix(proxy.url)}{query}")
    assert proxy.log == []


@pytest.fixture
def secure_link(web: Any, tmp_path: Path) -> str:
    """The link of an image on a server whose certificate this machine does not know yet."""
    server, link = web
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates(tmp_path))
    server._server.socket = context.wrap_socket(server._server.socket, server_side=True)
    return link.replace("http://", "https://")


@with_and_without_token
@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "AWS_CA_BUNDLE"])
def test_certificates_of_ones_own_are_trusted(
    secure_link: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str, query: str
) -> None:
    with pytest.raises(UnreachableError):
        noc.open(secure_link + query)

    monkeypatch.setenv(variable, str(tmp_path / "authority.pem"))

    assert noc.open(secure_link + query).read(1).any()


@pytest.mark.parametrize(
    ("name", "why"), [("nothing.pem", "no such file"), ("odd.pem", "holds no certificates")]
)
def test_certificates_that_cannot_be_read_are_named(
    secure_link: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, why: str
) -> None:
    (tmp_path / "odd.pem").write_bytes(b"\xff, nothing else")
    monkeypatch.setenv("AWS_CA_BUNDLE", str(tmp_path / name))

    with pytest.raises(LinkError, match=rf"AWS_CA_BUNDLE names at .*{name}.*{why}"):
        noc.open(secure_link)


def test_a_secret_link_leads_nowhere_without_encryption(
    web: Any, secure_link: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))
    web[0].sends_on_to = "http://127.0.0.1:1"

    with pytest.raises(UnreachableError, match="without https"):
        noc.open(f"{secure_link}?token=t0ken-t0ken")


def certificates(folder: Path) -> Path:
    """Write an authority's certificate, and return the file of one that it signed, with its key."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    now = datetime.now(UTC)
    keys = [ec.generate_private_key(ec.SECP256R1()) for _ in range(2)]
    names = [
        x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]) for name in ("lab", "127.0.0.1")
    ]

    def signed(number: int, extension: x509.ExtensionType) -> bytes:
        builder = x509.CertificateBuilder(
            issuer_name=names[0],
            subject_name=names[number],
            public_key=keys[number].public_key(),
            serial_number=number + 1,
            not_valid_before=now - timedelta(days=1),
            not_valid_after=now + timedelta(days=1),
        )
        made = builder.add_extension(extension, critical=False).sign(keys[0], hashes.SHA256())
        return made.public_bytes(serialization.Encoding.PEM)

    (folder / "authority.pem").write_bytes(signed(0, x509.BasicConstraints(True, None)))
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    key = keys[1].private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    file = folder / "server.pem"
    file.write_bytes(signed(1, x509.SubjectAlternativeName([address])) + key)
    return file
