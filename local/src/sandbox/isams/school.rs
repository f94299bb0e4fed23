//! A made-up school: what each path lists, generated from a seed.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::super::common::draw::{Draw, id};

const FORENAMES: [&str; 8] = [
    "Ada", "Ben", "Chloé", "Dev", "Emre", "Fatima", "Grace", "Hiro",
];
const SURNAMES: [&str; 8] = [
    "Ng", "O'Hara", "Smith", "Okoye", "Müller", "Tan", "Patel", "Rossi",
];
const NATIONALITIES: [&str; 4] = ["British", "French", "Singaporean", "Nigerian"];
/// Nursery is below zero.
const YEARS: std::ops::RangeInclusive<i64> = -2..=14;

const PUPILS_ONLY: [&str; 3] = ["schoolId", "nationalities", "languages"];

/// What one path answers with.
#[derive(Debug, Clone)]
pub struct List {
    pub object: &'static str,
    /// It comes in pages, with counters.
    pub is_paged: bool,
    pub records: Vec<Value>,
}

pub struct School {
    seed: u64,
    lists: BTreeMap<String, List>,
    admitted: usize,
}

impl School {
    pub fn new(seed: u64, students: usize) -> School {
        let mut school = School {
            seed,
            lists: BTreeMap::new(),
            admitted: 0,
        };
        school.people(students);
        school.structure();
        school.lookups();
        school
    }

    pub fn lists(&self) -> impl Iterator<Item = (&str, &List)> {
        self.lists.iter().map(|(path, list)| (path.as_str(), list))
    }

    pub fn list(&self, path: &str) -> Option<&List> {
        self.lists.get(path)
    }

    /// A pupil comes.
    pub fn admit(&mut self) {
        let pupil = self.student(self.admitted);
        let school_id = pupil["schoolId"].as_str().unwrap_or_default().to_owned();
        self.single(
            &format!("/api/students/{school_id}/contacts"),
            "contacts",
            contacts(self.seed, self.admitted),
        );
        self.admitted += 1;
        if let Some(list) = self.lists.get_mut("/api/students") {
            list.records.push(pupil);
        }
    }

    /// The first pupils go, so that all others move up.
    pub fn leave(&mut self, count: usize) {
        let Some(list) = self.lists.get_mut("/api/students") else {
            return;
        };
        let gone: Vec<Value> = list
            .records
            .drain(..count.min(list.records.len()))
            .collect();
        for pupil in gone {
            let school_id = pupil["schoolId"].as_str().unwrap_or_default();
            self.lists
                .remove(&format!("/api/students/{school_id}/contacts"));
        }
    }

    fn people(&mut self, students: usize) {
        self.paged("/api/students", "students", Vec::new());
        (0..students).for_each(|_| self.admit());
        let person = |kind: &str, index| person(self.seed, kind, index);
        let employees = (0..students / 8).map(|index| {
            let mut employee = person("employee", index);
            employee["customFields"] = json!([{"id": 1, "name": "Parking", "value": "A4"}]);
            if let Some(fields) = employee.as_object_mut() {
                fields.retain(|name, _| !PUPILS_ONLY.contains(&name.as_str()));
            }
            employee["startDate"] = json!("2019-09-01T00:00:00");
            employee
        });
        let employees = employees.collect();
        let alumni = (0..students / 2)
            .map(|index| person("alumnus", index))
            .collect();
        let applicants: Vec<Value> = (0..students / 10)
            .map(|index| person("applicant", index))
            .collect();
        for applicant in &applicants {
            let path = format!("/api/admissions/applicants/{}/contacts", applicant["id"]);
            self.single(&path, "contacts", contacts(self.seed, 7));
        }
        self.paged("/api/humanresources/employees", "employees", employees);
        self.paged("/api/alumni", "alumni", alumni);
        self.paged(
            "/api/admissions/applicants/students",
            "students",
            applicants.clone(),
        );
        self.paged("/api/admissions/applicants", "applicants", applicants);
    }

    fn structure(&mut self) {
        let terms = (1..=9).map(|index| {
            json!({"id": index, "name": format!("Term {index}"), "schoolYear": 2021 + (index - 1) / 3,
                "startDate": "2024-01-08T00:00:00", "finishDate": "2024-03-28T00:00:00"})
        });
        self.single("/api/school/terms", "terms", terms.collect());
        let years = YEARS.map(|year| {
            json!({"ncYear": year, "code": format!("Y{year}"), "name": format!("Year {year}"),
                "averageStartingAge": year as f64 + 4.5, "lastUpdated": "2024-07-01T09:30:00.123"})
        });
        self.single("/api/school/yeargroups", "yearGroups", years.collect());
        for year in YEARS {
            let path = format!("/api/school/yeargroups/{year}/divisions");
            // Some years have no list at all instead of an empty one.
            let divisions = (0..year.rem_euclid(3)).map(|index| {
                json!({"id": year * 10 + index, "code": format!("{year}{index}"), "name": "Division"})
            });
            self.single(&path, "divisions", divisions.collect());
        }
        self.single("/api/school/houses", "houses", named(5, "House"));
        self.single(
            "/api/school/departments",
            "departments",
            named(7, "Department"),
        );
        self.single("/api/teaching/sets", "sets", named(20, "Set"));
        self.single("/api/teaching/subjects", "subjects", named(12, "Subject"));
        self.single("/api/humanresources/roles", "roles", named(4, "Role"));
        let types = "/api/rewardsAndConduct/moduleTypes";
        self.single(types, "moduleTypes", named(3, "Rewards"));
        for index in 1..=3 {
            self.single(
                &format!("{types}/{index}/categories"),
                "categories",
                named(index, "Category"),
            );
        }
        let cycles = (1..=4).map(|index| {
            json!({"id": index, "name": format!("Cycle {index}"), "startDate": "2024-01-01T00:00:00",
                "endDate": "0001-01-01T00:00:00", "lastUpdated": "2024-01-01T10:00:00"})
        });
        self.single(
            "/api/billing/invoicing/cycles",
            "billingCycles",
            cycles.collect(),
        );
    }

    fn lookups(&mut self) {
        self.single(
            "/api/students/boardingstatuses",
            "items",
            named(3, "Status"),
        );
        self.single("/api/admissions/statuses", "items", named(6, "Status"));
        self.single("/api/estates/buildings", "buildings", named(3, "Building"));
        self.single("/api/estates/rooms", "rooms", named(30, "Room"));
        let schools = (1..=40).map(|index| json!({"id": index, "name": format!("School {index}")}));
        self.paged("/api/otherschools", "otherSchools", schools.collect());
        self.single(
            "/api/otherschools/professions",
            "professions",
            named(5, "Profession"),
        );
        for list in [
            "countries",
            "counties",
            "languages",
            "nationalities",
            "titles",
        ] {
            let path = format!("/api/systemconfiguration/list/{list}");
            self.single(&path, "items", named(10, list));
        }
    }

    fn student(&self, index: usize) -> Value {
        let mut student = person(self.seed, "student", index);
        let mut draw = Draw::new(self.seed, "student", &[index as u64]);
        student["yearGroup"] = json!(draw.between(-2, 15));
        student["homeAddresses"] = json!([{"id": index, "address1": "1 High Street", "address2": null,
            "town": "Ely", "postcode": "CB7 4AB", "private": draw.percent(10)}, null]);
        student
    }

    fn paged(&mut self, path: &str, object: &'static str, records: Vec<Value>) {
        self.keep(path, object, true, records);
    }

    fn single(&mut self, path: &str, object: &'static str, records: Vec<Value>) {
        self.keep(path, object, false, records);
    }

    fn keep(&mut self, path: &str, object: &'static str, is_paged: bool, records: Vec<Value>) {
        let list = List {
            object,
            is_paged,
            records,
        };
        self.lists.insert(path.to_owned(), list);
    }
}

fn person(seed: u64, kind: &str, index: usize) -> Value {
    let mut draw = Draw::new(seed, kind, &[index as u64]);
    let nationalities = match draw.below(4) {
        0 => Value::Null,
        1 => json!([null]),
        2 => json!([draw.pick(&NATIONALITIES), null]),
        _ => json!([draw.pick(&NATIONALITIES)]),
    };
    let (year, month, day) = (
        draw.between(2006, 2020),
        draw.between(1, 13),
        draw.between(1, 29),
    );
    // A few were typed in by hand.
    let dob = match draw.percent(1) {
        true => "unknown".to_owned(),
        false => format!("{year}-{month:02}-{day:02}T00:00:00"),
    };
    json!({
        "id": index + 1,
        "schoolId": id(seed, kind, index)[..10].replace('-', ""),
        "forename": draw.pick(&FORENAMES),
        "surname": draw.pick(&SURNAMES),
        "middleNames": null,
        "dob": dob,
        "nationalities": nationalities,
        "languages": draw.percent(50).then(|| json!(["English"])),
        "lastUpdated": format!("2024-{month:02}-{day:02}T09:30:00.1234567"),
    })
}

fn contacts(seed: u64, index: usize) -> Vec<Value> {
    let mut draw = Draw::new(seed, "contacts", &[index as u64]);
    let contacts = (0..draw.below(3)).map(|contact| {
        json!({"id": index as u64 * 10 + contact, "relationship": "Parent", "forename": "Kim",
            "surname": "Ng", "isPrimary": contact == 0, "lastUpdated": "2024-05-01T12:00:00"})
    });
    contacts.collect()
}

fn named(count: usize, name: &str) -> Vec<Value> {
    let items = (1..=count)
        .map(|index| json!({"id": index, "code": format!("{index:02}"), "name": format!("{name} {index}")}));
    items.collect()
}
