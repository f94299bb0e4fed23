//! Statements that make, change and drop tables and views.

use datafusion::sql::sqlparser::ast::{
    AlterColumnOperation, AlterTableOperation, ColumnDef, ColumnOption, CreateTable, CreateView,
    DataType, Expr, ObjectName, ObjectType, Statement, WrappedCollection,
};
use datafusion::sql::sqlparser::dialect::BigQueryDialect;
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};
use serde_json::{Value, json};

use super::parse::{Text, Written};
use super::statements::{Context, statistics};
use super::types::{scalar_type, schema_field};
use super::{describe, invalid, names, not_served};
use crate::bigquery::load::Write;
use crate::bigquery::reference::TableRef;
use crate::bigquery::resource::Object;
use crate::bigquery::schema::{Field, Mode, Schema, Type};
use crate::bigquery::table::{Kind, Table};
use crate::bigquery::tables;
use crate::error::ApiError;

impl Context<'_> {
    pub async fn define(&self, text: Text, kind: &str) -> Result<Object, ApiError> {
        let written = &text.written;
        match text.statement {
            Statement::CreateTable(create) => {
                self.create_table(create, written.clone(), kind).await
            }
            Statement::CreateView(create) => self.create_view(&create, written, kind),
            Statement::Drop {
                object_type,
                if_exists,
                names,
                ..
            } => self.drop(object_type, if_exists, &names, written, kind),
            Statement::Truncate(truncate) => {
                let [target] = truncate.table_names.as_slice() else {
                    return Err(not_served("TRUNCATE of several tables"));
                };
                self.change(&self.named(&target.name, written)?, kind, |table| {
                    table.files.clear();
                    Ok(())
                })
            }
            Statement::AlterTable(alter) => {
                let target = self.named(&alter.name, written)?;
                self.change(&target, kind, |table| {
                    alter
                        .operations
                        .iter()
                        .try_for_each(|operation| alter_table(table, operation, written))
                })
            }
            _ => Err(not_served(&format!("{kind} statements"))),
        }
    }

    fn named(&self, name: &ObjectName, written: &Written) -> Result<TableRef, ApiError> {
        let reference = names::reference(
            &written.parts(name),
            &self.query.project,
            self.query.default.as_ref(),
        )?;
        reference.check()?;
        Ok(reference)
    }

    async fn create_table(
        &self,
        create: CreateTable,
        written: Written,
        kind: &str,
    ) -> Result<Object, ApiError> {
        if create.temporary || create.like.is_some() || create.clone.is_some() || create.external {
            return Err(not_served(
                "CREATE TABLE with TEMP, LIKE, CLONE or EXTERNAL",
            ));
        }
        let target = self.named(&create.name, &written)?;
        let present = self.cloud.bigquery.tables.get(&target.key());
        if let Some(table) = &present {
            if create.if_not_exists {
                return Ok(done(kind, &target, "SKIP"));
            }
            if !create.or_replace || table.kind != Kind::Native {
                return Err(tables::already_exists(&target));
            }
        }
        let settings = layout(&create, &written)?;
        let schema = Schema {
            fields: columns(&create.columns, &written)?,
        };
        let operation = if present.is_some() {
            "REPLACE"
        } else {
            "CREATE"
        };
        let statistics = done(kind, &target, operation);
        match create.query {
            Some(query) => {
                let given = (!schema.fields.is_empty()).then_some(schema);
                self.select_into(
                    *query,
                    written,
                    &target,
                    Write::Truncate,
                    given,
                    settings,
                    statistics,
                )
                .await
            }
            None => {
                schema.check()?;
                let dataset = self.tables().dataset(&target.dataset())?;
                let mut table = Table::new(target.clone(), Kind::Native, &dataset.location, schema);
                table.settings = tables::with_expiration(settings, &dataset);
                table.commit(super::commit(self.job, &statistics));
                self.cloud.bigquery.tables.put(&target.key(), table)?;
                Ok(statistics)
            }
        }
    }

    fn create_view(
        &self,
        create: &CreateView,
        written: &Written,
        kind: &str,
    ) -> Result<Object, ApiError> {
        if create.materialized || !create.columns.is_empty() {
            return Err(not_served("CREATE VIEW with MATERIALIZED or a column list"));
        }
        let target = self.named(&create.name, written)?;
        let dataset = self.tables().dataset(&target.dataset())?;
        let present = self.cloud.bigquery.tables.get(&target.key());
        if let Some(table) = &present {
            if create.if_not_exists {
                return Ok(done(kind, &target, "SKIP"));
            }
            if !create.or_replace || table.kind != Kind::View {
                return Err(tables::already_exists(&target));
            }
        }
        let sql = view_query(&self.query.sql)?;
        let schema = describe(self.cloud, &target.project, &sql)?;
        let statistics = done(
            kind,
            &target,
            if present.is_some() {
                "REPLACE"
            } else {
                "CREATE"
            },
        );
        let mut table = Table::new(target.clone(), Kind::View, &dataset.location, schema);
        table.settings.insert(
            "view".to_owned(),
            json!({"query": sql, "useLegacySql": false}),
        );
        table.commit(super::commit(self.job, &statistics));
        self.cloud.bigquery.tables.put(&target.key(), table)?;
        Ok(statistics)
    }

    fn drop(
        &self,
        object: ObjectType,
        if_exists: bool,
        names: &[ObjectName],
        written: &Written,
        kind: &str,
    ) -> Result<Object, ApiError> {
        let ([name], ObjectType::Table | ObjectType::View) = (names, object) else {
            return Err(not_served("DROP of anything but one table or view"));
        };
        let target = self.named(name, written)?;
        let table = match self.tables().find(&target) {
            Ok(table) => table,
            Err(error) if if_exists && error.code == 404 => return Ok(done(kind, &target, "SKIP")),
            Err(error) => return Err(error),
        };
        if (table.kind == Kind::View) != (object == ObjectType::View) {
            return Err(invalid(format!(
                "{target} is not a {}",
                if object == ObjectType::View {
                    "VIEW"
                } else {
                    "TABLE"
                }
            )));
        }
        self.cloud.bigquery.drop_table(&target.key())?;
        Ok(done(kind, &target, "DROP"))
    }

    /// Changes a native table's document.
    fn change(
        &self,
        target: &TableRef,
        kind: &str,
        change: impl FnOnce(&mut Table) -> Result<(), ApiError>,
    ) -> Result<Object, ApiError> {
        self.tables().find(target)?;
        let statistics = done(kind, target, "ALTER");
        self.cloud
            .bigquery
            .tables
            .update(&target.key(), |present| {
                let table = present.as_mut().ok_or_else(|| tables::not_found(target))?;
                if table.kind != Kind::Native {
                    return Err(invalid(format!("{target} is not a table")));
                }
                change(table)?;
                table.commit(super::commit(self.job, &statistics));
                Ok(())
            })?;
        Ok(statistics)
    }
}

fn done(kind: &str, target: &TableRef, operation: &str) -> Object {
    statistics(
        kind,
        0,
        json!({"ddlTargetTable": target, "ddlOperationPerformed": operation}),
    )
}

fn columns(columns: &[ColumnDef], written: &Written) -> Result<Vec<Field>, ApiError> {
    columns
        .iter()
        .map(|column| field(column, written))
        .collect()
}

fn field(column: &ColumnDef, written: &Written) -> Result<Field, ApiError> {
    let name = written.name(&column.name);
    let mut field = schema_field(&name, &column.data_type)
        .ok_or_else(|| not_served(&format!("the column type {}", column.data_type)))?;
    for option in &column.options {
        match option.option {
            ColumnOption::NotNull => field.mode = Mode::Required,
            ColumnOption::Null => {}
            ColumnOption::Options(_) => {}
            ref other => return Err(not_served(&format!("the column option {other}"))),
        }
    }
    Ok(field)
}

/// PARTITION BY and CLUSTER BY as the table's settings.
fn layout(create: &CreateTable, written: &Written) -> Result<Object, ApiError> {
    let mut settings = Object::new();
    if let Some(by) = &create.partition_by {
        settings.insert("timePartitioning".to_owned(), partitioning(by, written)?);
    }
    if let Some(WrappedCollection::NoWrapping(by) | WrappedCollection::Parentheses(by)) =
        &create.cluster_by
    {
        let names = by
            .iter()
            .map(|expr| column_name(expr, written))
            .collect::<Result<Vec<_>, _>>()?;
        settings.insert("clustering".to_owned(), json!({"fields": names}));
    }
    Ok(settings)
}

fn column_name(expr: &Expr, written: &Written) -> Result<String, ApiError> {
    match expr {
        Expr::Identifier(ident) => Ok(written.name(ident)),
        other => Err(not_served(&format!(
            "{other} in PARTITION BY or CLUSTER BY"
        ))),
    }
}

/// `d`, `DATE(ts)`, `DATE_TRUNC(d, MONTH)`.
fn partitioning(by: &Expr, written: &Written) -> Result<Value, ApiError> {
    let refused = || not_served(&format!("PARTITION BY {by}"));
    let Expr::Function(function) = by else {
        return Ok(json!({"type": "DAY", "field": column_name(by, written)?}));
    };
    let args = super::rewrite::arguments(function).ok_or_else(refused)?;
    match (function.name.to_string().as_str(), args.as_slice()) {
        ("date", [column]) => Ok(json!({"type": "DAY", "field": column_name(column, written)?})),
        ("date_trunc" | "timestamp_trunc" | "datetime_trunc", [column, part]) => Ok(
            json!({"type": part.to_string().to_uppercase(), "field": column_name(column, written)?}),
        ),
        _ => Err(refused()),
    }
}

fn alter_table(
    table: &mut Table,
    operation: &AlterTableOperation,
    written: &Written,
) -> Result<(), ApiError> {
    match operation {
        AlterTableOperation::AddColumn {
            if_not_exists,
            column_def,
            ..
        } => {
            let field = field(column_def, written)?;
            let exists = table.schema.field(&field.name).is_some();
            match (exists, if_not_exists) {
                (true, true) => Ok(()),
                (true, false) => Err(invalid(format!("Column already exists: {}", field.name))),
                (false, _) => {
                    let mut schema = table.schema.clone();
                    schema.fields.push(field);
                    table.schema = table
                        .schema
                        .patched(&schema, &table.reference.to_string())?;
                    Ok(())
                }
            }
        }
        AlterTableOperation::AlterColumn { column_name, op } => {
            let name = written.name(column_name);
            let column = table.schema.fields.iter_mut().find(|field| field.is(&name));
            let column = column.ok_or_else(|| invalid(format!("Column not found: {name}")))?;
            alter_column(column, op)
        }
        other => Err(not_served(&format!("ALTER TABLE {other}"))),
    }
}

fn alter_column(column: &mut Field, operation: &AlterColumnOperation) -> Result<(), ApiError> {
    match operation {
        AlterColumnOperation::DropNotNull => {
            column.mode = Mode::Nullable;
            Ok(())
        }
        AlterColumnOperation::SetDataType { data_type, .. } => widen(column, data_type),
        other => Err(not_served(&format!("ALTER COLUMN {other}"))),
    }
}

/// Types only widen in place: INT64 -> NUMERIC -> BIGNUMERIC -> FLOAT64.
fn widen(column: &mut Field, to: &DataType) -> Result<(), ApiError> {
    let rank = |kind: Type| match kind {
        Type::Integer => Some(0),
        Type::Numeric => Some(1),
        Type::Bignumeric => Some(2),
        Type::Float => Some(3),
        _ => None,
    };
    let wanted = scalar_type(to).ok_or_else(|| not_served(&format!("the column type {to}")))?;
    let widens = matches!((rank(column.kind), rank(wanted)), (Some(from), Some(to)) if from <= to);
    if wanted != column.kind && !widens {
        return Err(invalid(format!(
            "ALTER TABLE ALTER COLUMN SET DATA TYPE requires that the existing column type ({}) is assignable to the \
             new type ({})",
            column.kind.sql_name(),
            wanted.sql_name()
        )));
    }
    column.kind = wanted;
    Ok(())
}

/// The query of `CREATE VIEW ... AS query`, as written.
fn view_query(sql: &str) -> Result<String, ApiError> {
    let missing = || invalid("CREATE VIEW without AS".to_owned());
    let tokens = Tokenizer::new(&BigQueryDialect, sql)
        .tokenize_with_location()
        .map_err(|error| invalid(error.to_string()))?;
    let keyword = tokens
        .iter()
        .find(|token| matches!(&token.token, Token::Word(word) if word.keyword == Keyword::AS))
        .ok_or_else(missing)?;
    let end = keyword.span.end;
    let line = sql
        .split_inclusive('\n')
        .take(end.line as usize - 1)
        .map(str::len)
        .sum::<usize>();
    let column = sql[line..]
        .chars()
        .take(end.column as usize - 1)
        .map(char::len_utf8)
        .sum::<usize>();
    Ok(sql[line + column..]
        .trim()
        .trim_end_matches(';')
        .trim_end()
        .to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_views_query_is_kept_as_written() {
        let sql = "CREATE OR REPLACE VIEW d.v\nAS SELECT 'Ä' AS Name -- all\nFROM d.T;";
        assert_eq!(
            view_query(sql).unwrap(),
            "SELECT 'Ä' AS Name -- all\nFROM d.T"
        );
    }

    #[test]
    fn types_widen_and_never_narrow() {
        let mut column = Field::new("n", Type::Integer, Mode::Nullable);
        let numeric = DataType::Numeric(datafusion::sql::sqlparser::ast::ExactNumberInfo::None);
        widen(&mut column, &numeric).unwrap();
        assert_eq!(column.kind, Type::Numeric);
        assert!(widen(&mut column, &DataType::Int64).is_err());
    }
}
