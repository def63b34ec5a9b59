# SPDX-License-Identifier: Apache-2.0
"""Certificates of an authority that lives as long as a test, by the openssl command.

A key on the curve P-256 and its certificate take some 20 ms.
"""

import subprocess
from datetime import datetime, timedelta, timezone
from pathlib import Path

CONFIGURATION = """
[req]
distinguished_name = none
[none]
[ca]
default_ca = own
[own]
database = index
serial = serial
crlnumber = crlnumber
new_certs_dir = .
certificate = certificate.pem
private_key = key.pem
default_md = sha256
default_crl_days = 365
unique_subject = no
policy = policy
[policy]
commonName = supplied
"""

KEYS = {
    "P-256": ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"],
    "P-384": ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-384"],
    "Ed25519": ["-newkey", "ed25519"],
    "RSA": ["-newkey", "rsa:2048"],  # takes up to a second
}

AUTHORITY = {
    "basicConstraints": "critical,CA:true",
    "keyUsage": "critical,keyCertSign,cRLSign",
    "subjectKeyIdentifier": "hash",
}
BOTH = "serverAuth,clientAuth"
LONG = timedelta(days=3650)  # on each side: tests set clocks back


def openssl(*args, cwd):
    command = ["openssl", *map(str, args)]
    done = subprocess.run(
        command, cwd=cwd, stdin=subprocess.DEVNULL, capture_output=True, text=True
    )
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}"


def when(moment):
    """A time, or how long from now it is, as openssl ca takes it."""
    if isinstance(moment, timedelta):
        moment = datetime.now(timezone.utc) + moment
    return moment.astimezone(timezone.utc).strftime("%Y%m%d%H%M%SZ")


def is_fit_for_a_section(value):
    return value.isprintable() and not set(value) & set("$\\#\"'") and value == value.strip()


def extensions(sans=(), **values):
    """The text of an extension file; a SAN is written as in 'DNS:localhost'."""
    lines = [f"{name} = {value}" for name, value in values.items() if value]
    if sans:
        lines += ["subjectAltName = @sans", "[sans]"]
    for number, san in enumerate(sans):
        kind, _, value = san.partition(":")
        assert is_fit_for_a_section(value), san
        lines.append(f"{kind}.{number} = {value}")
    return "\n".join(lines) + "\n"


class Identity:
    """A key and its certificate, with all that a peer needs to believe it."""

    def __init__(self, authority, path):
        self.authority = authority
        self.certificate = path.with_suffix(".pem")  # and those of intermediate authorities
        self.key = path.with_suffix(".key")
        self.trusted = authority.root.certificate

    def write_folder(self, folder, trusted=None, crl=None):
        """The files of --tls in a folder; trusted and crl are paths of other files."""
        folder = Path(folder)
        folder.mkdir(mode=0o755, exist_ok=True)
        files = {"cert.pem": self.certificate, "ca.pem": trusted or self.trusted, "crl.pem": crl}
        for name, path in files.items():
            if path:
                replace(folder / name, path.read_bytes(), 0o644)
        replace(folder / "key.pem", self.key.read_bytes(), 0o600)
        return folder

    def write_optfile(self, path, **terms):
        """A file for -ssl_dist_optfile; terms are further options of both ends, in Erlang."""
        files = {
            "certfile": self.certificate,
            "keyfile": self.key,
            "cacertfile": self.trusted,
        }
        terms = {**{name: f'"{path}"' for name, path in files.items()}, **terms}
        terms = {"verify": "verify_peer", **terms}
        both = [f"{{{name}, {term}}}" for name, term in terms.items()]
        server = ", ".join([*both, "{fail_if_no_peer_cert, true}"])
        Path(path).write_text(f"[{{server, [{server}]}}, {{client, [{', '.join(both)}]}}].\n")
        return path


def replace(path, data, mode):
    """Puts a whole file there at once: a node may read it meanwhile."""
    new = path.with_name(f".{path.name}.new")
    new.touch(mode)
    new.write_bytes(data)
    new.chmod(mode)
    new.rename(path)


class Authority:
    """It issues certificates; its files are in a folder of its own."""

    def __init__(self, folder, name="authority", issuer=None, starts=-LONG, ends=LONG):
        """Without an issuer it is a root, and the root of those it is issuer of."""
        self.folder = Path(folder)
        self.folder.mkdir()
        self.certificate = self.folder / "certificate.pem"
        self.issuer = issuer
        self.root = issuer.root if issuer else self
        self.issued = 0
        (self.folder / "configuration").write_text(CONFIGURATION)
        (self.folder / "index").touch()
        for counter in "serial", "crlnumber":
            (self.folder / counter).write_text("01\n")
        key, request = self.folder / "key.pem", self.folder / "request"
        self.make_key(key, request, name, "P-256")
        options = [] if issuer else ["-selfsign"]
        (issuer or self).sign(request, self.certificate, starts, ends, AUTHORITY, (), options)

    def openssl(self, command, *args):
        openssl(command, "-config", "configuration", *args, cwd=self.folder)

    def make_key(self, path, request, name, kind):
        to = ["-keyout", path, "-out", request]
        self.openssl("req", "-new", "-nodes", "-batch", "-subj", f"/CN={name}", *KEYS[kind], *to)

    def sign(self, request, path, starts, ends, values, sans, options=()):
        self.issued += 1
        file = self.folder / f"extensions{self.issued}"
        file.write_text(extensions(sans, **values))
        dates = ["-startdate", when(starts), "-enddate", when(ends)]
        to = ["-in", request, "-out", path, "-extfile", file]
        self.openssl("ca", "-batch", "-notext", *dates, *to, *options)

    @property
    def chain(self):
        """The certificates from this one up, without the root's."""
        if not self.issuer:
            return b""
        return self.certificate.read_bytes() + self.issuer.chain

    def intermediate(self, name="intermediate", **options):
        folder = self.folder.with_name(f"{self.folder.name}.{name}")
        return Authority(folder, name, issuer=self, **options)

    def issue(self, *sans, name=None, key="P-256", usage=BOTH, starts=-LONG, ends=LONG, raw=None):
        """An identity with these SANs, as in "DNS:localhost"; usage may be empty.

        starts and ends are times, or how long from now they are; raw is a DER value for
        the SANs, of what cannot be written.
        """
        path = self.folder / f"identity{self.issued + 1}"
        request = path.with_suffix(".request")
        identity = Identity(self, path)
        self.make_key(identity.key, request, name or path.name, key)
        values = {"basicConstraints": "CA:false", "extendedKeyUsage": usage}
        if raw:
            values["subjectAltName"] = f"DER:{raw.hex()}"
        self.sign(request, identity.certificate, starts, ends, values, sans)
        with identity.certificate.open("ab") as file:
            file.write(self.chain)
        return identity

    def revoke(self, *identities):
        for one in identities:
            self.openssl("ca", "-revoke", one.certificate)

    def crl(self):
        """The file of what is revoked by now: its own list, and those of its issuers."""
        path = self.folder / "crl.pem"
        self.openssl("ca", "-gencrl", "-out", path)
        if self.issuer:
            with path.open("ab") as file:
                file.write(self.issuer.crl().read_bytes())
        return path
