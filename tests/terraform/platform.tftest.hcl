# What a platform team asks for, each by itself, and none of it by default.

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
    defaults = { partition = "aws", dns_suffix = "amazonaws.com" }
  }
  mock_data "aws_iam_instance_profile" {
    defaults = { role_arn = "arn:aws:iam::123456789012:role/theirs" }
  }
}

run "nothing_by_default" {
  command = plan

  assert {
    condition     = alltrue([for name in keys(data.aws_iam_policy_document.more) : length(data.aws_iam_policy_document.more[name].statement) == 0])
    error_message = "no role may do more unless asked"
  }

  assert {
    condition     = alltrue([for role in concat(aws_iam_role.launch, aws_iam_role.reap, aws_iam_role.stack, aws_iam_role.scheduler, aws_iam_role.instance, aws_iam_role.iot) : role.path == "/" && role.permissions_boundary == null])
    error_message = "roles have no path and no boundary unless asked"
  }

  assert {
    condition     = length(concat(aws_cloudwatch_metric_alarm.silent, aws_cloudwatch_metric_alarm.unswept, aws_cloudwatch_metric_alarm.failing, aws_cloudwatch_metric_alarm.overdue, aws_cloudwatch_dashboard.functions, aws_cloudwatch_log_metric_filter.overdue)) == 0 && length(aws_s3_bucket_logging.store) == 0
    error_message = "alarms, dashboard and access logs are off unless asked"
  }

  assert {
    condition = alltrue([
      for encryption in aws_s3_bucket_server_side_encryption_configuration.store :
      one(one(encryption.rule).apply_server_side_encryption_by_default).sse_algorithm == "AES256"
    ]) && aws_sns_topic.notification.kms_master_key_id == null && aws_cloudwatch_log_group.training.kms_key_id == null
    error_message = "AWS's own keys encrypt unless asked"
  }

  assert {
    condition     = length(aws_lambda_function.launch.vpc_config) == 0 && length(aws_lambda_function.reap.vpc_config) == 0 && aws_lambda_function.launch.reserved_concurrent_executions == null && aws_lambda_function.reap.reserved_concurrent_executions == null
    error_message = "the functions are in no VPC and reserve nothing unless asked"
  }

  assert {
    condition     = jsondecode(aws_lambda_function.launch.environment[0].variables["PARRIS_FLEET"]) == jsondecode(jsonencode({ subnets = [], groups = [], types = [], owners = [], volume_key = "" }))
    error_message = "a launch is told nothing of the fleet unless asked"
  }
}

run "boundary_and_path" {
  command = plan

  variables {
    permissions_boundary_arn = "arn:aws:iam::123456789012:policy/boundary"
    iam_path                 = "/teams/vision/"
    instance_role_names      = ["gpu"]
  }

  assert {
    condition     = alltrue([for role in concat(aws_iam_role.launch, aws_iam_role.reap, aws_iam_role.stack, aws_iam_role.scheduler, aws_iam_role.instance, aws_iam_role.iot) : role.path == "/teams/vision/" && role.permissions_boundary == "arn:aws:iam::123456789012:policy/boundary"])
    error_message = "each role has the path and the boundary"
  }

  assert {
    condition     = length(concat(aws_iam_role.launch, aws_iam_role.reap, aws_iam_role.stack, aws_iam_role.scheduler, aws_iam_role.instance, aws_iam_role.iot)) == 6 && aws_iam_instance_profile.instance[0].path == "/teams/vision/"
    error_message = "six roles and a profile are made"
  }

  assert {
    condition     = local.further_role_arns == ["arn:aws:iam::123456789012:role/gpu", "arn:aws:iam::123456789012:role/teams/vision/gpu"]
    error_message = "a further role may be passed with the path and without"
  }
}

run "key" {
  command = plan

  variables {
    kms_key_arn      = "arn:aws:kms:eu-west-1:123456789012:key/one"
    ebs_kms_key_arns = ["arn:aws:kms:eu-west-1:123456789012:key/two"]
  }

  assert {
    condition = alltrue([
      for encryption in aws_s3_bucket_server_side_encryption_configuration.store :
      one(one(encryption.rule).apply_server_side_encryption_by_default).sse_algorithm == "aws:kms" &&
      one(one(encryption.rule).apply_server_side_encryption_by_default).kms_master_key_id == var.kms_key_arn && one(encryption.rule).bucket_key_enabled
    ])
    error_message = "both buckets use the key, through a bucket key"
  }

  assert {
    condition     = alltrue([for group in concat(values(aws_cloudwatch_log_group.function), [aws_cloudwatch_log_group.iot, aws_cloudwatch_log_group.training]) : group.kms_key_id == var.kms_key_arn]) && aws_sns_topic.notification.kms_master_key_id == var.kms_key_arn
    error_message = "all log groups and the topic use the key"
  }

  assert {
    condition     = jsondecode(aws_lambda_function.launch.environment[0].variables["PARRIS_FLEET"]).volume_key == var.kms_key_arn
    error_message = "machines' volumes use the key"
  }

  assert {
    condition = {
      for name, document in data.aws_iam_policy_document.more : name => [for statement in document.statement : "${statement.sid}: ${join(" ", sort(statement.actions))}"]
      } == {
      launch   = ["UseTheKey: kms:Decrypt kms:GenerateDataKey"]
      reap     = ["UseTheKey: kms:Decrypt kms:GenerateDataKey"]
      instance = ["UseTheKey: kms:Decrypt kms:GenerateDataKey"]
      operator = ["UseTheKey: kms:Decrypt kms:GenerateDataKey"]
      stack = [
        "EncryptVolumes: kms:Decrypt kms:DescribeKey kms:GenerateDataKeyWithoutPlaintext kms:ReEncryptFrom kms:ReEncryptTo",
        "LetVolumesUseTheirKey: kms:CreateGrant",
      ]
    }
    error_message = "who uses the key may do so, and no more"
  }

  assert {
    condition = {
      for name, document in data.aws_iam_policy_document.more :
      name => join(" ", sort(flatten([for condition in document.statement[0].condition : condition.values if condition.variable == "kms:ViaService"])))
      } == {
      launch   = "dynamodb.eu-west-1.amazonaws.com s3.eu-west-1.amazonaws.com sns.eu-west-1.amazonaws.com"
      reap     = "dynamodb.eu-west-1.amazonaws.com s3.eu-west-1.amazonaws.com sns.eu-west-1.amazonaws.com"
      instance = "s3.eu-west-1.amazonaws.com"
      operator = "dynamodb.eu-west-1.amazonaws.com s3.eu-west-1.amazonaws.com"
      stack    = "ec2.eu-west-1.amazonaws.com"
    }
    error_message = "the key is used through the services that need it alone"
  }

  assert {
    condition     = length(one([for statement in data.aws_iam_policy_document.more["stack"].statement : statement.resources if statement.sid == "LetVolumesUseTheirKey"])) == 2 && one(one([for statement in data.aws_iam_policy_document.more["stack"].statement : statement.condition if statement.sid == "LetVolumesUseTheirKey"])).variable == "kms:GrantIsForAWSResource"
    error_message = "grants are for volumes' keys, and for AWS's own resources only"
  }

  assert {
    condition     = alltrue([for statement in data.aws_iam_policy_document.more["launch"].statement : statement.resources == toset([var.kms_key_arn])])
    error_message = "no other key is used"
  }

  assert {
    condition     = one(one([for statement in data.aws_iam_policy_document.key.statement : statement.principals if statement.sid == "LetLogsEncryptOurs"])).identifiers == toset(["logs.eu-west-1.amazonaws.com"]) && length(one(one([for statement in data.aws_iam_policy_document.key.statement : statement.condition if statement.sid == "LetLogsEncryptOurs"])).values) == 4
    error_message = "the key's policy lets Logs encrypt the four groups"
  }
}

run "network_types_and_images" {
  command = plan

  variables {
    subnet_ids             = ["subnet-0a", "subnet-0b"]
    security_group_ids     = ["sg-0a"]
    allowed_instance_types = ["t3.*"]
    allowed_image_owners   = ["amazon", "123456789012"]
  }

  assert {
    condition     = jsondecode(aws_lambda_function.launch.environment[0].variables["PARRIS_FLEET"]) == jsondecode(jsonencode({ subnets = ["subnet-0a", "subnet-0b"], groups = ["sg-0a"], types = ["t3.*"], owners = ["amazon", "123456789012"], volume_key = "" }))
    error_message = "a launch is told of the fleet"
  }

  assert {
    condition = {
      for statement in data.aws_iam_policy_document.more["stack"].statement :
      statement.sid => "${statement.effect} ${join(" ", statement.actions)} ${join(" ", statement.resources)} ${one(statement.condition).test} ${one(statement.condition).variable} ${join(" ", one(statement.condition).values)}"
      } == {
      RefuseOtherInstanceTypes = "Deny ec2:RunInstances arn:aws:ec2:eu-west-1:123456789012:instance/* StringNotLike ec2:InstanceType t3.*"
      RefuseOtherImages        = "Deny ec2:RunInstances arn:aws:ec2:eu-west-1::image/* StringNotEquals ec2:Owner amazon 123456789012"
    }
    error_message = "EC2 refuses other types and images whoever asks"
  }
}

run "roles_that_were_brought" {
  command = plan

  variables {
    lambda_role_arn       = "arn:aws:iam::123456789012:role/launch"
    reap_role_arn         = "arn:aws:iam::123456789012:role/reap"
    stack_role_arn        = "arn:aws:iam::123456789012:role/stack"
    scheduler_role_arn    = "arn:aws:iam::123456789012:role/scheduler"
    iot_role_arn          = "arn:aws:iam::123456789012:role/iot"
    instance_profile_name = "theirs"
  }

  assert {
    condition     = length(concat(aws_iam_role.launch, aws_iam_role.reap, aws_iam_role.stack, aws_iam_role.scheduler, aws_iam_role.instance, aws_iam_role.iot, aws_iam_instance_profile.instance)) == 0 && length(concat(aws_iam_role_policy.launch, aws_iam_role_policy.reap, aws_iam_role_policy.stack, aws_iam_role_policy.scheduler, aws_iam_role_policy.instance, aws_iam_role_policy.iot)) == 0
    error_message = "no role, no policy and no profile is made where one was brought"
  }

  assert {
    condition     = aws_lambda_function.launch.role == var.lambda_role_arn && aws_lambda_function.reap.role == var.reap_role_arn && one(one(aws_iot_topic_rule.button[0].error_action).cloudwatch_logs).role_arn == var.iot_role_arn
    error_message = "the roles that were brought are used"
  }

  assert {
    condition     = aws_lambda_function.launch.environment[0].variables["PARRIS_STACK_ROLE_ARN"] == var.stack_role_arn && aws_lambda_function.launch.environment[0].variables["PARRIS_SCHEDULER_ROLE_ARN"] == var.scheduler_role_arn && aws_lambda_function.launch.environment[0].variables["PARRIS_INSTANCE_PROFILES"] == "theirs" && aws_lambda_function.launch.environment[0].variables["PARRIS_INSTANCE_ROLE"] == ":"
    error_message = "a launch passes the roles that were brought"
  }

  assert {
    condition     = one([for statement in data.aws_iam_policy_document.stack.statement : statement.resources if statement.sid == "GiveMachinesTheirRole"]) == toset(["arn:aws:iam::123456789012:role/theirs"])
    error_message = "the machines' role that was brought may be passed"
  }

  assert {
    condition     = sort(keys(output.role_policies)) == tolist(["instance", "iot", "launch", "reap", "scheduler", "stack"]) && keys(output.role_policies) == keys(output.role_trust_policies)
    error_message = "each principal's policy and trust are told"
  }
}

run "access_logs_vpc_and_concurrency" {
  command = plan

  variables {
    access_log_bucket           = "their-logs"
    vpc_subnet_ids              = ["subnet-0a"]
    vpc_security_group_ids      = ["sg-0a"]
    launch_reserved_concurrency = 5
    reap_reserved_concurrency   = 2
  }

  assert {
    condition     = alltrue([for logging in aws_s3_bucket_logging.store : logging.target_bucket == "their-logs"]) && aws_s3_bucket_logging.store["results"].target_prefix != aws_s3_bucket_logging.store["config"].target_prefix
    error_message = "both buckets log their use, apart"
  }

  assert {
    condition     = one(aws_lambda_function.launch.vpc_config).subnet_ids == toset(["subnet-0a"]) && one(aws_lambda_function.reap.vpc_config).security_group_ids == toset(["sg-0a"])
    error_message = "both functions are in the VPC"
  }

  assert {
    condition     = alltrue([for name in ["launch", "reap"] : [for statement in data.aws_iam_policy_document.more[name].statement : statement.sid] == ["LetLambdaKeepNetworkInterfaces", "NotItsOwnCode"]])
    error_message = "Lambda may keep their interfaces, their own code may not"
  }

  assert {
    condition     = one(one(data.aws_iam_policy_document.more["reap"].statement[1].condition).values) == "arn:aws:lambda:eu-west-1:123456789012:function:parris-reap" && !contains(data.aws_iam_policy_document.more["launch"].statement[1].actions, "ec2:DescribeSubnets")
    error_message = "the refusal is each function's own, and leaves the launch function what it reads"
  }

  assert {
    condition     = aws_lambda_function.launch.reserved_concurrent_executions == 5 && aws_lambda_function.reap.reserved_concurrent_executions == 2
    error_message = "concurrency is reserved"
  }
}

run "alarms_and_dashboard" {
  command = plan

  variables {
    alarm_topic_arns = ["arn:aws:sns:eu-west-1:123456789012:ops"]
    dashboard        = true
    sweep_minutes    = 5
  }

  assert {
    condition     = alltrue([for alarm in concat(aws_cloudwatch_metric_alarm.silent, aws_cloudwatch_metric_alarm.unswept) : alarm.treat_missing_data == "breaching" && alarm.period * alarm.evaluation_periods > 60 * var.sweep_minutes * 2 && alarm.alarm_actions == toset(var.alarm_topic_arns)])
    error_message = "silence rings, but not one late sweep"
  }

  assert {
    condition     = aws_cloudwatch_metric_alarm.silent[0].dimensions.FunctionName == "parris-reap" && aws_cloudwatch_metric_alarm.unswept[0].dimensions.RuleName == "parris-reap-sweep" && aws_cloudwatch_metric_alarm.failing[0].metric_name == "Errors"
    error_message = "the alarms watch the reap function and its sweep"
  }

  assert {
    condition     = aws_cloudwatch_metric_alarm.overdue[0].metric_name == one(aws_cloudwatch_log_metric_filter.overdue[0].metric_transformation).name && aws_cloudwatch_metric_alarm.overdue[0].evaluation_periods == 2
    error_message = "a stack that two sweeps find past its deadline rings"
  }

  assert {
    condition     = length(jsondecode(aws_cloudwatch_dashboard.functions[0].dashboard_body).widgets) == 2
    error_message = "the dashboard shows both functions"
  }
}

run "china" {
  command = plan

  override_data {
    target = data.aws_partition.current
    values = { partition = "aws-cn", dns_suffix = "amazonaws.com.cn" }
  }

  assert {
    condition     = one(data.aws_iam_policy_document.assume["instance"].statement[0].principals).identifiers == toset(["ec2.amazonaws.com.cn"]) && one(data.aws_iam_policy_document.assume["launch"].statement[0].principals).identifiers == toset(["lambda.amazonaws.com"])
    error_message = "EC2's principal has the partition's suffix, Lambda's has not"
  }
}

run "data_secrets_and_a_shell" {
  command = plan

  variables {
    data_sources = ["s3://pictures/train/", "s3://pictures/labels.csv", "s3://other/"]
    secret_arns  = ["arn:aws:ssm:eu-west-1:123456789012:parameter/team/*", "arn:aws:kms:eu-west-1:123456789012:key/k"]
    shell        = true
  }

  assert {
    condition = toset(flatten([
      for statement in data.aws_iam_policy_document.inputs.statement : [for action in statement.actions : "${action} ${join(" ", sort(statement.resources))}" if action != "s3:ListBucket" && !startswith(action, "ssmmessages:")]
      ])) == toset([
      "kms:Decrypt arn:aws:kms:eu-west-1:123456789012:key/k",
      "s3:GetObject arn:aws:s3:::other/* arn:aws:s3:::pictures/labels.csv arn:aws:s3:::pictures/train/*",
      "ssm:GetParameter arn:aws:ssm:eu-west-1:123456789012:parameter/team/*",
      "ssm:UpdateInstanceInformation *",
    ])
    error_message = "machines read what is named, and no more"
  }

  assert {
    condition = {
      for statement in data.aws_iam_policy_document.inputs.statement : one(statement.resources) => sort(one(statement.condition).values) if contains(statement.actions, "s3:ListBucket")
      } == {
      "arn:aws:s3:::other"    = tolist(["*"])
      "arn:aws:s3:::pictures" = tolist(["train/*"])
    }
    error_message = "a bucket is listed below the prefixes that are named; one object is not listed"
  }

  assert {
    condition     = length([for statement in data.aws_iam_policy_document.operator.statement : statement if contains(statement.actions, "ssm:StartSession")]) == 2
    error_message = "an operator opens sessions"
  }
}

run "no_data_secrets_or_shell_by_default" {
  command = plan

  assert {
    condition     = length(data.aws_iam_policy_document.inputs.statement) == 0 && length([for statement in data.aws_iam_policy_document.operator.statement : statement if contains(statement.actions, "ssm:StartSession")]) == 0
    error_message = "nothing of it unless it is asked for"
  }
}

run "refuses_what_is_no_secret_or_address" {
  command = plan

  variables {
    secret_arns  = ["arn:aws:ssm:eu-west-1:123456789012:document/x"]
    data_sources = ["s3://pictures/*"]
  }

  expect_failures = [var.secret_arns, var.data_sources]
}

run "refuses_what_is_no_arn" {
  command = plan

  variables {
    permissions_boundary_arn = "boundary"
    kms_key_arn              = "alias/parris"
    ebs_kms_key_arns         = ["alias/aws/ebs"]
    reap_role_arn            = "reap"
    stack_role_arn           = "stack"
    scheduler_role_arn       = "scheduler"
    iot_role_arn             = "iot"
    instance_profile_name    = "arn:aws:iam::123456789012:instance-profile/theirs"
    alarm_topic_arns         = ["ops"]
  }

  expect_failures = [
    var.permissions_boundary_arn, var.kms_key_arn, var.ebs_kms_key_arns, var.reap_role_arn, var.stack_role_arn,
    var.scheduler_role_arn, var.iot_role_arn, var.instance_profile_name, var.alarm_topic_arns,
  ]
}

run "refuses_what_is_no_name" {
  command = plan

  variables {
    iam_path                    = "teams"
    subnet_ids                  = ["mine"]
    security_group_ids          = ["mine"]
    allowed_instance_types      = ["T3 [small]"]
    allowed_image_owners        = ["me"]
    access_log_bucket           = "s3://logs"
    vpc_subnet_ids              = ["subnet-0a"]
    launch_reserved_concurrency = -1
    reap_reserved_concurrency   = 0
    expire_events_days          = 1
    expire_setups_days          = 0
    abort_uploads_days          = 0
  }

  expect_failures = [
    var.iam_path, var.subnet_ids, var.security_group_ids, var.allowed_instance_types, var.allowed_image_owners,
    var.access_log_bucket, var.vpc_security_group_ids, var.launch_reserved_concurrency, var.reap_reserved_concurrency,
    var.expire_events_days, var.expire_setups_days,
    var.abort_uploads_days,
  ]
}

run "refuses_bad_subnets_of_functions" {
  command = plan

  variables {
    vpc_subnet_ids         = ["mine"]
    vpc_security_group_ids = ["sg-0a"]
  }

  expect_failures = [var.vpc_subnet_ids]
}
