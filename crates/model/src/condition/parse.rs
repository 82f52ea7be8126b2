//! Tokens → a test whose names and types were checked. Recursion is bounded by [`MOST_DEPTH`].

use super::lex::{Placed, Token, tokens};
use super::{Affix, ConditionError, MOST_BYTES, Map, Number, Test, Text, Texts};

/// Brackets and negations in each other.
const MOST_DEPTH: usize = 24;

const NAMES: &str =
    "known are `labels`, `runtimes`, `capabilities` (`caps`), `arch`, `os`, `name` and `cluster`";

pub(super) fn parse(text: &str) -> Result<Test, ConditionError> {
    if text.len() > MOST_BYTES {
        return Err(ConditionError::new(0, format!("a condition has at most {MOST_BYTES} bytes")));
    }
    let mut parser = Parser { tokens: tokens(text)?, next: 0, depth: 0 };
    let value = parser.either()?;
    match parser.peek() {
        Token::End => test(0, value),
        _ => Err(parser.expected("`&&`, `||` or the end")),
    }
}

/// An expression of any type.
#[derive(Debug)]
enum Value {
    Test(Test),
    Text(Text),
    Texts(Texts),
    Map(Map),
    Number(Number),
}

struct Parser {
    tokens: Vec<Placed>,
    next: usize,
    depth: usize,
}

type Parsed<T> = Result<T, ConditionError>;

// === impl Parser: tokens ===

impl Parser {
    /// The last token is the end, and is never passed.
    fn peek(&self) -> &Token {
        &self.tokens[self.next].1
    }

    fn at(&self) -> usize {
        self.tokens[self.next].0
    }

    fn take(&mut self) -> Token {
        let token = self.peek().clone();
        self.next = (self.next + 1).min(self.tokens.len() - 1);
        token
    }

    fn takes(&mut self, sign: &str) -> bool {
        let found = matches!(self.peek(), Token::Sign(next) if *next == sign);
        if found {
            self.take();
        }
        found
    }

    fn must(&mut self, sign: &str) -> Parsed<()> {
        if self.takes(sign) { Ok(()) } else { Err(self.expected(&format!("`{sign}`"))) }
    }

    fn expected(&self, what: &str) -> ConditionError {
        let found = match self.peek() {
            Token::Word(word) => format!("`{word}`"),
            Token::Text(text) => format!("the text \"{}\"", crate::name::shorten(text)),
            Token::Number(number) => format!("`{number}`"),
            Token::Sign(sign) => format!("`{sign}`"),
            Token::End => "the end".to_owned(),
        };
        ConditionError::new(self.at(), format!("expected {what}, found {found}"))
    }

    fn deeper<T>(&mut self, read: impl FnOnce(&mut Self) -> Parsed<T>) -> Parsed<T> {
        self.depth += 1;
        if self.depth > MOST_DEPTH {
            return Err(ConditionError::new(self.at(), format!("nested deeper than {MOST_DEPTH} levels")));
        }
        let found = read(self)?;
        self.depth -= 1;
        Ok(found)
    }
}

// === impl Parser: grammar ===

impl Parser {
    fn either(&mut self) -> Parsed<Value> {
        self.series("||", Self::both, Test::Any)
    }

    fn both(&mut self) -> Parsed<Value> {
        self.series("&&", Self::relation, Test::All)
    }

    fn series(
        &mut self,
        sign: &str,
        part: fn(&mut Self) -> Parsed<Value>,
        join: fn(Vec<Test>) -> Test,
    ) -> Parsed<Value> {
        let at = self.at();
        let first = part(self)?;
        if !matches!(self.peek(), Token::Sign(next) if *next == sign) {
            return Ok(first);
        }
        let mut tests = vec![test(at, first)?];
        while self.takes(sign) {
            let at = self.at();
            let next = part(self)?;
            tests.push(test(at, next)?);
        }
        Ok(Value::Test(join(tests)))
    }

    fn relation(&mut self) -> Parsed<Value> {
        let left = self.unary()?;
        let at = self.at();
        let sign = match self.peek() {
            Token::Sign(sign @ ("==" | "!=" | "<" | "<=" | ">" | ">=")) => *sign,
            Token::Word(word) if word == "in" => "in",
            _ => return Ok(left),
        };
        self.take();
        let right = self.unary()?;
        compared(at, left, sign, right).map(Value::Test)
    }

    fn unary(&mut self) -> Parsed<Value> {
        if self.takes("!") {
            let at = self.at();
            let value = self.deeper(Self::unary)?;
            return Ok(Value::Test(Test::Not(Box::new(test(at, value)?))));
        }
        let mut value = self.primary()?;
        loop {
            let at = self.at();
            if self.takes(".") {
                value = self.member(at, value)?;
            } else if self.takes("[") {
                let Token::Text(key) = self.peek().clone() else {
                    return Err(self.expected("a quoted key, as in `labels[\"zone\"]`"));
                };
                self.take();
                self.must("]")?;
                value = Value::Text(entry(at, &value, key)?);
            } else {
                return Ok(value);
            }
        }
    }

    fn primary(&mut self) -> Parsed<Value> {
        let at = self.at();
        match self.peek().clone() {
            Token::Text(text) => {
                self.take();
                Ok(Value::Text(Text::Literal(text)))
            }
            Token::Number(number) => {
                self.take();
                Ok(Value::Number(Number::Literal(number)))
            }
            Token::Sign("-") => {
                self.take();
                let Token::Number(number) = self.peek() else { return Err(self.expected("a number")) };
                let number = -*number;
                self.take();
                Ok(Value::Number(Number::Literal(number)))
            }
            Token::Sign("(") => {
                self.take();
                let value = self.deeper(Self::either)?;
                self.must(")")?;
                Ok(value)
            }
            Token::Sign("[") => self.list(),
            Token::Word(word) => {
                self.take();
                self.word(at, &word)
            }
            Token::Sign(_) | Token::End => Err(self.expected("a name, a text, a number or `(`")),
        }
    }

    fn list(&mut self) -> Parsed<Value> {
        self.must("[")?;
        let mut texts = Vec::new();
        while !self.takes("]") {
            let at = self.at();
            let value = self.deeper(Self::unary)?;
            texts.push(text(at, value)?);
            if !self.takes(",") {
                self.must("]")?;
                break;
            }
        }
        Ok(Value::Texts(Texts::List(texts)))
    }

    /// What a bare word means.
    fn word(&mut self, at: usize, word: &str) -> Parsed<Value> {
        Ok(match word {
            "labels" => Value::Map(Map::Labels),
            "runtimes" => Value::Map(Map::Runtimes),
            "capabilities" | "caps" => Value::Texts(Texts::Capabilities),
            "arch" => Value::Text(Text::Arch),
            "os" => Value::Text(Text::Os),
            "name" => Value::Text(Text::Name),
            "cluster" => Value::Text(Text::Cluster),
            "true" => Value::Test(Test::Is(true)),
            "false" => Value::Test(Test::Is(false)),
            "has" => {
                self.must("(")?;
                let inner = self.at();
                let value = self.deeper(Self::unary)?;
                self.must(")")?;
                let Value::Text(Text::Entry(map, key)) = value else {
                    return Err(ConditionError::new(
                        inner,
                        "`has` asks for an entry, as in `has(labels.zone)`",
                    ));
                };
                Value::Test(Test::Has(map, Text::Literal(key)))
            }
            "int" => {
                self.must("(")?;
                let inner = self.at();
                let value = self.deeper(Self::unary)?;
                self.must(")")?;
                Value::Number(Number::Of(text(inner, value)?))
            }
            _ if matches!(self.peek(), Token::Sign("(")) => {
                return Err(ConditionError::new(
                    at,
                    format!("there is no function `{word}`; known are `has` and `int`"),
                ));
            }
            _ => return Err(ConditionError::new(at, format!("there is no `{word}`; {NAMES}"))),
        })
    }

    /// Behind the `.`: an entry of a map, or a function of a text.
    fn member(&mut self, at: usize, value: Value) -> Parsed<Value> {
        let Token::Word(word) = self.peek().clone() else { return Err(self.expected("a name")) };
        self.take();
        if !matches!(self.peek(), Token::Sign("(")) {
            return entry(at, &value, word).map(Value::Text);
        }
        let affix = match word.as_str() {
            "startsWith" => Affix::Starts,
            "endsWith" => Affix::Ends,
            "contains" => Affix::Contains,
            _ => {
                let known = "known are `startsWith`, `endsWith` and `contains`";
                return Err(ConditionError::new(at + 1, format!("there is no function `{word}`; {known}")));
            }
        };
        self.must("(")?;
        let inner = self.at();
        let part = self.deeper(Self::unary)?;
        self.must(")")?;
        Ok(Value::Test(Test::Affix(affix, text(at, value)?, text(inner, part)?)))
    }
}

// === types ===

impl Value {
    const fn kind(&self) -> &'static str {
        match self {
            Self::Test(_) => "a condition",
            Self::Text(_) => "a text",
            Self::Texts(_) => "a list",
            Self::Map(_) => "a map",
            Self::Number(_) => "a number",
        }
    }
}

fn test(at: usize, value: Value) -> Parsed<Test> {
    match value {
        Value::Test(test) => Ok(test),
        other => Err(ConditionError::new(at, format!("expected a condition, found {}", other.kind()))),
    }
}

fn text(at: usize, value: Value) -> Parsed<Text> {
    match value {
        Value::Text(text) => Ok(text),
        other => Err(ConditionError::new(at, format!("expected a text, found {}", other.kind()))),
    }
}

fn entry(at: usize, value: &Value, key: String) -> Parsed<Text> {
    match value {
        Value::Map(map) => Ok(Text::Entry(*map, key)),
        other => Err(ConditionError::new(
            at,
            format!("{} has no `{key}`; `labels` and `runtimes` have entries", other.kind()),
        )),
    }
}

fn compared(at: usize, left: Value, sign: &str, right: Value) -> Parsed<Test> {
    let not = |test| Test::Not(Box::new(test));
    Ok(match (left, sign, right) {
        (Value::Text(a), "==", Value::Text(b)) => Test::Equal(a, b),
        (Value::Text(a), "!=", Value::Text(b)) => not(Test::Equal(a, b)),
        (Value::Number(a), "==", Value::Number(b)) => Test::Same(a, b),
        (Value::Number(a), "!=", Value::Number(b)) => not(Test::Same(a, b)),
        (Value::Number(a), "<", Value::Number(b)) | (Value::Number(b), ">", Value::Number(a)) => {
            Test::Less(a, b)
        }
        (Value::Number(a), ">=", Value::Number(b)) | (Value::Number(b), "<=", Value::Number(a)) => {
            not(Test::Less(a, b))
        }
        (Value::Text(a), "in", Value::Texts(list)) => Test::Within(a, list),
        (Value::Text(a), "in", Value::Map(map)) => Test::Has(map, a),
        (left, sign, right) => {
            let hint = match (&left, &right) {
                (Value::Text(_), Value::Number(_)) | (Value::Number(_), Value::Text(_)) => {
                    "; `int(…)` makes a number of a text"
                }
                _ => "",
            };
            let message = format!("`{sign}` does not compare {} with {}{hint}", left.kind(), right.kind());
            return Err(ConditionError::new(at, message));
        }
    })
}
