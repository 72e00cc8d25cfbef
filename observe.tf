# --- Who used the buckets: S3's server access logs -------------------------------------------------

resource "aws_s3_bucket_logging" "store" {
  for_each = var.access_log_bucket == null ? {} : aws_s3_bucket.store

  bucket        = each.value.id
  target_bucket = var.access_log_bucket
  target_prefix = "${each.value.bucket}/"
}

# --- Somebody hears when the watcher stops ---------------------------------------------------------

locals {
  alarm_count = var.alarm_topic_arns == null ? 0 : 1
  # Two sweeps at least, so that one that is late rings nothing.
  alarm_periods = 3
}

resource "aws_cloudwatch_metric_alarm" "silent" {
  count = local.alarm_count

  alarm_name          = "${var.name_prefix}-reap-silent"
  alarm_description   = "Parris: nothing has called the reap function for ${local.alarm_periods * var.sweep_minutes} minutes, though it sweeps every ${var.sweep_minutes}. Runs still end by their own timer and their stack's schedule; look at rule ${aws_cloudwatch_event_rule.reap["sweep"].name} and at the function's concurrency."
  namespace           = "AWS/Lambda"
  metric_name         = "Invocations"
  dimensions          = { FunctionName = aws_lambda_function.reap.function_name }
  statistic           = "Sum"
  period              = 60 * var.sweep_minutes
  evaluation_periods  = local.alarm_periods
  comparison_operator = "LessThanThreshold"
  threshold           = 1
  treat_missing_data  = "breaching" # Lambda reports nothing of a function that is not called
  alarm_actions       = var.alarm_topic_arns
  ok_actions          = var.alarm_topic_arns
  tags                = local.tags
}

# Whatever else calls the function, the sweep itself must go on: a rule can be disabled.
resource "aws_cloudwatch_metric_alarm" "unswept" {
  count = local.alarm_count

  alarm_name          = "${var.name_prefix}-sweep-stopped"
  alarm_description   = "Parris: rule ${aws_cloudwatch_event_rule.reap["sweep"].name} has called nothing for ${local.alarm_periods * var.sweep_minutes} minutes. Was it disabled?"
  namespace           = "AWS/Events"
  metric_name         = "Invocations" # EventBridge user guide, "Monitoring Amazon EventBridge"
  dimensions          = { RuleName = aws_cloudwatch_event_rule.reap["sweep"].name }
  statistic           = "Sum"
  period              = 60 * var.sweep_minutes
  evaluation_periods  = local.alarm_periods
  comparison_operator = "LessThanThreshold"
  threshold           = 1
  treat_missing_data  = "breaching"
  alarm_actions       = var.alarm_topic_arns
  ok_actions          = var.alarm_topic_arns
  tags                = local.tags
}

resource "aws_cloudwatch_metric_alarm" "failing" {
  count = local.alarm_count

  alarm_name          = "${var.name_prefix}-reap-failing"
  alarm_description   = "Parris: the reap function fails in one sweep after another; its log group ${aws_cloudwatch_log_group.function["reap"].name} says why."
  namespace           = "AWS/Lambda"
  metric_name         = "Errors"
  dimensions          = { FunctionName = aws_lambda_function.reap.function_name }
  statistic           = "Sum"
  period              = 60 * var.sweep_minutes
  evaluation_periods  = 2
  comparison_operator = "GreaterThanOrEqualToThreshold"
  threshold           = 1
  treat_missing_data  = "notBreaching" # that is the other alarm's
  alarm_actions       = var.alarm_topic_arns
  ok_actions          = var.alarm_topic_arns
  tags                = local.tags
}

# What each sweep says of a stack whose deadline is past and which still stands, whatever its status:
# one whose deletion hangs or fails too (reap.py).
resource "aws_cloudwatch_log_metric_filter" "overdue" {
  count = local.alarm_count

  name           = "${var.name_prefix}-overdue"
  log_group_name = aws_cloudwatch_log_group.function["reap"].name
  pattern        = "\"stands past its deadline\""

  metric_transformation {
    namespace = "Parris"
    name      = "${var.name_prefix}-overdue"
    value     = "1"
  }
}

resource "aws_cloudwatch_metric_alarm" "overdue" {
  count = local.alarm_count

  alarm_name          = "${var.name_prefix}-overdue"
  alarm_description   = "Parris: two sweeps found a stack past its deadline, so it stands beyond its ${var.grace_minutes} minutes of grace and costs money; make status shows it, CloudFormation's events say why it stays."
  namespace           = "Parris"
  metric_name         = one(aws_cloudwatch_log_metric_filter.overdue[*].metric_transformation[0].name)
  statistic           = "Sum"
  period              = 60 * var.sweep_minutes
  evaluation_periods  = 2 # the first one deletes it, within the grace; the second comes after that
  comparison_operator = "GreaterThanOrEqualToThreshold"
  threshold           = 1
  treat_missing_data  = "notBreaching"
  alarm_actions       = var.alarm_topic_arns
  ok_actions          = var.alarm_topic_arns
  tags                = local.tags
}

resource "aws_cloudwatch_dashboard" "functions" {
  count = var.dashboard ? 1 : 0

  dashboard_name = "${var.name_prefix}-${local.region}"
  dashboard_body = jsonencode({
    widgets = [
      for row, name in ["launch", "reap"] : {
        type   = "metric"
        x      = 0
        y      = 6 * row
        width  = 24
        height = 6
        properties = {
          title  = "${var.name_prefix}-${name}"
          region = local.region
          period = 300
          metrics = [
            for metric in ["Invocations", "Errors", "Throttles", "Duration"] :
            ["AWS/Lambda", metric, "FunctionName", "${var.name_prefix}-${name}", { stat = metric == "Duration" ? "Maximum" : "Sum", yAxis = metric == "Duration" ? "right" : "left" }]
          ]
        }
      }
    ]
  })
}
