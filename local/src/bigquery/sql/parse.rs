//! BigQuery SQL text to a syntax tree.
//!
//! Every name in the tree is lower case, as columns and aliases do not differ
//! by case; how it was written is kept beside, by position, for table names
//! (which do) and for the names of a result.

use std::collections::HashMap;

use datafusion::sql::sqlparser::ast::{Ident, ObjectName, Statement};
use datafusion::sql::sqlparser::dialect::BigQueryDialect;
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::parser::Parser;
use datafusion::sql::sqlparser::tokenizer::{Location, Token, TokenWithSpan, Tokenizer};

use super::invalid;
use crate::error::ApiError;

/// One statement, and its names as written.
pub struct Text {
    pub statement: Statement,
    pub written: Written,
}

#[derive(Debug, Default, Clone)]
pub struct Written {
    names: HashMap<Location, String>,
}

impl Written {
    /// `ident` as it stood in the text.
    pub fn name(&self, ident: &Ident) -> String {
        match self.names.get(&ident.span.start) {
            Some(name) if name.to_lowercase() == ident.value => name.clone(),
            _ => ident.value.clone(),
        }
    }

    /// The parts of a table's name as written, a quoted `a.b.c` taken apart.
    pub fn parts(&self, name: &ObjectName) -> Vec<String> {
        let mut parts = Vec::new();
        let mut last = None;
        for ident in name.0.iter().filter_map(|part| part.as_ident()) {
            let start = ident.span.start;
            let whole = self.names.get(&start);
            match whole {
                // Parts of one quoted name share its place.
                Some(_) if last == Some(start) => continue,
                Some(whole) if ident.quote_style.is_some() => {
                    parts.extend(whole.split('.').map(str::to_owned))
                }
                _ => parts.push(self.name(ident)),
            }
            last = Some(start);
        }
        parts
    }
}

/// The text before which `at` stands.
pub fn before(sql: &str, at: Location) -> &str {
    let lines = sql.split_inclusive('\n');
    let line: usize = lines.take(at.line as usize - 1).map(str::len).sum();
    let column = sql[line..].chars().take(at.column as usize - 1);
    &sql[..line + column.map(char::len_utf8).sum::<usize>()]
}

/// The statements of a script, each as it is written.
pub fn split(sql: &str) -> Result<Vec<&str>, ApiError> {
    let tokens = Tokenizer::new(&BigQueryDialect, sql)
        .tokenize_with_location()
        .map_err(|error| invalid(format!("Syntax error: {error}")))?;
    let mut statements = Vec::new();
    let (mut start, mut empty) = (0, true);
    for token in &tokens {
        match token.token {
            Token::SemiColon => {
                let end = before(sql, token.span.start).len();
                statements.extend((!empty).then(|| sql[start..end].trim()));
                (start, empty) = (end + 1, true);
            }
            Token::Whitespace(_) | Token::EOF => {}
            _ => empty = false,
        }
    }
    statements.extend((!empty).then(|| sql[start..].trim()));
    Ok(statements)
}

/// Parses exactly one statement.
pub fn parse(sql: &str) -> Result<Text, ApiError> {
    let mut tokens = Tokenizer::new(&BigQueryDialect, sql)
        .tokenize_with_location()
        .map_err(|error| invalid(format!("Syntax error: {error}")))?;
    let mut written = Written::default();
    for token in &mut tokens {
        lower(token, &mut written);
    }
    copy_as_clone(&mut tokens);
    without_options(&mut tokens);
    let parsed = Parser::new(&BigQueryDialect)
        .with_tokens_with_locations(tokens)
        .parse_statements();
    let mut statements = parsed.map_err(|error| invalid(syntax_message(&error.to_string())))?;
    match (statements.pop(), statements.is_empty()) {
        (Some(statement), true) => Ok(Text { statement, written }),
        (None, _) => Err(invalid("Syntax error: Unexpected end of script".to_owned())),
        _ => Err(super::not_served("scripts of several statements")),
    }
}

fn lower(token: &mut TokenWithSpan, written: &mut Written) {
    if let Token::Word(word) = &mut token.token {
        let lower = word.value.to_lowercase();
        let name = std::mem::replace(&mut word.value, lower);
        written.names.insert(token.span.start, name);
    }
}

fn is(token: &TokenWithSpan, keyword: Keyword) -> bool {
    matches!(&token.token, Token::Word(word) if word.keyword == keyword)
}

/// `ALTER TABLE t SET OPTIONS(..)` is read without the word, as the parser expects.
fn without_options(tokens: &mut Vec<TokenWithSpan>) {
    let solid = |token: &&TokenWithSpan| !matches!(token.token, Token::Whitespace(_));
    let mut words = tokens.iter().filter(solid);
    let (first, second) = (words.next(), words.next());
    let alters = first.is_some_and(|first| is(first, Keyword::ALTER))
        && second.is_some_and(|second| is(second, Keyword::TABLE));
    let mut after_set = false;
    tokens.retain(|token| {
        if !solid(&token) {
            return true;
        }
        let drop = alters && after_set && is(token, Keyword::OPTIONS);
        after_set = is(token, Keyword::SET);
        !drop
    });
}

/// `CREATE TABLE a COPY b` is read as `CLONE`, which the parser knows and means the same.
fn copy_as_clone(tokens: &mut [TokenWithSpan]) {
    let solid = |token: &&mut TokenWithSpan| !matches!(token.token, Token::Whitespace(_));
    let mut words = tokens.iter_mut().filter(solid).peekable();
    if !words.next().is_some_and(|first| is(first, Keyword::CREATE)) {
        return;
    }
    let mut after_dot = false;
    // A list of columns, or a query, ends the name.
    for token in
        words.take_while(|token| !matches!(token.token, Token::LParen) && !is(token, Keyword::AS))
    {
        if !after_dot
            && let Token::Word(word) = &mut token.token
            && word.keyword == Keyword::COPY
            && word.quote_style.is_none()
        {
            (word.keyword, word.value) = (Keyword::CLONE, "clone".to_owned());
            return;
        }
        after_dot = matches!(token.token, Token::Period);
    }
}

fn syntax_message(error: &str) -> String {
    let error = error.strip_prefix("sql parser error: ").unwrap_or(error);
    format!("Syntax error: {error}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::sql::sqlparser::ast::visit_relations;
    use std::ops::ControlFlow;

    fn tables(sql: &str) -> Vec<Vec<String>> {
        let text = parse(sql).unwrap();
        let mut found = Vec::new();
        let _ = visit_relations(&text.statement, |name| {
            found.push(text.written.parts(name));
            ControlFlow::<()>::Continue(())
        });
        found
    }

    #[test]
    fn a_table_is_named_in_one_quote_in_several_or_in_none() {
        assert_eq!(
            tables("SELECT 1 FROM `my-project.Data_Set.T-1`"),
            [["my-project", "Data_Set", "T-1"]]
        );
        assert_eq!(tables("select 1 from `p`.`D`.t"), [["p", "D", "t"]]);
        assert_eq!(
            tables("SELECT 1 FROM my-project.d.T"),
            [["my-project", "d", "T"]]
        );
    }

    #[test]
    fn columns_are_lower_case_and_strings_are_not() {
        let text = parse("SELECT Status FROM d.t WHERE Type = 'ACCREC'").unwrap();
        assert_eq!(
            text.statement.to_string(),
            "SELECT status FROM d.t WHERE type = 'ACCREC'"
        );
    }

    #[test]
    fn a_script_is_cut_at_its_semicolons_only() {
        let script = "SELECT ';' AS a; -- one; two\n\nDROP TABLE d.t;;\nSELECT 2";
        let pieces = split(script).unwrap();
        assert_eq!(
            pieces,
            [
                "SELECT ';' AS a",
                "-- one; two\n\nDROP TABLE d.t",
                "SELECT 2"
            ]
        );
        assert_eq!(split("SELECT 1;\n").unwrap(), ["SELECT 1"]);
    }

    #[test]
    fn a_syntax_error_says_so() {
        let error = parse("SELEC 1").err().unwrap();
        assert_eq!(error.reason, "invalidQuery");
        assert!(
            error.message.starts_with("Syntax error: "),
            "{}",
            error.message
        );
    }
}
