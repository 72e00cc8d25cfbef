# --- What the optional variables add to the roles' policies ---------------------------------------

locals {
  # EC2's and Logs' principals have the partition's suffix, the others' are the same everywhere
  # (aws-cdk, region-info, default.ts).
  ec2_principal  = "ec2.${local.partition == "aws-cn" ? data.aws_partition.current.dns_suffix : "amazonaws.com"}"
  logs_principal = "logs.${local.region}.${data.aws_partition.current.dns_suffix}"

  function_arns = { for name in ["launch", "reap"] : name => "arn:${local.partition}:lambda:${local.region}:${local.account_id}:function:${var.name_prefix}-${name}" }

  spot_role_arn = "arn:${local.partition}:iam::${local.account_id}:role/aws-service-role/spot.amazonaws.com/AWSServiceRoleForEC2Spot"

  # By whom, through which services: S3, SNS and DynamoDB use a key with their caller's rights.
  key_users = {
    launch   = ["s3", "sns", "dynamodb"]
    reap     = ["s3", "sns", "dynamodb"]
    instance = ["s3"]
    operator = ["s3", "dynamodb"]
    stack    = []
  }
  # Null in a list would be an ARN of its own.
  volume_keys = concat(var.kms_key_arn[*], sort(var.ebs_kms_key_arns))
}

data "aws_iam_policy_document" "more" {
  for_each = local.key_users

  dynamic "statement" {
    for_each = length(each.value) > 0 ? var.kms_key_arn[*] : []

    content {
      sid       = "UseTheKey" # SSE-KMS: S3, SNS and DynamoDB guides, "Permissions"
      actions   = ["kms:Decrypt", "kms:GenerateDataKey"]
      resources = [statement.value]

      condition {
        test     = "StringEquals"
        variable = "kms:ViaService"
        values   = [for service in each.value : "${service}.${local.region}.${data.aws_partition.current.dns_suffix}"]
      }

      condition {
        test     = "StringEquals"
        variable = "kms:CallerAccount"
        values   = [local.account_id]
      }
    }
  }

  # EC2 user guide, "Amazon EBS encryption", "Permissions for IAM users".
  dynamic "statement" {
    for_each = each.key == "stack" && length(local.volume_keys) > 0 ? [local.volume_keys] : []

    content {
      sid       = "EncryptVolumes"
      actions   = ["kms:Decrypt", "kms:DescribeKey", "kms:GenerateDataKeyWithoutPlaintext", "kms:ReEncryptFrom", "kms:ReEncryptTo"]
      resources = statement.value

      condition {
        test     = "StringEquals"
        variable = "kms:ViaService"
        values   = ["ec2.${local.region}.${data.aws_partition.current.dns_suffix}"]
      }

      condition {
        test     = "StringEquals"
        variable = "kms:CallerAccount"
        values   = [local.account_id]
      }
    }
  }

  dynamic "statement" {
    for_each = each.key == "stack" && length(local.volume_keys) > 0 ? [local.volume_keys] : []

    content {
      sid       = "LetVolumesUseTheirKey"
      actions   = ["kms:CreateGrant"]
      resources = statement.value

      condition {
        test     = "Bool"
        variable = "kms:GrantIsForAWSResource"
        values   = ["true"]
      }
    }
  }

  # Refusals, so that they hold whatever is granted elsewhere, and in a job's own template too.
  dynamic "statement" {
    for_each = each.key == "stack" && length(var.allowed_instance_types) > 0 ? [var.allowed_instance_types] : []

    content {
      sid       = "RefuseOtherInstanceTypes"
      effect    = "Deny"
      actions   = ["ec2:RunInstances"]
      resources = ["arn:${local.partition}:ec2:${local.region}:${local.account_id}:instance/*"]

      condition {
        test     = "StringNotLike"
        variable = "ec2:InstanceType"
        values   = statement.value
      }
    }
  }

  dynamic "statement" {
    for_each = each.key == "stack" && length(var.allowed_image_owners) > 0 ? [var.allowed_image_owners] : []

    content {
      sid       = "RefuseOtherImages"
      effect    = "Deny"
      actions   = ["ec2:RunInstances"]
      resources = ["arn:${local.partition}:ec2:${local.region}::image/*"]

      condition {
        test     = "StringNotEquals"
        variable = "ec2:Owner"
        values   = statement.value
      }
    }
  }

  # Lambda developer guide, "Giving Lambda functions access to resources in an Amazon VPC": Lambda
  # needs them, and the function's own code is refused them.
  dynamic "statement" {
    for_each = contains(keys(local.function_arns), each.key) && length(var.vpc_subnet_ids) > 0 ? [true] : []

    content {
      sid = "LetLambdaKeepNetworkInterfaces"
      actions = [
        "ec2:AssignPrivateIpAddresses",
        "ec2:CreateNetworkInterface",
        "ec2:DeleteNetworkInterface",
        "ec2:DescribeNetworkInterfaces",
        "ec2:DescribeSubnets",
        "ec2:UnassignPrivateIpAddresses",
      ]
      resources = ["*"] # Lambda checks for that
    }
  }

  dynamic "statement" {
    for_each = contains(keys(local.function_arns), each.key) && length(var.vpc_subnet_ids) > 0 ? [true] : []

    content {
      sid       = "NotItsOwnCode"
      effect    = "Deny"
      actions   = ["ec2:AssignPrivateIpAddresses", "ec2:CreateNetworkInterface", "ec2:DeleteNetworkInterface", "ec2:UnassignPrivateIpAddresses"]
      resources = ["*"]

      condition {
        test     = "ArnEquals"
        variable = "lambda:SourceFunctionArn"
        values   = [local.function_arns[each.key]]
      }
    }
  }
}

# --- What the policy of kms_key_arn must allow ----------------------------------------------------

# From names alone, so that the key may take it from the module that takes the key.
data "aws_iam_policy_document" "key" {
  statement {
    sid       = "LetTheAccountsPoliciesDecide" # as the default key policy does
    actions   = ["kms:*"]
    resources = ["*"]

    principals {
      type        = "AWS"
      identifiers = ["arn:${local.partition}:iam::${local.account_id}:root"]
    }
  }

  statement {
    sid       = "LetLogsEncryptOurs" # CloudWatch Logs user guide, "Encrypt log data using AWS KMS"
    actions   = ["kms:Encrypt", "kms:Decrypt", "kms:ReEncryptFrom", "kms:ReEncryptTo", "kms:GenerateDataKey", "kms:GenerateDataKeyWithoutPlaintext", "kms:DescribeKey"]
    resources = ["*"]

    principals {
      type        = "Service"
      identifiers = [local.logs_principal]
    }

    condition {
      test     = "ArnEquals"
      variable = "kms:EncryptionContext:aws:logs:arn"
      values = [
        for name in ["/aws/lambda/${var.name_prefix}-launch", "/aws/lambda/${var.name_prefix}-reap", "/${var.name_prefix}/iot-errors", "/${var.name_prefix}/training"] :
        "arn:${local.partition}:logs:${local.region}:${local.account_id}:log-group:${name}"
      ]
    }
  }

  # EC2 user guide, "Grant access to customer managed keys for use with encrypted AMIs and EBS
  # snapshots": spot machines need it for this role, which need not exist yet, hence not a principal.
  statement {
    sid       = "LetSpotMachinesUseTheirVolumes"
    actions   = ["kms:Decrypt", "kms:DescribeKey", "kms:Encrypt", "kms:GenerateDataKey", "kms:GenerateDataKeyWithoutPlaintext", "kms:ReEncryptFrom", "kms:ReEncryptTo"]
    resources = ["*"]

    principals {
      type        = "AWS"
      identifiers = ["*"]
    }

    condition {
      test     = "ArnEquals"
      variable = "aws:PrincipalArn"
      values   = [local.spot_role_arn]
    }
  }

  statement {
    sid       = "LetSpotMachinesPassOnTheirKey"
    actions   = ["kms:CreateGrant"]
    resources = ["*"]

    principals {
      type        = "AWS"
      identifiers = ["*"]
    }

    condition {
      test     = "ArnEquals"
      variable = "aws:PrincipalArn"
      values   = [local.spot_role_arn]
    }

    condition {
      test     = "Bool"
      variable = "kms:GrantIsForAWSResource"
      values   = ["true"]
    }
  }

  statement {
    sid       = "LetAlarmsRing" # SNS developer guide, "Key management": publishers that are services
    actions   = ["kms:Decrypt", "kms:GenerateDataKey"]
    resources = ["*"]

    principals {
      type        = "Service"
      identifiers = ["cloudwatch.amazonaws.com"]
    }

    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [local.account_id]
    }
  }
}

# --- Roles that were brought, or made here ---------------------------------------------------------

locals {
  reap_role_arn      = coalesce(var.reap_role_arn, one(aws_iam_role.reap[*].arn))
  stack_role_arn     = coalesce(var.stack_role_arn, one(aws_iam_role.stack[*].arn))
  scheduler_role_arn = coalesce(var.scheduler_role_arn, one(aws_iam_role.scheduler[*].arn))
  iot_role_arn       = coalesce(var.iot_role_arn, one(aws_iam_role.iot[*].arn))
}

# --- The machines' instance profile, if one was brought --------------------------------------------

data "aws_iam_instance_profile" "brought" {
  count = var.instance_profile_name == null ? 0 : 1

  name = var.instance_profile_name
}

locals {
  instance_profile  = coalesce(var.instance_profile_name, one(aws_iam_instance_profile.instance[*].name))
  instance_role_arn = coalesce(one(data.aws_iam_instance_profile.brought[*].role_arn), one(aws_iam_role.instance[*].arn))
  # The id is what S3 knows its machines by (machines.tf, own_folder). Whose role another's profile has may
  # change, so its machines ask for themselves: ":" says so (a variable of a function is never empty).
  instance_role = var.instance_profile_name == null ? "${aws_iam_role.instance[0].name}:${aws_iam_role.instance[0].unique_id}" : ":"
  # Roles made elsewhere may have this deployment's path or none.
  further_role_arns = [
    for one in distinct(flatten([for name in sort(var.instance_role_names) : ["/${name}", "${var.iam_path}${name}"]])) :
    "arn:${local.partition}:iam::${local.account_id}:role${one}"
  ]
}
