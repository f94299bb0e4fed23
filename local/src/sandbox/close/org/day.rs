//! The organisation at its start, and what a day does: new objects, late and very late edits, deletions, merges.

use serde_json::json;

use super::super::super::common::clock::DAY;
use super::super::resources::{ALL, CONTACT, EVENT, LEAD, OPPORTUNITY, SUBSCRIPTION, TASK};
use super::{HISTORY, Object, Org, stamp};

/// How many objects of a kind there are for a hundred leads.
fn share(path: &str) -> usize {
    match path {
        LEAD => 100,
        CONTACT => 150,
        OPPORTUNITY => 60,
        TASK => 120,
        SUBSCRIPTION => 40,
        "activity/email" => 120,
        "activity/call" | "activity/note" | "activity/created" => 80,
        "activity/emailthread" => 60,
        "activity/lead_merge" => 0,
        path if path.starts_with("activity/") => 25,
        _ => 0,
    }
}

/// How many objects of a kind there are however large the organisation is.
fn fixed(path: &str) -> usize {
    match path {
        "user" => 12,
        "pipeline" => 2,
        "status/lead" => 6,
        "status/opportunity" => 7,
        "role" | "group" | "custom_activity" | "custom_object_type" => 3,
        "custom_field/lead" => 8,
        "sequence" => 4,
        "email_template" => 120,
        "activity/lead_merge" => 2,
        path if share(path) > 0 || path == EVENT => 0,
        _ => 5,
    }
}

impl Org {
    pub(super) fn settle(&mut self, leads: usize) {
        for resource in ALL {
            let count = fixed(resource.path) + leads * share(resource.path) / 100;
            let mut created: Vec<i64> = (0..count)
                .map(|number| {
                    let mut draw = self.draw(resource.path, number);
                    self.now - HISTORY + draw.between(0, HISTORY)
                })
                .collect();
            created.sort_unstable();
            for at in created {
                self.add(resource.path, at);
            }
        }
        // The days before the start, so that the event log is not empty.
        self.now -= 5 * DAY;
        (0..5).for_each(|_| self.advance());
    }

    /// Lets a day pass.
    pub fn advance(&mut self) {
        self.grow();
        self.edit_recent();
        self.edit_old_note();
        self.delete_lead();
        self.merge_leads();
        self.now += DAY;
    }

    fn day_number(&self) -> usize {
        (self.now / DAY) as usize
    }

    fn moment(&self, purpose: &str, number: usize) -> i64 {
        let mut draw = self.draw(purpose, self.day_number() * 1000 + number);
        self.now + draw.between(0, DAY)
    }

    fn grow(&mut self) {
        for resource in ALL {
            let new = share(resource.path).div_ceil(25);
            let mut moments: Vec<i64> = (0..new)
                .map(|number| self.moment(resource.path, number))
                .collect();
            moments.sort_unstable();
            for at in moments {
                self.add(resource.path, at);
                let position = self.all(resource.path).len() - 1;
                self.log(resource.path, position, "created", at);
            }
        }
    }

    /// Objects of the last four days change, and older ones where the list tells by `date_updated`.
    fn edit_recent(&mut self) {
        for (path, reach) in [
            ("activity/note", 4 * DAY),
            ("activity/call", 4 * DAY),
            (LEAD, HISTORY),
            (CONTACT, HISTORY),
            (OPPORTUNITY, HISTORY),
            (TASK, HISTORY),
        ] {
            let at = self.moment("edit", path.len());
            let since = self.now - reach;
            let recent: Vec<usize> = (0..self.all(path).len())
                .filter(|position| (since..self.now).contains(&self.all(path)[*position].created))
                .collect();
            let mut draw = self.draw("edited", self.day_number() * 100 + path.len());
            if let Some(position) = recent.get(draw.index(recent.len())) {
                let field = edited_field(path);
                self.edit(
                    path,
                    *position,
                    at,
                    field,
                    json!(format!("edited {}", stamp(at))),
                );
                self.log(path, *position, "updated", at);
            }
        }
    }

    /// An edit that no list by `date_created` shows; only the event log does.
    fn edit_old_note(&mut self) {
        let at = self.moment("old note", 0);
        let before = self.now - 60 * DAY;
        let old = self.all("activity/note").iter();
        let count = old.filter(|note| note.created < before).count();
        if count > 0 {
            let position = self.draw("old note", self.day_number()).index(count);
            self.edit(
                "activity/note",
                position,
                at,
                "note",
                json!("edited long after"),
            );
            self.log("activity/note", position, "updated", at);
        }
    }

    /// A lead goes, and all that is its own with it; the event log keeps the trace.
    fn delete_lead(&mut self) {
        let at = self.moment("delete", 0);
        let count = self.all(LEAD).len();
        if count < 10 {
            return;
        }
        let position = self.draw("delete", self.day_number()).index(count / 2);
        self.log(LEAD, position, "deleted", at);
        let lead = self.all(LEAD)[position].id.clone();
        for objects in self.objects_beside_events() {
            objects.retain(|object| {
                object.id != lead && object.body.get("lead_id") != Some(&json!(lead))
            });
        }
    }

    /// Two leads become one: the loser's id disappears, what was its own moves without a new date of creation.
    fn merge_leads(&mut self) {
        let at = self.moment("merge", 0);
        let count = self.all(LEAD).len();
        if count < 10 {
            return;
        }
        let loser_at = self.draw("merge", self.day_number()).index(count / 2);
        self.log(LEAD, loser_at, "merged", at);
        let loser = self.all(LEAD)[loser_at].id.clone();
        let winner = self.all(LEAD)[count - 1].id.clone();
        for objects in self.objects_beside_events() {
            objects.retain(|object| object.id != loser);
            for object in objects.iter_mut() {
                move_to(object, &loser, &winner, at);
            }
        }
        self.add("activity/lead_merge", at);
        let position = self.all("activity/lead_merge").len() - 1;
        let ids = json!({"source_lead_id": loser, "destination_lead_id": winner});
        for (name, value) in ids.as_object().into_iter().flatten() {
            self.edit("activity/lead_merge", position, at, name, value.clone());
        }
        self.edit(
            "activity/lead_merge",
            position,
            at,
            "lead_id",
            json!(winner),
        );
    }

    fn objects_beside_events(&mut self) -> impl Iterator<Item = &mut Vec<Object>> {
        let lists = self.objects.iter_mut();
        lists
            .filter(|(path, _)| **path != EVENT)
            .map(|(_, objects)| objects)
    }

    /// Writes down in the event log what happened to an object.
    fn log(&mut self, path: &'static str, position: usize, action: &str, at: i64) {
        let object_type = path.replace('/', ".");
        let Some(object) = self.all(path).get(position) else {
            return;
        };
        let id = object.id.clone();
        let lead = match path {
            LEAD => json!(id),
            _ => object.body.get("lead_id").cloned().unwrap_or_default(),
        };
        self.add(EVENT, at);
        let event = self.all(EVENT).len() - 1;
        let changed = if action == "updated" {
            json!([edited_field(path)])
        } else {
            json!([])
        };
        for (name, value) in [
            ("object_type", json!(object_type)),
            ("object_id", json!(id)),
            ("lead_id", lead),
            ("action", json!(action)),
            ("changed_fields", changed),
        ] {
            self.edit(EVENT, event, at, name, value);
        }
    }
}

fn move_to(object: &mut Object, loser: &str, winner: &str, at: i64) {
    if object.body.get("lead_id") == Some(&json!(loser)) {
        object.body.insert("lead_id".to_owned(), json!(winner));
        object.updated = at;
        object
            .body
            .insert("date_updated".to_owned(), json!(stamp(at)));
    }
}

fn edited_field(path: &str) -> &'static str {
    match path {
        LEAD => "description",
        CONTACT => "title",
        TASK => "text",
        _ => "note",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::close::resources::Resource;

    #[test]
    fn a_day_edits_an_old_note_deletes_a_lead_and_merges_another() {
        let mut org = Org::new(7, 60);
        let before = org.clone();
        org.advance();
        let changed_old = org
            .all("activity/note")
            .iter()
            .any(|note| note.updated >= before.now && note.created < before.now - 60 * DAY);
        assert!(changed_old);
        let gone = |lead: &&Object| !org.all(LEAD).iter().any(|now| now.id == lead.id);
        assert_eq!(before.all(LEAD).iter().filter(gone).count(), 2);
        let event = Resource::of_path(EVENT).unwrap();
        for action in ["created", "updated", "deleted", "merged"] {
            let events = org.visible(event);
            assert!(
                events.iter().any(|event| event.body["action"] == action),
                "{action}"
            );
        }
    }
}
