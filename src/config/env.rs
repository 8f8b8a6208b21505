//! `${NAME}` and `${NAME:-default}` in scalars.

use std::ops::Range;

/// How a variable of the environment is read.
pub type Env<'e> = &'e dyn Fn(&str) -> Option<String>;

/// What is wrong with a reference to a variable, and where in the scalar it stands.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct EnvError {
    pub(super) at: Range<usize>,
    pub(super) message: String,
}

/// The scalar with every reference replaced; `None` if it has none. `$${` stands for `${` itself, and a `$` without a
/// brace for itself. As in a shell, `:-` also stands in for an empty variable.
pub(super) fn expand(text: &str, env: Env<'_>, bytes_max: usize) -> Result<Option<String>, Vec<EnvError>> {
    if !text.contains("${") {
        return Ok(None);
    }
    let mut out = String::with_capacity(text.len());
    let mut errors = Vec::new();
    let mut rest = text;
    while let Some(found) = rest.find("${") {
        let (before, reference) = rest.split_at(found);
        if let Some(before) = before.strip_suffix('$') {
            out.push_str(before);
            out.push_str("${");
            rest = reference.get(2..).unwrap_or_default();
            continue;
        }
        out.push_str(before);
        let length = reference.find('}').map_or(reference.len(), |end| end + 1);
        let (reference, after) = reference.split_at(length);
        match value(reference, env) {
            Ok(value) if out.len() + value.len() <= bytes_max => out.push_str(&value),
            Ok(_) => errors.push((rest.len() - found, length, "the value of the variable is too long".to_owned())),
            Err(message) => errors.push((rest.len() - found, length, message)),
        }
        rest = after;
    }
    out.push_str(rest);
    if errors.is_empty() {
        return Ok(Some(out));
    }
    let place = |(from_end, length, message)| {
        let start = text.len() - from_end;
        EnvError { at: start..start + length, message }
    };
    Err(errors.into_iter().map(place).collect())
}

fn value(reference: &str, env: Env<'_>) -> Result<String, String> {
    let inner = reference.strip_prefix("${").and_then(|inner| inner.strip_suffix('}'));
    let inner = inner.ok_or_else(|| "`${` without its `}`".to_owned())?;
    let (name, default) = inner.split_once(":-").map_or((inner, None), |(name, default)| (name, Some(default)));
    if !is_name(name) {
        return Err("not the name of an environment variable".to_owned());
    }
    match (env(name), default) {
        (Some(value), None) => Ok(value),
        (Some(value), Some(_)) if !value.is_empty() => Ok(value),
        (_, Some(default)) => Ok(default.to_owned()),
        (None, None) => Err(format!("the environment variable `{name}` is not set")),
    }
}

/// A name in the sense of POSIX: letters, digits and `_`, not a digit first.
fn is_name(text: &str) -> bool {
    let name_byte = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    !text.is_empty() && text.bytes().all(name_byte) && !text.starts_with(|first: char| first.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env(name: &str) -> Option<String> {
        match name {
            "HOST" => Some("example.com".to_owned()),
            "EMPTY" => Some(String::new()),
            _ => None,
        }
    }

    fn expanded(text: &str) -> Result<Option<String>, Vec<EnvError>> {
        expand(text, &env, 1000)
    }

    #[test]
    fn references_are_replaced() {
        for (text, value) in [
            ("https://${HOST}/", "https://example.com/"),
            ("${HOST}${HOST}", "example.comexample.com"),
            ("${NONE:-a:-b}", "a:-b"),
            ("${EMPTY:-x}", "x"),
            ("[${EMPTY}]", "[]"),
            ("$${HOST} $5 $", "${HOST} $5 $"),
        ] {
            let expected = if text.contains("${") { Some(value.to_owned()) } else { None };
            assert_eq!(expanded(text), Ok(expected), "{text}");
        }
        assert_eq!(expanded("no $reference {here}"), Ok(None));
    }

    #[test]
    fn every_bad_reference_is_named_with_its_place() {
        let errors = expanded("é${ONE} ${HOST} ${2X}").unwrap_err();
        let places: Vec<_> = errors.iter().map(|error| error.at.clone()).collect();
        assert_eq!(places, [2..8, 17..22]);
        assert_eq!(errors[0].message, "the environment variable `ONE` is not set");
        assert!(expanded("${HOST").unwrap_err()[0].message.contains("without"));
        assert!(expand("${HOST}", &env, 3).is_err());
    }
}
