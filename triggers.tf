# --- IoT button -----------------------------------------------------------------------------------

resource "aws_iot_topic_rule" "button" {
  count = var.iot_topic == null ? 0 : 1

  name        = "${replace(var.name_prefix, "-", "_")}_button"
  description = "Parris: what a click does is in button_actions."
  enabled     = true
  # traceid() names the message, so that a second delivery of it is known for what it is.
  sql         = "SELECT *, topic() AS topic, traceid() AS traceid, timestamp() AS timestamp FROM '${var.iot_topic}'"
  sql_version = "2016-03-23"
  tags        = local.tags

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

# --- Any device: the topic names the job, the payload is its parameters ----------------------------

locals {
  # topic(n) counts from 1; the job is the last part.
  launch_topic_parts = var.launch_topic == null ? 0 : length(split("/", var.launch_topic))
}

resource "aws_iot_topic_rule" "device" {
  count = var.launch_topic == null ? 0 : 1

  name        = "${replace(var.name_prefix, "-", "_")}_device"
  description = "Parris: a message launches the job that its topic names."
  enabled     = true
  # Whatever the payload is: the function says what is wrong with it (AWS IoT developer guide,
  # "Working with binary payloads").
  sql         = "SELECT encode(*, 'base64') AS payload, topic(${local.launch_topic_parts}) AS job, topic() AS topic, traceid() AS traceid, timestamp() AS timestamp FROM '${var.launch_topic}'"
  sql_version = "2016-03-23"
  tags        = local.tags

  lambda {
    function_arn = aws_lambda_function.launch.arn
  }

  error_action {
    cloudwatch_logs {
      log_group_name = aws_cloudwatch_log_group.iot.name
      role_arn       = aws_iam_role.iot.arn
    }
  }
}

resource "aws_lambda_permission" "device" {
  count = var.launch_topic == null ? 0 : 1

  statement_id   = "device"
  action         = "lambda:InvokeFunction"
  function_name  = aws_lambda_function.launch.function_name
  principal      = "iot.amazonaws.com"
  source_arn     = aws_iot_topic_rule.device[0].arn
  source_account = local.account_id
}

# --- Schedules ------------------------------------------------------------------------------------

resource "aws_cloudwatch_event_rule" "schedule" {
  for_each = var.schedules

  name                = "${var.name_prefix}-${each.key}"
  description         = "Parris: launches job ${each.value.job}."
  schedule_expression = each.value.expression
  state               = each.value.enabled ? "ENABLED" : "DISABLED"
  tags                = local.tags
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
        "overlap": ${jsonencode(each.value.overlap)},
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

# --- New data: objects that come to a bucket which tells EventBridge of them ----------------------

resource "aws_cloudwatch_event_rule" "data" {
  for_each = var.data_triggers

  name        = "${var.name_prefix}-data-${each.key}"
  description = "Parris: new objects launch job ${each.value.job}."
  event_pattern = jsonencode({
    source        = ["aws.s3"]
    "detail-type" = ["Object Created"]
    detail = {
      bucket = { name = [each.value.bucket] }
      object = { key = [{ prefix = each.value.prefix }] }
    }
  })
  tags = local.tags
}

resource "aws_cloudwatch_event_target" "data" {
  for_each = var.data_triggers

  rule = aws_cloudwatch_event_rule.data[each.key].name
  arn  = aws_lambda_function.launch.arn

  input_transformer {
    input_paths = {
      key       = "$.detail.object.key"
      version   = "$.detail.object.version-id"
      sequencer = "$.detail.object.sequencer"
      time      = "$.time"
    }
    # A bucket without versions sends none: the quotes stay, empty. EventBridge quotes the others.
    input_template = <<-JSON
      {
        "data-trigger": ${jsonencode(each.key)},
        "key": <key>,
        "version": "<version>",
        "sequencer": <sequencer>,
        "time": <time>
      }
    JSON
  }
}

resource "aws_lambda_permission" "data" {
  for_each = var.data_triggers

  statement_id  = "data-${each.key}"
  action        = "lambda:InvokeFunction"
  function_name = aws_lambda_function.launch.function_name
  principal     = "events.amazonaws.com"
  source_arn    = aws_cloudwatch_event_rule.data[each.key].arn
}

# --- Programs: what a caller needs, and no more ---------------------------------------------------

data "aws_iam_policy_document" "caller" {
  statement {
    sid       = "LaunchTrainings"
    actions   = ["lambda:InvokeFunction"]
    resources = [aws_lambda_function.launch.arn]
  }
}

# --- AWS IoT: says why a message started nothing --------------------------------------------------

data "aws_iam_policy_document" "iot" {
  statement {
    sid       = "WriteWhatWentWrong"
    actions   = ["logs:CreateLogStream", "logs:PutLogEvents"]
    resources = local.log_resources["iot"]
  }

  statement {
    sid       = "SeeItsStreams"
    actions   = ["logs:DescribeLogStreams"] # on the group by the reference, on its streams by IoT's guide
    resources = [aws_cloudwatch_log_group.iot.arn, "${aws_cloudwatch_log_group.iot.arn}:*"]
  }
}

resource "aws_iam_role" "iot" {
  name               = "${var.name_prefix}-iot-${local.region}"
  description        = "Parris: the topic rule's error action."
  assume_role_policy = data.aws_iam_policy_document.assume["iot"].json
  tags               = local.tags
}

resource "aws_iam_role_policy" "iot" {
  name   = "iot"
  role   = aws_iam_role.iot.id
  policy = data.aws_iam_policy_document.iot.json
}
