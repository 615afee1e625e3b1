#!/usr/bin/env bash
# Checks the configuration without a cloud: format, validate, terraform test, and a
# plan of each size, which the tests of price and connections read from FOLDER
# (lab.json, team.json).
#
#   infra/check.sh FOLDER
#
# The provider comes from the registry, or from TF_PROVIDER_DIR, a folder with
# a terraform-provider-google that serves the schema of ~> 6.50 (then nothing is
# downloaded). With INFRA_OPTIONAL=1 a machine that can have neither terraform nor
# provider is told so, loudly, and passes.
set -euo pipefail
rm -f "$1"/lab.json "$1"/team.json # never those of another run
out=$(mkdir -p "$1" && cd "$1" && pwd)
cd "$(dirname "$0")"

unchecked() {
	printf '\n%s\n!! infra/ WAS NOT CHECKED: %s\n%s\n\n' "$line" "$1" "$line" >&2
	[ "${INFRA_OPTIONAL:-}" = 1 ] && exit 0
	exit 1
}
line=$(printf '!%.0s' {1..100})

unset TF_CLI_CONFIG_FILE
command -v terraform >/dev/null || unchecked "terraform is not installed (https://developer.hashicorp.com/terraform/install)"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cp -r ./*.tf deliveries.json example.tfvars tests "$work"
rm -f "$work/backend.tf" # where the state of a deployment is does not matter here
terraform fmt -check -recursive . || { echo "run terraform fmt -recursive infra" >&2; exit 1; }
cd "$work"
export TF_IN_AUTOMATION=1 TF_INPUT=0 CHECKPOINT_DISABLE=1
# Nothing is asked of Google, but its provider wants to be somebody.
export GOOGLE_OAUTH_ACCESS_TOKEN=none

if [ -n "${TF_PROVIDER_DIR:-}" ]; then
	printf 'provider_installation {\n  dev_overrides { "hashicorp/google" = "%s" }\n  direct {}\n}\n' "$TF_PROVIDER_DIR" >"$work/terraformrc"
	export TF_CLI_CONFIG_FILE="$work/terraformrc"
else
	timeout 300 terraform init -backend=false -no-color >"$work/init.log" 2>&1 || {
		tail -5 "$work/init.log" >&2
		unchecked "terraform init found no provider: a network, or TF_PROVIDER_DIR, is needed"
	}
fi

quietly() { # what went well is not worth reading
	"$@" >"$work/log" 2>&1 || { cat "$work/log" >&2; return 1; }
}
quietly terraform validate -no-color
echo "infra: valid"
for size in lab team; do
	quietly terraform plan -no-color -refresh=false -lock=false -var-file=example.tfvars -var "size=$size" -out="$work/$size.plan"
	terraform show -json "$work/$size.plan" >"$out/$size.json"
	grep -E '^Plan:' "$work/log" | sed "s/^/infra: $size: /"
done
terraform test -no-color -var-file=example.tfvars >"$work/log" 2>&1 || { grep -v '^│ *$' "$work/log" >&2; exit 1; }
grep -E '^(Success|Failure)' "$work/log" | sed 's/^/infra: /'
