output "parris_version" {
  description = "Version of Parris that is applied."
  value       = regex("__version__ = \"([^\"]+)\"", file("${path.module}/lambda/parris/__init__.py"))[0]
}

output "deployment" {
  description = "Name of this deployment, the value of the tag parris:deployment."
  value       = var.name_prefix
}

output "region" {
  description = "Region everything lives in; the scripts use it whatever AWS_REGION says."
  value       = local.region
}

output "account_id" {
  description = "Account everything lives in."
  value       = local.account_id
}

output "config_bucket" {
  description = "Bucket that make upload-config fills with jobs."
  value       = aws_s3_bucket.store["config"].id
}

output "results_bucket" {
  description = "Bucket that holds every run below runs/<job>/<run-id>/."
  value       = aws_s3_bucket.store["results"].id
}

output "ledger_table" {
  description = "DynamoDB table with one record of each run."
  value       = aws_dynamodb_table.ledger.name
}

output "launch_function" {
  description = "Function that make launch, the button and the schedules invoke."
  value       = aws_lambda_function.launch.function_name
}

output "launch_role_arn" {
  description = "Role of that function; make plan asks what it and the stack's role may do."
  value       = local.launch_role_arn
}

output "instance_role_arn" {
  description = "Role of the machines that name no other; make plan asks whether it may read a job's data and secrets."
  value       = local.instance_role_arn
}

output "launch_settings" {
  description = "What the launch function is told, by variable; make plan plans by the same."
  value       = aws_lambda_function.launch.environment[0].variables
}

output "reap_function" {
  description = "Function that deletes the stacks of runs that are over."
  value       = aws_lambda_function.reap.function_name
}

output "max_run_hours" {
  description = "Hours after which any run ends; make extend goes no further."
  value       = var.max_run_hours
}

output "max_run_usd" {
  description = "US dollars that any run may cost at most; null for no such cap."
  value       = var.max_run_usd
}

output "monthly_budget_usd" {
  description = "US dollars that the runs launched in a month may cost together; null for no budget."
  value       = var.monthly_budget_usd
}

output "grace_minutes" {
  description = "Minutes after its deadline at which a run's stack deletes itself."
  value       = var.grace_minutes
}

output "instance_profiles" {
  description = "What a job may give as instance-iam-role-name; the first is the default."
  value       = local.instance_profiles
}

output "training_log_group" {
  description = "Log group with one stream <job>/<run-id>/<secret> for each run."
  value       = aws_cloudwatch_log_group.training.name
}

output "notification_topic_arn" {
  description = "SNS topic that gets a message of every run that started, ended or was refused."
  value       = aws_sns_topic.notification.arn
}

output "launch_topic" {
  description = "MQTT topic filter whose messages launch the job they name, or null."
  value       = local.topics.device
}

output "data_triggers" {
  description = "Data triggers by name, as applied."
  value       = var.data_triggers
}

output "caller_policy" {
  description = "IAM policy that a program needs to launch trainings, and no more."
  value       = data.aws_iam_policy_document.caller.json
}

output "iot_topic" {
  description = "MQTT topic filter whose messages are clicks of the button they name, or null."
  value       = local.topics.button
}

output "schedules" {
  description = "Schedules by name, as applied, each with the name of its EventBridge rule."
  value       = { for name, schedule in var.schedules : name => merge(schedule, { rule = aws_cloudwatch_event_rule.schedule[name].name }) }
}

output "kms_key_policy" {
  description = "Key policy that kms_key_arn must have at least; made from names, so the key may take it from here."
  value       = data.aws_iam_policy_document.key.json
}

output "role_policies" {
  description = "Policy that each principal's role needs, by principal (launch, reap, stack, scheduler, instance, iot), for roles that are brought."
  value = {
    launch    = data.aws_iam_policy_document.launch.json
    reap      = data.aws_iam_policy_document.reap.json
    stack     = data.aws_iam_policy_document.stack.json
    scheduler = data.aws_iam_policy_document.scheduler.json
    instance  = data.aws_iam_policy_document.instance.json
    iot       = data.aws_iam_policy_document.iot.json
  }
}

output "role_trust_policies" {
  description = "Trust policy of each principal's role, by principal, for roles that are brought."
  value       = merge({ for name, document in data.aws_iam_policy_document.assume : name => document.json }, { scheduler = data.aws_iam_policy_document.assume_scheduler.json })
}
