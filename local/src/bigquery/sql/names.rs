//! What the names in FROM stand for: tables, views (expanded), results of WITH.
//!
//! After `resolve` a query names only tables registered under one unique name
//! each, and every column of a result has a name.

use std::collections::HashMap;
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    Ident, ObjectName, Query, Select, SelectItem, Statement, TableAlias, TableFactor, VisitMut,
    VisitorMut,
};

use super::{parse, unnest};
use crate::bigquery::reference::{DatasetRef, TableRef};
use crate::bigquery::schema::{Field, Schema};
use crate::error::ApiError;

/// What a name leads to.
pub enum Found {
    /// A table with rows, and the columns it shows.
    Table(Schema),
    View(String),
}

/// What names are looked up in.
pub trait Catalog {
    /// The columns of rows that are no table, if the name stands for such.
    fn given(&self, name: &str) -> Option<&Schema>;

    fn table(&self, reference: &TableRef) -> Result<Found, ApiError>;
}

/// A query's tables and how its columns are written.
#[derive(Debug, Default)]
pub struct Resolved {
    /// Unique name -> table.
    pub tables: HashMap<String, TableRef>,
    /// Lower-case name -> the name a result shows.
    pub display: HashMap<String, String>,
}

/// BigQuery allows 16 levels of views.
const DEPTH: usize = 16;

pub struct Names<'a> {
    catalog: &'a dyn Catalog,
    project: &'a str,
    default: Option<&'a DatasetRef>,
    written: parse::Written,
    resolved: &'a mut Resolved,
    depth: usize,
    /// Names of WITH in scope, a set a query.
    with: Vec<Vec<String>>,
}

/// Resolves all names of `query` in place.
pub fn resolve(
    query: &mut Query,
    written: parse::Written,
    catalog: &dyn Catalog,
    project: &str,
    default: Option<&DatasetRef>,
    resolved: &mut Resolved,
) -> Result<(), ApiError> {
    Names {
        catalog,
        project,
        default,
        written,
        resolved,
        depth: 0,
        with: Vec::new(),
    }
    .run(query)
}

/// The full name of a table, as far as its parts and the defaults tell.
pub fn reference(
    parts: &[String],
    project: &str,
    default: Option<&DatasetRef>,
) -> Result<TableRef, ApiError> {
    match parts {
        [table] => match default {
            Some(default) => Ok(TableRef::new(&default.project, &default.dataset, table)),
            None => Err(super::invalid(format!(
                "Table \"{table}\" must be qualified with a dataset (e.g. dataset.table)."
            ))),
        },
        [dataset, schema, table] if schema.eq_ignore_ascii_case("information_schema") => {
            Ok(TableRef::new(
                project,
                dataset,
                &format!("INFORMATION_SCHEMA.{}", table.to_uppercase()),
            ))
        }
        [project, dataset, schema, table] if schema.eq_ignore_ascii_case("information_schema") => {
            Ok(TableRef::new(
                project,
                dataset,
                &format!("INFORMATION_SCHEMA.{}", table.to_uppercase()),
            ))
        }
        [schema, table] if schema.eq_ignore_ascii_case("information_schema") => match default {
            Some(default) => Ok(TableRef::new(
                &default.project,
                &default.dataset,
                &format!("INFORMATION_SCHEMA.{}", table.to_uppercase()),
            )),
            None => Err(super::not_served("INFORMATION_SCHEMA without a dataset")),
        },
        [dataset, table] => Ok(TableRef::new(project, dataset, table)),
        [project, dataset, table] => Ok(TableRef::new(project, dataset, table)),
        _ => Err(super::invalid(format!(
            "Invalid table name: {}",
            parts.join(".")
        ))),
    }
}

impl Names<'_> {
    fn run(mut self, query: &mut Query) -> Result<(), ApiError> {
        match query.visit(&mut self) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(error) => Err(error),
        }
    }

    fn is_with(&self, name: &ObjectName) -> bool {
        let [part] = name.0.as_slice() else {
            return false;
        };
        part.as_ident()
            .is_some_and(|ident| self.with.iter().flatten().any(|with| *with == ident.value))
    }

    fn given(&self, name: &ObjectName) -> Option<&Schema> {
        let [part] = name.0.as_slice() else {
            return None;
        };
        self.catalog.given(&part.as_ident()?.value)
    }

    /// What stands in place of a table's name.
    fn replace(
        &mut self,
        name: &ObjectName,
        alias: Option<TableAlias>,
    ) -> Result<TableFactor, ApiError> {
        let reference = reference(&self.written.parts(name), self.project, self.default)?;
        let alias = alias.or_else(|| {
            let last = name.0.last()?.as_ident()?.clone();
            Some(TableAlias {
                explicit: true,
                name: last,
                columns: Vec::new(),
                at: None,
            })
        });
        match self.catalog.table(&reference)? {
            Found::Table(schema) => {
                show(&schema.fields, &mut self.resolved.display);
                let unique = reference.to_string();
                self.resolved.tables.insert(unique.clone(), reference);
                Ok(table_factor(unique, alias))
            }
            Found::View(sql) => {
                let subquery = Box::new(self.view(&reference, &sql)?);
                Ok(TableFactor::Derived {
                    lateral: false,
                    subquery,
                    alias,
                    sample: None,
                })
            }
        }
    }

    fn view(&mut self, reference: &TableRef, sql: &str) -> Result<Query, ApiError> {
        if self.depth >= DEPTH {
            return Err(super::invalid(format!(
                "View {reference}: more than {DEPTH} levels of nested views"
            )));
        }
        let text = parse::parse(sql)?;
        let Statement::Query(mut query) = text.statement else {
            return Err(super::invalid(format!("View {reference} is not a query")));
        };
        let inner = Names {
            catalog: self.catalog,
            project: &reference.project,
            default: None,
            written: text.written,
            resolved: self.resolved,
            depth: self.depth + 1,
            with: Vec::new(),
        };
        inner.run(&mut query)?;
        Ok(*query)
    }

    fn show(&mut self, ident: &Ident) {
        self.resolved
            .display
            .insert(ident.value.clone(), self.written.name(ident));
    }
}

fn show(fields: &[Field], display: &mut HashMap<String, String>) {
    for field in fields {
        display
            .entry(field.name.to_lowercase())
            .or_insert_with(|| field.name.clone());
        show(&field.fields, display);
    }
}

fn table_factor(name: String, alias: Option<TableAlias>) -> TableFactor {
    TableFactor::Table {
        name: ObjectName::from(vec![Ident::with_quote('`', name)]),
        alias,
        args: None,
        with_hints: Vec::new(),
        version: None,
        with_ordinality: false,
        partitions: Vec::new(),
        json_path: None,
        sample: None,
        index_hints: Vec::new(),
    }
}

impl VisitorMut for Names<'_> {
    type Break = ApiError;

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<ApiError> {
        let ctes = query.with.iter().flat_map(|with| &with.cte_tables);
        self.with
            .push(ctes.map(|cte| cte.alias.name.value.clone()).collect());
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &mut Query) -> ControlFlow<ApiError> {
        self.with.pop();
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<ApiError> {
        name_columns(select);
        for item in &select.projection {
            if let SelectItem::ExprWithAlias { alias, .. } = item {
                self.show(alias);
            }
        }
        unnest::nest(select);
        ControlFlow::Continue(())
    }

    // After its children: what it is replaced by has been resolved already.
    fn post_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<ApiError> {
        let TableFactor::Table {
            name,
            alias,
            args: None,
            version,
            ..
        } = factor
        else {
            return ControlFlow::Continue(());
        };
        if version.is_some() {
            return ControlFlow::Break(super::not_served("FOR SYSTEM_TIME AS OF"));
        }
        if self.is_with(name) {
            return ControlFlow::Continue(());
        }
        if let Some(fields) = self.given(name).map(|schema| schema.fields.clone()) {
            show(&fields, &mut self.resolved.display);
            return ControlFlow::Continue(());
        }
        match self.replace(name, alias.clone()) {
            Ok(replaced) => {
                *factor = replaced;
                ControlFlow::Continue(())
            }
            Err(error) => ControlFlow::Break(error),
        }
    }
}

/// Names columns as BigQuery does: the last part of a path, else `f0_`, `f1_`.
fn name_columns(select: &mut Select) {
    use datafusion::sql::sqlparser::ast::{AccessExpr, Expr};
    let mut anonymous = 0;
    for item in &mut select.projection {
        let SelectItem::UnnamedExpr(expr) = item else {
            continue;
        };
        let path_end = match expr {
            Expr::Identifier(ident) => Some(ident.clone()),
            Expr::CompoundIdentifier(idents) => idents.last().cloned(),
            Expr::CompoundFieldAccess { access_chain, .. } => match access_chain.last() {
                Some(AccessExpr::Dot(Expr::Identifier(ident))) => Some(ident.clone()),
                _ => None,
            },
            _ => None,
        };
        let alias = path_end.unwrap_or_else(|| {
            anonymous += 1;
            Ident::with_quote('`', format!("f{}_", anonymous - 1))
        });
        *item = SelectItem::ExprWithAlias {
            expr: expr.clone(),
            alias,
        };
    }
}
