//! Adding a pipeline to a client's file: what is there stays as it is, comments and all.

use std::path::Path;

use indexmap::IndexMap;

use super::{ClientFile, ConfigError, PipelineFile, parse_yaml, shown};

/// The text of the client's file with one more pipeline.
///
/// `before` is the file's text, where there is one.
pub fn with_pipeline(
    path: &Path,
    client: &str,
    before: Option<&str>,
    name: &str,
    pipeline: &PipelineFile,
) -> Result<String, ConfigError> {
    let Some(before) = before else {
        let file = ClientFile {
            client: client.to_owned(),
            pipelines: IndexMap::from([(name.to_owned(), pipeline.clone())]),
            ..ClientFile::default()
        };
        return yaml(path, &file);
    };
    let mut wanted: ClientFile = parse_yaml(path, before)?;
    wanted.pipelines.insert(name.to_owned(), pipeline.clone());
    let block = yaml(path, &IndexMap::from([(name, pipeline)]))?;
    let text = inserted(before, &block);
    // The file may be written in a way that lines cannot be put into.
    match parse_yaml::<ClientFile>(path, &text) {
        Ok(file) if file == wanted => Ok(text),
        _ => Err(ConfigError::Invalid {
            at: shown(path),
            problem: format!("cannot add pipeline `{name}` without rewriting the file"),
            hint: Some(format!(
                "add below `pipelines:`\n{}",
                indented(&block, "  ")
            )),
        }),
    }
}

/// The text of the client's file with this image, or none.
pub fn with_image(path: &Path, before: &str, image: Option<&str>) -> Result<String, ConfigError> {
    let mut wanted: ClientFile = parse_yaml(path, before)?;
    wanted.image = image.map(str::to_owned);
    let line = image.map(|image| format!("image: {image}"));
    let is_image = |text: &&str| text.starts_with("image:");
    let had = before.lines().any(|text| is_image(&text));
    let lines = before.lines().flat_map(|text| match &line {
        line if is_image(&text) => vec![line.as_deref()],
        line if !had && text.starts_with("client:") => vec![Some(text), line.as_deref()],
        _ => vec![Some(text)],
    });
    let text: String = lines.flatten().map(|line| format!("{line}\n")).collect();
    match parse_yaml::<ClientFile>(path, &text) {
        Ok(file) if file == wanted => Ok(text),
        _ => Err(ConfigError::Invalid {
            at: shown(path),
            problem: "cannot change the image without rewriting the file".to_owned(),
            hint: Some(match line {
                Some(line) => format!("write `{line}` at its top level"),
                None => "remove `image` from it".to_owned(),
            }),
        }),
    }
}

/// The text with the block at the end of what is below `pipelines:`.
fn inserted(text: &str, block: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let start = lines
        .iter()
        .position(|line| line.starts_with("pipelines:"))
        .map_or(lines.len(), |at| at + 1);
    let below = &lines[start..];
    let is_top = |line: &&str| !line.is_empty() && !line.starts_with([' ', '#', '\t']);
    let end = start + below.iter().position(is_top).unwrap_or(below.len());
    let used = lines[start..end]
        .iter()
        .rposition(|line| !line.trim().is_empty());
    let end = start + used.map_or(0, |at| at + 1);
    let indent: String = below
        .iter()
        .find(|line| line.starts_with(' ') && !line.trim_start().starts_with('#'))
        .map_or("  ".to_owned(), |line| {
            " ".repeat(line.len() - line.trim_start().len())
        });
    let block = indented(block, &indent);
    let head = lines[..end].iter().copied();
    let tail = lines[end..].iter().copied();
    let all: Vec<&str> = head.chain(block.lines()).chain(tail).collect();
    all.join("\n") + "\n"
}

fn indented(block: &str, indent: &str) -> String {
    let lines = block.lines().map(|line| format!("{indent}{line}\n"));
    lines.collect()
}

fn yaml(path: &Path, value: &impl serde::Serialize) -> Result<String, ConfigError> {
    serde_saphyr::to_string(value)
        .map_err(|error| ConfigError::invalid(shown(path), error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pipeline() -> PipelineFile {
        let text = "source: xero\nconfig: {start_date: 2024-01-01, tenants: [a, 'b: c']}\n\
                    schedule: {cron: '0 2 * * *', time_zone: Pacific/Auckland}\n";
        parse_yaml(Path::new("p"), text).unwrap()
    }

    fn add(before: Option<&str>) -> Result<String, ConfigError> {
        let path = Path::new("clients/acme.yaml");
        with_pipeline(path, "acme", before, "xero", &pipeline())
    }

    #[test]
    fn a_new_file_holds_the_client_and_the_pipeline() {
        let text = add(None).unwrap();
        insta::assert_snapshot!(text, @r#"
        client: acme
        pipelines:
          xero:
            source: xero
            config:
              start_date: "2024-01-01"
              tenants:
              - a
              - "b: c"
            schedule:
              cron: 0 2 * * *
              time_zone: Pacific/Auckland
        "#);
    }

    #[test]
    fn a_pipeline_is_added_below_the_others_and_comments_stay() {
        let before = "# Acme Ltd, since 2024\nclient: acme\npipelines:\n    # the CRM\n    \
                      crm:\n        source: close   # see the wiki\n\nproject: p1 # theirs\n";
        insta::assert_snapshot!(add(Some(before)).unwrap(), @r#"
        # Acme Ltd, since 2024
        client: acme
        pipelines:
            # the CRM
            crm:
                source: close   # see the wiki
            xero:
              source: xero
              config:
                start_date: "2024-01-01"
                tenants:
                - a
                - "b: c"
              schedule:
                cron: 0 2 * * *
                time_zone: Pacific/Auckland

        project: p1 # theirs
        "#);
    }

    #[test]
    fn an_image_is_pinned_and_taken_out_again_and_comments_stay() {
        let path = Path::new("clients/acme.yaml");
        let before = "# Acme\nclient: acme # theirs\npipelines: {}\n";
        let pinned = with_image(path, before, Some("sha256:1")).unwrap();
        assert_eq!(
            pinned,
            "# Acme\nclient: acme # theirs\nimage: sha256:1\npipelines: {}\n"
        );
        let other = with_image(path, &pinned, Some("sha256:2")).unwrap();
        assert_eq!(other, pinned.replace(":1", ":2"));
        assert_eq!(with_image(path, &other, None).unwrap(), before);
        let flow = "{client: acme, pipelines: {}}\n";
        let error = with_image(path, flow, Some("sha256:1")).unwrap_err();
        assert!(error.to_string().contains("without rewriting"), "{error}");
    }

    #[test]
    fn a_file_in_another_style_is_left_alone() {
        let error = add(Some("{client: acme, pipelines: {crm: {source: close}}}\n"));
        assert!(error.unwrap_err().to_string().contains("without rewriting"));
    }
}
