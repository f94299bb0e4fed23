#!/usr/bin/env bash
# The whole path on this machine: a sandbox Xero, the local cloud, one client, its rows.
# Leaves demo/workspace behind, running, to go on with by hand.
set -euo pipefail
cd "$(dirname "$0")"
export PATH="$PWD/../bin:$PATH"
started=$SECONDS

say() { printf '\n\033[1m%s\033[0m\n' "$*"; }
show() { printf '\n$ %s\n' "$*"; "$@"; }

# A demo of before is stopped and starts afresh.
./stop.sh 2>/dev/null || true
rm -rf workspace
mkdir workspace
cd workspace

say "A workspace, with the local cloud as its target"
show xetl init

say "A sandbox Xero: about 20,000 documents, and Xero's manners"
mkdir -p .xetl/sandbox
xetl-local sandbox xero --dir .xetl/sandbox >.xetl/sandbox/log 2>&1 &
disown
for _ in $(seq 100); do [ -s .xetl/sandbox/sandbox.json ] && break; sleep 0.1; done
xero=$(sed -n 's/.*"url": *"\([^"]*\)".*/\1/p' .xetl/sandbox/sandbox.json)
echo "$xero"

say "Onboard acme: questions answered by flags, the secret from a file"
umask 077
printf 'sandbox-secret' >.xetl/client-secret
show xetl onboard --client acme --source xero --yes \
    --schedule '0 2 * * *' --time-zone Pacific/Auckland \
    --config credentials.auth_type=custom_connection \
    --config credentials.client_id=sandbox \
    --secret-file credentials.client_secret=.xetl/client-secret \
    --config start_date=2020-01-01 \
    --config api_url="$xero" --config identity_url="$xero"

say "Its rows"
show xetl query --client acme \
    'select status, count(*) n, sum(total) total from acme_xero.invoices_latest group by 1 order by 1'

say "Done in $((SECONDS - started)) s. Go on in demo/workspace, with $(cd ../../bin && pwd) in PATH:"
cat <<EOF
  xetl plan --client acme                 no changes
  curl -X POST $xero/_sandbox/advance -d '{"days": 1}'
  xetl run --client acme --wait           fetches only what that day changed
  xetl status --client acme
  xetl logs --client acme
  xetl destroy --client acme              shows the plan, asks, keeps the data
and demo/stop.sh when you have seen enough.
EOF
