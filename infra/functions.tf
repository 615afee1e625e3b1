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

  # Who is pushed what: changes by name, or every one below a prefix that ends in a
  # dot. An event is a hint and handlers read the database again. A filter has at
  # most 256 bytes, hence more than one subscription for one route.
  kinds = ["skill", "job_role", "team", "agent", "industry"]
  subscriptions = {
    embed = {
      function = "embed", route = "embed"
      types    = flatten([for k in ["skill", "job_role", "industry"] : ["plant.${k}.created", "plant.${k}.evolved"]])
    }
    manufacture = {
      function = "birth-agent", route = "manufacture"
      types    = [for c in ["created", "assigned", "evolved", "certified"] : "plant.agent.${c}"]
    }
    manufacture-waiting = {
      function = "birth-agent", route = "manufacture"
      types    = ["plant.skill.certified", "plant.job_role.certified"]
    }
    certify-moved       = { function = "certify", route = "certify", types = [for k in local.kinds : "plant.${k}.moved"] }
    certify-evolved     = { function = "certify", route = "certify", types = [for k in local.kinds : "plant.${k}.evolved"] }
    certify-decertified = { function = "certify", route = "certify", types = [for k in local.kinds : "plant.${k}.decertified"] }
    audit               = { function = "audit-run", route = "audit", types = ["plant.audit.continued"] }
    certify-reaffirm    = { function = "certify", route = "certify", types = ["plant.reaffirmation.due"] }
    drift               = { function = "drift-check", route = "drift", types = ["plant.drift."] }
    drift-enacted       = { function = "drift-check", route = "drift", types = ["plant.constitution.enacted"] }
    drift-tampered = {
      function = "drift-check", route = "drift"
      types    = [for k in concat(local.kinds, ["entity"]) : "plant.${k}.tampered"]
    }
  }

  # The clock's three jobs.
  schedule = {
    sequence = { function = "audit-run", cron = "* * * * *", deadline = "55s", retries = 0 }
    drift    = { function = "drift-check", cron = "0 2 * * *", deadline = "600s", retries = 3 }
    audit    = { function = "audit-run", cron = "30 3 * * *", deadline = "600s", retries = 3 }
  }

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
}
