# What is kept of the logs, and who hears when.
resource "google_logging_project_exclusion" "requests" {
  name        = "plant-requests-that-went-well"
  description = "Functions log every request themselves, with its id; Cloud Run's own line is needed where a function could not."
  filter      = "resource.type=\"cloud_run_revision\" AND logName:\"run.googleapis.com%2Frequests\" AND httpRequest.status<500"
}

resource "google_logging_project_exclusion" "health" {
  name   = "plant-health"
  filter = "resource.type=\"cloud_run_revision\" AND jsonPayload.path=(\"/health\" OR \"/ready\") AND severity<WARNING"
}

resource "google_logging_project_bucket_config" "default" {
  project        = var.project
  location       = "global"
  bucket_id      = "_Default"
  retention_days = 30 # the longest that costs nothing
}

resource "google_monitoring_notification_channel" "email" {
  display_name = "Plant"
  type         = "email"
  labels       = { email_address = var.alert_email }
  depends_on   = [google_project_service.api]
}

locals {
  run = "resource.type=\"cloud_run_revision\""

  # Alerts on a line of a log: one is enough.
  log_alerts = {
    tamper = {
      title    = "Plant: the record does not agree with what was published"
      severity = "CRITICAL"
      filter   = "${local.run} AND resource.labels.service_name=\"audit-run\" AND severity>=CRITICAL"
      advice   = "Somebody changed what was signed, or a backup was restored under a running log. RUNBOOK.md, Tamper alert."
    }
    drift = {
      title    = "Plant: the drift check fails"
      severity = "ERROR"
      filter   = "(${local.run} AND resource.labels.service_name=\"drift-check\" AND severity>=ERROR) OR (resource.type=\"cloud_scheduler_job\" AND resource.labels.job_id=\"plant-drift\" AND severity>=ERROR)"
      advice   = "Agents are not compared with what they were certified for until it runs again. Its log says why; plant-drift in Cloud Scheduler runs it at once."
    }
    hold = {
      title    = "Plant: batch work is held"
      severity = "WARNING"
      filter   = "${local.run} AND (resource.labels.service_name=\"audit-run\" OR resource.labels.service_name=\"drift-check\") AND severity=WARNING AND jsonPayload.message:\" held: \""
      advice   = "The budget is spent, or an operator stopped audits, drift checks and backfills. RUNBOOK.md, The budget has stopped batch work."
    }
    audit = {
      title    = "Plant: the audit fails"
      severity = "ERROR"
      filter   = "resource.type=\"cloud_scheduler_job\" AND resource.labels.job_id=\"plant-audit\" AND severity>=ERROR"
      advice   = "Nothing was found to be wrong, but nothing was checked either. audit-run's log says why."
    }
  }

  # Alerts on a figure.
  metric_alerts = {
    dead-letters = {
      title     = "Plant: a dead letter waits"
      severity  = "ERROR"
      filter    = "resource.type=\"pubsub_subscription\" AND resource.labels.subscription_id=\"${google_pubsub_subscription.dead_letter.name}\" AND metric.type=\"pubsub.googleapis.com/subscription/num_undelivered_messages\""
      aligner   = "ALIGN_MAX", reducer = "REDUCE_SUM"
      threshold = 0, duration = "0s"
      advice    = "An event could not be handled. RUNBOOK.md, Poisoned queue."
    }
    rotation-due = {
      title     = "Plant: a key is due for rotation"
      severity  = "WARNING"
      filter    = "resource.type=\"pubsub_subscription\" AND resource.labels.subscription_id=\"${google_pubsub_subscription.rotation.name}\" AND metric.type=\"pubsub.googleapis.com/subscription/num_undelivered_messages\""
      aligner   = "ALIGN_MAX", reducer = "REDUCE_SUM"
      threshold = 0, duration = "0s"
      advice    = "RUNBOOK.md, Key rotation."
    }
    errors = {
      title     = "Plant: requests fail"
      severity  = "ERROR"
      filter    = "${local.run} AND metric.type=\"run.googleapis.com/request_count\" AND metric.labels.response_code_class=\"5xx\""
      aligner   = "ALIGN_RATE", reducer = "REDUCE_SUM"
      threshold = 0.05, duration = "300s" # a second; three a minute for five minutes
      advice    = "The functions' logs name the request ids."
    }
    database-disk = {
      title     = "Plant: the database's disk fills up"
      severity  = "WARNING"
      filter    = "resource.type=\"cloudsql_database\" AND metric.type=\"cloudsql.googleapis.com/database/disk/bytes_used\""
      aligner   = "ALIGN_MAX", reducer = "REDUCE_MAX"
      threshold = local.size.database_disk_to * 0.8 * 1073741824, duration = "0s"
      advice    = "RUNBOOK.md, Growing up a size."
    }
    database-connections = {
      title     = "Plant: the database runs out of connections"
      severity  = "WARNING"
      filter    = "resource.type=\"cloudsql_database\" AND metric.type=\"cloudsql.googleapis.com/database/postgresql/num_backends\" AND metric.labels.database=\"plant\""
      aligner   = "ALIGN_MAX", reducer = "REDUCE_SUM"
      threshold = 16, duration = "300s"
      advice    = "RUNBOOK.md, Growing up a size."
    }
  }
}

resource "google_monitoring_alert_policy" "log" {
  for_each              = local.log_alerts
  display_name          = each.value.title
  combiner              = "OR"
  severity              = each.value.severity
  notification_channels = [google_monitoring_notification_channel.email.id]
  conditions {
    display_name = each.value.title
    condition_matched_log {
      filter = each.value.filter
    }
  }
  alert_strategy {
    auto_close = "604800s"
    notification_rate_limit {
      period = "300s"
    }
  }
  documentation {
    content = each.value.advice
  }
}

resource "google_monitoring_alert_policy" "metric" {
  for_each              = local.metric_alerts
  display_name          = each.value.title
  combiner              = "OR"
  severity              = each.value.severity
  notification_channels = [google_monitoring_notification_channel.email.id]
  conditions {
    display_name = each.value.title
    condition_threshold {
      filter          = each.value.filter
      comparison      = "COMPARISON_GT"
      threshold_value = each.value.threshold
      duration        = each.value.duration
      aggregations {
        alignment_period     = "300s"
        per_series_aligner   = each.value.aligner
        cross_series_reducer = each.value.reducer
      }
    }
  }
  documentation {
    content = each.value.advice
  }
}

# Silence is a finding too: the sequencer answers every minute.
resource "google_monitoring_alert_policy" "silence" {
  display_name          = "Plant: the sequencer is silent"
  combiner              = "OR"
  severity              = "ERROR"
  notification_channels = [google_monitoring_notification_channel.email.id]
  conditions {
    display_name = "no answer of audit-run for fifteen minutes"
    condition_absent {
      filter   = "${local.run} AND resource.labels.service_name=\"audit-run\" AND metric.type=\"run.googleapis.com/request_count\" AND metric.labels.response_code_class=\"2xx\""
      duration = "900s"
      aggregations {
        alignment_period     = "300s"
        per_series_aligner   = "ALIGN_RATE"
        cross_series_reducer = "REDUCE_SUM"
      }
    }
  }
  documentation {
    content = "No checkpoint is made and no event is swept. Look at plant-sequence in Cloud Scheduler and at audit-run's log."
  }
}

resource "google_billing_budget" "month" {
  billing_account = var.billing_account
  display_name    = "Plant"
  budget_filter {
    projects = ["projects/${var.project_number}"]
  }
  amount {
    specified_amount {
      currency_code = "USD"
      units         = tostring(local.size.budget_usd)
    }
  }
  dynamic "threshold_rules" {
    for_each = [0.5, 0.8, 1.0]
    content {
      threshold_percent = threshold_rules.value
    }
  }
  all_updates_rule {
    monitoring_notification_channels = [google_monitoring_notification_channel.email.id]
    pubsub_topic                     = "projects/${var.project}/topics/${google_pubsub_topic.budget.name}"
    schema_version                   = "1.0"
  }
  depends_on = [google_pubsub_topic_iam_member.budget]
}
