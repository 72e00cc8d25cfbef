# --- The reap function: the third layer that ends runs, from outside ------------------------------

resource "aws_lambda_function" "reap" {
  function_name    = "${var.name_prefix}-reap"
  description      = "Parris: deletes the stacks of runs that are over or past their deadline."
  filename         = local.zip["reap"]
  source_code_hash = local.sources_hash
  handler          = "parris.reap.handler.handle"
  runtime          = "python3.13"
  architectures    = [var.architecture]
  role             = local.reap_role_arn
  memory_size      = 512
  timeout          = 300
  tags             = local.tags

  reserved_concurrent_executions = var.reap_reserved_concurrency

  dynamic "vpc_config" {
    for_each = length(var.vpc_subnet_ids) > 0 ? [var.vpc_subnet_ids] : []

    content {
      subnet_ids         = vpc_config.value
      security_group_ids = var.vpc_security_group_ids
    }
  }

  environment {
    variables = {
      PARRIS_DEPLOYMENT     = var.name_prefix
      PARRIS_RESULTS_BUCKET = aws_s3_bucket.store["results"].id
      PARRIS_LEDGER_TABLE   = aws_dynamodb_table.ledger.name
      # So that the sweep after it still falls within the grace.
      PARRIS_OVERDUE_MINUTES     = tostring(var.grace_minutes - var.sweep_minutes)
      PARRIS_GRACE_MINUTES       = tostring(var.grace_minutes)
      PARRIS_MONTHLY_BUDGET_USD  = local.monthly_budget_usd
      PARRIS_TOPIC_ARN           = aws_sns_topic.notification.arn
      PARRIS_LAUNCH_FUNCTION_ARN = local.launch_function_arn
      PARRIS_IOT_LOG_GROUP       = aws_cloudwatch_log_group.iot.name
    }
  }

  logging_config {
    log_format = "JSON"
    log_group  = aws_cloudwatch_log_group.function["reap"].name
  }

  depends_on = [terraform_data.package, aws_iam_role_policy.reap]
}

resource "aws_lambda_function_event_invoke_config" "reap" {
  function_name                = aws_lambda_function.reap.function_name
  maximum_retry_attempts       = 2 # it may look twice: what is deleted stays deleted
  maximum_event_age_in_seconds = 3600

  destination_config {
    on_failure {
      destination = aws_sns_topic.notification.arn
    }
  }

  depends_on = [aws_iam_role_policy.reap] # the API checks that the role may publish
}

locals {
  # Each reaches the reap function as it is. A deletion that failed is left to the sweep: its event
  # would come again as fast as it fails.
  reap_rules = {
    machine = jsonencode({
      source        = ["aws.ec2"]
      "detail-type" = ["EC2 Instance State-change Notification"]
      detail        = { state = ["terminated", "stopped"] }
    })
    stack = jsonencode({
      source        = ["aws.cloudformation"]
      "detail-type" = ["CloudFormation Stack Status Change"]
      detail = {
        "status-details" = {
          status = [
            "CREATE_COMPLETE",
            "CREATE_FAILED",
            "DELETE_COMPLETE",
            "ROLLBACK_COMPLETE",
            "ROLLBACK_FAILED",
            "UPDATE_COMPLETE",
            "UPDATE_ROLLBACK_COMPLETE",
            "UPDATE_ROLLBACK_FAILED",
          ]
        }
      }
    })
    sweep = null # by the clock
  }
}

resource "aws_cloudwatch_event_rule" "reap" {
  for_each = local.reap_rules

  name                = "${local.rule_prefix}reap-${each.key}"
  description         = "Parris: calls the reap function."
  event_pattern       = each.value
  schedule_expression = each.value == null ? "rate(${var.sweep_minutes} ${var.sweep_minutes == 1 ? "minute" : "minutes"})" : null
  tags                = local.tags
}

resource "aws_cloudwatch_event_target" "reap" {
  for_each = local.reap_rules

  rule = aws_cloudwatch_event_rule.reap[each.key].name
  arn  = aws_lambda_function.reap.arn
}

resource "aws_lambda_permission" "reap" {
  for_each = local.reap_rules

  statement_id  = "reap-${each.key}"
  action        = "lambda:InvokeFunction"
  function_name = aws_lambda_function.reap.function_name
  principal     = "events.amazonaws.com"
  source_arn    = aws_cloudwatch_event_rule.reap[each.key].arn
}

# --- Its role: reads runs, deletes our stacks, writes outcomes ------------------------------------

data "aws_iam_policy_document" "reap" {
  source_policy_documents = [data.aws_iam_policy_document.more["reap"].json]

  statement {
    sid = "SeeStacksAndMachines"
    # DescribeStacks without a name asks for ListStacks too (CloudFormation API reference,
    # "DescribeStacks", StackName).
    actions   = ["cloudformation:DescribeStacks", "cloudformation:ListStacks", "cloudformation:DescribeStackEvents", "ec2:DescribeInstances", "ec2:DescribeSubnets", "ec2:DescribeInstanceTypeOfferings"]
    resources = ["*"] # listings take no resource; what is not ours is told by its tag and left
  }

  statement {
    sid       = "DeleteOurStacks"
    actions   = ["cloudformation:DeleteStack"]
    resources = ["*"] # the stack's name is the job's, so the grant goes by tag

    condition {
      test     = "StringEquals"
      variable = "aws:ResourceTag/parris:deployment"
      values   = [var.name_prefix]
    }
  }

  statement {
    sid       = "ReadConsoles"
    actions   = ["ec2:GetConsoleOutput"]
    resources = ["arn:${local.partition}:ec2:${local.region}:${local.account_id}:instance/*"]

    condition {
      test     = "StringEquals"
      variable = "aws:ResourceTag/parris:deployment"
      values   = [var.name_prefix]
    }
  }

  statement {
    sid       = "ListRuns" # without it S3 answers 403 where 404 is meant
    actions   = ["s3:ListBucket"]
    resources = [aws_s3_bucket.store["results"].arn]
  }

  statement {
    sid       = "ReadReceiptsAndOutcomes" # and those, and logs, in the folders of machines
    actions   = ["s3:GetObject"]
    resources = [for name in ["run.json", "outcome.json", "log.txt", "metrics.json"] : "${aws_s3_bucket.store["results"].arn}/runs/*/${name}"]
  }

  statement {
    sid       = "WriteOutcomes" # and complete the receipt of a launch that died
    actions   = ["s3:PutObject"]
    resources = [for name in ["run.json", "outcome.json"] : "${aws_s3_bucket.store["results"].arn}/runs/*/${name}"]
  }

  statement {
    sid       = "WriteItsLog"
    actions   = ["logs:CreateLogStream", "logs:PutLogEvents"]
    resources = local.log_resources["reap"]
  }

  statement {
    sid       = "Notify"
    actions   = ["sns:Publish"]
    resources = [aws_sns_topic.notification.arn]
  }

  statement {
    sid       = "KeepTheLedger"
    actions   = ["dynamodb:GetItem", "dynamodb:Query", "dynamodb:PutItem", "dynamodb:UpdateItem", "dynamodb:DeleteItem"]
    resources = [aws_dynamodb_table.ledger.arn]
  }

  statement {
    sid       = "FindOpenRuns"
    actions   = ["dynamodb:Query"]
    resources = ["${aws_dynamodb_table.ledger.arn}/index/open"]
  }

  statement {
    sid       = "StartWhatWaits"
    actions   = ["lambda:InvokeFunction"]
    resources = [local.launch_function_arn]
  }

  statement {
    sid       = "SayWhatMessagesStartedNothing"
    actions   = ["logs:CreateLogStream", "logs:PutLogEvents"]
    resources = local.log_resources["iot"]
  }
}

resource "aws_iam_role" "reap" {
  count = var.reap_role_arn == null ? 1 : 0

  name                 = "${var.name_prefix}-reap-${local.region}"
  description          = "Parris: the reap function."
  assume_role_policy   = data.aws_iam_policy_document.assume["reap"].json
  path                 = var.iam_path
  permissions_boundary = var.permissions_boundary_arn
  tags                 = local.tags
}

resource "aws_iam_role_policy" "reap" {
  count = var.reap_role_arn == null ? 1 : 0

  name   = "reap"
  role   = aws_iam_role.reap[0].id
  policy = data.aws_iam_policy_document.reap.json
}

# --- terraform destroy asks first -----------------------------------------------------------------

# Destroying this calls the reap function, which refuses while stacks stand: their machines could
# then be ended by nobody. It depends on everything they need, so nothing of that is gone before.
resource "aws_lambda_invocation" "guard" {
  function_name   = aws_lambda_function.reap.function_name
  input           = jsonencode({ guard = var.name_prefix })
  lifecycle_scope = "CRUD"

  depends_on = [
    aws_cloudwatch_dashboard.functions,
    aws_cloudwatch_event_rule.data,
    aws_cloudwatch_event_rule.schedule,
    aws_cloudwatch_event_target.data,
    aws_cloudwatch_event_target.reap,
    aws_cloudwatch_event_target.schedule,
    aws_cloudwatch_log_metric_filter.overdue,
    aws_cloudwatch_metric_alarm.failing,
    aws_cloudwatch_metric_alarm.overdue,
    aws_cloudwatch_metric_alarm.silent,
    aws_cloudwatch_metric_alarm.unswept,
    aws_dynamodb_table.ledger,
    aws_iam_instance_profile.instance,
    aws_iam_role_policy.instance,
    aws_iam_role_policy.iot,
    aws_iam_role_policy.launch,
    aws_iam_role_policy.reap,
    aws_iam_role_policy.scheduler,
    aws_iam_role_policy.stack,
    aws_iam_role_policy_attachment.instance,
    aws_iot_topic_rule.button,
    aws_iot_topic_rule.device,
    aws_lambda_function.launch,
    aws_lambda_function_event_invoke_config.launch,
    aws_lambda_function_event_invoke_config.reap,
    aws_lambda_permission.button,
    aws_lambda_permission.data,
    aws_lambda_permission.device,
    aws_lambda_permission.reap,
    aws_lambda_permission.schedule,
    aws_s3_bucket_lifecycle_configuration.store,
    aws_s3_bucket_logging.store,
    aws_s3_bucket_policy.store,
    aws_s3_bucket_public_access_block.store,
    aws_s3_bucket_server_side_encryption_configuration.store,
    aws_s3_bucket_versioning.store,
    aws_s3_object.agent,
    aws_scheduler_schedule_group.run,
    aws_sns_topic.notification,
    aws_sns_topic_subscription.email,
  ]
}
