resource "google_pubsub_topic" "events" {
  name       = "plant-events"
  depends_on = [google_project_service.api]
}

resource "google_pubsub_topic" "dead_letter" {
  name       = "plant-dead-letter"
  depends_on = [google_project_service.api]
}

# Where dead letters wait for a person; without it they would be gone.
resource "google_pubsub_subscription" "dead_letter" {
  name                       = "plant-dead-letter-pull"
  topic                      = google_pubsub_topic.dead_letter.name
  message_retention_duration = "604800s"
  ack_deadline_seconds       = 60
  expiration_policy {
    ttl = ""
  }
}

resource "google_pubsub_subscription" "push" {
  for_each                   = { for name, s in local.subscriptions : name => s if var.serve }
  name                       = "plant-${each.key}"
  topic                      = google_pubsub_topic.events.name
  filter                     = each.value.filter
  ack_deadline_seconds       = local.deliveries.ack_deadline_seconds
  message_retention_duration = "604800s"

  push_config {
    push_endpoint = "${local.address[each.value.function]}/events/${each.value.route}"
    oidc_token {
      service_account_email = local.push
      audience              = local.push_audience
    }
  }
  retry_policy {
    minimum_backoff = local.deliveries.minimum_backoff
    maximum_backoff = local.deliveries.maximum_backoff
  }
  dead_letter_policy {
    dead_letter_topic     = "projects/${var.project}/topics/${google_pubsub_topic.dead_letter.name}"
    max_delivery_attempts = local.deliveries.max_delivery_attempts
  }
  expiration_policy {
    ttl = ""
  }
  depends_on = [google_cloud_run_v2_service.function, google_service_account_iam_member.pubsub_signs_as_push, google_pubsub_topic_iam_member.pubsub_buries]
}

# Cloud Billing says here how much of the budget is spent. Its messages are no events
# of ours and are not filtered.
resource "google_pubsub_topic" "budget" {
  name       = "plant-budget"
  depends_on = [google_project_service.api]
}

resource "google_pubsub_topic_iam_member" "budget" {
  topic  = google_pubsub_topic.budget.name
  role   = "roles/pubsub.publisher"
  member = "serviceAccount:billing-budget-alert@system.gserviceaccount.com"
}

resource "google_pubsub_subscription" "budget" {
  for_each                   = toset(var.serve ? ["audit-run"] : [])
  name                       = "plant-budget"
  topic                      = google_pubsub_topic.budget.name
  ack_deadline_seconds       = local.deliveries.ack_deadline_seconds
  message_retention_duration = "604800s"

  push_config {
    push_endpoint = "${local.address[each.key]}/events/budget"
    oidc_token {
      service_account_email = local.push
      audience              = local.push_audience
    }
  }
  retry_policy {
    minimum_backoff = local.deliveries.minimum_backoff
    maximum_backoff = local.deliveries.maximum_backoff
  }
  dead_letter_policy {
    dead_letter_topic     = "projects/${var.project}/topics/${google_pubsub_topic.dead_letter.name}"
    max_delivery_attempts = local.deliveries.max_delivery_attempts
  }
  expiration_policy {
    ttl = ""
  }
  depends_on = [google_cloud_run_v2_service.function, google_service_account_iam_member.pubsub_signs_as_push, google_pubsub_topic_iam_member.pubsub_buries]
}

resource "google_pubsub_topic_iam_member" "publisher" {
  for_each = { for f, x in local.functions : f => x if x.publishes }
  topic    = google_pubsub_topic.events.name
  role     = "roles/pubsub.publisher"
  member   = "serviceAccount:${local.account[each.key]}"
}

# A handler buries what can never succeed, with the reason.
resource "google_pubsub_topic_iam_member" "burier" {
  for_each = local.consumers
  topic    = google_pubsub_topic.dead_letter.name
  role     = "roles/pubsub.publisher"
  member   = "serviceAccount:${local.account[each.key]}"
}

# Pub/Sub itself buries what was tried too often.
resource "google_pubsub_topic_iam_member" "pubsub_buries" {
  topic  = google_pubsub_topic.dead_letter.name
  role   = "roles/pubsub.publisher"
  member = local.pubsub_agent
}

resource "google_pubsub_subscription_iam_member" "pubsub_takes" {
  for_each     = merge(google_pubsub_subscription.push, { for s in google_pubsub_subscription.budget : "budget" => s })
  subscription = each.value.name
  role         = "roles/pubsub.subscriber"
  member       = local.pubsub_agent
}

# The operator reads and replays dead letters.
resource "google_pubsub_subscription_iam_member" "operator" {
  subscription = google_pubsub_subscription.dead_letter.name
  role         = "roles/pubsub.subscriber"
  member       = "serviceAccount:${local.runner["operator"]}"
}

# The drift check counts them, and lets go of what it looked at.
resource "google_pubsub_subscription_iam_member" "drift" {
  subscription = google_pubsub_subscription.dead_letter.name
  role         = "roles/pubsub.subscriber"
  member       = "serviceAccount:${local.account["drift-check"]}"
}

resource "google_pubsub_topic_iam_member" "operator" {
  topic  = google_pubsub_topic.events.name
  role   = "roles/pubsub.publisher"
  member = "serviceAccount:${local.runner["operator"]}"
}

# plant doctor asks whether topics and subscriptions are there, and for their filters.
resource "google_pubsub_topic_iam_member" "doctor" {
  for_each = { events = google_pubsub_topic.events.name, dead-letter = google_pubsub_topic.dead_letter.name, budget = google_pubsub_topic.budget.name }
  topic    = each.value
  role     = "roles/pubsub.viewer"
  member   = "serviceAccount:${local.runner["operator"]}"
}

resource "google_pubsub_subscription_iam_member" "doctor" {
  for_each = merge(
    google_pubsub_subscription.push, { for s in google_pubsub_subscription.budget : "budget" => s }, { dead-letter = google_pubsub_subscription.dead_letter },
  )
  subscription = each.value.name
  role         = "roles/pubsub.viewer"
  member       = "serviceAccount:${local.runner["operator"]}"
}

# The clock. Three jobs are free; a test counts them.
resource "google_cloud_scheduler_job" "job" {
  for_each         = { for name, j in local.schedule : name => j if var.serve }
  name             = "plant-${each.key}"
  region           = var.region
  schedule         = each.value.cron
  time_zone        = "Etc/UTC"
  attempt_deadline = each.value.deadline
  retry_config {
    retry_count          = each.value.retries
    min_backoff_duration = "30s"
  }
  http_target {
    http_method = "POST"
    uri         = "${local.address[each.value.function]}/events/${each.key}"
    oidc_token {
      service_account_email = local.push
      audience              = local.push_audience
    }
  }
  depends_on = [google_cloud_run_v2_service.function]
}
