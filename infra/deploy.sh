#!/usr/bin/env bash
# Deploys one image to the functions, one after the other: a revision without
# traffic, a smoke test of it, then all traffic. One at a time because old and new
# instances share the database's connections. If anything fails, every function
# that was shifted gets its old revision back, last first, and the exit code is 1.
#
#   infra/deploy.sh REGION FILE-WITH-THE-IMAGE "FUNCTION …"
set -euo pipefail
region=$1 image=$(cat "$2") functions=$3
attempts=${SMOKE_ATTEMPTS:-10} pause=${SMOKE_PAUSE:-3}
case $image in
*@sha256:*) ;;
*) echo "deploy: $image does not name a digest" >&2; exit 2 ;;
esac

shifted=()
rollback() {
	local i function revision
	for ((i = ${#shifted[@]} - 1; i >= 0; i--)); do
		IFS=' ' read -r function revision <<<"${shifted[$i]}"
		echo "deploy: $function back to $revision" >&2
		gcloud run services update-traffic "$function" --region="$region" --to-revisions="$revision=100" --quiet >&2 ||
			echo "deploy: $function COULD NOT be rolled back to $revision: do it by hand" >&2
	done
	exit 1
}

# ready asks a revision for its schema, keys and constitution.
ready() {
	local n
	for ((n = 1; n <= attempts; n++)); do
		if curl --fail --silent --show-error --max-time 10 --output /dev/null "$1/ready"; then return 0; fi
		sleep "$pause"
	done
	return 1
}

describe() { gcloud run services describe "$1" --region="$region" --format="$2"; }

for function in $functions; do
	echo "deploy: $function"
	serving=$(describe "$function" 'value(status.traffic.filter("percent:100").extract("revisionName").flatten())') || rollback
	[ -n "$serving" ] || { echo "deploy: no revision of $function has all the traffic" >&2; rollback; }
	gcloud run deploy "$function" --region="$region" --image="$image" --no-traffic --tag=candidate --quiet >&2 || rollback
	candidate=$(describe "$function" 'value(status.latestCreatedRevisionName)') || rollback
	base=$(describe "$function" 'value(status.url)') || rollback
	ready "https://candidate---${base#https://}" || { echo "deploy: $function does not become ready" >&2; rollback; }
	shifted+=("$function $serving")
	gcloud run services update-traffic "$function" --region="$region" --to-revisions="$candidate=100" --quiet >&2 || rollback
	ready "$base" || { echo "deploy: $function fails under traffic" >&2; rollback; }
done
echo "deploy: all of them serve $image"
