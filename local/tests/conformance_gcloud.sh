#!/usr/bin/env bash
# gcloud, gcloud storage and bq against the local cloud: what a person or a script of theirs does.
#
#   conformance_gcloud.sh http://127.0.0.1:PORT SERVICE DISCOVERY_DOCUMENTS [JOB_IMAGE]
#
# SERVICE is one of the functions below, so that they run side by side. Uses the project
# `gcloud-check`; the first wrong answer ends it.
set -euo pipefail
url=$1 service=$2 documents=$3 image=${4:-}
project=gcloud-check
region=australia-southeast1
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

export CLOUDSDK_CONFIG=$folder/config CLOUDSDK_CORE_PROJECT=$project CLOUDSDK_CORE_DISABLE_PROMPTS=1
printf local-user >"$folder/token"
export CLOUDSDK_AUTH_ACCESS_TOKEN_FILE=$folder/token CLOUDSDK_CORE_DISABLE_USAGE_REPORTING=true
for api in CLOUDSCHEDULER SECRETMANAGER ARTIFACTREGISTRY IAM CLOUDRESOURCEMANAGER SERVICEUSAGE LOGGING; do
    export "CLOUDSDK_API_ENDPOINT_OVERRIDES_$api=$url/"
done
export CLOUDSDK_API_ENDPOINT_OVERRIDES_STORAGE=$url/storage/v1/
export CLOUDSDK_API_ENDPOINT_OVERRIDES_RUN=http://run.emu.test/

# is WANTED COMMAND...: the command's output is that.
is() {
    local wanted=$1 said
    shift
    said=$("$@" 2>"$folder/errors") || fail "$*: $(cat "$folder/errors")"
    [ "$said" = "$wanted" ] || fail "$*: wanted \`$wanted\`, got \`$said\`"
}

# has WORDS COMMAND...: the command's output has these words in it.
has() {
    local words=$1 said
    shift
    said=$("$@" 2>&1) || fail "$*: $said"
    [[ $said == *"$words"* ]] || fail "$*: no \`$words\` in \`$said\`"
}

# fails WORDS COMMAND...: the command fails and says these words.
fails() {
    local words=$1 said
    shift
    if said=$("$@" 2>&1); then fail "$*: should have failed"; fi
    [[ $said == *"$words"* ]] || fail "$*: no \`$words\` in \`$said\`"
}

does() { has '' "$@"; }

fail() {
    echo "$*" >&2
    exit 1
}

services() {
    does gcloud services enable pubsub.googleapis.com
    has pubsub.googleapis.com gcloud services list --enabled --format 'value(config.name)'
}

accounts() {
    local email=gc-runner@$project.iam.gserviceaccount.com
    does gcloud services enable iam.googleapis.com cloudresourcemanager.googleapis.com
    does gcloud iam service-accounts create gc-runner --display-name Runner
    fails 'already exists' gcloud iam service-accounts create gc-runner
    does gcloud iam service-accounts update $email --description 'runs jobs'
    is 'Runner;runs jobs' gcloud iam service-accounts describe $email --format 'value[separator=";"](displayName,description)'
    is $email gcloud iam service-accounts list --filter "email:gc-runner" --format 'value(email)'
    does gcloud iam service-accounts add-iam-policy-binding $email --member user:a@example.com --role roles/iam.serviceAccountUser
    is 'roles/iam.serviceAccountUser' gcloud iam service-accounts get-iam-policy $email --format 'value(bindings[0].role)'
    does gcloud projects add-iam-policy-binding $project --member serviceAccount:$email --role roles/bigquery.jobUser
    has "serviceAccount:$email" gcloud projects get-iam-policy $project
    has $project gcloud projects list --format 'value(projectId)'
    does gcloud projects remove-iam-policy-binding $project --member serviceAccount:$email --role roles/bigquery.jobUser
    does gcloud iam service-accounts delete $email
    fails NOT_FOUND gcloud iam service-accounts describe $email
}

storage() {
    local bucket=gs://$project-data
    does gcloud storage buckets create $bucket --location $region --uniform-bucket-level-access
    fails ALREADY_EXISTS gcloud storage buckets create $bucket --location $region
    does gcloud storage buckets update $bucket --update-labels a=b
    is 'AUSTRALIA-SOUTHEAST1;True;b' gcloud storage buckets describe $bucket \
        --format 'value[separator=";"](location,uniform_bucket_level_access,labels.a)'
    has $project-data gcloud storage buckets list --format 'value(name)'
    echo hello >"$folder/a.txt"
    does gcloud storage cp "$folder/a.txt" $bucket/x/a.txt
    does gcloud storage cp $bucket/x/a.txt $bucket/x/b.txt
    is hello gcloud storage cat $bucket/x/b.txt
    is "$bucket/x/a.txt"$'\n'"$bucket/x/b.txt" gcloud storage ls "$bucket/x/"
    does gcloud storage buckets add-iam-policy-binding $bucket --member user:a@example.com --role roles/storage.objectViewer
    has user:a@example.com gcloud storage buckets get-iam-policy $bucket
    does gcloud storage rm $bucket/x/a.txt
    does gcloud storage rm --recursive $bucket
    fails 'not found' gcloud storage buckets describe $bucket
}

secrets() {
    does gcloud services enable secretmanager.googleapis.com
    printf first >"$folder/value"
    does gcloud secrets create token --replication-policy automatic --labels a=b --data-file "$folder/value"
    fails 'already exists' gcloud secrets create token --replication-policy automatic
    printf second >"$folder/value"
    does gcloud secrets versions add token --data-file "$folder/value"
    is second gcloud secrets versions access latest --secret token
    is first gcloud secrets versions access 1 --secret token
    does gcloud secrets versions disable 1 --secret token
    is $'enabled\ndisabled' gcloud secrets versions list token --format 'value(state)'
    does gcloud secrets update token --update-labels c=d
    is 'b;d' gcloud secrets describe token --format 'value[separator=";"](labels.a,labels.c)'
    does gcloud secrets add-iam-policy-binding token --member user:a@example.com --role roles/secretmanager.secretAccessor
    does gcloud secrets delete token
    fails NOT_FOUND gcloud secrets describe token
}

repositories() {
    does gcloud services enable artifactregistry.googleapis.com
    does gcloud artifacts repositories create images --repository-format docker --location $region --labels a=b
    fails ALREADY_EXISTS gcloud artifacts repositories create images --repository-format docker --location $region
    does gcloud artifacts repositories update images --location $region --description ours
    is 'DOCKER;ours' gcloud artifacts repositories describe images --location $region --format 'value[separator=";"](format,description)'
    has images gcloud artifacts repositories list --location $region --format 'value(name)'
    does gcloud artifacts repositories delete images --location $region
    fails NOT_FOUND gcloud artifacts repositories describe images --location $region
}

schedules() {
    does gcloud services enable cloudscheduler.googleapis.com
    local at="--location $region"
    does gcloud scheduler jobs create http tick $at --schedule '0 3 * * *' --time-zone Europe/London --http-method POST --uri https://example.com/x
    fails ALREADY_EXISTS gcloud scheduler jobs create http tick $at --schedule '0 3 * * *' --uri https://example.com/x
    does gcloud scheduler jobs update http tick $at --schedule '0 4 * * *'
    does gcloud scheduler jobs pause tick $at
    is 'PAUSED;0 4 * * *;Europe/London' gcloud scheduler jobs describe tick $at --format 'value[separator=";"](state,schedule,timeZone)'
    does gcloud scheduler jobs resume tick $at
    is tick gcloud scheduler jobs list $at --format 'value(name.basename())'
    does gcloud scheduler jobs delete tick $at
    fails NOT_FOUND gcloud scheduler jobs describe tick $at
}

# Of the client whose project and image are given: gcloud looks at its job, changes it and runs it.
jobs() {
    export http_proxy=$url CLOUDSDK_CORE_PROJECT=local-project
    local account=xetl-run-acme@local-project.iam.gserviceaccount.com at="--region $region"
    does gcloud run jobs create by-hand $at --image "$image" --service-account $account --tasks 2 --max-retries 0 --set-env-vars A=1 --labels a=b
    is '2;b' gcloud run jobs describe by-hand $at --format 'value[separator=";"](spec.template.spec.taskCount,metadata.labels.a)'
    does gcloud run jobs update by-hand $at --tasks 1 --update-env-vars B=2
    is '1' gcloud run jobs describe by-hand $at --format 'value(spec.template.spec.taskCount)'
    # It has no bundle to read, so its one task fails; that is what gcloud says.
    fails 'execution failed' gcloud run jobs execute by-hand $at --wait
    fails 'over' gcloud run jobs executions cancel "$(gcloud run jobs executions list $at --job by-hand --format 'value(metadata.name)')" $at
    # As little as can be said of a job, and an empty map of what a container asks for.
    does gcloud run jobs deploy bare $at --image "$image" --service-account $account --cpu 2
    has 'Last updated on 2' gcloud run jobs describe bare $at
    does gcloud run jobs delete bare $at
    has by-hand gcloud run jobs executions list $at --job by-hand --format 'value(metadata.name)'
    has acme-things gcloud run jobs list $at --format 'value(metadata.name)'
    does gcloud run jobs delete by-hand $at
    fails 'Cannot find job' gcloud run jobs describe by-hand $at
    # The client's own job, changed by hand and back again.
    does gcloud run jobs update acme-things $at --tasks 3
    does gcloud run jobs update acme-things $at --tasks 1
    has 'severity' gcloud logging read 'resource.type=cloud_run_job' --limit 3 --format json
    has projects/local-project/logs/ gcloud logging logs list
}

bigquery() {
    local bq="bq --api $url --discovery_file $documents/bigquery.v2.json --project_id=$project --headless --quiet"
    bq="$bq --bigqueryrc $folder/none --location=$region"
    does $bq mk --dataset warehouse
    does $bq mk --table warehouse.things id:INTEGER,name:STRING
    has '"name"' $bq show --format=json warehouse.things
    does $bq query --nouse_legacy_sql "INSERT INTO warehouse.things VALUES (1, 'a'), (2, 'b')"
    does gcloud storage buckets create gs://$project-loads --location $region
    does $bq extract --destination_format=PARQUET warehouse.things gs://$project-loads/rows.parquet
    does $bq load --source_format=PARQUET warehouse.things gs://$project-loads/rows.parquet
    is '[{"n":"4"}]' $bq query --nouse_legacy_sql --format=json 'SELECT COUNT(*) n FROM warehouse.things'
    has things $bq ls warehouse
    does $bq rm -f -t warehouse.things
    does $bq rm -f -d warehouse
}

$service
