//! `${NAME}` and `${NAME:-default}` in scalars.

use std::ffi::OsString;
use std::ops::Range;

/// How a variable of the environment is read.
pub type Env<'e> = &'e dyn Fn(&str) -> Option<OsString>;

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
        let start = text.len() - reference.len();
        let length = reference.find('}').map_or(reference.len(), |end| end + 1);
        let (reference, after) = reference.split_at(length);
        let mut refuse = |within: usize, message| errors.push(EnvError { at: start + within..start + length, message });
        match (nested(reference), value(reference, env)) {
            (Some(within), _) => refuse(within, "a default cannot hold a variable".to_owned()),
            (None, Ok(value)) if out.len() + value.len() <= bytes_max => out.push_str(&value),
            (None, Ok(_)) => refuse(0, "the value of the variable is too long".to_owned()),
            (None, Err(message)) => refuse(0, message),
        }
        rest = after;
    }
    out.push_str(rest);
    if errors.is_empty() { Ok(Some(out)) } else { Err(errors) }
}

/// Where another reference begins in the default of this one. A shell would replace that one too; as text it would not be what was
/// meant.
fn nested(reference: &str) -> Option<usize> {
    let (name, default) = reference.split_once(":-")?;
    default.find("${").map(|at| name.len() + 2 + at)
}

fn value(reference: &str, env: Env<'_>) -> Result<String, String> {
    let inner = reference.strip_prefix("${").and_then(|inner| inner.strip_suffix('}'));
    let inner = inner.ok_or_else(|| "`${` without its `}`".to_owned())?;
    let (name, default) = inner.split_once(":-").map_or((inner, None), |(name, default)| (name, Some(default)));
    if !is_name(name) {
        return Err("not the name of an environment variable".to_owned());
    }
    let value = env(name).map(OsString::into_string).transpose();
    let value = value.map_err(|_| format!("the value of the environment variable `{name}` is not UTF-8"))?;
    match (value, default) {
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
    use std::os::unix::ffi::OsStringExt as _;

    use super::*;

    fn env(name: &str) -> Option<OsString> {
        match name {
            "HOST" => Some("example.com".into()),
            "EMPTY" => Some(OsString::new()),
            "LATIN" => Some(OsString::from_vec(b"caf\xe9".to_vec())),
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

    #[test]
    fn a_default_holds_no_variable() {
        // Whether the outer one is set makes no difference: it need not be everywhere.
        for text in ["x${NONE:-${HOST}}", "x${HOST:-${NONE}}", "x${HOST:-a${HOST"] {
            let errors = expanded(text).unwrap_err();
            let [error] = &*errors else { panic!("{text}: {errors:?}") };
            assert_eq!(error.message, "a default cannot hold a variable", "{text}");
            assert_eq!(Some(error.at.start), text.rfind("${"), "{text}");
        }
    }

    #[test]
    fn what_is_set_and_is_no_text_is_not_said_to_be_missing() {
        for text in ["${LATIN}", "${LATIN:-x}"] {
            let errors = expanded(text).unwrap_err();
            assert_eq!(errors[0].message, "the value of the environment variable `LATIN` is not UTF-8");
        }
    }
}
