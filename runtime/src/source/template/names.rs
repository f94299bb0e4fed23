//! The names a template uses: variables that it does not set itself, functions, filters, tests.
//!
//! It walks the engine's syntax tree. Whether a name is known is not asked here.

use std::collections::HashSet;

use minijinja::machinery::ast::{CallArg, Expr, Macro, Stmt};
use minijinja::machinery::parse;

/// What a name stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    Variable,
    Function,
    Filter,
    Test,
}

/// A name where it is used, in the order of the text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name {
    pub role: Role,
    pub text: String,
    /// In bytes.
    pub offset: usize,
}

/// The names that `source` uses.
pub fn names(source: &str) -> Result<Vec<Name>, minijinja::Error> {
    let template = parse(source, "", Default::default())?;
    let mut walk = Walk {
        source,
        found: Vec::new(),
        scopes: vec![HashSet::from(["self"])],
    };
    walk.statement(&template);
    walk.found.sort_by_key(|name| name.offset);
    Ok(walk.found)
}

struct Walk<'s> {
    source: &'s str,
    found: Vec<Name>,
    /// What is set, inner scopes last.
    scopes: Vec<HashSet<&'s str>>,
}

impl<'s> Walk<'s> {
    fn add(&mut self, role: Role, text: &'s str) {
        // The tree's names are parts of the source.
        let offset = (text.as_ptr() as usize).saturating_sub(self.source.as_ptr() as usize);
        let text = text.to_owned();
        self.found.push(Name { role, text, offset });
    }

    fn read(&mut self, role: Role, name: &'s str) {
        if !self.scopes.iter().any(|scope| scope.contains(name)) {
            self.add(role, name);
        }
    }

    fn set(&mut self, name: &'s str) {
        if let Some(scope) = self.scopes.last_mut() {
            scope.insert(name);
        }
    }

    fn assign(&mut self, target: &Expr<'s>) {
        match target {
            Expr::Var(variable) => self.set(variable.id),
            Expr::List(list) => list.items.iter().for_each(|item| self.assign(item)),
            Expr::Tuple(tuple) => tuple.items.iter().for_each(|item| self.assign(item)),
            _ => {}
        }
    }

    /// Walks in a scope of its own, and tells what is set there.
    fn inside(&mut self, walk: impl FnOnce(&mut Walk<'s>)) -> HashSet<&'s str> {
        self.scopes.push(HashSet::new());
        walk(self);
        self.scopes.pop().unwrap_or_default()
    }

    fn body(&mut self, body: &[Stmt<'s>]) {
        for statement in body {
            self.statement(statement);
        }
    }

    fn statement(&mut self, statement: &Stmt<'s>) {
        match statement {
            Stmt::Template(it) => self.body(&it.children),
            Stmt::EmitExpr(it) => self.expression(&it.expr),
            Stmt::Do(it) => self.call(&it.call.expr, &it.call.args),
            Stmt::Set(it) => {
                self.expression(&it.expr);
                self.assign(&it.target);
            }
            Stmt::IfCond(it) => {
                self.expression(&it.expr);
                self.branches(&it.true_body, &it.false_body);
            }
            Stmt::ForLoop(it) => {
                self.expression(&it.iter);
                self.inside(|walk| {
                    walk.set("loop");
                    walk.assign(&it.target);
                    walk.optional(it.filter_expr.as_ref());
                    walk.body(&it.body);
                });
                self.inside(|walk| walk.body(&it.else_body));
            }
            other => self.block(other),
        }
    }

    /// The statements that manifests seldom have.
    fn block(&mut self, statement: &Stmt<'s>) {
        match statement {
            Stmt::WithBlock(it) => {
                self.inside(|walk| {
                    for (target, value) in &it.assignments {
                        walk.expression(value);
                        walk.assign(target);
                    }
                    walk.body(&it.body);
                });
            }
            Stmt::SetBlock(it) => {
                self.optional(it.filter.as_ref());
                self.inside(|walk| walk.body(&it.body));
                self.assign(&it.target);
            }
            Stmt::FilterBlock(it) => {
                self.expression(&it.filter);
                self.inside(|walk| walk.body(&it.body));
            }
            Stmt::AutoEscape(it) => {
                self.inside(|walk| walk.body(&it.body));
            }
            Stmt::Block(it) => {
                self.inside(|walk| {
                    walk.set("super");
                    walk.body(&it.body);
                });
            }
            Stmt::Macro(it) => {
                self.set(it.name);
                self.definition(it);
            }
            Stmt::CallBlock(it) => {
                self.call(&it.call.expr, &it.call.args);
                self.definition(&it.macro_decl);
            }
            _ => {}
        }
    }

    /// What each branch sets is there after them.
    fn branches(&mut self, then: &[Stmt<'s>], otherwise: &[Stmt<'s>]) {
        let then = self.inside(|walk| walk.body(then));
        let otherwise = self.inside(|walk| walk.body(otherwise));
        for name in then.intersection(&otherwise) {
            self.set(name);
        }
    }

    fn definition(&mut self, it: &Macro<'s>) {
        self.inside(|walk| {
            walk.set("caller");
            it.defaults.iter().for_each(|value| walk.expression(value));
            it.args.iter().for_each(|target| walk.assign(target));
            walk.body(&it.body);
        });
    }

    fn optional(&mut self, expression: Option<&Expr<'s>>) {
        if let Some(expression) = expression {
            self.expression(expression);
        }
    }

    fn arguments(&mut self, arguments: &[CallArg<'s>]) {
        for argument in arguments {
            match argument {
                CallArg::Pos(value)
                | CallArg::Kwarg(_, value)
                | CallArg::PosSplat(value)
                | CallArg::KwargSplat(value) => self.expression(value),
            }
        }
    }

    fn call(&mut self, called: &Expr<'s>, arguments: &[CallArg<'s>]) {
        match called {
            Expr::Var(variable) => self.read(Role::Function, variable.id),
            other => self.expression(other),
        }
        self.arguments(arguments);
    }

    fn expression(&mut self, expression: &Expr<'s>) {
        match expression {
            Expr::Var(it) => self.read(Role::Variable, it.id),
            Expr::Const(_) => {}
            Expr::UnaryOp(it) => self.expression(&it.expr),
            Expr::BinOp(it) => self.all([&it.left, &it.right]),
            Expr::Compare(it) => {
                self.expression(&it.expr);
                self.all(it.ops.iter().map(|operation| &operation.expr));
            }
            Expr::IfExpr(it) => {
                self.all([&it.test_expr, &it.true_expr]);
                self.optional(it.false_expr.as_ref());
            }
            Expr::Filter(it) => {
                self.optional(it.expr.as_ref());
                self.add(Role::Filter, it.name);
                self.arguments(&it.args);
            }
            Expr::Test(it) => {
                self.expression(&it.expr);
                self.add(Role::Test, it.name);
                self.arguments(&it.args);
            }
            Expr::GetAttr(it) => self.expression(&it.expr),
            Expr::GetItem(it) => self.all([&it.expr, &it.subscript_expr]),
            Expr::Slice(it) => {
                self.expression(&it.expr);
                self.all([&it.start, &it.stop, &it.step].into_iter().flatten());
            }
            Expr::Call(it) => self.call(&it.expr, &it.args),
            Expr::List(it) => self.all(&it.items),
            Expr::Tuple(it) => self.all(&it.items),
            Expr::Map(it) => {
                self.all(&it.keys);
                self.all(&it.values);
            }
        }
    }

    fn all<'e>(&mut self, expressions: impl IntoIterator<Item = &'e Expr<'s>>)
    where
        's: 'e,
    {
        for expression in expressions {
            self.expression(expression);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(source: &str) -> String {
        let names = names(source).unwrap().into_iter().map(|name| {
            assert!(source[name.offset..].starts_with(&name.text), "{source}");
            format!("{:?} {}", name.role, name.text)
        });
        names.collect::<Vec<_>>().join(", ")
    }

    #[test]
    fn names_are_found_where_they_are_used() {
        assert_eq!(
            shown("{{ max(a, b)|int + c.d[e] }} {{ x is defined }}"),
            "Function max, Variable a, Variable b, Filter int, Variable c, Variable e, Variable x, Test defined"
        );
        assert_eq!(
            shown("{{ 'a'[b:c:d] }}"),
            "Variable b, Variable c, Variable d"
        );
        assert_eq!(
            shown("{{ a % 2 if 1 < b <= 3 else {'k': c} }}"),
            "Variable a, Variable b, Variable c"
        );
    }

    #[test]
    fn what_a_template_sets_is_its_own() {
        assert_eq!(
            shown(
                "{% set x = y %}{{ x }}{% for a, b in z %}{{ a ~ b ~ loop.index }}{% endfor %}{{ a }}"
            ),
            "Variable y, Variable z, Variable a"
        );
        assert_eq!(
            shown("{% macro m(p, q=1) %}{{ p ~ q ~ r }}{% endmacro %}{{ m(1) }}"),
            "Variable r"
        );
        assert_eq!(
            shown("{% with v = 1 %}{{ v }}{% endwith %}{% set s %}{{ t }}{% endset %}{{ s }}"),
            "Variable t"
        );
    }

    #[test]
    fn what_every_branch_sets_is_there_after_them() {
        assert_eq!(
            shown(
                "{% if a %}{% set x = 1 %}{% elif b %}{% set x = 2 %}{% else %}{% set x = 3 %}{% endif %}{{ x }}"
            ),
            "Variable a, Variable b"
        );
        assert_eq!(
            shown("{% if a %}{% set x = 1 %}{% endif %}{{ x }}"),
            "Variable a, Variable x"
        );
    }
}
