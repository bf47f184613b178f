//! Licence expressions, as far as packages use them: `AND`, `OR`, `WITH`, parentheses, and the old slash for `OR`.
//!
//! Grammar and precedence: SPDX specification 2.3, annex D.

use std::iter::Peekable;
use std::vec::IntoIter;

/// Whether `expression` can be fulfilled with `allowed` licences alone; `None` if it is no expression.
///
/// A licence with an exception is asked for as a whole: `Apache-2.0 WITH LLVM-exception`.
pub(super) fn satisfied(expression: &str, allowed: &[&str]) -> Option<bool> {
    let mut parser = Parser { tokens: tokens(expression).into_iter().peekable(), allowed };
    let verdict = parser.any()?;
    parser.tokens.next().is_none().then_some(verdict)
}

fn tokens(expression: &str) -> Vec<String> {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    spaced.split_whitespace().map(str::to_owned).collect()
}

struct Parser<'a> {
    tokens: Peekable<IntoIter<String>>,
    allowed: &'a [&'a str],
}

impl Parser<'_> {
    /// `all OR all OR ...`
    fn any(&mut self) -> Option<bool> {
        let mut verdict = self.all()?;
        while self.take("OR") {
            verdict |= self.all()?;
        }
        Some(verdict)
    }

    /// `one AND one AND ...`, which binds tighter
    fn all(&mut self) -> Option<bool> {
        let mut verdict = self.one()?;
        while self.take("AND") {
            verdict &= self.one()?;
        }
        Some(verdict)
    }

    /// `(any)`, `licence` or `licence WITH exception`
    fn one(&mut self) -> Option<bool> {
        if self.take("(") {
            let verdict = self.any()?;
            return self.take(")").then_some(verdict);
        }
        let mut licence = self.name()?;
        if self.take("WITH") {
            licence = format!("{licence} WITH {}", self.name()?);
        }
        Some(self.allowed.contains(&licence.as_str()))
    }

    fn name(&mut self) -> Option<String> {
        let is_name = |token: &String| !matches!(token.as_str(), "(" | ")" | "AND" | "OR" | "WITH");
        self.tokens.next_if(is_name)
    }

    fn take(&mut self, token: &str) -> bool {
        self.tokens.next_if(|next| next == token).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALLOWED: &[&str] = &["MIT", "Apache-2.0", "BSD-3-Clause", "Apache-2.0 WITH LLVM-exception"];

    #[test]
    fn expressions_are_judged() {
        let cases = [
            ("MIT", true),
            ("GPL-3.0-only", false),
            ("MIT OR GPL-3.0-only", true),
            ("GPL-3.0-only OR MIT", true),
            ("MIT AND GPL-3.0-only", false),
            ("MIT/Apache-2.0", true),
            ("GPL-2.0/LGPL-2.1", false),
            ("(MIT OR Apache-2.0) AND BSD-3-Clause", true),
            ("(MIT OR Apache-2.0) AND MPL-2.0", false),
            ("MIT OR Apache-2.0 AND MPL-2.0", true),
            ("MPL-2.0 AND MIT OR MPL-2.0", false),
            ("Apache-2.0 WITH LLVM-exception OR MPL-2.0", true),
            ("GPL-2.0-only WITH Linux-syscall-note", false),
            ("((MIT))", true),
        ];
        for (expression, expected) in cases {
            assert_eq!(satisfied(expression, ALLOWED), Some(expected), "{expression}");
        }
    }

    #[test]
    fn what_is_no_expression_is_told() {
        for expression in ["", "MIT OR", "OR MIT", "(MIT", "MIT)", "MIT Apache-2.0", "MIT WITH", "()"] {
            assert_eq!(satisfied(expression, ALLOWED), None, "{expression}");
        }
    }
}
