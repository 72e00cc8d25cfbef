variable "name_prefix" {
  description = "Name of this deployment: prefix of its resources and value of the tag parris:deployment."
  type        = string
  default     = "parris"

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,20}$", var.name_prefix))
    error_message = "name_prefix must be 2 to 21 lower-case letters, digits or hyphens and begin with a letter; it becomes part of bucket names."
  }
}

variable "architecture" {
  description = "Processor of the launch function: arm64 is cheaper, x86_64 exists in every region."
  type        = string
  default     = "arm64"

  validation {
    condition     = contains(["arm64", "x86_64"], var.architecture)
    error_message = "architecture must be arm64 or x86_64."
  }
}

variable "lambda_role_arn" {
  description = "Role for the launch function in place of the one made here; null makes one."
  type        = string
  default     = null

  validation {
    condition     = var.lambda_role_arn == null || can(regex("^arn:[a-z-]+:iam::[0-9]{12}:role/.+$", var.lambda_role_arn))
    error_message = "lambda_role_arn must be the ARN of an IAM role, arn:aws:iam::<account>:role/<name>, or null."
  }
}

variable "iot_topic" {
  description = "MQTT topic filter of buttons, its last part their serial number; {name_prefix} in it becomes the deployment's name. Real AWS IoT buttons publish to iotbutton/+. null turns the rule off."
  type        = string
  default     = "{name_prefix}/button/+"

  validation {
    condition     = var.iot_topic == null || can(regex("^([^'\\s+#/]+|[+])(/([^'\\s+#/]+|[+]))*$", var.iot_topic)) && try(length(var.iot_topic) <= 256, false)
    error_message = "iot_topic must be an MQTT topic filter without spaces, quotes or #, such as iotbutton/+ (its last part is the serial number), or null."
  }
}

variable "button_actions" {
  description = "What a click does, by its kind (SINGLE, DOUBLE, LONG): an action (launch, status, stop), its job and parameters."
  type = map(object({
    action     = optional(string, "launch")
    job        = optional(string, "default")
    parameters = optional(map(string), {})
  }))
  default = {
    SINGLE = { action = "launch" }
    DOUBLE = { action = "status" }
    LONG   = { action = "stop" }
  }

  validation {
    condition     = alltrue([for click in keys(var.button_actions) : contains(["SINGLE", "DOUBLE", "LONG"], click)])
    error_message = "button_actions: a click must be SINGLE, DOUBLE or LONG."
  }

  validation {
    condition     = alltrue([for click in values(var.button_actions) : contains(["launch", "status", "stop"], click.action)])
    error_message = "button_actions: an action must be launch, status or stop."
  }
}

variable "button_jobs" {
  description = "Jobs of single buttons, by serial number, in place of the job in button_actions."
  type        = map(string)
  default     = {}

  validation {
    condition     = alltrue([for job in values(var.button_jobs) : can(regex("^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$", job))])
    error_message = "button_jobs: a job must be 1 to 64 letters, digits, dots, hyphens or underscores."
  }
}

variable "launch_topic" {
  description = "MQTT topic filter whose messages launch the job that the last part names, their payload its parameters; {name_prefix} in it becomes the deployment's name. null turns the rule off."
  type        = string
  default     = "{name_prefix}/launch/+"

  validation {
    condition     = var.launch_topic == null || can(regex("^[^'\\s+#]{1,200}/[+]$", var.launch_topic))
    error_message = "launch_topic must be an MQTT topic filter that ends in /+ and has no other wildcard, such as parris/launch/+, or null."
  }
}

variable "data_triggers" {
  description = "Triggers by name: objects that come to bucket below prefix launch job, all within settle_seconds as one run."
  type = map(object({
    bucket         = string
    prefix         = optional(string, "")
    job            = optional(string, "default")
    parameters     = optional(map(string), {})
    settle_seconds = optional(number, 60)
  }))
  default = {}

  validation {
    condition     = alltrue([for name in keys(var.data_triggers) : can(regex("^[A-Za-z0-9][A-Za-z0-9-]{0,15}$", name))])
    error_message = "data_triggers: a name must be 1 to 16 letters, digits or hyphens."
  }

  validation {
    condition     = alltrue([for trigger in values(var.data_triggers) : trigger.settle_seconds >= 10 && trigger.settle_seconds <= 86400])
    error_message = "data_triggers: settle_seconds must be from 10 to 86400."
  }

  validation {
    condition     = alltrue([for trigger in values(var.data_triggers) : can(regex("^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$", trigger.job))])
    error_message = "data_triggers: a job must be 1 to 64 letters, digits, dots, hyphens or underscores."
  }
}

variable "notification_emails" {
  description = "Addresses that get every notification; each has to confirm once."
  type        = set(string)
  default     = []

  validation {
    condition     = alltrue([for address in var.notification_emails : can(regex("^[^@\\s]+@[^@\\s]+$", address))])
    error_message = "notification_emails must be e-mail addresses."
  }
}

variable "schedules" {
  description = "Schedules by name: an EventBridge expression, the job it launches, parameters, and what happens when its last run still goes."
  type = map(object({
    expression = string
    job        = optional(string, "default")
    parameters = optional(map(string), {})
    enabled    = optional(bool, true)
    overlap    = optional(string, "skip")
  }))
  default = {}

  validation {
    condition     = alltrue([for name in keys(var.schedules) : !startswith(name, "reap-") && !startswith(name, "data-")])
    error_message = "schedules: a name must not begin with reap- or data-, as Parris's own rules do."
  }

  validation {
    condition     = alltrue([for schedule in values(var.schedules) : contains(["skip", "replace", "queue-one"], schedule.overlap)])
    error_message = "schedules: overlap must be skip, replace or queue-one: what happens when the job's last run is still going."
  }

  validation {
    condition     = alltrue([for name in keys(var.schedules) : can(regex("^[A-Za-z0-9][A-Za-z0-9-]{0,31}$", name))])
    error_message = "schedules: a name must be 1 to 32 letters, digits or hyphens."
  }

  validation {
    condition     = alltrue([for schedule in values(var.schedules) : can(regex("^(rate|cron)\\(.+\\)$", schedule.expression))])
    error_message = "schedules: an expression must be rate(…) or cron(…), for example rate(1 day) or cron(0 3 * * ? *)."
  }

  validation {
    condition     = alltrue([for schedule in values(var.schedules) : can(regex("^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$", schedule.job))])
    error_message = "schedules: a job must be 1 to 64 letters, digits, dots, hyphens or underscores."
  }
}

variable "max_run_hours" {
  description = "Hours after which any run ends, whatever its configuration says."
  type        = number
  default     = 24

  validation {
    condition     = var.max_run_hours >= 1 && var.max_run_hours <= 168 && floor(var.max_run_hours) == var.max_run_hours
    error_message = "max_run_hours must be a whole number from 1 to 168."
  }
}

variable "max_run_usd" {
  description = "US dollars that any run may cost at most, a cost-limit of its own included; null for no such cap."
  type        = number
  default     = null

  validation {
    condition     = var.max_run_usd == null ? true : var.max_run_usd > 0 && var.max_run_usd <= 100000
    error_message = "max_run_usd must be above 0 and at most 100000, or null for no cap in dollars."
  }
}

variable "monthly_budget_usd" {
  description = "US dollars that the runs launched in a month (UTC) may cost together; a launch beyond that is refused. null for none."
  type        = number
  default     = null

  validation {
    condition     = var.monthly_budget_usd == null ? true : var.monthly_budget_usd > 0 && var.monthly_budget_usd <= 10000000
    error_message = "monthly_budget_usd must be above 0 and at most 10000000, or null for no budget."
  }
}

variable "max_concurrent_runs" {
  description = "Runs that may be under way at once; a launch beyond that is refused."
  type        = number
  default     = 10

  validation {
    condition     = var.max_concurrent_runs >= 1 && var.max_concurrent_runs <= 1000 && floor(var.max_concurrent_runs) == var.max_concurrent_runs
    error_message = "max_concurrent_runs must be a whole number from 1 to 1000."
  }
}

variable "grace_minutes" {
  description = "Minutes after a run's deadline at which its stack deletes itself, should the machine not have ended."
  type        = number
  default     = 15

  validation {
    condition     = var.grace_minutes > var.sweep_minutes && var.grace_minutes <= 120 && floor(var.grace_minutes) == var.grace_minutes
    error_message = "grace_minutes must be a whole number above sweep_minutes and at most 120."
  }
}

variable "sweep_minutes" {
  description = "Minutes between two sweeps of the reap function, which looks at every stack of the deployment."
  type        = number
  default     = 10

  validation {
    condition     = var.sweep_minutes >= 1 && var.sweep_minutes <= 60 && floor(var.sweep_minutes) == var.sweep_minutes
    error_message = "sweep_minutes must be a whole number from 1 to 60."
  }
}

variable "instance_role_names" {
  description = "Further IAM roles (each with an instance profile of its name) that jobs may name as instance-iam-role-name."
  type        = set(string)
  default     = []
}

variable "secret_arns" {
  description = "Secrets that machines may read: ARNs of SSM parameters, of Secrets Manager secrets, and of KMS keys of yours they are under."
  type        = set(string)
  default     = []

  validation {
    condition     = alltrue([for arn in var.secret_arns : can(regex("^arn:[a-z-]+:(ssm:[a-z0-9-]+:[0-9]{12}:parameter/|secretsmanager:[a-z0-9-]+:[0-9]{12}:secret:|kms:[a-z0-9-]+:[0-9]{12}:key/).", arn))])
    error_message = "secret_arns: each must be arn:aws:ssm:<region>:<account>:parameter/<name>, arn:aws:secretsmanager:<region>:<account>:secret:<name>-* or arn:aws:kms:<region>:<account>:key/<id>."
  }
}

variable "data_sources" {
  description = "What machines may read in S3 for the data of jobs: s3://bucket/prefix/ or s3://bucket/object."
  type        = set(string)
  default     = []

  validation {
    condition     = alltrue([for uri in var.data_sources : can(regex("^s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]/[^*?$]*$", uri))])
    error_message = "data_sources: each must be s3://bucket/prefix/ or s3://bucket/object, without wildcards."
  }
}

variable "shell" {
  description = "Whether machines take sessions of AWS Systems Manager, as make shell opens them; no port is opened."
  type        = bool
  default     = false
}

variable "instance_policy_arns" {
  description = "Managed policies to attach to the training machines' role, for example to read a data set."
  type        = set(string)
  default     = []
}

variable "tags" {
  description = "Tags for everything Parris makes, training stacks included."
  type        = map(string)
  default     = {}

  validation {
    condition     = alltrue([for key in keys(var.tags) : !startswith(key, "parris:") && !startswith(key, "aws:")])
    error_message = "tags must not begin with parris: or aws:; Parris grants access by its own."
  }
}
