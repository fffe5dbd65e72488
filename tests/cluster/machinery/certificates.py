"""Keys, certificates and tokens of the control plane, made by openssl."""

import secrets
import subprocess
from pathlib import Path

from tests.cluster.machinery.layout import API_PORT, HOST_ADDRESS, NODE

USERS = {
    "admin": "system:masters",
    "system:kube-controller-manager": "",
    "system:kube-scheduler": "",
    "system:kube-proxy": "",
    "dns": "system:masters",
    f"system:node:{NODE}": "system:nodes",
}
NAMES = (
    "DNS:localhost,DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc,DNS:kubernetes.default.svc.cluster.local,"
    f"IP:127.0.0.1,IP:{HOST_ADDRESS},IP:10.96.0.1"
)


def openssl(*arguments: str, given: str = "") -> None:
    subprocess.run(["openssl", *arguments], input=given, text=True, check=True, capture_output=True, timeout=60)


def make_authority(folder: Path, name: str) -> None:
    openssl(
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-days",
        "30",
        "-subj",
        f"/CN={name}",
        "-keyout",
        f"{folder / name}.key",
        "-out",
        f"{folder / name}.crt",
    )


def sign(folder: Path, authority: str, name: str, subject: str, extensions: str) -> None:
    key, request, certificate = (str(folder / f"{name}.{suffix}") for suffix in ("key", "csr", "crt"))
    openssl("req", "-newkey", "rsa:2048", "-nodes", "-subj", subject, "-keyout", key, "-out", request)
    signer = ["-CA", f"{folder / authority}.crt", "-CAkey", f"{folder / authority}.key", "-CAcreateserial"]
    openssl("x509", "-req", "-in", request, *signer, "-days", "30", "-extfile", "/dev/stdin", "-out", certificate, given=extensions)


def make_certificates(folder: Path) -> None:
    """Make everything once; a folder that has its tokens is complete."""
    if (folder / "tokens.csv").exists():
        return
    for authority in ("ca", "front-proxy-ca"):
        make_authority(folder, authority)
    sign(folder, "ca", "apiserver", "/CN=kube-apiserver", f"subjectAltName={NAMES}\nextendedKeyUsage=serverAuth\n")
    sign(folder, "ca", "apiserver-kubelet-client", "/O=system:masters/CN=apiserver-kubelet-client", "extendedKeyUsage=clientAuth\n")
    sign(folder, "front-proxy-ca", "front-proxy-client", "/CN=front-proxy-client", "extendedKeyUsage=clientAuth\n")
    openssl("genrsa", "-out", str(folder / "service-accounts.key"), "2048")
    openssl("rsa", "-in", str(folder / "service-accounts.key"), "-pubout", "-out", str(folder / "service-accounts.pub"))
    rows = [f'{secrets.token_hex(16)},{user},{user},"{groups}"' for user, groups in USERS.items()]
    (folder / "tokens.csv").write_text("\n".join(rows) + "\n")


def token_of(folder: Path, user: str) -> str:
    """Return a user's token."""
    rows = [line.split(",") for line in (folder / "tokens.csv").read_text().splitlines()]
    return next(row[0] for row in rows if row[1] == user)


def kubeconfig_of(folder: Path, user: str) -> str:
    """Return the text of a user's kubeconfig; its address is right for this machine and for pods."""
    return KUBECONFIG.format(address=HOST_ADDRESS, port=API_PORT, authority=_base64(folder / "ca.crt"), token=token_of(folder, user))


def _base64(path: Path) -> str:
    return subprocess.run(["base64", "-w0", path], check=True, capture_output=True, text=True, timeout=10).stdout


KUBECONFIG = """\
apiVersion: v1
kind: Config
clusters: [{{name: test, cluster: {{server: "https://{address}:{port}", certificate-authority-data: {authority}}}}}]
users: [{{name: user, user: {{token: {token}}}}}]
contexts: [{{name: test, context: {{cluster: test, user: user}}}}]
current-context: test
"""
