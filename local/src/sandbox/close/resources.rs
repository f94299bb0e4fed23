//! The lists Close serves: what each is called, how it is cut, what it can be asked for.

/// How a list is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Paging {
    /// Always whole; `_skip` and `_limit` mean nothing.
    Whole,
    /// By `_skip` and `_limit`, told by `has_more`.
    Offset,
    /// By `_skip` and `_limit`, and a `cursor_next` beside `has_more`.
    OffsetAndCursor,
}

/// Who may read a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    All,
    /// Not in the organisation's plan: 402 for everyone.
    NotInPlan,
    /// 403 for a restricted role.
    Admins,
}

#[derive(Debug, Clone, Copy)]
pub struct Resource {
    /// The path below `/api/v1/`, without the slash at its end.
    pub path: &'static str,
    /// The stream's name in our manifest.
    pub stream: &'static str,
    /// What an id begins with.
    pub prefix: &'static str,
    /// The most records a page may have.
    pub most: usize,
    pub paging: Paging,
    pub access: Access,
    /// Fields that take `__lt`, `__lte`, `__gt`, `__gte`.
    pub dates: &'static [&'static str],
    /// Fields that a parameter of the same name can name a value of, or `__in` several.
    pub equal: &'static [&'static str],
    pub order: &'static [&'static str],
    /// Fields that are only given when `_fields` names them.
    pub on_demand: &'static [&'static str],
    pub fields: bool,
}

const PLAIN: Resource = Resource {
    path: "",
    stream: "",
    prefix: "",
    most: 100,
    paging: Paging::Offset,
    access: Access::All,
    dates: &[],
    equal: &[],
    order: &[],
    on_demand: &[],
    fields: true,
};

const fn plain(path: &'static str, stream: &'static str, prefix: &'static str) -> Resource {
    Resource {
        path,
        stream,
        prefix,
        ..PLAIN
    }
}

const fn many(path: &'static str, stream: &'static str, prefix: &'static str) -> Resource {
    Resource {
        most: 1000,
        ..plain(path, stream, prefix)
    }
}

const fn activity(path: &'static str, stream: &'static str) -> Resource {
    Resource {
        dates: &["date_created"],
        equal: &["lead_id", "user_id", "contact_id", "id"],
        order: &["date_created"],
        ..plain(path, stream, "acti")
    }
}

const fn with(resource: Resource, access: Access) -> Resource {
    Resource { access, ..resource }
}

const fn paged(resource: Resource, paging: Paging) -> Resource {
    Resource { paging, ..resource }
}

pub const LEAD: &str = "lead";
pub const CONTACT: &str = "contact";
pub const OPPORTUNITY: &str = "opportunity";
pub const TASK: &str = "task";
pub const EVENT: &str = "event";
pub const SUBSCRIPTION: &str = "sequence_subscription";

pub const ALL: &[Resource] = &[
    many("user", "users", "user"),
    paged(plain("pipeline", "pipelines", "pipe"), Paging::Whole),
    plain("status/lead", "lead_statuses", "stat"),
    plain("status/opportunity", "opportunity_statuses", "stat"),
    paged(plain("role", "roles", "role"), Paging::OffsetAndCursor),
    Resource {
        on_demand: &["members"],
        ..plain("group", "groups", "group")
    },
    many("custom_field/lead", "custom_fields_lead", "cf"),
    many("custom_field/contact", "custom_fields_contact", "cf"),
    many(
        "custom_field/opportunity",
        "custom_fields_opportunity",
        "cf",
    ),
    many("custom_field/activity", "custom_fields_activity", "cf"),
    many(
        "custom_field/custom_object_type",
        "custom_fields_custom_object_type",
        "cf",
    ),
    many("custom_field/shared", "custom_fields_shared", "cf"),
    plain("custom_activity", "custom_activity_types", "actitype"),
    plain("custom_object_type", "custom_object_types", "cotype"),
    paged(
        plain("saved_search", "smart_views", "save"),
        Paging::OffsetAndCursor,
    ),
    plain("email_template", "email_templates", "tmpl"),
    plain("sms_template", "sms_templates", "smstmpl"),
    many("sequence", "sequences", "seq"),
    plain("outcome", "outcomes", "outcome"),
    plain("integration_link", "integration_links", "link"),
    plain("connected_account", "connected_accounts", "emailacct"),
    with(plain("send_as", "send_as", "sendas"), Access::NotInPlan),
    plain("phone_number", "phone_numbers", "phon"),
    with(plain("dialer", "dialers", "dialer"), Access::Admins),
    plain("bulk_action/email", "bulk_action_email", "bulkemail"),
    plain("bulk_action/delete", "bulk_action_delete", "bulkdelete"),
    plain("bulk_action/edit", "bulk_action_edit", "bulkedit"),
    plain(
        "bulk_action/sequence_subscription",
        "bulk_action_sequence_subscription",
        "bulkseq",
    ),
    Resource {
        most: 200,
        ..plain(LEAD, "leads", "lead")
    },
    Resource {
        equal: &["lead_id"],
        ..plain(CONTACT, "contacts", "cont")
    },
    Resource {
        most: 250,
        dates: &["date_created", "date_updated", "date_won"],
        equal: &["status_type", "user_id", "lead_id"],
        order: &[
            "date_updated",
            "date_won",
            "date_created",
            "value",
            "confidence",
        ],
        ..plain(OPPORTUNITY, "opportunities", "oppo")
    },
    Resource {
        dates: &["date_created", "date_updated", "date", "due_date"],
        equal: &["_type", "is_complete", "lead_id"],
        order: &["date", "date_created"],
        ..many(TASK, "tasks", "task")
    },
    activity("activity/call", "activity_call"),
    Resource {
        fields: false,
        ..activity("activity/email", "activity_email")
    },
    activity("activity/emailthread", "activity_emailthread"),
    activity("activity/sms", "activity_sms"),
    activity("activity/whatsapp_message", "activity_whatsapp"),
    activity("activity/note", "activity_note"),
    activity("activity/meeting", "activity_meeting"),
    activity("activity/status_change/lead", "activity_lead_status_change"),
    activity(
        "activity/status_change/opportunity",
        "activity_opportunity_status_change",
    ),
    activity("activity/created", "activity_created"),
    activity("activity/task_completed", "activity_task_completed"),
    activity("activity/lead_merge", "activity_lead_merge"),
    activity("activity/form_submission", "activity_form_submission"),
    activity("activity/custom", "activity_custom"),
    Resource {
        equal: &["lead_id", "contact_id", "sequence_id"],
        ..plain(SUBSCRIPTION, "sequence_subscriptions", "sub")
    },
    Resource {
        most: 50,
        ..plain(EVENT, "events", "ev")
    },
];

impl Resource {
    pub fn of_path(path: &str) -> Option<&'static Resource> {
        ALL.iter().find(|resource| resource.path == path)
    }

    pub fn is_activity(&self) -> bool {
        self.path.starts_with("activity/")
    }

    /// The deepest `_skip`.
    pub fn deepest(&self) -> usize {
        match self.path {
            "activity/email" => 250_000,
            _ => 10_000,
        }
    }

    /// The word for one of its objects in the event log and in searches.
    pub fn object_type(&self) -> String {
        self.path.replace('/', ".")
    }
}
