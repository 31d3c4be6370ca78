//! Templates of keys: literal text and whole numbers in braces, which may be scaled and shifted; see
//! [`super::naming`].

/// Literal text with expressions in braces.
pub(super) struct Template(pub &'static str);

/// A match: the number of each letter, and the rest of the key.
pub(super) struct Matched<'a> {
    numbers: Vec<(&'static str, u64)>,
    pub rest: &'a str,
}

impl Matched<'_> {
    /// Sets the number of a letter that is not in the key.
    pub(super) fn set(&mut self, letter: &'static str, number: u64) {
        self.numbers.push((letter, number));
    }

    fn number(&self, letter: &str) -> u64 {
        self.numbers.iter().find(|(known, _)| *known == letter).map_or(0, |(_, n)| *n)
    }
}

impl Template {
    /// Pieces of literal text, each with the expression that follows it.
    fn pieces(&self) -> impl Iterator<Item = (&'static str, Option<Expression>)> {
        self.0.split('}').map(|piece| match piece.split_once('{') {
            Some((literal, expression)) => (literal, Some(Expression::parse(expression))),
            None => (piece, None),
        })
    }

    pub(super) fn matches<'a>(&self, key: &'a str) -> Option<Matched<'a>> {
        let mut matched = Matched { numbers: Vec::new(), rest: key };
        for (literal, expression) in self.pieces() {
            matched.rest = matched.rest.strip_prefix(literal)?;
            let Some(expression) = expression else { continue };
            let digits = matched.rest.bytes().take_while(u8::is_ascii_digit).count();
            let (number, rest) = matched.rest.split_at(digits);
            // 32 bits, so that scaling and shifting cannot overflow.
            let number = expression.solve(number.parse::<u32>().ok()?.into())?;
            match matched.numbers.iter().find(|(letter, _)| *letter == expression.letter) {
                Some(&(_, known)) if known != number => return None,
                Some(_) => {}
                None => matched.numbers.push((expression.letter, number)),
            }
            matched.rest = rest;
        }
        (matched.rest.is_empty() || matched.rest.starts_with(['.', '/'])).then_some(matched)
    }

    pub(super) fn fill(&self, matched: &Matched) -> String {
        let mut filled = String::new();
        for (literal, expression) in self.pieces() {
            filled += literal;
            if let Some(Expression { factor, letter, shift }) = expression {
                filled += &(factor * matched.number(letter) + shift).to_string();
            }
        }
        filled
    }
}

/// `2s+1`: a letter, scaled and shifted.
struct Expression {
    factor: u64,
    letter: &'static str,
    shift: u64,
}

impl Expression {
    fn parse(text: &'static str) -> Self {
        let (scaled, shift) = text.split_once('+').unwrap_or((text, "0"));
        let letter = scaled.trim_start_matches(|c: char| c.is_ascii_digit());
        let factor = scaled.strip_suffix(letter).and_then(|factor| factor.parse().ok()).unwrap_or(1);
        Self { factor, letter, shift: shift.parse().unwrap_or(0) }
    }

    /// The value of the letter for which the expression is this number.
    fn solve(&self, number: u64) -> Option<u64> {
        let scaled = number.checked_sub(self.shift)?;
        (scaled % self.factor == 0).then_some(scaled / self.factor)
    }
}
