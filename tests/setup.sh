#!/usr/bin/env bash
# Sets up the judges in .venv: Google's Python clients and the declarative reference.
# Without Python or a package index the tests that need them skip loudly, but not in CI.
set -euo pipefail
cd "$(dirname "$0")/.."

# The registry and the reader that judge our pushes are Debian's packages.
if [ "${CI:-}" = true ] && ! { command -v skopeo && command -v docker-registry; } >/dev/null; then
    apt-get update -qq && apt-get install -y -qq --no-install-recommends skopeo docker-registry >/dev/null
fi

stamp=.venv/installed
if cmp -s tests/requirements.txt "$stamp"; then exit 0; fi

install() {
    python3 -m venv .venv &&
        .venv/bin/pip install --quiet --disable-pip-version-check -r tests/requirements.txt &&
        cp tests/requirements.txt "$stamp"
}

if ! install; then
    echo "tests/setup.sh: cannot install tests/requirements.txt into .venv; the conformance tests will be skipped" >&2
    if [ "${CI:-}" = true ]; then exit 1; fi
fi
