//! Text → tokens with their places.

use super::ConditionError;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token {
    Word(String),
    Text(String),
    Number(i64),
    /// One of [`SIGNS`].
    Sign(&'static str),
    End,
}

/// A token, and the characters before it.
pub(super) type Placed = (usize, Token);

/// The longer ones first, so that `<=` is not `<` and `=`.
const SIGNS: [&str; 17] =
    ["&&", "||", "==", "!=", "<=", ">=", "!", "<", ">", "(", ")", "[", "]", ".", ",", "-", "="];

/// The tokens, of which the last is [`Token::End`].
pub(super) fn tokens(text: &str) -> Result<Vec<Placed>, ConditionError> {
    let chars: Vec<char> = text.chars().collect();
    let (mut list, mut at) = (Vec::new(), 0);
    while let Some(&first) = chars.get(at) {
        let rest = &chars[at..];
        let (token, length) = if first.is_whitespace() {
            at += 1;
            continue;
        } else if first.is_ascii_alphabetic() || first == '_' {
            word(rest)
        } else if first.is_ascii_digit() {
            number(rest, at)?
        } else if first == '"' || first == '\'' {
            quoted(rest, at)?
        } else {
            sign(rest, at)?
        };
        list.push((at, token));
        at += length;
    }
    list.push((at, Token::End));
    Ok(list)
}

fn word(rest: &[char]) -> (Token, usize) {
    let inner = |c: &&char| c.is_ascii_alphanumeric() || **c == '_';
    let word: String = rest.iter().take_while(inner).collect();
    let length = word.len();
    (Token::Word(word), length)
}

fn number(rest: &[char], at: usize) -> Result<(Token, usize), ConditionError> {
    let digits: String = rest.iter().take_while(|c| c.is_ascii_digit()).collect();
    let length = digits.len();
    if matches!(rest.get(length), Some(c) if c.is_ascii_alphanumeric() || matches!(c, '.' | '_')) {
        return Err(ConditionError::new(at, "only whole numbers are known; quote a text"));
    }
    let number = digits.parse().map_err(|_| ConditionError::new(at, "this number is too large"))?;
    Ok((Token::Number(number), length))
}

fn quoted(rest: &[char], at: usize) -> Result<(Token, usize), ConditionError> {
    let (quote, mut text, mut length) = (rest[0], String::new(), 1);
    loop {
        match (rest.get(length), rest.get(length + 1)) {
            (Some(c), _) if *c == quote => return Ok((Token::Text(text), length + 1)),
            (Some('\\'), Some(c @ ('\\' | '"' | '\''))) => {
                text.push(*c);
                length += 2;
            }
            (Some('\\'), _) => {
                return Err(ConditionError::new(at + length, "only quotes and `\\` can stand behind `\\`"));
            }
            (Some(c), _) => {
                text.push(*c);
                length += 1;
            }
            (None, _) => return Err(ConditionError::new(at, format!("this text has no closing {quote}"))),
        }
    }
}

fn sign(rest: &[char], at: usize) -> Result<(Token, usize), ConditionError> {
    let begins = |sign: &&&str| sign.chars().zip(rest).filter(|(a, b)| a == *b).count() == sign.len();
    match SIGNS.iter().find(begins) {
        Some(&"=") => Err(ConditionError::new(at, "write `==` to compare")),
        Some(sign) => Ok((Token::Sign(sign), sign.len())),
        None => Err(ConditionError::new(at, format!("`{}` has no meaning here", rest[0]))),
    }
}
