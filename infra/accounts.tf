# One identity per function and per job; none has a key file, and nothing runs as
# the project's default account.
resource "google_service_account" "function" {
  for_each     = local.functions
  account_id   = "plant-${each.key}"
  display_name = "Plant: ${each.key}"
}

resource "google_service_account" "job" {
  for_each     = local.jobs
  account_id   = "plant-${each.key}"
  display_name = "Plant: job ${each.key}"
}

# The one identity that Pub/Sub and Scheduler push with.
resource "google_service_account" "push" {
  account_id   = "plant-push"
  display_name = "Plant: pushes events"
}

resource "google_service_account" "deploy" {
  account_id   = "plant-deploy"
  display_name = "Plant: Cloud Build"
}

locals {
  # Written out rather than read from the resource, so that a plan already knows
  # who gets what and the tests can check it.
  domain  = "${var.project}.iam.gserviceaccount.com"
  account = { for k, a in google_service_account.function : k => "${a.account_id}@${local.domain}" }
  runner  = { for k, a in google_service_account.job : k => "${a.account_id}@${local.domain}" }
  push    = "${google_service_account.push.account_id}@${local.domain}"
  deploy  = "${google_service_account.deploy.account_id}@${local.domain}"

  pubsub_agent  = "serviceAccount:service-${var.project_number}@gcp-sa-pubsub.iam.gserviceaccount.com"
  secrets_agent = "serviceAccount:service-${var.project_number}@gcp-sa-secretmanager.iam.gserviceaccount.com"

  # All who speak to the database: what they are called here and there.
  database_users = merge(
    { for k, email in local.account : k => { email = email, role = local.functions[k].role } },
    { for k, email in local.runner : k => { email = email, role = local.jobs[k].role } },
  )
}

# Pub/Sub makes tokens for the push identity, and for no other.
resource "google_service_account_iam_member" "pubsub_signs_as_push" {
  service_account_id = "projects/${var.project}/serviceAccounts/${local.push}"
  role               = "roles/iam.serviceAccountTokenCreator"
  member             = local.pubsub_agent
}
