//! What the manifest says of a cursor's time: its start, steps, look-back and clamping.

use crate::stream::SourceError;

use super::super::component::Component;
use super::super::moment::Span;
use super::super::python;
use super::super::template::Scope;
use super::boundary::Boundary;
use super::clamp::Clamp;
use super::intervals::Cut;

pub fn cut(component: &Component<'_>, format: &str, scope: &Scope) -> Result<Cut, SourceError> {
    let start = Boundary::open(component, "start_datetime", format)?
        .ok_or_else(|| component.error("DatetimeBasedCursor needs `start_datetime`"))?;
    let start = start
        .at(scope)
        .map_err(|error| component.error(error.to_string()))?;
    let given = |name| component.field(name).is_some_and(|it| *it != "");
    if given("step") != given("cursor_granularity") {
        return Err(
            component.error("`step` and `cursor_granularity` are given together or not at all")
        );
    }
    let span = |name: &str| span(component, name, scope);
    Ok(Cut {
        start,
        lookback: span("lookback_window")?,
        step: span("step")?,
        granularity: span("cursor_granularity")?,
        clamp: clamp(component, scope)?,
        strictly: component.flag("is_compare_strictly"),
        whole_steps: whole_steps(component, span("step")?)?,
    })
}

fn whole_steps(component: &Component<'_>, step: Option<Span>) -> Result<bool, SourceError> {
    let asked = component.flag("xetl_whole_steps");
    match asked && step.is_none_or(|step| step.months != 0) {
        true => {
            Err(component
                .error("`xetl_whole_steps` needs a `step` of days, hours, minutes or seconds"))
        }
        false => Ok(asked),
    }
}

fn span(component: &Component<'_>, name: &str, scope: &Scope) -> Result<Option<Span>, SourceError> {
    let Some(template) = component.template(name)? else {
        return Ok(None);
    };
    let value = template
        .value(scope)
        .map_err(|error| component.error(error.to_string()))?;
    if !python::truth(&value) {
        return Ok(None);
    }
    let text = python::text(&value);
    let span = Span::parse(&text)
        .ok_or_else(|| component.error(format!("`{name}: {text}` is no ISO 8601 duration")))?;
    Ok(Some(span).filter(|span| *span != Span::default()))
}

fn clamp(component: &Component<'_>, scope: &Scope) -> Result<Clamp, SourceError> {
    let Some(clamping) = component.child("clamping") else {
        return Ok(Clamp::None);
    };
    let target = clamping.need_template("target")?.text(scope);
    let target = target.map_err(|error| clamping.error(error.to_string()))?;
    match target.as_str() {
        "DAY" => Ok(Clamp::Day),
        "MONTH" => Ok(Clamp::Month),
        "WEEK" => weekday(&clamping).map(Clamp::Week),
        _ => Err(clamping.error(format!("`target: {target}` is none of DAY, WEEK, MONTH"))),
    }
}

fn weekday(clamping: &Component<'_>) -> Result<i64, SourceError> {
    const DAYS: [&str; 7] = [
        "MONDAY",
        "TUESDAY",
        "WEDNESDAY",
        "THURSDAY",
        "FRIDAY",
        "SATURDAY",
        "SUNDAY",
    ];
    let details = clamping.child("target_details");
    let day = details.as_ref().and_then(|details| details.text("weekday"));
    let day = day.ok_or_else(|| clamping.error("`target: WEEK` needs `target_details.weekday`"))?;
    let number = DAYS.iter().position(|name| *name == day);
    number
        .map(|number| number as i64)
        .ok_or_else(|| clamping.error(format!("`{day}` is no weekday, such as MONDAY")))
}
