# The private keys, and the secrets that tokens are signed with. Versions are made
# by plant keys and by the runbook, never by Terraform: its state would hold them.
locals {
  secrets = merge({ for use, k in local.keys : "plant-${use}-key" => "7776000s" }, { plant-jwt-keys = "2592000s" })

  # Who reads which: a function its own keys, and those with HTTPS routes the
  # tokens' secrets. The root's is the operator's alone.
  secret_readers = merge(
    merge([for f, x in local.functions : { for use in x.keys : "plant-${use}-key ${f}" => { secret = "plant-${use}-key", email = local.account[f] } }]...),
    { for f, x in local.functions : "plant-jwt-keys ${f}" => { secret = "plant-jwt-keys", email = local.account[f] } if x.tokens },
    { for s in keys(local.secrets) : "${s} operator" => { secret = s, email = local.runner["operator"] } },
  )
}

resource "google_secret_manager_secret" "key" {
  for_each            = local.secrets
  secret_id           = each.key
  version_destroy_ttl = "2592000s" # a destroyed version can be called back for 30 days
  replication {
    auto {}
  }
  topics {
    name = "projects/${var.project}/topics/${google_pubsub_topic.rotation.name}"
  }
  rotation {
    rotation_period    = each.value
    next_rotation_time = timeadd(plantimestamp(), each.value)
  }
  lifecycle {
    prevent_destroy = true
    ignore_changes  = [rotation[0].next_rotation_time]
  }
  depends_on = [google_pubsub_topic_iam_member.rotation]
}

resource "google_secret_manager_secret_iam_member" "reader" {
  for_each  = local.secret_readers
  secret_id = google_secret_manager_secret.key[each.value.secret].secret_id
  role      = "roles/secretmanager.secretAccessor"
  member    = "serviceAccount:${each.value.email}"
}

resource "google_secret_manager_secret_iam_member" "maker" {
  for_each  = local.secrets
  secret_id = google_secret_manager_secret.key[each.key].secret_id
  role      = "roles/secretmanager.secretVersionAdder"
  member    = "serviceAccount:${local.runner["operator"]}"
}

# plant doctor compares the versions of a key with the ledger, and tells their age.
resource "google_secret_manager_secret_iam_member" "doctor" {
  for_each  = local.keys
  secret_id = google_secret_manager_secret.key["plant-${each.key}-key"].secret_id
  role      = "roles/secretmanager.viewer"
  member    = "serviceAccount:${local.runner["operator"]}"
}

# Secret Manager says here that a rotation is due; an alert makes it a mail.
resource "google_pubsub_topic" "rotation" {
  name       = "plant-rotation-due"
  depends_on = [google_project_service.api]
}

resource "google_pubsub_topic_iam_member" "rotation" {
  topic  = google_pubsub_topic.rotation.name
  role   = "roles/pubsub.publisher"
  member = local.secrets_agent
}

resource "google_pubsub_subscription" "rotation" {
  name                       = "plant-rotation-due"
  topic                      = google_pubsub_topic.rotation.name
  message_retention_duration = "604800s"
  expiration_policy {
    ttl = ""
  }
}
