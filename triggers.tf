# --- IoT button -----------------------------------------------------------------------------------

resource "aws_iot_topic_rule" "button" {
  count = var.iot_topic == null ? 0 : 1

  name        = "${replace(var.name_prefix, "-", "_")}_button"
  description = "Parris: a button launches the default job."
  enabled     = true
  # traceid() names the message, so that a second delivery of it is known for what it is.
  sql         = "SELECT *, topic() AS topic, traceid() AS traceid, timestamp() AS timestamp FROM '${var.iot_topic}'"
  sql_version = "2016-03-23"

  lambda {
    function_arn = aws_lambda_function.launch.arn
  }

  error_action { # a message that could not be handed over leaves its reason here
    cloudwatch_logs {
      log_group_name = aws_cloudwatch_log_group.iot.name
      role_arn       = aws_iam_role.iot.arn
    }
  }
}

resource "aws_lambda_permission" "button" {
  count = var.iot_topic == null ? 0 : 1

  statement_id   = "button"
  action         = "lambda:InvokeFunction"
  function_name  = aws_lambda_function.launch.function_name
  principal      = "iot.amazonaws.com"
  source_arn     = aws_iot_topic_rule.button[0].arn
  source_account = local.account_id
}

# --- Schedules ------------------------------------------------------------------------------------

resource "aws_cloudwatch_event_rule" "schedule" {
  for_each = var.schedules

  name                = "${var.name_prefix}-${each.key}"
  description         = "Parris: launches job ${each.value.job}."
  schedule_expression = each.value.expression
}

resource "aws_cloudwatch_event_target" "schedule" {
  for_each = var.schedules

  rule = aws_cloudwatch_event_rule.schedule[each.key].name
  arn  = aws_lambda_function.launch.arn

  input_transformer {
    input_paths = {
      id   = "$.id"
      time = "$.time"
    }
    # Not jsonencode, which would quote and escape the two placeholders.
    input_template = <<-JSON
      {
        "job": ${jsonencode(each.value.job)},
        "schedule": ${jsonencode(each.key)},
        "parameters": ${jsonencode(each.value.parameters)},
        "event-id": <id>,
        "time": <time>
      }
    JSON
  }
}

resource "aws_lambda_permission" "schedule" {
  for_each = var.schedules

  statement_id  = "schedule-${each.key}"
  action        = "lambda:InvokeFunction"
  function_name = aws_lambda_function.launch.function_name
  principal     = "events.amazonaws.com"
  source_arn    = aws_cloudwatch_event_rule.schedule[each.key].arn
}
