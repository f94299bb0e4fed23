#!/usr/bin/env bash
# Sets up what tests need: the judges in .venv: Google's Python clients, the tests one of them has, and the
# declarative reference.
# Without Python or a package index the tests that need them skip loudly, but not in CI.
set -euo pipefail
cd "$(dirname "$0")/.."

# The registry and the reader that judge our pushes, what unpacks and runs the image, and the
# database servers that tests start themselves, are Debian's packages. None of them may start a
# server of its own.
packages=()
command -v skopeo >/dev/null || packages+=(skopeo)
command -v docker-registry >/dev/null || packages+=(docker-registry)
command -v umoci >/dev/null || packages+=(umoci)
command -v runc >/dev/null || packages+=(runc)
[ -x /usr/sbin/mariadbd ] || packages+=(mariadb-server)
compgen -G '/usr/lib/postgresql/*/bin/postgres' >/dev/null || packages+=(postgresql)

install_packages() {
    local policy=/usr/sbin/policy-rc.d
    if [ ! -e $policy ]; then
        printf '#!/bin/sh\nexit 101\n' >$policy
        chmod +x $policy
        trap "rm -f $policy" EXIT
    fi
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}

if [ "${CI:-}" = true ] && [ ${#packages[@]} -gt 0 ]; then install_packages "${packages[@]}"; fi

stamp=.venv/installed
suite=.venv/suites/google-cloud-storage
if cmp -s tests/requirements.txt "$stamp" && [ -d $suite ]; then exit 0; fi

# The tests that google-cloud-storage is released with judge the local cloud's Storage.
unpack_suite() {
    local release source
    release=$(grep '^google-cloud-storage==' tests/requirements.txt) &&
        source=$(mktemp -d) &&
        .venv/bin/pip download --quiet --disable-pip-version-check --no-deps --no-binary :all: \
            --dest "$source" "$release" &&
        tar -xzf "$source"/*.tar.gz -C "$source" &&
        rm -rf $suite && mkdir -p $suite &&
        mv "$source"/google_cloud_storage-*/tests $suite/ &&
        rm -rf "$source"
}

install() {
    python3 -m venv .venv &&
        .venv/bin/pip install --quiet --disable-pip-version-check -r tests/requirements.txt &&
        unpack_suite &&
        cp tests/requirements.txt "$stamp"
}

if ! install; then
    echo "tests/setup.sh: cannot install tests/requirements.txt into .venv; the conformance tests will be skipped" >&2
    if [ "${CI:-}" = true ]; then exit 1; fi
fi
