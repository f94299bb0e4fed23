//! What each object has beside its id and its dates.

use serde_json::{Map, Value, json};

use super::super::super::common::draw::Draw;
use super::super::resources::{CONTACT, EVENT, LEAD, OPPORTUNITY, SUBSCRIPTION, TASK};
use super::{Org, date, stamp, token};

const NAMES: &[&str] = &[
    "Ada", "Bram", "Cleo", "Dilan", "Edda", "Farid", "Greta", "Hiro", "Ines", "Jonas",
];
const FAMILIES: &[&str] = &["Okafor", "Lindqvist", "Moreau", "Tanaka", "Weiss", "Novak"];
const FIRMS: &[&str] = &[
    "Harbour", "Cedar", "Lumen", "Quarry", "Tidal", "Fable", "Onyx",
];
const TRADES: &[&str] = &[
    "Bakery",
    "Robotics",
    "Logistics",
    "Clinic",
    "Press",
    "Studio",
];

/// The kinds of tasks; without `_type` Close lists only the first.
pub const TASK_TYPES: &[&str] = &[
    "lead",
    "incoming_email",
    "email_followup",
    "missed_call",
    "answered_detached_call",
    "voicemail",
    "opportunity_due",
    "incoming_sms",
];

impl Org {
    pub(super) fn make(&self, path: &'static str, number: usize, created: i64) -> Value {
        let draw = self.draw(path, 1_000_000 + number);
        match path {
            LEAD => self.lead(draw, number),
            CONTACT => self.contact(draw),
            OPPORTUNITY => self.opportunity(draw, created),
            TASK => self.task(draw, number, created),
            SUBSCRIPTION => self.subscription(draw),
            EVENT => self.event(draw),
            path if path.starts_with("activity/") => self.activity(path, draw, created),
            path => self.setting(path, draw, number),
        }
    }

    fn some(&self, path: &str, draw: &mut Draw) -> Value {
        let objects = self.all(path);
        objects
            .get(draw.index(objects.len()))
            .map_or(Value::Null, |object| json!(object.id))
    }

    fn owner(&self, draw: &mut Draw) -> Map<String, Value> {
        let user = self.some("user", draw);
        Map::from_iter([
            ("lead_id".to_owned(), self.some(LEAD, draw)),
            ("user_id".to_owned(), user.clone()),
            ("created_by".to_owned(), user.clone()),
            ("updated_by".to_owned(), user),
        ])
    }

    fn lead(&self, mut draw: Draw, number: usize) -> Value {
        let name = format!("{} {}", draw.pick(FIRMS), draw.pick(TRADES));
        let status = self.some("status/lead", &mut draw);
        let user = self.some("user", &mut draw);
        let mut lead = json!({
            "name": format!("{name} {number}"), "display_name": name, "description": "", "url": null,
            "status_id": status, "status_label": "Potential", "created_by": user, "updated_by": user,
            "addresses": [{"label": "business", "address_1": "1 Quay", "address_2": "", "city": "Port", "state": "",
                "zipcode": format!("{:05}", draw.below(99_999)), "country": "NZ"}],
            "contact_ids": [], "integration_links": [], "custom": {},
        });
        for (index, field) in self.all("custom_field/lead").iter().enumerate() {
            // Not each lead has each field; one holds what a person typed into a date.
            if draw.percent(70) {
                let value = custom_value(index, &mut draw);
                lead["custom"][field.body["name"].as_str().unwrap_or_default()] = value.clone();
                lead[format!("custom.{}", field.id)] = value;
            }
        }
        lead
    }

    fn contact(&self, mut draw: Draw) -> Value {
        let name = format!("{} {}", draw.pick(NAMES), draw.pick(FAMILIES));
        let email = name.to_lowercase().replace(' ', ".");
        let mut contact = json!({
            "name": name, "display_name": name, "title": "Owner",
            "emails": [{"email": format!("{email}@example.com"), "type": "office", "is_unsubscribed": false}],
            "phones": [{"phone": format!("+6491{:06}", draw.below(999_999)), "type": "mobile", "country": "NZ"}],
            "urls": [], "integration_links": [],
        });
        merge(&mut contact, self.owner(&mut draw));
        self.custom(&mut contact, "custom_field/contact", &mut draw);
        contact
    }

    fn opportunity(&self, mut draw: Draw, created: i64) -> Value {
        let won = draw.percent(30);
        let mut opportunity = json!({
            "status_id": self.some("status/opportunity", &mut draw),
            "status_type": if won { "won" } else { "active" }, "status_label": "Open",
            "pipeline_id": self.some("pipeline", &mut draw),
            "contact_id": self.some(CONTACT, &mut draw), "note": "", "confidence": draw.between(1, 100),
            "value": draw.between(10_000, 9_000_000), "value_currency": "NZD",
            "value_period": draw.pick(&["one_time", "monthly", "annual"]),
            "date_won": if won { json!(date(created)) } else { Value::Null },
            "date_lost": null, "attachments": [], "integration_links": [],
        });
        merge(&mut opportunity, self.owner(&mut draw));
        self.custom(&mut opportunity, "custom_field/opportunity", &mut draw);
        opportunity
    }

    fn task(&self, mut draw: Draw, number: usize, created: i64) -> Value {
        let kind = TASK_TYPES[number % TASK_TYPES.len()];
        // A date, or a date and a time.
        let due = if draw.percent(50) {
            date(created)
        } else {
            stamp(created)
        };
        let mut task = json!({
            "_type": kind, "text": "Call back", "date": due, "due_date": due, "is_complete": draw.percent(40),
            "is_dateless": false, "assigned_to": self.some("user", &mut draw), "object_type": null,
            "object_id": null, "view": "inbox", "contact_id": null,
        });
        if kind == "incoming_email" {
            task["emails"] = json!([{"id": "acti_0", "subject": "Hello"}]);
        }
        merge(&mut task, self.owner(&mut draw));
        task
    }

    fn subscription(&self, mut draw: Draw) -> Value {
        let mut subscription = json!({
            "sequence_id": self.some("sequence", &mut draw), "contact_id": self.some(CONTACT, &mut draw),
            "contact_email": "someone@example.com", "status": draw.pick(&["active", "paused", "finished"]),
            "pause_reason": null, "start_date": null, "sender_name": "Ada", "sender_email": "ada@example.com",
        });
        merge(&mut subscription, self.owner(&mut draw));
        subscription
    }

    fn event(&self, mut draw: Draw) -> Value {
        json!({
            "user_id": self.some("user", &mut draw), "request_id": format!("req_{}", draw.below(99_999)),
            "api_key_id": null, "oauth_client_id": null, "oauth_scope": null, "lead_id": null,
            "object_type": "", "object_id": "", "action": "", "changed_fields": [],
            "data": {"id": "x", "note": "as it is"}, "previous_data": {}, "meta": {"request_method": "PUT"},
        })
    }

    fn activity(&self, path: &str, mut draw: Draw, created: i64) -> Value {
        let mut activity = activity_own(path, &mut draw, created);
        activity["_type"] = json!(activity_type(path));
        activity["activity_at"] = json!(stamp(created));
        activity["contact_id"] = self.some(CONTACT, &mut draw);
        activity["user_name"] = json!("Ada Okafor");
        merge(&mut activity, self.owner(&mut draw));
        if path == "activity/custom" {
            activity["custom_activity_type_id"] = self.some("custom_activity", &mut draw);
            self.custom(&mut activity, "custom_field/activity", &mut draw);
        }
        activity
    }

    fn custom(&self, object: &mut Value, fields: &str, draw: &mut Draw) {
        for (index, field) in self.all(fields).iter().enumerate() {
            if draw.percent(50) {
                object[format!("custom.{}", field.id)] = custom_value(index, draw);
            }
        }
    }

    fn setting(&self, path: &str, mut draw: Draw, number: usize) -> Value {
        let name = format!("{} {number}", draw.pick(FIRMS));
        let status = |kind: &str| json!({"id": format!("stat_{}", token(self.seed, "status/opportunity", number)), "label": name, "type": kind});
        match path {
            "user" => json!({"first_name": draw.pick(NAMES), "last_name": draw.pick(FAMILIES),
                "email": format!("user{number}@example.com"), "image": null, "email_verified_at": null,
                "last_used_timezone": "Pacific/Auckland", "organizations": ["orga_sandbox"]}),
            "pipeline" => json!({"name": name, "statuses": [status("active")]}),
            "status/lead" => json!({"label": name}),
            "status/opportunity" => {
                json!({"label": name, "type": draw.pick(&["active", "won", "lost"]),
                "pipeline_id": format!("pipe_{}", token(self.seed, "pipeline", 0))})
            }
            "role" => {
                json!({"name": name, "editable": true, "permissions": ["create_org_custom_field"],
                "visibility_user_lcf_ids": [], "visibility_user_lcf_behavior": null})
            }
            "group" => {
                json!({"name": name, "members": [{"user_id": self.some("user", &mut draw)}]})
            }
            "sequence" => json!({"name": name, "status": "active", "timezone": "Pacific/Auckland",
                "schedule": {"ranges": [{"weekday": 1, "start": "09:00", "end": "17:00"}]}, "schedule_id": null,
                "steps": [{"id": "step_1", "delay": 0, "step_type": "email", "required": true}]}),
            "saved_search" => {
                json!({"name": name, "type": "lead", "user_id": null, "is_shared": true, "is_user_dependent": false,
                "s_query": {"query": {"type": "match_all"}}, "selected_fields": ["lead.id"], "sharing_settings": {}})
            }
            "email_template" => {
                json!({"name": name, "subject": "Hello", "body": "<p>Hello</p>", "is_shared": true,
                "is_archived": false, "attachments": [], "cc": [], "bcc": []})
            }
            "sms_template" => {
                json!({"name": name, "text": "Hello", "is_shared": true, "is_archived": false, "attachments": []})
            }
            "outcome" => {
                json!({"name": name, "description": "", "type": "custom", "applies_to": ["call"]})
            }
            "integration_link" => {
                json!({"name": name, "type": "lead", "url": "https://example.com/{{ lead.id }}"})
            }
            "connected_account" => {
                json!({"_type": "google", "email": format!("box{number}@example.com"), "enabled_features": ["email_sync"],
                "identities": [{"name": "Ada", "email": format!("box{number}@example.com")}], "user_id": self.some("user", &mut draw),
                "default_identity": {"name": "Ada", "email": format!("box{number}@example.com")}, "synchronized_calendars": []})
            }
            "send_as" => {
                json!({"allowing_user_id": self.some("user", &mut draw), "allowed_user_id": self.some("user", &mut draw)})
            }
            "phone_number" => {
                json!({"number": format!("+6492{number:06}"), "country": "NZ", "label": name, "type": "internal",
                "participants": [], "is_group_number": false})
            }
            "dialer" => {
                json!({"type": "power", "source": {"type": "saved-search"}, "users": [self.some("user", &mut draw)]})
            }
            "custom_activity" => {
                json!({"name": name, "description": "", "fields": [{"id": "cf_x", "name": "How", "type": "text", "required": false}],
                "api_create_only": false, "editable_with_roles": []})
            }
            "custom_object_type" => {
                json!({"name": name, "name_plural": name, "description": "", "fields": []})
            }
            path if path.starts_with("custom_field/") => json!({"name": format!("{name} field"),
                "type": FIELD_TYPES[number % FIELD_TYPES.len()], "choices": ["a", "b"], "description": "",
                "accepts_multiple_values": number % FIELD_TYPES.len() == 5, "is_shared": path.ends_with("shared"),
                "editable_with_roles": [], "required": false, "back_reference_is_visible": false, "referenced_custom_type_id": null,
                "custom_activity_type_id": null}),
            _ => {
                json!({"status": "done", "query": "status:potential", "results_limit": 100, "n_leads": draw.between(1, 50),
                "n_leads_processed": 1, "send_done_email": false, "contact_preference": "lead", "created_by": self.some("user", &mut draw),
                "updated_by": null, "sort": []})
            }
        }
    }
}

const FIELD_TYPES: &[&str] = &["text", "number", "checkbox", "date", "user", "choices"];

/// Of each kind of custom field: text, number, flag, free text where a date belongs, a user, several values.
fn custom_value(index: usize, draw: &mut Draw) -> Value {
    match index % FIELD_TYPES.len() {
        0 => json!(draw.pick(FIRMS)),
        1 => json!(draw.between(1, 10_000) as f64 / 4.0),
        2 => json!(draw.percent(50)),
        3 => json!(draw.pick(&["2025-02-03", "early spring"])),
        4 => json!("user_someone"),
        _ => json!(["a", "b"]),
    }
}

fn activity_type(path: &str) -> &'static str {
    match path {
        "activity/call" => "Call",
        "activity/email" => "Email",
        "activity/emailthread" => "EmailThread",
        "activity/sms" => "SMS",
        "activity/whatsapp_message" => "WhatsAppMessage",
        "activity/note" => "Note",
        "activity/meeting" => "Meeting",
        "activity/status_change/lead" => "LeadStatusChange",
        "activity/status_change/opportunity" => "OpportunityStatusChange",
        "activity/created" => "Created",
        "activity/task_completed" => "TaskCompleted",
        "activity/lead_merge" => "LeadMerge",
        "activity/form_submission" => "FormSubmission",
        _ => "CustomActivity",
    }
}

fn activity_own(path: &str, draw: &mut Draw, created: i64) -> Value {
    match path {
        "activity/call" => {
            json!({"direction": draw.pick(&["inbound", "outbound"]), "status": "completed",
            "duration": draw.between(0, 3_600), "phone": "+6491000000", "note": "", "disposition": "answered", "cost": "0.04",
            "recording_url": null, "voicemail_url": null, "users": [], "recording_history": [], "coach_legs": [], "note_mentions": []})
        }
        "activity/email" => {
            json!({"subject": "Hello", "body_text": "Hello there", "body_html": "<p>Hello there</p>",
            "direction": draw.pick(&["incoming", "outgoing"]), "status": "sent", "sender": "ada@example.com", "date_sent": stamp(created),
            "to": ["someone@example.com"], "cc": [], "bcc": [], "attachments": [], "send_attempts": [], "opens": [],
            "references": [], "message_ids": ["<1@example.com>"], "thread_id": "acti_thread",
            "envelope": {"from": [{"name": "", "email": "ada@example.com"}], "to": [{"name": "", "email": "someone@example.com"}]},
            "body_text_quoted": [{"text": "Hello there", "expand": true}], "body_html_quoted": []})
        }
        "activity/emailthread" => {
            json!({"latest_normalized_subject": "hello", "n_emails": draw.between(1, 9),
            "latest_emails": [{"id": "acti_0"}], "participants": [{"email": "someone@example.com"}], "users": []})
        }
        "activity/sms" => {
            json!({"text": "On my way", "direction": "outbound", "status": "sent", "local_phone": "+6492000000",
            "remote_phone": "+6491000000", "cost": "0.01", "date_sent": stamp(created), "attachments": []})
        }
        "activity/whatsapp_message" => {
            json!({"message_markdown": "Hi", "message_html": "<p>Hi</p>", "direction": "incoming",
            "external_whatsapp_message_id": "wa1", "attachments": []})
        }
        "activity/note" => {
            json!({"note": "Spoke with them", "note_html": "<p>Spoke with them</p>", "pinned_at": null, "attachments": [], "note_mentions": []})
        }
        "activity/meeting" => {
            json!({"title": "Demo", "starts_at": stamp(created), "ends_at": stamp(created + 1_800_000), "duration": 1800,
            "status": "completed", "location": null, "note": "", "attendees": [{"email": "someone@example.com", "status": "yes"}], "users": [],
            "integrations": [], "conference_links": [], "calendar_event_uids": ["u1"], "attached_call_ids": []})
        }
        "activity/status_change/lead" => {
            json!({"old_status_id": "stat_a", "old_status_label": "Potential",
            "new_status_id": "stat_b", "new_status_label": "Qualified"})
        }
        "activity/status_change/opportunity" => {
            json!({"old_status_id": "stat_a", "old_status_label": "Open", "old_status_type": "active",
            "new_status_id": "stat_b", "new_status_label": "Won", "new_status_type": "won", "opportunity_id": "oppo_x",
            "opportunity_value": draw.between(10_000, 900_000), "opportunity_value_period": "monthly"})
        }
        "activity/task_completed" => {
            json!({"task_id": "task_x", "task_text": "Call back", "task_assigned_to": "user_x"})
        }
        "activity/lead_merge" => json!({"source_lead_id": null, "destination_lead_id": null}),
        "activity/form_submission" => {
            json!({"form_id": "form_x", "source_url": "https://example.com"})
        }
        "activity/created" => json!({"source": "API", "import_id": null}),
        _ => json!({"status": "published"}),
    }
}

fn merge(into: &mut Value, fields: Map<String, Value>) {
    if let Value::Object(object) = into {
        object.extend(fields);
    }
}
