# The functions: everything that differs between them. Names, routes and settings
# are the code's (functions/routes.go, functions/variables.go); a test compares.
locals {
  functions = {
    create-skill = {
      instances = 2, pool = 1, memory = "256Mi", role = "plant_writer"
      keys      = ["amendment"], tokens = true, publishes = true
    }
    create-role = {
      instances = 1, pool = 1, memory = "256Mi", role = "plant_writer"
      keys      = ["amendment"], tokens = true, publishes = true
    }
    birth-agent = {
      instances = 2, pool = 1, memory = "256Mi", role = "plant_writer"
      keys      = ["amendment"], tokens = true, publishes = true
    }
    certify = {
      instances = 2, pool = 1, memory = "256Mi", role = "plant_certifier"
      keys      = ["certification", "amendment"], tokens = true, publishes = true
    }
    embed = {
      instances = 1, pool = 1, memory = "512Mi", role = "plant_embedder"
      keys      = ["amendment"], tokens = true, publishes = true
    }
    audit-run = {
      instances = 1, pool = 2, memory = "512Mi", role = "plant_auditor"
      keys      = ["heads", "checkpoint"], tokens = true, publishes = true
    }
    drift-check = {
      instances = 1, pool = 1, memory = "512Mi", role = "plant_drift" # it holds the model
      keys      = ["amendment"], tokens = true, publishes = true
    }
    issue-token = {
      instances = 1, pool = 1, memory = "256Mi", role = "plant_authenticator"
      keys      = [], tokens = true, publishes = false
    }
  }

  # Who is pushed what, and the clock's three jobs: generated from the table that the
  # local stack has, scripts/deliveries (go run ./scripts/cloud generate).
  deliveries    = jsondecode(file("${path.module}/deliveries.json"))
  subscriptions = local.deliveries.subscriptions
  schedule      = local.deliveries.schedule

  # Of every key's secret, and which settings name it.
  keys = {
    root          = { setting = null }
    amendment     = { setting = "AMENDMENT_KEY" }
    certification = { setting = "CERTIFICATION_KEY" }
    heads         = { setting = "HEADS_KEY" }
    checkpoint    = { setting = "CHECKPOINT_KEY" }
  }

  # Jobs: the command line in the cloud. Neither is ever called by a request.
  jobs = {
    migrate  = { role = "plant_migrator", args = ["migrate", "up"] }
    operator = { role = "plant_operator", args = ["keys", "list"] }
  }

  consumers     = toset([for s in local.subscriptions : s.function])
  pushed        = setunion(local.consumers, toset([for j in local.schedule : j.function]))
  connections   = sum([for f in local.functions : f.instances * f.pool]) + 1 # one job at a time
  push_audience = "https://${var.origin}/events"

  # Where Cloud Run serves each function; a plan already knows it.
  address = { for f in keys(local.functions) : f => "https://${f}-${var.project_number}.${var.region}.run.app" }
}
