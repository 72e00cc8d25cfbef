# What a platform team asks for. Each is off by default.

variable "permissions_boundary_arn" {
  description = "Permissions boundary of every role made here; null sets none."
  type        = string
  default     = null

  validation {
    condition     = var.permissions_boundary_arn == null || can(regex("^arn:[a-z-]+:iam::([0-9]{12}|aws):policy/.+$", var.permissions_boundary_arn))
    error_message = "permissions_boundary_arn must be the ARN of an IAM policy, arn:aws:iam::<account>:policy/<name>, or null."
  }
}

variable "iam_path" {
  description = "IAM path of every role and instance profile made here, and of those in instance_role_names."
  type        = string
  default     = "/"

  validation {
    condition     = can(regex("^/([A-Za-z0-9_.+=,@-]+/)*$", var.iam_path)) && length(var.iam_path) <= 512
    error_message = "iam_path must begin and end with a slash, such as /teams/vision/."
  }
}

variable "kms_key_arn" {
  description = "KMS key of buckets, ledger, logs, topic and the machines' volumes, with a policy like the output kms_key_policy; null leaves them to AWS's own keys."
  type        = string
  default     = null

  validation {
    condition     = var.kms_key_arn == null || can(regex("^arn:[a-z-]+:kms:[a-z0-9-]+:[0-9]{12}:key/.+$", var.kms_key_arn))
    error_message = "kms_key_arn must be the ARN of a KMS key (not of an alias), arn:aws:kms:<region>:<account>:key/<id>, or null."
  }
}

variable "ebs_kms_key_arns" {
  description = "Further KMS keys that machines' volumes may be encrypted with, such as the account's default EBS key or that of a shared image."
  type        = set(string)
  default     = []

  validation {
    condition     = alltrue([for arn in var.ebs_kms_key_arns : can(regex("^arn:[a-z-]+:kms:[a-z0-9-]+:[0-9]{12}:key/.+$", arn))])
    error_message = "ebs_kms_key_arns must be ARNs of KMS keys (not of aliases), arn:aws:kms:<region>:<account>:key/<id>."
  }
}

variable "subnet_ids" {
  description = "Subnets of machines whose job names no subnet-id; a run's id picks one. Empty leaves it to the default VPC."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for id in var.subnet_ids : can(regex("^subnet-[0-9a-f]+$", id))])
    error_message = "subnet_ids must be ids of subnets, subnet-…"
  }
}

variable "security_group_ids" {
  description = "Security groups of machines whose job names no security-group-id. Empty leaves it to the VPC's default group."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for id in var.security_group_ids : can(regex("^sg-[0-9a-f]+$", id))])
    error_message = "security_group_ids must be ids of security groups, sg-…"
  }
}

variable "allowed_instance_types" {
  description = "Patterns of instance types that jobs may ask for, such as t3.* or g5.?xlarge; empty allows all."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for pattern in var.allowed_instance_types : can(regex("^[a-z0-9.*?-]+$", pattern))])
    error_message = "allowed_instance_types must be instance types, in which * stands for any letters and ? for one, such as t3.*."
  }
}

variable "allowed_image_owners" {
  description = "Owners of images that jobs may boot: account numbers, amazon (the default images), aws-marketplace; empty allows all."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for owner in var.allowed_image_owners : can(regex("^([0-9]{12}|amazon|aws-marketplace)$", owner))])
    error_message = "allowed_image_owners must be account numbers of 12 digits, amazon or aws-marketplace."
  }
}

variable "reap_role_arn" {
  description = "Role for the reap function in place of the one made here; null makes one. It needs role_policies[\"reap\"]."
  type        = string
  default     = null

  validation {
    condition     = var.reap_role_arn == null || can(regex("^arn:[a-z-]+:iam::[0-9]{12}:role/.+$", var.reap_role_arn))
    error_message = "reap_role_arn must be the ARN of an IAM role, arn:aws:iam::<account>:role/<name>, or null."
  }
}

variable "stack_role_arn" {
  description = "Role for CloudFormation in place of the one made here; null makes one. It needs role_policies[\"stack\"]."
  type        = string
  default     = null

  validation {
    condition     = var.stack_role_arn == null || can(regex("^arn:[a-z-]+:iam::[0-9]{12}:role/.+$", var.stack_role_arn))
    error_message = "stack_role_arn must be the ARN of an IAM role, arn:aws:iam::<account>:role/<name>, or null."
  }
}

variable "scheduler_role_arn" {
  description = "Role for EventBridge Scheduler in place of the one made here; null makes one. It needs role_policies[\"scheduler\"]."
  type        = string
  default     = null

  validation {
    condition     = var.scheduler_role_arn == null || can(regex("^arn:[a-z-]+:iam::[0-9]{12}:role/.+$", var.scheduler_role_arn))
    error_message = "scheduler_role_arn must be the ARN of an IAM role, arn:aws:iam::<account>:role/<name>, or null."
  }
}

variable "iot_role_arn" {
  description = "Role for AWS IoT in place of the one made here; null makes one. It needs role_policies[\"iot\"]."
  type        = string
  default     = null

  validation {
    condition     = var.iot_role_arn == null || can(regex("^arn:[a-z-]+:iam::[0-9]{12}:role/.+$", var.iot_role_arn))
    error_message = "iot_role_arn must be the ARN of an IAM role, arn:aws:iam::<account>:role/<name>, or null."
  }
}

variable "instance_profile_name" {
  description = "Instance profile of the machines in place of the one made here; null makes one. Its role needs role_policies[\"instance\"]."
  type        = string
  default     = null

  validation {
    condition     = var.instance_profile_name == null || can(regex("^[A-Za-z0-9_.+=,@-]{1,128}$", var.instance_profile_name))
    error_message = "instance_profile_name must be the name (not the ARN) of an instance profile, or null."
  }

  validation {
    condition     = var.instance_profile_name == null || length(var.instance_policy_arns) == 0
    error_message = "instance_profile_name brings a role of its own: attach to it what instance_policy_arns names."
  }
}

variable "access_log_bucket" {
  description = "Bucket that takes S3's server access logs of both buckets, below their names; null keeps none."
  type        = string
  default     = null

  validation {
    condition     = var.access_log_bucket == null || can(regex("^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$", var.access_log_bucket))
    error_message = "access_log_bucket must be the name of a bucket in the same region and account, or null."
  }
}

variable "vpc_subnet_ids" {
  description = "Subnets to run both functions in, with a way to AWS's endpoints (NAT or VPC endpoints); empty runs them outside any VPC."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for id in var.vpc_subnet_ids : can(regex("^subnet-[0-9a-f]+$", id))])
    error_message = "vpc_subnet_ids must be ids of subnets, subnet-…"
  }
}

variable "vpc_security_group_ids" {
  description = "Security groups of both functions in vpc_subnet_ids."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for id in var.vpc_security_group_ids : can(regex("^sg-[0-9a-f]+$", id))])
    error_message = "vpc_security_group_ids must be ids of security groups, sg-…"
  }

  validation {
    condition     = (length(var.vpc_security_group_ids) == 0) == (length(var.vpc_subnet_ids) == 0)
    error_message = "vpc_security_group_ids and vpc_subnet_ids go together: set both or neither."
  }
}

variable "launch_reserved_concurrency" {
  description = "Launches that may be handled at once, reserved from the account's; 0 turns launching off, null reserves nothing."
  type        = number
  default     = null

  validation {
    condition     = var.launch_reserved_concurrency == null || try(var.launch_reserved_concurrency >= 0 && floor(var.launch_reserved_concurrency) == var.launch_reserved_concurrency, false)
    error_message = "launch_reserved_concurrency must be a whole number, 0 or more, or null."
  }
}

variable "reap_reserved_concurrency" {
  description = "Calls of the reap function that may be handled at once, reserved from the account's; null reserves nothing."
  type        = number
  default     = null

  validation {
    condition     = var.reap_reserved_concurrency == null || try(var.reap_reserved_concurrency >= 1 && floor(var.reap_reserved_concurrency) == var.reap_reserved_concurrency, false)
    error_message = "reap_reserved_concurrency must be a whole number, 1 or more (0 would turn off what ends runs), or null."
  }
}

variable "alarm_topic_arns" {
  description = "SNS topics that alarms about the reap function ring; [] makes the alarms for the console alone, null makes none."
  type        = list(string)
  default     = null

  validation {
    condition     = var.alarm_topic_arns == null || alltrue([for arn in coalesce(var.alarm_topic_arns, []) : can(regex("^arn:[a-z-]+:sns:[a-z0-9-]+:[0-9]{12}:.+$", arn))])
    error_message = "alarm_topic_arns must be ARNs of SNS topics, arn:aws:sns:<region>:<account>:<name>, or null."
  }
}

variable "dashboard" {
  description = "Whether to make a CloudWatch dashboard of both functions."
  type        = bool
  default     = false
}
