//! The grammar of `$` expressions that are understood without running anything: literals, references, what is made of them
//! by operators, and a few calls whose result follows from their arguments.
//!
//! ```text
//! expr  = or [ "if" or "else" expr ]        or   = and { "or" and }       and = not { "and" not }
//! not   = "not" not | sum [ ("==" | "!=" | "<" | "<=" | ">" | ">=" | "is" | "is not") sum ]
//! sum   = term { ("+" | "-") term }         term = unary { ("*" | "/" | "//") unary }
//! unary = "-" unary | atom { "." name | "(" arguments ")" | "[" expr "]" }
//! atom  = number | string | True | False | None | @reference | name | list | tuple | dictionary
//! ```
//!
//! Everything else, such as `lambda` or a comprehension, is no form that is read. What a name or a call means is decided by
//! whoever asks ([`super::config`]), and only when the value is needed.

use serde_json::{Number, Value};

/// Levels within each other at most.
const MAX_DEPTH: usize = 40;
/// Longest text read.
const MAX_TEXT: usize = 8192;
/// Words and signs at most, which bounds how deep chains of operators nest.
const MAX_TOKENS: usize = 400;

/// A parsed expression.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Expr {
    Value(Value),
    /// The id behind `@`.
    Reference(String),
    Name(String),
    List(Vec<Expr>),
    Dictionary(Vec<(Expr, Expr)>),
    Attribute(Box<Expr>, String),
    Call(Box<Expr>, Vec<Expr>),
    Index(Box<Expr>, Box<Expr>),
    Not(Box<Expr>),
    Negative(Box<Expr>),
    Binary(&'static str, Box<Expr>, Box<Expr>),
    If {
        condition: Box<Expr>,
        then: Box<Expr>,
        otherwise: Box<Expr>,
    },
}

/// Reads an expression without its `$`; `None` where it has no form that is understood.
pub(super) fn parse(text: &str) -> Option<Expr> {
    if text.len() > MAX_TEXT {
        return None;
    }
    let tokens = tokens(text).filter(|tokens| tokens.len() <= MAX_TOKENS)?;
    let mut parser = Parser { tokens, at: 0, depth: 0 };
    let expr = parser.expr()?;
    (parser.at == parser.tokens.len()).then_some(expr)
}

#[derive(Clone, Debug, PartialEq)]
enum Token {
    Value(Value),
    Reference(String),
    Word(String),
    Sign(&'static str),
}

/// Longer signs first.
const SIGNS: [&str; 21] =
    ["==", "!=", "<=", ">=", "//", "+", "-", "*", "/", "<", ">", "(", ")", "[", "]", "{", "}", ",", ":", ".", "="];

fn tokens(text: &str) -> Option<Vec<Token>> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let taken = match first {
            '@' => {
                let id = reference(rest.get(1..)?);
                tokens.push(Token::Reference(id.to_owned()));
                1 + id.len()
            }
            '\'' | '"' => {
                let (value, length) = string(rest, first)?;
                tokens.push(Token::Value(value.into()));
                length
            }
            c if c.is_ascii_digit() => {
                let (value, length) = number(rest)?;
                tokens.push(Token::Value(value));
                length
            }
            '.' if rest.get(1..).is_some_and(|r| r.starts_with(|c: char| c.is_ascii_digit())) => {
                let (value, length) = number(rest)?;
                tokens.push(Token::Value(value));
                length
            }
            c if c.is_alphabetic() || c == '_' => {
                let length = word(rest);
                tokens.push(Token::Word(rest.get(..length)?.to_owned()));
                length
            }
            _ => {
                let sign = SIGNS.iter().find(|sign| rest.starts_with(**sign))?;
                tokens.push(Token::Sign(sign));
                sign.len()
            }
        };
        rest = rest.get(taken..)?.trim_start();
    }
    Some(tokens)
}

fn word(text: &str) -> usize {
    text.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(text.len())
}

/// The id at the start: words joined by `::` or `#`.
pub(super) fn reference(text: &str) -> &str {
    let mut end = word(text);
    while let Some(rest) = text.get(end..) {
        let separator = if rest.starts_with("::") { 2 } else { usize::from(rest.starts_with('#')) };
        if separator == 0 {
            break;
        }
        end += separator + word(&rest[separator..]);
    }
    &text[..end]
}

fn string(text: &str, quote: char) -> Option<(String, usize)> {
    let mut out = String::new();
    let mut letters = text.char_indices().skip(1);
    while let Some((at, c)) = letters.next() {
        match c {
            '\\' => match letters.next()?.1 {
                'n' => out.push('\n'),
                't' => out.push('\t'),
                c @ ('\\' | '\'' | '"') => out.push(c),
                _ => return None,
            },
            c if c == quote => return Some((out, at + 1)),
            c => out.push(c),
        }
    }
    None
}

fn number(text: &str) -> Option<(Value, usize)> {
    let mut end = text.find(|c: char| !(c.is_ascii_digit() || c == '_' || c == '.')).unwrap_or(text.len());
    let exponent = text.get(end..)?;
    if exponent.starts_with(['e', 'E']) {
        let signed = usize::from(exponent.get(1..)?.starts_with(['-', '+']));
        let digits = exponent.get(1 + signed..)?.chars().take_while(char::is_ascii_digit).count();
        if digits == 0 {
            return None;
        }
        end += 1 + signed + digits;
    }
    let plain = text.get(..end)?.replace('_', "");
    let value = match plain.parse::<i64>() {
        Ok(whole) => whole.into(),
        Err(_) => Value::Number(Number::from_f64(plain.parse().ok()?)?),
    };
    Some((value, end))
}

struct Parser {
    tokens: Vec<Token>,
    at: usize,
    depth: usize,
}

impl Parser {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at)
    }

    fn sign(&mut self, sign: &str) -> bool {
        let there = matches!(self.peek(), Some(Token::Sign(s)) if *s == sign);
        self.at += usize::from(there);
        there
    }

    fn keyword(&mut self, word: &str) -> bool {
        let there = matches!(self.peek(), Some(Token::Word(w)) if w == word);
        self.at += usize::from(there);
        there
    }

    fn one_of(&mut self, signs: &[&'static str]) -> Option<&'static str> {
        signs.iter().find(|sign| self.sign(sign)).copied()
    }

    fn expr(&mut self) -> Option<Expr> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return None;
        }
        let then = self.chain(0)?;
        let expr = if self.keyword("if") {
            let condition = Box::new(self.chain(0)?);
            let otherwise = self.keyword("else").then(|| self.expr())??;
            Expr::If { condition, then: Box::new(then), otherwise: Box::new(otherwise) }
        } else {
            then
        };
        self.depth -= 1;
        Some(expr)
    }

    /// `or`, `and`: the lower the level, the weaker the binding.
    fn chain(&mut self, level: usize) -> Option<Expr> {
        let Some(word) = ["or", "and"].get(level).copied() else { return self.not() };
        let mut left = self.chain(level + 1)?;
        while self.keyword(word) {
            left = Expr::Binary(word, Box::new(left), Box::new(self.chain(level + 1)?));
        }
        Some(left)
    }

    fn not(&mut self) -> Option<Expr> {
        if self.keyword("not") {
            self.deeper()?;
            let inner = self.not()?;
            self.depth -= 1;
            return Some(Expr::Not(Box::new(inner)));
        }
        let left = self.sum()?;
        let sign = match self.one_of(&["==", "!=", "<=", ">=", "<", ">"]) {
            Some(sign) => sign,
            None if self.keyword("is") => {
                if self.keyword("not") {
                    "!="
                } else {
                    "=="
                }
            }
            None => return Some(left),
        };
        Some(Expr::Binary(sign, Box::new(left), Box::new(self.sum()?)))
    }

    fn sum(&mut self) -> Option<Expr> {
        let mut left = self.term()?;
        while let Some(sign) = self.one_of(&["+", "-"]) {
            left = Expr::Binary(sign, Box::new(left), Box::new(self.term()?));
        }
        Some(left)
    }

    fn term(&mut self) -> Option<Expr> {
        let mut left = self.unary()?;
        while let Some(sign) = self.one_of(&["*", "//", "/"]) {
            left = Expr::Binary(sign, Box::new(left), Box::new(self.unary()?));
        }
        Some(left)
    }

    fn deeper(&mut self) -> Option<()> {
        self.depth += 1;
        (self.depth <= MAX_DEPTH).then_some(())
    }

    fn unary(&mut self) -> Option<Expr> {
        if self.sign("-") {
            self.deeper()?;
            let inner = self.unary()?;
            self.depth -= 1;
            return Some(Expr::Negative(Box::new(inner)));
        }
        let mut expr = self.atom()?;
        let mut length = 0;
        loop {
            length += 1;
            if length > MAX_DEPTH {
                return None;
            }
            if self.sign(".") {
                let Some(Token::Word(name)) = self.peek().cloned() else { return None };
                self.at += 1;
                expr = match expr {
                    Expr::Name(path) => Expr::Name(format!("{path}.{name}")),
                    other => Expr::Attribute(Box::new(other), name),
                };
            } else if self.sign("(") {
                expr = Expr::Call(Box::new(expr), self.arguments()?);
            } else if self.sign("[") {
                let index = self.expr()?;
                self.sign("]").then_some(())?;
                expr = Expr::Index(Box::new(expr), Box::new(index));
            } else {
                return Some(expr);
            }
        }
    }

    /// Of a call, after its bracket. What is given by name is kept without it: no call that is understood takes such.
    fn arguments(&mut self) -> Option<Vec<Expr>> {
        let mut arguments = Vec::new();
        while !self.sign(")") {
            let by_name = matches!(self.tokens.get(self.at..self.at + 2), Some([Token::Word(_), Token::Sign("=")]));
            self.at += if by_name { 2 } else { 0 };
            arguments.push(self.expr()?);
            if !self.sign(",") {
                self.sign(")").then_some(())?;
                break;
            }
        }
        Some(arguments)
    }

    fn atom(&mut self) -> Option<Expr> {
        let token = self.peek()?.clone();
        self.at += 1;
        Some(match token {
            Token::Value(Value::String(mut text)) => {
                // Strings beside each other are one.
                while let Some(Token::Value(Value::String(more))) = self.peek() {
                    text.push_str(more);
                    self.at += 1;
                }
                Expr::Value(text.into())
            }
            Token::Value(value) => Expr::Value(value),
            Token::Reference(id) => Expr::Reference(id),
            Token::Word(word) => match word.as_str() {
                "True" => Expr::Value(true.into()),
                "False" => Expr::Value(false.into()),
                "None" => Expr::Value(Value::Null),
                "lambda" | "import" | "from" | "for" | "in" | "await" | "yield" | "if" | "else" | "and" | "or" => {
                    return None;
                }
                _ => Expr::Name(word),
            },
            Token::Sign("[") => Expr::List(self.items("]")?.0),
            Token::Sign("(") => match self.items(")")? {
                (mut one, false) if one.len() == 1 => one.pop()?,
                (items, _) => Expr::List(items),
            },
            Token::Sign("{") => Expr::Dictionary(self.pairs()?),
            Token::Sign(_) => return None,
        })
    }

    /// Up to the closing bracket, and whether there was a comma.
    fn items(&mut self, close: &str) -> Option<(Vec<Expr>, bool)> {
        let (mut items, mut comma) = (Vec::new(), false);
        while !self.sign(close) {
            items.push(self.expr()?);
            if self.sign(",") {
                comma = true;
            } else {
                self.sign(close).then_some(())?;
                break;
            }
        }
        Some((items, comma))
    }

    fn pairs(&mut self) -> Option<Vec<(Expr, Expr)>> {
        let mut pairs = Vec::new();
        while !self.sign("}") {
            let key = self.expr()?;
            self.sign(":").then_some(())?;
            pairs.push((key, self.expr()?));
            if !self.sign(",") {
                self.sign("}").then_some(())?;
                break;
            }
        }
        Some(pairs)
    }
}
