//! Strict JSON for tokens and key sets (RFC 8259, and RFC 7493 where it is stricter).
//!
//! Two parsers that read one document differently are how a token means one thing to a gateway and another to the
//! backend behind it. So everything that parsers are known to disagree about is refused: a member twice, an integer that
//! does not fit into 64 bits, a lone surrogate, something behind the end.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt;

use serde::Deserializer;
use serde::de::{DeserializeSeed, Error as _, MapAccess, SeqAccess, Visitor};
use thiserror::Error;

use super::foreign::Quoted;

/// Deepest nesting of arrays and objects; the outermost one counts.
pub const DEPTH_MAX: usize = 16;

/// Room for as many members of the outermost object is made at once: a token has seldom more.
const MEMBERS_USUAL: usize = 16;

/// A JSON value. Strings are those of the text that it was read from, but for such as are written with escapes.
#[derive(Debug, Clone, PartialEq)]
pub enum Json<'a> {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number written without fraction and exponent.
    Integer(i64),
    /// Any other number: finite, and less than 2^63 in magnitude.
    Float(f64),
    /// A string.
    String(Cow<'a, str>),
    /// An array.
    Array(Vec<Json<'a>>),
    /// An object.
    Object(Object<'a>),
}

/// A JSON object: members sorted by name, no name twice.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Object<'a>(Vec<Member<'a>>);

#[derive(Debug, Clone, PartialEq)]
struct Member<'a> {
    name_head: u64,
    name: Cow<'a, str>,
    value: Json<'a>,
}

/// Why a text is not the JSON we take, for behind an "is". The message names a place and at most a member's name, never a value.
#[derive(Debug, Error)]
pub enum JsonError {
    /// It is none.
    #[error("not valid JSON: {0}")]
    Invalid(serde_json::Error),
    /// It is JSON, but of the kind that parsers disagree about, or that some of them do not take.
    #[error("not JSON that every parser reads alike: {0}")]
    Ambiguous(serde_json::Error),
}

/// What the parser itself refuses although the grammar allows it, by how it says so: it has no other way to tell. These are
/// numbers that are too large, and halves of surrogate pairs.
const REFUSED_BY_PARSER: [&str; 3] =
    ["number out of range", "lone leading surrogate in hex escape", "unexpected end of hex escape"];

impl From<serde_json::Error> for JsonError {
    fn from(error: serde_json::Error) -> Self {
        // `is_data` are the errors of this module.
        let is_json = error.is_data() || {
            let text = error.to_string();
            REFUSED_BY_PARSER.iter().any(|refused| text.starts_with(refused))
        };
        if is_json { Self::Ambiguous(error) } else { Self::Invalid(error) }
    }
}

impl<'a> Json<'a> {
    /// The value that is the whole of `text`.
    ///
    /// # Errors
    /// If `text` is not JSON in UTF-8, or is JSON of the kind that parsers disagree about.
    pub fn parse(text: &'a [u8]) -> Result<Self, JsonError> {
        // Looked at as a whole, so that the parser need not look at every string.
        let text = std::str::from_utf8(text).map_err(|error| JsonError::Invalid(serde_json::Error::custom(error)))?;
        let mut deserializer = serde_json::Deserializer::from_str(text);
        let value = Level(DEPTH_MAX).deserialize(&mut deserializer)?;
        deserializer.end()?;
        Ok(value)
    }

    /// The string, if it is one.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text),
            _ => None,
        }
    }

    /// The object, if it is one.
    #[must_use]
    pub fn into_object(self) -> Option<Object<'a>> {
        match self {
            Self::Object(object) => Some(object),
            _ => None,
        }
    }
}

impl<'a> Object<'a> {
    /// The member of this name.
    #[must_use]
    #[inline]
    pub fn get(&self, name: &str) -> Option<&Json<'a>> {
        // Known to the compiler for nearly all names.
        self.find(head(name), name)
    }

    fn find(&self, head: u64, name: &str) -> Option<&Json<'a>> {
        let index = self.0.binary_search_by(|member| member.compare(head, name)).ok()?;
        self.0.get(index).map(|member| &member.value)
    }

    /// The member of this name, if it is a string.
    #[must_use]
    pub fn str(&self, name: &str) -> Option<&str> {
        self.get(name)?.as_str()
    }

    /// Whether there is a member of this name, whatever its value.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }
}

impl Member<'_> {
    /// Compares the name with another one, of this [`head`].
    fn compare(&self, head: u64, name: &str) -> Ordering {
        self.name_head.cmp(&head).then_with(|| (*self.name).cmp(name))
    }
}

/// The first bytes of a name, as a number in whose order names are as well, as far as it tells them apart. It does mostly, and
/// numbers are quickly compared.
#[inline]
fn head(name: &str) -> u64 {
    let mut first = [0; 8];
    first.iter_mut().zip(name.as_bytes()).for_each(|(to, from)| *to = *from);
    u64::from_be_bytes(first)
}

/// Reads the name of a member.
struct Name;

impl<'de> DeserializeSeed<'de> for Name {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Name {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_borrowed_str<E>(self, name: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(name))
    }

    fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(name.to_owned()))
    }
}

/// Reads one value with this many levels of nesting left.
#[derive(Clone, Copy)]
struct Level(usize);

impl Level {
    /// For how many members room is made at once. For what is nested it is made as they come: of that an attacker can send a
    /// lot.
    fn members_usual(self) -> usize {
        if self.0 == DEPTH_MAX { MEMBERS_USUAL } else { 0 }
    }

    fn below<E: serde::de::Error>(self) -> Result<Self, E> {
        self.0.checked_sub(1).map(Self).ok_or_else(|| E::custom(format_args!("nested deeper than {DEPTH_MAX}")))
    }
}

impl<'de> DeserializeSeed<'de> for Level {
    type Value = Json<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Json<'de>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Level {
    type Value = Json<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Json<'de>, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Json<'de>, E> {
        Ok(Json::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Json<'de>, E> {
        Ok(Json::Integer(value))
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<Json<'de>, E> {
        i64::try_from(value).map(Json::Integer).map_err(|_| E::custom("a number out of range"))
    }

    /// Integers beyond 64 bits arrive here as well, rounded. The bound refuses them: a float that large is an integer,
    /// and nobody knows any more which.
    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Json<'de>, E> {
        const TWO_TO_THE_63: f64 = 9_223_372_036_854_775_808.0;
        let fits = value.abs() < TWO_TO_THE_63;
        fits.then_some(Json::Float(value)).ok_or_else(|| E::custom("a number out of range"))
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Json<'de>, E> {
        Ok(Json::String(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Json<'de>, E> {
        Ok(Json::String(Cow::Owned(text.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Json<'de>, A::Error> {
        let below = self.below()?;
        let mut values = Vec::new();
        while let Some(value) = elements.next_element_seed(below)? {
            values.push(value);
        }
        Ok(Json::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Json<'de>, A::Error> {
        let below = self.below()?;
        let mut all: Vec<Member<'de>> = Vec::with_capacity(self.members_usual());
        while let Some(name) = members.next_key_seed(Name)? {
            all.push(Member { name_head: head(&name), name, value: members.next_value_seed(below)? });
        }
        // Sorted once instead of compared with each other: an attacker chooses how many members there are.
        all.sort_unstable_by(|left, right| left.compare(right.name_head, &right.name));
        match all.iter().zip(all.iter().skip(1)).find(|(left, right)| left.name == right.name) {
            Some((member, _)) => Err(A::Error::custom(format_args!("the member {} twice", Quoted(&member.name)))),
            None => Ok(Json::Object(Object(all))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(text: &str) -> String {
        Json::parse(text.as_bytes()).expect_err(text).to_string()
    }

    #[test]
    fn every_kind_of_value_is_read() {
        let text = r#" {"n":null,"b":true,"i":-7,"f":1.5,"s":"\u00e9\ud83d\ude00","a":[1,"x"],"o":{"k":{}}} "#;
        let object = Json::parse(text.as_bytes()).unwrap().into_object().unwrap();
        assert_eq!(object.get("n"), Some(&Json::Null));
        assert_eq!(object.get("b"), Some(&Json::Bool(true)));
        assert_eq!(object.get("i"), Some(&Json::Integer(-7)));
        assert_eq!(object.get("f"), Some(&Json::Float(1.5)));
        assert_eq!(object.str("s"), Some("é😀"));
        assert_eq!(object.get("a"), Some(&Json::Array(vec![Json::Integer(1), Json::String("x".into())])));
        assert!(object.has("o") && !object.has("k") && object.str("i").is_none());
    }

    #[test]
    fn a_member_twice_is_refused_however_it_is_spelled() {
        assert!(refusal(r#"{"sub":"a","sub":"b"}"#).contains(r#"the member "sub" twice"#));
        assert!(refusal(r#"{"sub":"a","s\u0075b":"b"}"#).contains("twice"));
        assert!(refusal(r#"{"a":{"x":1,"y":2,"x":1}}"#).contains("twice"));
    }

    #[test]
    fn names_that_only_look_alike_are_different() {
        // Composed and decomposed, and a Cyrillic letter: no normalisation, as RFC 7519 section 7.3 says.
        for text in [r#"{"é":1,"e\u0301":2}"#, r#"{"sub":1,"ѕub":2}"#, r#"{"SUB":1,"sub":2}"#] {
            assert!(Json::parse(text.as_bytes()).is_ok(), "{text}");
        }
    }

    #[test]
    fn members_are_found_whatever_their_names_have_in_common() {
        let names = ["", "\0", "a", "a\0", "client_i", "client_id", "client_id2", "clientId", "é", "sub"];
        let text: Vec<String> = names.iter().enumerate().map(|(i, name)| format!("{name:?}:{i}")).collect();
        let text = format!("{{{}}}", text.join(",")).replace("\\0", "\\u0000");
        let object = Json::parse(text.as_bytes()).unwrap().into_object().unwrap();
        for (index, name) in (0..).zip(names) {
            assert_eq!(object.get(name), Some(&Json::Integer(index)), "{name:?}");
        }
        for absent in ["client_", "client_id3", "\0\0", "su", "subs"] {
            assert!(!object.has(absent), "{absent:?}");
        }
    }

    #[test]
    fn nesting_has_an_end() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(Json::parse(nested(DEPTH_MAX).as_bytes()).is_ok());
        assert!(refusal(&nested(DEPTH_MAX + 1)).contains("nested deeper than 16"));
        assert!(refusal(&"[".repeat(100_000)).contains("nested deeper than 16"));
    }

    #[test]
    fn numbers_that_parsers_disagree_about_are_refused() {
        for text in ["9223372036854775807", "-9223372036854775808", "9e18", "-0.0", "1e-400"] {
            assert!(Json::parse(text.as_bytes()).is_ok(), "{text}");
        }
        for text in ["9223372036854775808", "-9223372036854775809", "18446744073709551616", "1e19", "1e400", "-1e400"] {
            assert!(refusal(text).contains("out of range"), "{text}");
        }
        for text in ["NaN", "Infinity", "-Infinity", "+1", "01", "1.", ".5", "0x10", "1_000"] {
            assert!(Json::parse(text.as_bytes()).is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_json_and_not_taken_is_not_said_to_be_none() {
        for text in [
            "9223372036854775808",
            "1e400",
            r#"{"a":1,"a":2}"#,
            r#""\ud800""#,
            r#""\ud800\n""#,
            r#""\ud800\ud800""#,
            r#""\udc00""#,
            &"[".repeat(DEPTH_MAX + 1),
        ] {
            assert!(refusal(text).starts_with("not JSON that every parser reads alike: "), "{}", refusal(text));
        }
        for text in ["", "{", "[1,]", "01", r#""\u12""#, r#""\u12g4""#, "{}{}"] {
            assert!(refusal(text).starts_with("not valid JSON: "), "{}", refusal(text));
        }
        assert!(Json::parse(b"\"\xff\"").unwrap_err().to_string().starts_with("not valid JSON: "));
        assert!(!refusal(r#"{"exp":92233720368547758089}"#).contains("922"), "a value is shown");
    }

    #[test]
    fn what_is_not_json_is_refused() {
        for text in
            ["", " ", "{}{}", "{} x", "[1,]", "{\"a\":1,}", "'a'", "\"\t\"", "\u{feff}{}", "// c\n{}", "\"\\ud800\""]
        {
            assert!(Json::parse(text.as_bytes()).is_err(), "{text:?}");
        }
        assert!(Json::parse(b"\"\xff\"").is_err());
        assert!(Json::parse(b"{}\0").is_err());
    }
}
