//! What was found for many clients, project by project, told once where it is alike. Pure.

use std::collections::BTreeMap;

use super::{Finding, Level};

/// What stands in for a project's name in what is told of several.
const PROJECT: &str = "PROJECT";

/// What was found of the clients of a project in one region.
#[derive(Debug)]
pub struct Place {
    pub project: String,
    pub region: String,
    pub clients: Vec<String>,
    pub findings: Vec<Finding>,
}

/// A finding, and the projects it holds for.
#[derive(Debug, PartialEq, Eq)]
pub struct Alike {
    pub finding: Finding,
    pub projects: Vec<String>,
}

type Found<'a> = (&'a Place, &'a Finding);

/// What is not well, the worst first, then what concerns most.
pub fn alike(places: &[Place]) -> Vec<Alike> {
    let mut alike: BTreeMap<_, Vec<Found<'_>>> = BTreeMap::new();
    for place in places {
        for finding in place.findings.iter().filter(|it| it.level != Level::Ok) {
            let general = |text: &str| text.replace(&place.project, PROJECT);
            let sentence = format!("{} {}", finding.check, general(&finding.sentence));
            let mend = finding.mend.as_deref().map(general);
            alike
                .entry((sentence, mend))
                .or_default()
                .push((place, finding));
        }
    }
    let mut alike: Vec<Alike> = alike.into_values().map(told).collect();
    alike.sort_by_key(|it| std::cmp::Reverse((it.finding.level, it.projects.len())));
    alike
}

/// In the words of the one project it is true of, or of any.
fn told(found: Vec<Found<'_>>) -> Alike {
    let mut projects: Vec<String> = found.iter().map(|(it, _)| it.project.clone()).collect();
    projects.dedup();
    let (place, finding) = found[0];
    let general = |text: &String| match projects.len() {
        1 => text.clone(),
        _ => text.replace(&place.project, PROJECT),
    };
    Alike {
        finding: Finding {
            sentence: general(&finding.sentence),
            mend: finding.mend.as_ref().map(general),
            ..finding.clone()
        },
        projects,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(project: &str, findings: &[(Level, &str)]) -> Place {
        let finding = |(level, sentence): &(Level, &str)| {
            let sentence = sentence.replace('P', project);
            let mend = format!("mend {project}");
            Finding::new("check", *level, sentence).mend(mend)
        };
        Place {
            project: project.to_owned(),
            region: "r".to_owned(),
            clients: Vec::new(),
            findings: findings.iter().map(finding).collect(),
        }
    }

    #[test]
    fn what_is_alike_is_told_once_and_what_is_well_not_at_all() {
        let places = [
            place(
                "p-one",
                &[(Level::Warning, "P is slow"), (Level::Ok, "fine")],
            ),
            place(
                "p-two",
                &[(Level::Warning, "P is slow"), (Level::Problem, "P is off")],
            ),
        ];
        let told: Vec<String> = alike(&places)
            .into_iter()
            .map(|it| {
                let Finding { sentence, mend, .. } = it.finding;
                format!("{sentence} / {} / {:?}", mend.unwrap(), it.projects)
            })
            .collect();
        assert_eq!(
            told,
            [
                r#"p-two is off / mend p-two / ["p-two"]"#,
                r#"PROJECT is slow / mend PROJECT / ["p-one", "p-two"]"#,
            ]
        );
    }
}
