//! Templates of keys: literal text and whole numbers in braces, which may be scaled and shifted; see
//! [`super`].

/// Literal text with expressions in braces.
#[derive(Clone, Copy)]
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

    pub(super) fn number(&self, letter: &str) -> u64 {
        letter
            .parse()
            .ok()
            .unwrap_or_else(|| self.numbers.iter().find(|(known, _)| *known == letter).map_or(0, |(_, n)| *n))
    }

    /// Whether the letter (or the number itself, where it is one) has this number.
    fn takes(&mut self, letter: &'static str, number: u64) -> bool {
        if let Ok(literal) = letter.parse::<u64>() {
            return literal == number;
        }
        match self.numbers.iter().find(|(known, _)| *known == letter) {
            Some(&(_, known)) => known == number,
            None => {
                self.numbers.push((letter, number));
                true
            }
        }
    }
}

/// What the numbers in the names of one file and one model are.
#[derive(Clone, Copy, Default)]
pub(super) struct Counts<'a> {
    /// The number of blocks of each stage; `{s.b}` is the number of block b of stage s among all blocks.
    pub grid: &'a [u64],
    /// The numbers that layers have, where others stand between them; `{#n}` is the one of layer n.
    pub ranks: &'a [u64],
}

impl Template {
    /// Pieces of literal text, each with the expression that follows it.
    fn pieces(&self) -> impl Iterator<Item = (&'static str, Option<Expression>)> {
        self.0.split('}').map(|piece| match piece.split_once('{') {
            Some((literal, expression)) => (literal, Some(Expression::parse(expression))),
            None => (piece, None),
        })
    }

    pub(super) fn matches<'a>(&self, key: &'a str, counts: Counts) -> Option<Matched<'a>> {
        let mut matched = Matched { numbers: Vec::new(), rest: key };
        for (literal, expression) in self.pieces() {
            matched.rest = matched.rest.strip_prefix(literal)?;
            let Some(expression) = expression else { continue };
            let digits = matched.rest.bytes().take_while(u8::is_ascii_digit).count();
            let (number, rest) = matched.rest.split_at(digits);
            // 32 bits, so that scaling and shifting cannot overflow.
            let mut number = number.parse::<u32>().ok()?.into();
            if expression.is_rank {
                number = counts.ranks.binary_search(&number).ok()? as u64;
            }
            let number = expression.solve(number)?;
            let fits = match expression.index {
                Index::Of(letter) => matched.takes(letter, number),
                Index::Among(stage, block) => {
                    let (s, b) = place(number, counts.grid)?;
                    matched.takes(stage, s) && matched.takes(block, b)
                }
            };
            if !fits {
                return None;
            }
            matched.rest = rest;
        }
        (matched.rest.is_empty() || matched.rest.starts_with(['.', '/'])).then_some(matched)
    }

    pub(super) fn fill(&self, matched: &Matched, counts: Counts) -> String {
        let mut filled = String::new();
        for (literal, expression) in self.pieces() {
            filled += literal;
            if let Some(Expression { factor, index, shift, is_rank }) = expression {
                let number = match index {
                    Index::Of(letter) => matched.number(letter),
                    Index::Among(stage, block) => {
                        let before = usize::try_from(matched.number(stage)).unwrap_or(usize::MAX);
                        counts.grid.iter().take(before).sum::<u64>() + matched.number(block)
                    }
                };
                let number = factor * number + shift;
                // A layer that the other side does not have gets a number that none has.
                let rank = || counts.ranks.get(number as usize).copied().unwrap_or(u64::MAX);
                filled += &if is_rank { rank() } else { number }.to_string();
            }
        }
        filled
    }
}

/// Stage and block of the block with this number among all.
fn place(number: u64, grid: &[u64]) -> Option<(u64, u64)> {
    let mut block = number;
    for (stage, blocks) in (0..).zip(grid) {
        match block.checked_sub(*blocks) {
            Some(rest) => block = rest,
            None => return Some((stage, block)),
        }
    }
    None
}

/// `2s+1`: an index, scaled and shifted; with `#` before it, the rank of the number.
struct Expression {
    factor: u64,
    index: Index,
    shift: u64,
    is_rank: bool,
}

#[derive(Clone, Copy)]
enum Index {
    Of(&'static str),
    /// `s.b`: the number of block b of stage s among all blocks; `0.b` of the first stage alone.
    Among(&'static str, &'static str),
}

impl Expression {
    fn parse(text: &'static str) -> Self {
        let is_rank = text.starts_with('#');
        let text = text.trim_start_matches('#');
        let (scaled, shift) = text.split_once('+').unwrap_or((text, "0"));
        let shift = shift.parse().unwrap_or(0);
        let letters = scaled.trim_start_matches(|c: char| c.is_ascii_digit());
        let factor = || scaled.strip_suffix(letters).and_then(|factor| factor.parse().ok()).unwrap_or(1);
        let (factor, index) = match (scaled.split_once('.'), letters.split_once('.')) {
            (Some((stage, block)), Some(("", _))) => (1, Index::Among(stage, block)),
            (_, Some((stage, block))) => (factor(), Index::Among(stage, block)),
            _ => (factor(), Index::Of(letters)),
        };
        Self { factor, index, shift, is_rank }
    }

    /// The value of the index for which the expression is this number.
    fn solve(&self, number: u64) -> Option<u64> {
        let scaled = number.checked_sub(self.shift)?;
        (scaled % self.factor == 0).then_some(scaled / self.factor)
    }
}
