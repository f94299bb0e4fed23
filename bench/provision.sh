#!/usr/bin/env bash
# Times a client's first apply and an apply that has nothing to do, beside the same resources made by a
# gcloud script against the same local cloud. Prints ratios; they hold on one machine in one session.
set -euo pipefail
cd "$(dirname "$0")/.."
export PATH="$PWD/bin:$PATH"
documents=$(echo "$PWD"/.venv/lib/python3*/site-packages/googleapiclient/discovery_cache/documents)
folder=$(mktemp -d)
trap 'cd "$folder" && xetl local down >/dev/null 2>&1; rm -rf "$folder"' EXIT
cd "$folder"
project=bench-project region=australia-southeast1

now() { local t=$EPOCHREALTIME; echo "${t/./}"; }
ms() { echo $((($(now) - $1) / 1000)); }
row() { printf '%-44s %8s %s\n' "$1" "$2" "$3"; }

mkdir clients sources
printf 'target: local\nproject: %s\nregion: %s\n' $project $region >xetl.yaml
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

# client NAME [IMAGE]: a client file, with the image given where there is one already.
client() {
    cat >"clients/$1.yaml" <<EOF
client: $1
${2:+image: $2}
pipelines:
  one: {source: bench, schedule: {cron: "0 2 * * *", time_zone: Europe/London}}
EOF
}
first() { xetl apply --client "$1" --yes >/dev/null; }

# The image is pushed before the clock runs: gcloud has no way to push one.
client warm
first warm
url=$(sed 's/.*"url":"\([^"]*\)".*/\1/' .xetl/local/endpoint.json)
image=$(curl -s "$url/v2/projects/$project/locations/$region/jobs/warm-one" | grep -o '[^"]*@sha256:[0-9a-f]*' | head -1)

client acme "$image"
began=$(now)
first acme
apply=$(ms "$began")
began=$(now)
xetl apply --client acme --yes >/dev/null
again=$(ms "$began")
row 'first apply of a client' "$apply" ms
row 'apply with nothing to do' "$again" ms

if ! command -v gcloud >/dev/null || ! command -v bq >/dev/null; then
    echo 'gcloud and bq are not here: nothing to compare with' >&2
    exit 0
fi
export CLOUDSDK_CONFIG=$folder/gcloud CLOUDSDK_CORE_PROJECT=$project CLOUDSDK_CORE_DISABLE_PROMPTS=1
export CLOUDSDK_AUTH_DISABLE_CREDENTIALS=true CLOUDSDK_CORE_DISABLE_USAGE_REPORTING=true
for api in CLOUDSCHEDULER SECRETMANAGER ARTIFACTREGISTRY IAM CLOUDRESOURCEMANAGER SERVICEUSAGE LOGGING; do
    export "CLOUDSDK_API_ENDPOINT_OVERRIDES_$api=$url/"
done
export CLOUDSDK_API_ENDPOINT_OVERRIDES_STORAGE=$url/storage/v1/ CLOUDSDK_API_ENDPOINT_OVERRIDES_RUN=http://run.emu.test/

by_gcloud() {
    local account=xetl-run-hand@$project.iam.gserviceaccount.com trigger=xetl-cron-hand@$project.iam.gserviceaccount.com
    local bucket=gs://$project-xetl-hand bq="bq --api $url --discovery_file $documents/bigquery.v2.json --project_id=$project --headless --quiet"
    gcloud services enable {artifactregistry,bigquery,cloudresourcemanager,cloudscheduler,iam,iamcredentials,logging,run,secretmanager,storage}.googleapis.com
    gcloud iam service-accounts create xetl-run-hand
    gcloud iam service-accounts create xetl-cron-hand
    gcloud storage buckets create $bucket --location $region --uniform-bucket-level-access
    $bq --location=$region mk --dataset hand_one
    gcloud storage buckets add-iam-policy-binding $bucket --member "serviceAccount:$account" --role roles/storage.objectUser
    gcloud projects add-iam-policy-binding $project --member "serviceAccount:$account" --role roles/bigquery.jobUser
    echo "{\"access\": [{\"role\": \"WRITER\", \"userByEmail\": \"$account\"}]}" >access.json
    $bq update --source access.json hand_one
    gcloud storage cp sources/bench.yaml $bucket/one/bundle/bundle.json
    http_proxy=$url gcloud run jobs create hand-one --region $region --image "$image" --service-account "$account" \
        --args run --set-env-vars XETL_BUNDLE=$bucket/one/bundle/bundle.json
    http_proxy=$url gcloud run jobs add-iam-policy-binding hand-one --region $region --member "serviceAccount:$trigger" --role roles/run.invoker
    gcloud scheduler jobs create http hand-one --location $region --schedule '0 2 * * *' --time-zone Europe/London --http-method POST \
        --uri "https://run.googleapis.com/v2/projects/$project/locations/$region/jobs/hand-one:run" --oauth-service-account-email "$trigger"
}
began=$(now)
by_gcloud >gcloud.log 2>&1 || { cat gcloud.log >&2; exit 1; }
hand=$(ms "$began")
row 'the same resources by gcloud and bq' "$hand" ms
row 'gcloud / first apply' "$(awk "BEGIN {printf \"%.1f\", $hand / $apply}")" times
