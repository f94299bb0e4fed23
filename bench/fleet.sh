#!/usr/bin/env bash
# Times plans of many clients on the local cloud: CLIENTS (1000) of them in PROJECTS (20).
# Their first apply comes before and takes minutes.
set -euo pipefail
cd "$(dirname "$0")/.."
export PATH="$PWD/bin:$PATH"
clients=${CLIENTS:-1000} projects=${PROJECTS:-20}
folder=$(mktemp -d)
trap 'cd "$folder" && xetl local down >/dev/null 2>&1; rm -rf "$folder"' EXIT
cd "$folder"

mkdir clients sources
printf 'target: local\nproject: bench-0\nregion: europe-west2\n' >xetl.yaml
cat >sources/bench.yaml <<'EOF'
version: 7.39.1
type: DeclarativeSource
check: {type: CheckStream, stream_names: [things]}
streams:
  - type: DeclarativeStream
    name: things
    retriever:
      type: SimpleRetriever
      requester: {type: HttpRequester, url: "http://127.0.0.1:1/things"}
      record_selector: {type: RecordSelector, extractor: {type: DpathExtractor, field_path: []}}
EOF
declare_client() {
    cat >"clients/c$1.yaml" <<EOF
client: c$1
project: bench-$(($1 % projects))
pipelines:
  one: {source: bench, schedule: {cron: "$2 2 * * *"}}
EOF
}
for ((i = 0; i < clients; i++)); do declare_client $i 0; done
xetl local up >/dev/null 2>&1
url=$(sed 's/.*"url":"\([^"]*\)".*/\1/' .xetl/local/endpoint.json)
for ((i = 0; i < projects; i++)); do
    curl -sf -o /dev/null -X POST -H 'authorization: Bearer local-user' -d '{}' \
        "$url/v1/projects/bench-$i/services/cloudasset.googleapis.com:enable"
done

timed() {
    local name=$1 began=$EPOCHREALTIME
    shift
    "$@" >out.log 2>&1 || { tail -3 out.log >&2; exit 1; }
    local ended=$EPOCHREALTIME
    printf '%-44s %8s ms  %s\n' "$name" $(((${ended/./} - ${began/./}) / 1000)) "$(tail -1 out.log)"
}
timed "first apply of $clients clients" xetl apply --all --yes
timed 'plan, nothing to do' xetl plan --all
timed 'plan, nothing to do, again' xetl plan --all
for ((i = 0; i < clients; i++)); do declare_client $i 30; done
timed 'plan, every schedule changed' xetl plan --all
timed 'status' xetl status --all
