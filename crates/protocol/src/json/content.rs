//! How bytes and modes are written in JSON.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// How bytes are written in a JSON string.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", try_from = "String")]
pub enum Encoding {
    /// As UTF-8 text.
    #[default]
    Text,
    /// In base64 (RFC 4648 section 4, with padding).
    Base64,
}

impl JsonSchema for Encoding {
    fn schema_name() -> Cow<'static, str> {
        "Encoding".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "enum": ["text", "base64"],
            "description": "How bytes are written in a string: as UTF-8 text, or in base64 (RFC 4648 section 4, with padding, without line breaks).",
        })
    }
}

/// Strings only: what serde derives would take `{"base64":null}`, too.
impl TryFrom<String> for Encoding {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.as_str() {
            "text" => Ok(Self::Text),
            "base64" => Ok(Self::Base64),
            _ => Err(format!("{text:?} is no encoding: give \"text\" or \"base64\"")),
        }
    }
}

/// Permission bits of a file: octal digits in a string, `"0644"`, from 0 to 7777.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileMode(pub u32);

impl FileMode {
    /// `0644`: what a new file has if nothing else is asked for.
    pub const DEFAULT: Self = Self(0o644);

    /// Reads octal digits, with or without a leading `0` or `0o`.
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.strip_prefix("0o").unwrap_or(text);
        let valid =
            (1..=5).contains(&digits.len()) && digits.bytes().all(|digit| matches!(digit, b'0'..=b'7'));
        let bits = valid.then(|| u32::from_str_radix(digits, 8).ok()).flatten()?;
        (bits <= 0o7777).then_some(Self(bits))
    }
}

impl<'de> Deserialize<'de> for FileMode {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| {
            serde::de::Error::custom(format_args!(
                "{INVALID_MODE}{text:?} is no file mode: give octal digits in a string, such as \"0644\""
            ))
        })
    }
}

impl Serialize for FileMode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{:04o}", self.0))
    }
}

impl JsonSchema for FileMode {
    fn schema_name() -> Cow<'static, str> {
        "FileMode".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "pattern": "^(0o)?[0-7]{1,5}$",
            "description": "Permission bits in octal, from \"0\" to \"7777\", such as \"0644\".",
        })
    }
}

/// Marks serde messages about modes, so that they get their own error code.
pub(super) const INVALID_MODE: &str = "\u{1}mode\u{1}";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_are_octal_up_to_7777() {
        for (text, mode) in [("0644", 0o644), ("755", 0o755), ("0", 0), ("07777", 0o7777), ("0o600", 0o600)] {
            assert_eq!(FileMode::parse(text), Some(FileMode(mode)), "{text}");
        }
        for text in ["", "8", "0o", "10000", "77777", "-1", "+1", "rw", " 644", "0x1", "000644"] {
            assert_eq!(FileMode::parse(text), None, "{text:?}");
        }
    }
}
