//! The small language of constraints: `alpha * beta^2 * gamma^2`.

use anyhow::{Result, bail, ensure};
use serde::Deserialize;

/// No formula is longer, which also bounds how deeply it nests.
const LONGEST: usize = 200;

/// Numbers and names with `+ - * / ^` and parentheses.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(try_from = "String")]
pub struct Formula(Expression);

#[derive(Clone, Debug, PartialEq)]
enum Expression {
    Number(f64),
    Name(String),
    Minus(Box<Expression>),
    Pair(char, Box<[Expression; 2]>),
}

impl TryFrom<String> for Formula {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Self::parse(&text).map_err(|e| format!("`{text}` is no formula such as alpha * beta^2: {e}"))
    }
}

impl Formula {
    fn parse(text: &str) -> Result<Self> {
        ensure!(text.len() <= LONGEST, "it is longer than {LONGEST} characters");
        let mut parser = Parser { rest: text.trim_start() };
        let expression = parser.sum()?;
        ensure!(parser.rest.is_empty(), "`{}` is left over", parser.rest);
        Ok(Self(expression))
    }

    /// The value where every name has the value that `value` gives it.
    ///
    /// # Errors
    /// A name without a value.
    pub fn evaluate(&self, value: &impl Fn(&str) -> Option<f64>) -> Result<f64> {
        self.0.evaluate(value)
    }
}

impl Expression {
    fn evaluate(&self, value: &impl Fn(&str) -> Option<f64>) -> Result<f64> {
        Ok(match self {
            Self::Number(x) => *x,
            Self::Name(name) => match value(name) {
                Some(x) => x,
                None => bail!("`{name}` has no value here"),
            },
            Self::Minus(x) => -x.evaluate(value)?,
            Self::Pair(operator, pair) => {
                let (a, b) = (pair[0].evaluate(value)?, pair[1].evaluate(value)?);
                match operator {
                    '+' => a + b,
                    '-' => a - b,
                    '*' => a * b,
                    '/' => a / b,
                    _ => a.powf(b),
                }
            }
        })
    }
}

/// Reads from the left; `rest` never begins with a space.
struct Parser<'a> {
    rest: &'a str,
}

impl<'a> Parser<'a> {
    /// The first of `wanted`, if the rest begins with one.
    fn operator(&mut self, wanted: &str) -> Option<char> {
        let found = self.rest.chars().next().filter(|&c| wanted.contains(c))?;
        self.skip(found.len_utf8());
        Some(found)
    }

    fn skip(&mut self, bytes: usize) -> &'a str {
        let (word, rest) = self.rest.split_at(bytes);
        self.rest = rest.trim_start();
        word
    }

    fn sum(&mut self) -> Result<Expression> {
        let mut left = self.product()?;
        while let Some(operator) = self.operator("+-") {
            left = Expression::Pair(operator, Box::new([left, self.product()?]));
        }
        Ok(left)
    }

    fn product(&mut self) -> Result<Expression> {
        let mut left = self.power()?;
        while let Some(operator) = self.operator("*/") {
            left = Expression::Pair(operator, Box::new([left, self.power()?]));
        }
        Ok(left)
    }

    /// `a^b^c` is `a^(b^c)`, and `-a^b` is `-(a^b)`.
    fn power(&mut self) -> Result<Expression> {
        if self.operator("-").is_some() {
            return Ok(Expression::Minus(Box::new(self.power()?)));
        }
        let base = self.atom()?;
        Ok(match self.operator("^") {
            Some(operator) => Expression::Pair(operator, Box::new([base, self.power()?])),
            None => base,
        })
    }

    fn atom(&mut self) -> Result<Expression> {
        if self.operator("(").is_some() {
            let inner = self.sum()?;
            ensure!(self.operator(")").is_some(), "a `)` is missing");
            return Ok(inner);
        }
        let end = |inside: fn(char) -> bool| self.rest.find(|c| !inside(c)).unwrap_or(self.rest.len());
        let number = end(|c| c.is_ascii_digit() || c == '.');
        let name = end(|c| c.is_ascii_alphanumeric() || c == '_');
        match (number, name) {
            (0, 0) if self.rest.is_empty() => bail!("it ends where a number or a name should be"),
            (0, 0) => bail!("a number or a name should be where `{}` is", self.rest),
            (0, name) => Ok(Expression::Name(self.skip(name).to_owned())),
            (number, _) => Ok(Expression::Number(self.skip(number).parse()?)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str) -> Result<f64> {
        let names = |name: &str| [("a", 2.0), ("b", 3.0)].into_iter().find(|n| n.0 == name).map(|n| n.1);
        Formula::parse(text)?.evaluate(&names)
    }

    #[test]
    fn arithmetic_binds_as_usual() {
        let cases = [
            ("1 + 2 * 3", 7.0),
            ("(1+2)*3", 9.0),
            ("a * b^2 * 1.5^2", 40.5),
            ("2^3^2", 512.0),
            ("-a^2 + 10/4 - 1", -2.5),
            ("8 - 3 - 2", 3.0),
        ];
        for (text, want) in cases {
            assert_eq!(value(text).unwrap(), want, "{text}");
        }
    }

    #[test]
    fn what_is_no_formula_is_refused() {
        for text in ["", "a *", "a b", "(a", "a)", "a ** b", "3..4", "é", "gamma"] {
            assert!(value(text).is_err(), "{text}");
        }
        assert!(Formula::parse(&"(".repeat(100_000)).is_err());
    }
}
