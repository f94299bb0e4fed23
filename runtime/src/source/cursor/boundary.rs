//! A date the manifest gives: where a stream's time starts or ends.

use crate::stream::SourceError;

use super::super::component::Component;
use super::super::moment::Moment;
use super::super::strptime;
use super::super::template::{Scope, Template, TemplateError};

/// A date with its bounds.
pub struct Boundary {
    value: Template,
    least: Option<Template>,
    most: Option<Template>,
    format: String,
}

impl Boundary {
    /// The date in a field, plain or a MinMaxDatetime; an empty one is none.
    pub fn open(
        component: &Component<'_>,
        name: &str,
        format: &str,
    ) -> Result<Option<Boundary>, SourceError> {
        let Some(child) = component.child(name) else {
            return Ok(None);
        };
        if child.json().as_str() == Some("") {
            return Ok(None);
        }
        if !child.json().is_object() {
            return Ok(Some(Boundary {
                value: component.need_template(name)?,
                least: None,
                most: None,
                format: format.to_owned(),
            }));
        }
        let own = child.text("datetime_format").filter(|own| !own.is_empty());
        Ok(Some(Boundary {
            value: child.need_template("datetime")?,
            least: child.template("min_datetime")?,
            most: child.template("max_datetime")?,
            format: own.unwrap_or(format).to_owned(),
        }))
    }

    pub fn at(&self, scope: &Scope) -> Result<Moment, TemplateError> {
        let mut moment = self
            .read(&self.value, scope)?
            .ok_or_else(|| TemplateError {
                template: self.value.source().to_owned(),
                problem: "it is empty".to_owned(),
            })?;
        if let Some(least) = &self.least {
            moment = moment.max(self.read(least, scope)?.unwrap_or(moment));
        }
        if let Some(most) = &self.most {
            moment = moment.min(self.read(most, scope)?.unwrap_or(moment));
        }
        Ok(moment)
    }

    fn read(&self, template: &Template, scope: &Scope) -> Result<Option<Moment>, TemplateError> {
        let text = template.text(scope)?;
        if text.is_empty() {
            return Ok(None);
        }
        let moment = strptime::parse(&text, &self.format);
        moment.map(Some).ok_or_else(|| TemplateError {
            template: template.source().to_owned(),
            problem: format!("`{text}` does not have the form `{}`", self.format),
        })
    }
}
