# --- Topics ---------------------------------------------------------------------------------------

locals {
  # Unless told otherwise a topic carries the deployment's name: two in one account and region would
  # both start a run for one message.
  topics = {
    for rule, topic in { button = var.iot_topic, device = var.launch_topic } :
    rule => topic == null ? null : replace(topic, "{name_prefix}", var.name_prefix)
  }

  # topic(n) counts from 1 (AWS IoT developer guide, "Functions"); what a topic is about is its last
  # part. "#" would stand for any number of them.
  topic_lengths = { for rule, topic in local.topics : rule => topic == null ? 0 : length(split("/", topic)) }

  # A rule hands over named fields: its own name, and never a key of the payload, which is base64 and
  # may be anything ("SELECT clause", "Working with binary payloads").
  # traceid() names the message, so that a second delivery of it is known for what it is.
  message = "encode(*, 'base64') AS payload, topic() AS topic, traceid() AS traceid, timestamp() AS timestamp"
}

# --- IoT button -----------------------------------------------------------------------------------

resource "aws_iot_topic_rule" "button" {
  count = local.topics.button == null ? 0 : 1

  name        = "${replace(var.name_prefix, "-", "_")}_button"
  description = "Parris: what a click does is in button_actions."
  enabled     = true
  # The serial number is the topic's, where a policy says who may publish, not the payload's.
  sql         = "SELECT 'button' AS rule, topic(${local.topic_lengths.button}) AS serial, ${local.message} FROM '${local.topics.button}'"
  sql_version = "2016-03-23"
  tags        = local.tags

  lambda {
    function_arn = aws_lambda_function.launch.arn
  }

  error_action { # a message that could not be handed over leaves its reason here
    cloudwatch_logs {
      log_group_name = aws_cloudwatch_log_group.iot.name
      role_arn       = local.iot_role_arn
    }
  }
}

resource "aws_lambda_permission" "button" {
  count = local.topics.button == null ? 0 : 1

  statement_id   = "button"
  action         = "lambda:InvokeFunction"
  function_name  = aws_lambda_function.launch.function_name
  principal      = "iot.amazonaws.com"
  source_arn     = aws_iot_topic_rule.button[0].arn
  source_account = local.account_id
}

# --- Any device: the topic names the job, the payload is its parameters ----------------------------

resource "aws_iot_topic_rule" "device" {
  count = local.topics.device == null ? 0 : 1

  name        = "${replace(var.name_prefix, "-", "_")}_device"
  description = "Parris: a message launches the job that its topic names."
  enabled     = true
  sql         = "SELECT 'device' AS rule, topic(${local.topic_lengths.device}) AS job, ${local.message} FROM '${local.topics.device}'"
  sql_version = "2016-03-23"
  tags        = local.tags

  lambda {
    function_arn = aws_lambda_function.launch.arn
  }

  error_action {
    cloudwatch_logs {
      log_group_name = aws_cloudwatch_log_group.iot.name
      role_arn       = local.iot_role_arn
    }
  }
}

resource "aws_lambda_permission" "device" {
  count = local.topics.device == null ? 0 : 1

  statement_id   = "device"
  action         = "lambda:InvokeFunction"
  function_name  = aws_lambda_function.launch.function_name
  principal      = "iot.amazonaws.com"
  source_arn     = aws_iot_topic_rule.device[0].arn
  source_account = local.account_id
}

# --- Schedules ------------------------------------------------------------------------------------

locals {
  # "parris-2-nightly" could be schedule 2-nightly of "parris" or nightly of "parris-2", and whoever
  # comes second would take the other's rule. No name or deployment has an underscore, so this way no
  # rule of one with a hyphen is one of another; the others keep the names that they have always had.
  rule_prefix = "${var.name_prefix}${strcontains(var.name_prefix, "-") ? "_" : "-"}"
}

resource "aws_cloudwatch_event_rule" "schedule" {
  for_each = var.schedules

  name                = "${local.rule_prefix}${each.key}"
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
        "time": <time>,
        "rule": "schedule"
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

  name        = "${local.rule_prefix}data-${each.key}"
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
    # Whoever puts an object chooses its key: what says who speaks comes last, where it holds.
    input_template = <<-JSON
      {
        "key": <key>,
        "version": "<version>",
        "sequencer": <sequencer>,
        "time": <time>,
        "data-trigger": ${jsonencode(each.key)},
        "rule": "data"
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
  count = var.iot_role_arn == null ? 1 : 0

  name                 = "${var.name_prefix}-iot-${local.region}"
  description          = "Parris: the topic rule's error action."
  assume_role_policy   = data.aws_iam_policy_document.assume["iot"].json
  path                 = var.iam_path
  permissions_boundary = var.permissions_boundary_arn
  tags                 = local.tags
}

resource "aws_iam_role_policy" "iot" {
  count = var.iot_role_arn == null ? 1 : 0

  name   = "iot"
  role   = aws_iam_role.iot[0].id
  policy = data.aws_iam_policy_document.iot.json
}

# --- What becomes of an event whose launch fails -------------------------------------------------

resource "aws_lambda_function_event_invoke_config" "launch" {
  function_name                = aws_lambda_function.launch.function_name
  maximum_retry_attempts       = 0 # Lambda's default, 2, could mean more launches than one
  maximum_event_age_in_seconds = 3600

  destination_config {
    on_failure {
      destination = aws_lambda_function.reap.arn # which notifies in words, once
    }
  }

  depends_on = [aws_iam_role_policy.launch] # the API checks that the role may invoke
}
