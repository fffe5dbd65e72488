#!/bin/sh
# Brings everything into .venv: `setup.sh hub` for running, `setup.sh test` for the test suite too,
# `setup.sh cluster` for that and the programs that a test cluster is made of.
# POSIX sh and nothing else, because it runs before anything is installed.
set -eu
umask 022
cd "$(dirname "$0")/.."
kind=${1:-hub}
began=$(date +%s)

say() { printf '[%3d s] %s\n' "$(($(date +%s) - began))" "$*"; }
fail() { printf 'make: %s\n' "$*" >&2; exit 2; }
is_root() { [ "$(id -u)" = 0 ]; }

inputs() {
    cat requirements/*.lock requirements/setup.sh aiplatform_hub/proxy/node.lock aiplatform_hub/proxy/package-lock.json pyproject.toml | cksum
    pwd
}

# Prints "ok" for a usable interpreter, else why not. As root every user must be able to run it: servers give up root.
probe='
import os, sys
def everybody(path):
    while path != os.path.dirname(path):
        if not os.stat(path).st_mode & 1:
            return False
        path = os.path.dirname(path)
    return True
if sys.version_info < (3, 11):
    print("is older than 3.11")
elif os.geteuid() == 0 and not everybody(os.path.realpath(sys.executable)):
    print("can be run by root only")
else:
    try:
        import venv, ensurepip
        print("ok")
    except ImportError:
        print("lacks venv: apt-get install python%d.%d-venv" % sys.version_info[:2])
'

find_python() {
    found=
    for name in python3.14 python3.13 python3.12 python3.11 python3; do
        IFS=:
        for folder in $PATH; do
            [ -x "$folder/$name" ] || continue
            answer=$("$folder/$name" -c "$probe" 2>/dev/null || echo "does not start")
            if [ "$answer" = ok ]; then
                unset IFS
                python=$folder/$name
                return
            fi
            found="$found
  $folder/$name $answer"
        done
        unset IFS
    done
    fail "no usable Python 3.11 or newer.${found:+ Found:$found}
Install one: apt-get install python3 python3-venv   (or: dnf install python3.12)"
}

make_venv() {
    if [ -x .venv/bin/python ] && [ "$(.venv/bin/python -c "$probe" 2>/dev/null)" = ok ] && .venv/bin/python -c 'import pip' 2>/dev/null; then
        return
    fi
    find_python
    say "Making .venv with $python ($("$python" -c 'import platform; print(platform.python_version())'))"
    rm -rf .venv
    "$python" -m venv .venv || fail "$python could not make a virtual environment: apt-get install python3-venv"
}

install_uv() {
    if ! grep -q "^uv==$(.venv/bin/uv --version 2>/dev/null | cut -d' ' -f2) " requirements/installer.lock; then
        say "Installing uv, the installer"
        .venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/installer.lock
    fi
}

install_packages() {
    say "Installing $(grep -c '^[a-z].*==' "requirements/$kind.lock") locked packages"
    if .venv/bin/uv --version >/dev/null 2>&1; then
        UV_NATIVE_TLS=1 VIRTUAL_ENV=$PWD/.venv .venv/bin/uv pip install --python .venv/bin/python --require-hashes --compile-bytecode --quiet -r "requirements/$kind.lock"
    else
        say "uv does not run here; installing with pip, which takes longer"
        .venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r "requirements/$kind.lock"
    fi
    say "Installing aiplatform-hub itself"
    .venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
}

apt_install() {
    line="apt-get install -y --no-install-recommends $*"
    is_root && command -v apt-get >/dev/null || fail "the tests need $*. Run: sudo $line"
    say "Installing $* by apt-get"
    { apt-get update -qq && DEBIAN_FRONTEND=noninteractive $line >/dev/null; } || fail "this did not work: $line"
}

install_test_programs() {
    missing=
    command -v chromium >/dev/null || command -v chromium-browser >/dev/null || command -v google-chrome >/dev/null || missing="$missing chromium"
    command -v initdb >/dev/null || ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || missing="$missing postgresql"
    # shellcheck disable=SC2086
    [ -z "$missing" ] || apt_install $missing
}

# Debian's Go may be old: it then fetches a newer one by itself (tests/cluster/machinery/build.py).
install_cluster_programs() {
    [ "$(uname -s)" = Linux ] || fail "the test cluster needs Linux. Set AIPLATFORM_TEST_KUBECONFIG to use a cluster of yours"
    is_root || fail "the test cluster needs root, as a kubelet does: sudo make test-cluster. Or set AIPLATFORM_TEST_KUBECONFIG to use a cluster of yours"
    missing=
    for pair in etcd:etcd-server containerd:containerd runc:runc ip:iproute2 iptables:iptables openssl:openssl buildah:buildah debootstrap:debootstrap; do
        command -v "${pair%%:*}" >/dev/null || missing="$missing ${pair##*:}"
    done
    [ -x /usr/lib/cni/bridge ] || missing="$missing containernetworking-plugins"
    [ -f /usr/share/keyrings/debian-archive-keyring.gpg ] || missing="$missing debian-archive-keyring"
    command -v go >/dev/null || [ -x /usr/local/go/bin/go ] || missing="$missing golang-go"
    # shellcheck disable=SC2086
    [ -z "$missing" ] || apt_install $missing
}

case $kind in hub | test | cluster) ;; *) fail "setup.sh knows hub, test and cluster, not $kind" ;; esac
if [ "$kind" = cluster ]; then
    [ -n "${AIPLATFORM_TEST_KUBECONFIG:-}" ] || install_cluster_programs
    kind=test
fi
[ "$kind" = hub ] || install_test_programs
state=$(inputs)
for done in .venv/installed-test ".venv/installed-$kind"; do
    [ -f "$done" ] && [ "$(cat "$done")" = "$state" ] && exit 0
done
make_venv
rm -f .venv/installed-hub .venv/installed-test
install_uv
install_packages
say "Installing the proxy"
.venv/bin/aiplatform setup-proxy
printf '%s\n' "$state" >".venv/installed-$kind"
say "Ready in .venv"
