//! The register of native components: what `class_name: xetl.<Name>` may name.
//!
//! A manifest's Custom* component stands for code. Ours is in this crate, and
//! docs/native-components.md says what each takes; another's cannot run.

/// The native components of each kind, by their whole class names.
const KNOWN: &[(&str, &[&str])] = &[
    ("CustomPartitionRouter", &["xetl.BucketPartitionRouter"]),
    ("CustomSource", &[crate::tables::CLASS]),
    (
        "CustomTransformation",
        &["xetl.DeclaredTypes", "xetl.DotNetDates", "xetl.FoldFields"],
    ),
];

/// The native components that a component of `kind` can name.
pub fn known(kind: &str) -> &'static [&'static str] {
    let found = KNOWN.iter().find(|(known, _)| *known == kind);
    found.map_or(&[], |(_, names)| names)
}

/// Why a class cannot run.
pub fn unknown(kind: &str, class: &str) -> String {
    let problem = format!("{kind} `{class}` is code that does not run here");
    match known(kind) {
        [] => problem,
        known => format!("{problem}; native ones are {}", known.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_native_component_is_documented() {
        let docs = include_str!("../../../docs/native-components.md");
        for class in KNOWN.iter().flat_map(|(_, names)| *names) {
            assert!(docs.contains(&format!("`{class}`")), "{class}");
        }
    }

    #[test]
    fn an_unknown_class_is_named_with_those_there_are() {
        assert_eq!(
            unknown("CustomTransformation", "source_x.Y"),
            "CustomTransformation `source_x.Y` is code that does not run here; native ones are xetl.DeclaredTypes, xetl.DotNetDates, xetl.FoldFields"
        );
    }
}
