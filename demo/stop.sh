#!/usr/bin/env bash
# Stops the demo's local cloud and sandbox; the workspace stays.
set -euo pipefail
cd "$(dirname "$0")/workspace"
"../../bin/xetl" local down || true
if [ -s .xetl/sandbox/sandbox.json ]; then
    kill "$(sed -n 's/.*"pid": *\([0-9]*\).*/\1/p' .xetl/sandbox/sandbox.json)" 2>/dev/null || true
    rm -f .xetl/sandbox/sandbox.json
fi
