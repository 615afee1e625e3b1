# What the deployment promises beyond rights.
mock_provider "google" {}

variables {
  project = "p"
  size    = "team"
}

run "the_database_is_private_and_can_be_restored" {
  command = plan
  assert {
    condition     = !google_sql_database_instance.plant.settings[0].ip_configuration[0].ipv4_enabled && google_sql_database_instance.plant.settings[0].ip_configuration[0].ssl_mode == "TRUSTED_CLIENT_CERTIFICATE_REQUIRED" && google_sql_database_instance.plant.settings[0].connector_enforcement == "REQUIRED"
    error_message = "Only connectors reach the database, over the private network."
  }
  assert {
    condition     = google_sql_database_instance.plant.settings[0].backup_configuration[0].enabled && google_sql_database_instance.plant.settings[0].backup_configuration[0].point_in_time_recovery_enabled && google_sql_database_instance.plant.settings[0].backup_configuration[0].backup_retention_settings[0].retained_backups >= 7
    error_message = "A week of backups, and any moment of it."
  }
  assert {
    condition     = google_sql_database_instance.plant.deletion_protection && google_sql_database_instance.plant.settings[0].deletion_protection_enabled
    error_message = "Neither Terraform nor a click deletes the database."
  }
  assert {
    condition     = google_sql_database_instance.plant.settings[0].edition == "ENTERPRISE"
    error_message = "The default edition refuses this tier."
  }
  assert {
    condition     = contains([for f in google_sql_database_instance.plant.settings[0].database_flags : "${f.name}=${f.value}"], "cloudsql.iam_authentication=on")
    error_message = "Logins are those of IAM."
  }
}

run "functions_scale_to_zero_and_no_further_than_the_database" {
  command = plan
  assert {
    condition     = output.connections <= 14
    error_message = "More connections than the database takes."
  }
  assert {
    condition     = alltrue([for s in google_cloud_run_v2_service.function : s.template[0].scaling[0].min_instance_count == 0 && s.template[0].containers[0].resources[0].cpu_idle])
    error_message = "Idle functions cost nothing."
  }
  assert {
    condition     = alltrue([for s in google_cloud_run_v2_service.function : s.template[0].containers[0].image == var.image])
    error_message = "Every function is the one image."
  }
}

run "exactly_three_scheduled_jobs" {
  command = plan
  assert {
    condition     = { for n, j in google_cloud_scheduler_job.job : n => j.schedule } == { sequence = "* * * * *", drift = "0 2 * * *", audit = "30 3 * * *" }
    error_message = "Three jobs are free, and these are the three."
  }
}

run "no_event_is_lost" {
  command = plan
  assert {
    condition     = alltrue([for s in google_pubsub_subscription.push : s.ack_deadline_seconds >= 60 && length(s.dead_letter_policy) == 1 && s.expiration_policy[0].ttl == ""])
    error_message = "A subscription gives time, buries what fails, and never expires."
  }
  assert {
    condition     = google_pubsub_subscription.dead_letter.topic == "plant-dead-letter" && google_pubsub_subscription.dead_letter.expiration_policy[0].ttl == ""
    error_message = "Dead letters wait in a subscription."
  }
  assert {
    condition     = google_pubsub_subscription.push["manufacture-waiting"].filter == "attributes.type=\"plant.skill.certified\" OR attributes.type=\"plant.job_role.certified\"" && google_pubsub_subscription.push["drift"].filter == "attributes.type=\"plant.drift.continued\""
    error_message = "Filters are of the attribute type."
  }
  assert {
    condition     = alltrue([for s in google_pubsub_subscription.push : length(s.filter) <= 256])
    error_message = "Pub/Sub takes filters of at most 256 bytes."
  }
}

run "somebody_hears" {
  command = plan
  assert {
    condition     = alltrue([for p in concat(values(google_monitoring_alert_policy.log), values(google_monitoring_alert_policy.metric), [google_monitoring_alert_policy.silence]) : length(p.notification_channels) == 1 && p.documentation[0].content != ""])
    error_message = "An alert without a person or without advice."
  }
  assert {
    condition     = google_monitoring_notification_channel.email.type == "email" && length(setsubtract(["tamper", "drift", "audit"], keys(google_monitoring_alert_policy.log))) == 0 && length(setsubtract(["dead-letters", "errors", "rotation-due"], keys(google_monitoring_alert_policy.metric))) == 0
    error_message = "Tampering, dead letters, drift failures, errors and due rotations reach a person by mail."
  }
  assert {
    condition     = toset([for t in google_billing_budget.month.threshold_rules : t.threshold_percent]) == toset([0.5, 0.8, 1.0]) && google_billing_budget.month.amount[0].specified_amount[0].units == "100"
    error_message = "The budget speaks at 50, 80 and 100 % of $100."
  }
}

run "the_budget_stops_batch_work" {
  command = plan
  assert {
    condition     = google_billing_budget.month.all_updates_rule[0].pubsub_topic == "projects/p/topics/plant-budget" && google_billing_budget.month.all_updates_rule[0].schema_version == "1.0"
    error_message = "What the budget says goes to its topic."
  }
  assert {
    condition     = google_pubsub_subscription.budget["audit-run"].topic == "plant-budget" && google_pubsub_subscription.budget["audit-run"].filter == null && google_pubsub_subscription.budget["audit-run"].ack_deadline_seconds >= 60 && length(google_pubsub_subscription.budget["audit-run"].dead_letter_policy) == 1 && google_pubsub_subscription.budget["audit-run"].expiration_policy[0].ttl == ""
    error_message = "All of it is pushed, what fails is buried, and the subscription never expires."
  }
  assert {
    condition     = google_monitoring_alert_policy.log["hold"].notification_channels != null
    error_message = "Somebody hears that batch work is held."
  }
}

run "secrets_are_rotated" {
  command = plan
  assert {
    condition     = alltrue([for s in google_secret_manager_secret.key : length(s.rotation) == 1 && length(s.topics) == 1])
    error_message = "A secret without a date for its rotation."
  }
}

run "the_registry_forgets_old_images" {
  command = plan
  assert {
    condition     = toset([for p in google_artifact_registry_repository.plant.cleanup_policies : p.action]) == toset(["KEEP", "DELETE"]) && google_artifact_registry_repository.plant.docker_config[0].immutable_tags
    error_message = "Old images go, the last ten stay, tags do not move."
  }
}

run "lab_has_no_redis" {
  command = plan
  variables {
    size = "lab"
  }
  assert {
    condition     = length(google_redis_instance.cache) == 0 && length(google_secret_manager_secret.redis) == 0
    error_message = "The lab pays for no cache."
  }
  assert {
    condition     = length([for e in google_cloud_run_v2_service.function["embed"].template[0].containers[0].env : e if e.name == "REDIS_URL"]) == 0
    error_message = "embed is told of a Redis that is not there."
  }
}

run "before_the_keys_exist_nothing_serves" {
  command = plan
  variables {
    serve = false
  }
  assert {
    condition     = length(google_cloud_run_v2_service.function) + length(google_pubsub_subscription.push) + length(google_pubsub_subscription.budget) + length(google_cloud_scheduler_job.job) == 0 && length(google_cloud_run_v2_job.job) == 2
    error_message = "A first apply makes everything but the functions."
  }
}

run "a_tag_is_no_image" {
  command = plan
  variables {
    image = "us-central1-docker.pkg.dev/p/plant/plant:latest"
  }
  expect_failures = [var.image]
}

run "a_robot_is_no_operator" {
  command = plan
  variables {
    operators = ["serviceAccount:x@p.iam.gserviceaccount.com"]
  }
  expect_failures = [var.operators]
}

run "an_unknown_size_is_refused" {
  command = plan
  variables {
    size = "huge"
  }
  expect_failures = [var.size]
}
