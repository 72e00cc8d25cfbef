# The module's promises, planned against a provider that is not there: no account, no network.

mock_provider "aws" {
  mock_data "aws_iam_policy_document" {
    defaults = { json = "{\"Version\":\"2012-10-17\",\"Statement\":[]}" }
  }
  mock_data "aws_caller_identity" {
    defaults = { account_id = "123456789012" }
  }
  mock_data "aws_region" {
    defaults = { id = "eu-west-1", name = "eu-west-1" }
  }
  mock_data "aws_partition" {
    defaults = { partition = "aws" }
  }
}

run "defaults" {
  command = plan

  assert {
    condition     = aws_lambda_function.launch.runtime == "python3.13" && aws_lambda_function.launch.architectures == tolist(["arm64"])
    error_message = "the function must run python3.13 on arm64 unless asked otherwise"
  }

  assert {
    condition     = aws_lambda_function_event_invoke_config.launch.maximum_retry_attempts == 0
    error_message = "a retry of an asynchronous event may be a second paid launch"
  }

  assert {
    condition     = aws_lambda_function.launch.timeout == 60
    error_message = "the lease in lambda/parris/launch/launch.py is twice this timeout; change both"
  }

  assert {
    condition     = alltrue([for bucket in aws_s3_bucket.store : bucket.force_destroy == false])
    error_message = "destroy must refuse to delete results unless force_destroy is set"
  }

  assert {
    condition     = aws_s3_bucket.store["results"].bucket == "parris-results-123456789012-eu-west-1"
    error_message = "bucket names carry account and region, or two deployments would collide"
  }

  assert {
    condition = alltrue([
      for block in aws_s3_bucket_public_access_block.store :
      block.block_public_acls && block.block_public_policy && block.ignore_public_acls && block.restrict_public_buckets
    ])
    error_message = "both buckets must be closed to the public in all four ways"
  }

  assert {
    condition     = aws_iot_topic_rule.button[0].sql == "SELECT 'button' AS rule, topic(3) AS serial, encode(*, 'base64') AS payload, topic() AS topic, traceid() AS traceid, timestamp() AS timestamp FROM 'parris/button/+'"
    error_message = "the button's rule says which it is, takes the serial number from the topic, and lets no key of the payload through"
  }

  assert {
    condition     = length(aws_cloudwatch_event_rule.schedule) == 0
    error_message = "there is no schedule by default"
  }

  assert {
    condition     = one(aws_lambda_function.launch.logging_config).log_format == "JSON" && alltrue([for group in aws_cloudwatch_log_group.function : group.retention_in_days == 30])
    error_message = "the functions log JSON into groups that forget"
  }

  assert {
    condition     = aws_cloudwatch_event_rule.reap["sweep"].schedule_expression == "rate(10 minutes)" && aws_cloudwatch_event_rule.reap["sweep"].event_pattern == null
    error_message = "the reap function sweeps every ten minutes"
  }

  assert {
    condition     = aws_lambda_function.reap.environment[0].variables["PARRIS_OVERDUE_MINUTES"] == "5" && aws_lambda_function.launch.environment[0].variables["PARRIS_GRACE_MINUTES"] == "15"
    error_message = "a sweep must fall between the end of a run and that of its stack's schedule"
  }

  assert {
    condition     = jsondecode(aws_cloudwatch_event_rule.reap["machine"].event_pattern).detail.state == ["terminated", "stopped"]
    error_message = "the reap function hears of machines that went"
  }

  assert {
    condition     = aws_lambda_invocation.guard.lifecycle_scope == "CRUD"
    error_message = "destroy must ask the reap function first"
  }
}

run "everything_optional_off" {
  command = plan

  variables {
    iot_topic            = null
    expire_versions_days = null
    lambda_role_arn      = "arn:aws:iam::123456789012:role/mine"
  }

  assert {
    condition     = length(aws_iot_topic_rule.button) == 0 && length(aws_lambda_permission.button) == 0
    error_message = "iot_topic = null must leave no rule and no permission behind"
  }

  assert {
    condition     = [for rule in aws_s3_bucket_lifecycle_configuration.store["results"].rule : rule.id] == ["abort-uploads", "forget-events", "expire-setups"]
    error_message = "expire_versions_days = null must keep old versions; setups must expire; what is remembered of events must still be forgotten, and what is left of uploads that failed must still go"
  }

  assert {
    condition     = aws_lambda_function.launch.role == "arn:aws:iam::123456789012:role/mine" && length(aws_iam_role.launch) == 0
    error_message = "a role that was brought must be used, and none made"
  }
}

run "schedules" {
  command = plan

  variables {
    schedules = {
      nightly = { expression = "cron(0 3 * * ? *)", job = "digits", parameters = { epochs = "20" } }
      hourly  = { expression = "rate(1 hour)" }
    }
  }

  assert {
    condition     = aws_cloudwatch_event_rule.schedule["nightly"].schedule_expression == "cron(0 3 * * ? *)"
    error_message = "a schedule's expression must reach its rule"
  }

  assert {
    condition     = length(aws_lambda_permission.schedule) == 2
    error_message = "each schedule has one permission of its own"
  }
}

run "triggers" {
  command = plan

  variables {
    launch_topic        = "lab/train/+"
    button_jobs         = { G030 = "digits" }
    notification_emails = ["one@example.org", "two@example.org"]
    schedules = {
      nightly = { expression = "cron(0 3 * * ? *)", enabled = false }
    }
    data_triggers = {
      fresh = { bucket = "data", prefix = "in/", job = "digits" }
    }
  }

  assert {
    condition     = aws_iot_topic_rule.device[0].sql == "SELECT 'device' AS rule, topic(3) AS job, encode(*, 'base64') AS payload, topic() AS topic, traceid() AS traceid, timestamp() AS timestamp FROM 'lab/train/+'"
    error_message = "the last part of a message's topic names the job, and no key of the payload gets through"
  }

  assert {
    condition     = jsondecode(replace(replace(aws_cloudwatch_event_target.schedule["nightly"].input_transformer[0].input_template, "<id>", "\"x\""), "<time>", "\"x\"")).rule == "schedule"
    error_message = "a schedule's event says that it is one"
  }

  assert {
    condition     = endswith(replace(aws_cloudwatch_event_target.data["fresh"].input_transformer[0].input_template, "/\\s+/", ""), "\"data-trigger\":\"fresh\",\"rule\":\"data\"}")
    error_message = "an arrival says that it is one, after all that whoever put the object chose"
  }

  assert {
    condition     = jsondecode(aws_lambda_function.launch.environment[0].variables["PARRIS_BUTTONS"]).jobs.G030 == "digits"
    error_message = "the function knows whose job a button is about"
  }

  assert {
    condition     = jsondecode(aws_lambda_function.launch.environment[0].variables["PARRIS_DATA_TRIGGERS"]).fresh.settle_seconds == 60
    error_message = "a burst settles within a minute unless told otherwise"
  }

  assert {
    condition     = jsondecode(aws_cloudwatch_event_rule.data["fresh"].event_pattern).detail.object.key[0].prefix == "in/"
    error_message = "only objects below the prefix start a run"
  }

  assert {
    condition     = aws_cloudwatch_event_rule.schedule["nightly"].state == "DISABLED"
    error_message = "a schedule can be turned off without being forgotten"
  }

  assert {
    condition     = length(aws_sns_topic_subscription.email) == 2
    error_message = "each address is subscribed"
  }
}

run "no_messages" {
  command = plan

  variables {
    launch_topic = null
  }

  assert {
    condition     = length(aws_iot_topic_rule.device) == 0 && length(aws_lambda_permission.device) == 0
    error_message = "launch_topic = null must leave no rule and no permission behind"
  }
}

run "two_deployments_share_no_topic" {
  command = plan

  variables {
    name_prefix = "second"
  }

  assert {
    condition     = output.iot_topic == "second/button/+" && output.launch_topic == "second/launch/+"
    error_message = "one message must not start a run of each deployment"
  }

  assert {
    condition     = endswith(aws_iot_topic_rule.button[0].sql, "FROM 'second/button/+'") && endswith(aws_iot_topic_rule.device[0].sql, "FROM 'second/launch/+'")
    error_message = "the rules listen to the topics of their own deployment"
  }
}

run "a_deployment_keeps_the_names_of_its_rules" {
  command = plan

  variables {
    schedules     = { "2-nightly" = { expression = "rate(1 day)" }, "2-reap-sweep" = { expression = "rate(1 day)" }, "2-data-fresh" = { expression = "rate(1 day)" } }
    data_triggers = { fresh = { bucket = "arrivals", job = "digits" } }
  }

  assert {
    condition     = [for rule in aws_cloudwatch_event_rule.schedule : rule.name] == ["parris-2-data-fresh", "parris-2-nightly", "parris-2-reap-sweep"] && aws_cloudwatch_event_rule.reap["sweep"].name == "parris-reap-sweep" && aws_cloudwatch_event_rule.data["fresh"].name == "parris-data-fresh"
    error_message = "another name of a rule makes another rule, which an upgrade must not"
  }

  assert {
    condition     = output.schedules["2-nightly"].rule == "parris-2-nightly" && output.schedules["2-nightly"].job == "default"
    error_message = "make fire reads there which rule a schedule has"
  }
}

run "a_neighbour_shares_no_rule_with_it" {
  command = plan

  variables {
    name_prefix   = "parris-2"
    schedules     = { nightly = { expression = "rate(1 day)" } }
    data_triggers = { fresh = { bucket = "arrivals", job = "digits" } }
  }

  assert {
    condition     = aws_cloudwatch_event_rule.schedule["nightly"].name == "parris-2_nightly" && aws_cloudwatch_event_rule.reap["sweep"].name == "parris-2_reap-sweep" && aws_cloudwatch_event_rule.data["fresh"].name == "parris-2_data-fresh"
    error_message = "a schedule of the deployment parris can be named 2-nightly, 2-reap-sweep and 2-data-fresh: nothing of parris-2 may have these rules' names"
  }
}

run "real_buttons" {
  command = plan

  variables {
    iot_topic = "iotbutton/+"
  }

  assert {
    condition     = strcontains(aws_iot_topic_rule.button[0].sql, "topic(2) AS serial") && output.iot_topic == "iotbutton/+"
    error_message = "a topic that is set is used as it is"
  }
}

run "refuses_buttons_whose_serial_number_has_no_place" {
  command = plan

  variables {
    iot_topic = "iotbutton/#"
  }

  expect_failures = [var.iot_topic]
}

run "refuses_a_bad_topic" {
  command = plan

  variables {
    launch_topic = "parris/launch/#"
  }

  expect_failures = [var.launch_topic]
}

run "refuses_bad_clicks" {
  command = plan

  variables {
    button_actions = { TRIPLE = { action = "dance" } }
  }

  expect_failures = [var.button_actions]
}

run "refuses_a_bad_overlap" {
  command = plan

  variables {
    schedules = { nightly = { expression = "rate(1 day)", overlap = "both" } }
  }

  expect_failures = [var.schedules]
}

run "refuses_the_name_of_a_rule_of_ours" {
  command = plan

  variables {
    schedules = { data-fresh = { expression = "rate(1 day)" } }
  }

  expect_failures = [var.schedules]
}

run "refuses_a_short_settle_window" {
  command = plan

  variables {
    data_triggers = { fresh = { bucket = "data", settle_seconds = 1 } }
  }

  expect_failures = [var.data_triggers]
}

run "refuses_what_is_no_address" {
  command = plan

  variables {
    notification_emails = ["me"]
  }

  expect_failures = [var.notification_emails]
}

run "refuses_a_bad_schedule" {
  command = plan

  variables {
    schedules = { nightly = { expression = "0 3 * * *" } }
  }

  expect_failures = [var.schedules]
}

run "refuses_a_bad_prefix" {
  command = plan

  variables {
    name_prefix = "Parris_Lab"
  }

  expect_failures = [var.name_prefix]
}

run "refuses_a_bad_architecture" {
  command = plan

  variables {
    architecture = "mips"
  }

  expect_failures = [var.architecture]
}

run "refuses_reserved_tags" {
  command = plan

  variables {
    tags = { "parris:deployment" = "other" }
  }

  expect_failures = [var.tags]
}

run "the_shortest_grace" {
  command = plan

  variables {
    grace_minutes = 2
    sweep_minutes = 1
  }

  assert {
    condition     = aws_cloudwatch_event_rule.reap["sweep"].schedule_expression == "rate(1 minute)"
    error_message = "EventBridge wants one minute in the singular"
  }
}

run "refuses_a_grace_within_the_sweep" {
  command = plan

  variables {
    grace_minutes = 10
  }

  expect_failures = [var.grace_minutes]
}

run "refuses_a_month_without_money" {
  command = plan

  variables {
    monthly_budget_usd = 0
    max_run_usd        = 0
  }

  expect_failures = [var.monthly_budget_usd, var.max_run_usd]
}

run "has_no_limit_in_dollars_by_default" {
  command = plan

  assert {
    condition     = aws_lambda_function.launch.environment[0].variables["PARRIS_MONTHLY_BUDGET_USD"] == "" && aws_lambda_function.launch.environment[0].variables["PARRIS_MAX_RUN_USD"] == ""
    error_message = "Null is no limit."
  }
}

run "hands_the_limits_in_dollars_to_the_functions" {
  command = plan

  variables {
    monthly_budget_usd = 99.5
    max_run_usd        = 5
  }

  assert {
    condition     = aws_lambda_function.launch.environment[0].variables["PARRIS_MONTHLY_BUDGET_USD"] == "99.5" && aws_lambda_function.reap.environment[0].variables["PARRIS_MONTHLY_BUDGET_USD"] == "99.5" && aws_lambda_function.launch.environment[0].variables["PARRIS_MAX_RUN_USD"] == "5"
    error_message = "Both functions keep to the month's budget."
  }
}

run "refuses_no_runs_at_all" {
  command = plan

  variables {
    max_concurrent_runs = 0
  }

  expect_failures = [var.max_concurrent_runs]
}
