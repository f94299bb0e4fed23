#!/usr/bin/env bash
# Times what the README states, on this machine: a no-change plan, an unchanged push, a full run.
# Figures move with the machine: compare runs of one session, not of two days.
set -euo pipefail
cd "$(dirname "$0")/.."
export PATH="$PWD/bin:$PATH"
demo/run.sh >/dev/null 2>&1
trap 'demo/stop.sh >/dev/null 2>&1' EXIT
cd demo/workspace

# median NAME COMMAND...: the median wall time of seven runs, in milliseconds.
median() {
    local name=$1 times=()
    shift
    for _ in 1 2 3 4 5 6 7; do
        local began=$EPOCHREALTIME
        "$@" >/dev/null 2>&1
        local ended=$EPOCHREALTIME
        times+=($(((${ended/./} - ${began/./}) / 1000)))
    done
    printf '%-28s %6s ms\n' "$name" "$(printf '%s\n' "${times[@]}" | sort -n | sed -n 4p)"
}

median 'no-change plan' xetl plan --client acme
median 'unchanged image push' xetl image push --client acme
# A binary is another when a byte is added behind what the system loads.
cp ../../bin/xetl-runtime .xetl/changed-runtime
changed() {
    printf x >>.xetl/changed-runtime
    XETL_RUNTIME_BIN=.xetl/changed-runtime xetl image push --client acme
}
median 'changed image push' changed
rm .xetl/changed-runtime
xetl image push --client acme >/dev/null 2>&1
printf '%-28s %6s MB\n' 'image, compressed' \
    "$(du -cb .xetl/local/registry/ -d 0 2>/dev/null | tail -1 | awk '{printf "%.1f", $1 / 1e6}')"

# The runtime by itself: all streams of the sandbox to Parquet, and the most memory it held.
cat >.xetl/config.json <<EOF
{"credentials": {"auth_type": "custom_connection", "client_id": "sandbox", "client_secret": "sandbox-secret"},
 "start_date": "2020-01-01", "calls_per_minute": 100000,
 "api_url": "$(sed -n 's/.*"url": *"\([^"]*\)".*/\1/p' .xetl/sandbox/sandbox.json)",
 "identity_url": "$(sed -n 's/.*"url": *"\([^"]*\)".*/\1/p' .xetl/sandbox/sandbox.json)"}
EOF
rm -rf .xetl/parquet
xetl-runtime read --source ../../sources/xero.yaml --config .xetl/config.json --output parquet:.xetl/parquet 2>/dev/null &
pid=$!
peak=0
while kill -0 "$pid" 2>/dev/null; do
    held=$(awk '/VmHWM/ {print $2}' "/proc/$pid/status" 2>/dev/null || true)
    [ "${held:-0}" -gt "$peak" ] && peak=$held
    sleep 0.02
done
wait "$pid"
printf '%-28s %6s MB\n' 'runtime, peak memory' "$((peak / 1000))"

# The language on its own ground: records over loopback to stdout, beside the reference.
cd ../..
if [ -x .venv/bin/python ]; then
    PYTHONWARNINGS=ignore .venv/bin/python bench/read.py --runtime bin/xetl-runtime
else
    echo 'bench/read.py needs .venv with the reference: tests/setup.sh makes it' >&2
fi
