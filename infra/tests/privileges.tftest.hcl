# Who may do what. Each run names a rule; widen it in the configuration and its
# assertion fails. (That nobody is granted anything by a resource these do not
# look at is a Go test over the whole plan: scripts/cloud.)
mock_provider "google" {}

variables {
  project = "p"
  size    = "team"
}

run "keys_are_read_by_those_who_sign_with_them" {
  command = plan
  assert {
    condition = toset([for m in google_secret_manager_secret_iam_member.reader : "${m.secret_id} ${split("@", m.member)[0]}"]) == toset(flatten([
      "plant-root-key serviceAccount:plant-operator",
      [for f in ["create-skill", "create-role", "birth-agent", "certify", "embed", "drift-check", "operator"] : "plant-amendment-key serviceAccount:plant-${f}"],
      [for f in ["certify", "operator"] : "plant-certification-key serviceAccount:plant-${f}"],
      [for f in ["audit-run", "operator"] : "plant-heads-key serviceAccount:plant-${f}"],
      [for f in ["audit-run", "operator"] : "plant-checkpoint-key serviceAccount:plant-${f}"],
      [for f in ["create-skill", "create-role", "birth-agent", "certify", "embed", "audit-run", "drift-check", "issue-token", "operator"] : "plant-jwt-keys serviceAccount:plant-${f}"],
    ]))
    error_message = "A secret is readable by more, or by fewer, than those who need it."
  }
  assert {
    condition     = alltrue([for m in google_secret_manager_secret_iam_member.reader : m.role == "roles/secretmanager.secretAccessor"])
    error_message = "Reading a secret is secretAccessor and nothing wider."
  }
}

run "the_root_key_is_the_operators_alone" {
  command = plan
  assert {
    condition     = [for m in google_secret_manager_secret_iam_member.reader : m.member if m.secret_id == "plant-root-key"] == ["serviceAccount:plant-operator@p.iam.gserviceaccount.com"]
    error_message = "No function may read the root key."
  }
}

run "only_the_operator_makes_keys" {
  command = plan
  assert {
    condition     = alltrue([for m in google_secret_manager_secret_iam_member.maker : m.role == "roles/secretmanager.secretVersionAdder" && startswith(m.member, "serviceAccount:plant-operator@")])
    error_message = "Versions of secrets are added by the operator, who cannot delete or disable them."
  }
}

run "only_embed_knows_redis" {
  command = plan
  assert {
    condition     = [for m in google_secret_manager_secret_iam_member.redis : "${m.role} ${m.member}"] == ["roles/secretmanager.secretAccessor serviceAccount:plant-embed@p.iam.gserviceaccount.com"]
    error_message = "Only embed reads Redis' address."
  }
  assert {
    condition     = google_redis_instance.cache[0].auth_enabled && google_redis_instance.cache[0].connect_mode == "PRIVATE_SERVICE_ACCESS"
    error_message = "Redis asks for a password and is private."
  }
}

run "the_database_is_opened_by_the_functions_and_jobs_as_themselves" {
  command = plan
  assert {
    condition     = toset([for m in google_project_iam_member.database : m.role]) == toset(["roles/cloudsql.client", "roles/cloudsql.instanceUser"])
    error_message = "Nobody gets a wider role for the database."
  }
  assert {
    condition     = alltrue([for m in google_project_iam_member.database : strcontains(m.condition[0].expression, "resource.name == \"projects/p/instances/plant\"") && strcontains(m.condition[0].expression, "resource.service == \"sqladmin.googleapis.com\"")])
    error_message = "The roles hold for this instance only."
  }
  assert {
    condition     = toset([for m in google_project_iam_member.database : m.member]) == toset([for a in concat(keys(local.functions), ["migrate", "operator"]) : "serviceAccount:plant-${a}@p.iam.gserviceaccount.com"])
    error_message = "Only functions and jobs open the database."
  }
  assert {
    condition     = alltrue([for u in google_sql_user.user : u.type == "CLOUD_IAM_SERVICE_ACCOUNT" && u.password == null])
    error_message = "No database user has a password."
  }
}

run "each_duty_in_the_database_has_its_login" {
  command = plan
  assert {
    condition = { for k, u in local.database_users : k => u.role } == {
      create-skill = "plant_writer", create-role = "plant_writer", birth-agent = "plant_writer", certify = "plant_certifier",
      embed        = "plant_embedder", audit-run = "plant_auditor", drift-check = "plant_drift", issue-token = "plant_authenticator",
      migrate      = "plant_migrator", operator = "plant_operator",
    }
    error_message = "A login has another duty than its function."
  }
  assert {
    condition     = strcontains(output.grants, "GRANT plant_authenticator TO \"plant-issue-token@p.iam\" WITH INHERIT TRUE, SET TRUE;")
    error_message = "The grants name the logins as PostgreSQL knows them."
  }
}

run "events_are_published_by_those_who_change_something" {
  command = plan
  assert {
    condition     = toset([for m in google_pubsub_topic_iam_member.publisher : "${m.topic} ${m.role} ${split("@", m.member)[0]}"]) == toset([for f in ["create-skill", "create-role", "birth-agent", "certify", "embed", "audit-run", "drift-check"] : "plant-events roles/pubsub.publisher serviceAccount:plant-${f}"])
    error_message = "Publishing is for the functions that write, on the events' topic."
  }
  assert {
    condition     = toset([for m in google_pubsub_topic_iam_member.burier : "${m.topic} ${m.role} ${split("@", m.member)[0]}"]) == toset([for f in ["birth-agent", "certify", "embed", "audit-run", "drift-check"] : "plant-dead-letter roles/pubsub.publisher serviceAccount:plant-${f}"])
    error_message = "Only who handles events buries them."
  }
  assert {
    condition     = google_pubsub_topic_iam_member.pubsub_buries.role == "roles/pubsub.publisher" && alltrue([for m in google_pubsub_subscription_iam_member.pubsub_takes : m.role == "roles/pubsub.subscriber"])
    error_message = "Pub/Sub itself needs no more than to move a dead letter."
  }
  assert {
    condition     = google_pubsub_subscription_iam_member.operator.role == "roles/pubsub.subscriber" && google_pubsub_topic_iam_member.operator.role == "roles/pubsub.publisher"
    error_message = "The operator takes dead letters and publishes them again, no more."
  }
  assert {
    condition     = google_pubsub_subscription_iam_member.drift.role == "roles/pubsub.subscriber" && google_pubsub_subscription_iam_member.drift.subscription == "plant-dead-letter-pull"
    error_message = "The drift check counts dead letters, and reads no other subscription."
  }
  assert {
    condition     = google_pubsub_topic_iam_member.rotation.role == "roles/pubsub.publisher" && google_pubsub_topic_iam_member.rotation.topic == "plant-rotation-due"
    error_message = "Secret Manager says what is due, and only there."
  }
  assert {
    condition     = google_pubsub_topic_iam_member.budget.role == "roles/pubsub.publisher" && google_pubsub_topic_iam_member.budget.topic == "plant-budget" && google_pubsub_topic_iam_member.budget.member == "serviceAccount:billing-budget-alert@system.gserviceaccount.com"
    error_message = "Only Cloud Billing says what is spent."
  }
}

run "doctor_looks_and_changes_nothing" {
  command = plan
  assert {
    condition     = toset([for m in google_pubsub_topic_iam_member.doctor : "${m.topic} ${m.role} ${split("@", m.member)[0]}"]) == toset([for t in ["plant-events", "plant-dead-letter", "plant-budget"] : "${t} roles/pubsub.viewer serviceAccount:plant-operator"])
    error_message = "The operator sees the topics' settings, and changes none."
  }
  assert {
    condition     = toset([for m in google_pubsub_subscription_iam_member.doctor : "${m.subscription} ${m.role} ${split("@", m.member)[0]}"]) == toset([for s in concat([for n in keys(local.subscriptions) : "plant-${n}"], ["plant-budget", "plant-dead-letter-pull"]) : "${s} roles/pubsub.viewer serviceAccount:plant-operator"])
    error_message = "The operator sees the settings of the functions' subscriptions, takes none of their events, and changes none."
  }
  assert {
    condition     = toset([for m in google_secret_manager_secret_iam_member.doctor : "${m.secret_id} ${m.role} ${split("@", m.member)[0]}"]) == toset([for use in ["root", "amendment", "certification", "heads", "checkpoint"] : "plant-${use}-key roles/secretmanager.viewer serviceAccount:plant-operator"])
    error_message = "The operator sees which versions the keys have, of no other secret, and enables or destroys none."
  }
}

run "pushes_come_from_one_identity_that_only_pubsub_can_be" {
  command = plan
  assert {
    condition     = google_service_account_iam_member.pubsub_signs_as_push.service_account_id == "projects/p/serviceAccounts/plant-push@p.iam.gserviceaccount.com" && google_service_account_iam_member.pubsub_signs_as_push.role == "roles/iam.serviceAccountTokenCreator" && endswith(google_service_account_iam_member.pubsub_signs_as_push.member, "@gcp-sa-pubsub.iam.gserviceaccount.com")
    error_message = "Only Pub/Sub makes tokens, and only as plant-push."
  }
  assert {
    condition     = toset([for f, m in google_cloud_run_v2_service_iam_member.push : "${f} ${m.role} ${split("@", m.member)[0]}"]) == toset([for f in ["birth-agent", "certify", "embed", "audit-run", "drift-check"] : "${f} roles/run.invoker serviceAccount:plant-push"])
    error_message = "plant-push invokes the functions that handle events, no other."
  }
  assert {
    condition     = alltrue([for s in concat(values(google_pubsub_subscription.push), values(google_pubsub_subscription.budget)) : s.push_config[0].oidc_token[0].audience == "https://plant.example/1/events" && startswith(s.push_config[0].oidc_token[0].service_account_email, "plant-push@")])
    error_message = "Every push carries a token for our audience."
  }
  assert {
    condition     = alltrue([for j in google_cloud_scheduler_job.job : j.http_target[0].oidc_token[0].audience == "https://plant.example/1/events" && startswith(j.http_target[0].oidc_token[0].service_account_email, "plant-push@")])
    error_message = "Every scheduled call carries a token for our audience."
  }
}

run "the_public_may_call_and_nothing_else" {
  command = plan
  assert {
    condition     = alltrue([for m in google_cloud_run_v2_service_iam_member.public : m.role == "roles/run.invoker" && m.member == "allUsers"])
    error_message = "Everybody may invoke, nobody may change."
  }
}

run "checkpoints_can_be_made_and_read_never_replaced" {
  command = plan
  assert {
    condition     = toset([for m in google_storage_bucket_iam_member.sequencer : "${m.role} ${split("@", m.member)[0]}"]) == toset(["roles/storage.objectCreator serviceAccount:plant-audit-run", "roles/storage.objectViewer serviceAccount:plant-audit-run"])
    error_message = "The sequencer creates and reads checkpoints; it deletes and overwrites none."
  }
  assert {
    condition     = google_storage_bucket_iam_member.operator.role == "roles/storage.objectViewer"
    error_message = "The operator only reads checkpoints."
  }
  assert {
    condition     = google_storage_bucket.checkpoints.retention_policy[0].is_locked && google_storage_bucket.checkpoints.retention_policy[0].retention_period >= 315360000
    error_message = "Checkpoints are locked for ten years."
  }
  assert {
    condition     = google_storage_bucket.checkpoints.public_access_prevention == "enforced" && google_storage_bucket.checkpoints.uniform_bucket_level_access
    error_message = "No object of the bucket has rights of its own."
  }
}

run "the_deployer_deploys_what_there_is" {
  command = plan
  assert {
    condition     = toset([for m in google_project_iam_member.deploy : m.role]) == toset(["roles/logging.logWriter", "roles/ondemandscanning.admin", "roles/firebasehosting.admin"])
    error_message = "On the project the deployer may log, scan and set the front door."
  }
  assert {
    condition     = google_artifact_registry_repository_iam_member.deploy.role == "roles/artifactregistry.writer" && google_storage_bucket_iam_member.source.role == "roles/storage.objectViewer"
    error_message = "It pushes images and reads sources; it deletes neither."
  }
  assert {
    condition     = alltrue([for m in concat(values(google_cloud_run_v2_service_iam_member.deploy), values(google_cloud_run_v2_job_iam_member.deploy)) : m.role == "roles/run.developer"])
    error_message = "It changes services and jobs, and not who may call them."
  }
  assert {
    condition     = toset([for m in google_service_account_iam_member.deploy : "${m.role} ${m.service_account_id}"]) == toset([for a in concat(keys(local.functions), ["migrate", "operator"]) : "roles/iam.serviceAccountUser projects/p/serviceAccounts/plant-${a}@p.iam.gserviceaccount.com"])
    error_message = "It acts as functions and jobs, never as plant-push."
  }
}

run "operators_run_one_job" {
  command = plan
  assert {
    condition     = alltrue([for who, m in google_cloud_run_v2_job_iam_member.operators : m.name == "plant-operator" && m.role == "roles/run.jobsExecutorWithOverrides" && m.member == who])
    error_message = "People run the operator's job and nothing else."
  }
}

run "every_function_is_somebody_else" {
  command = plan
  assert {
    condition     = length(distinct([for s in google_cloud_run_v2_service.function : s.template[0].service_account])) == 8
    error_message = "Two functions share an identity."
  }
  assert {
    condition     = alltrue([for f, s in google_cloud_run_v2_service.function : s.template[0].service_account == "plant-${f}@p.iam.gserviceaccount.com"])
    error_message = "A function runs as somebody else."
  }
  assert {
    condition     = alltrue([for j, x in google_cloud_run_v2_job.job : x.template[0].template[0].service_account == "plant-${j}@p.iam.gserviceaccount.com"])
    error_message = "A job runs as somebody else."
  }
}

run "who_reads_a_secret_is_written_down" {
  command = plan
  assert {
    condition     = google_project_iam_audit_config.secrets.service == "secretmanager.googleapis.com" && contains([for c in google_project_iam_audit_config.secrets.audit_log_config : c.log_type], "DATA_READ")
    error_message = "Reading a secret leaves a line in the audit log."
  }
}
