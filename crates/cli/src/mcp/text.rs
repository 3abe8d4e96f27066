//! Output as a model is to read it.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use wasm_sandbox::protocol::json::Encoding;

/// One output stream as the sandbox gives it: its first and its last half if it was longer than `limit`.
pub struct Output<'a> {
    pub text: &'a str,
    pub encoding: Encoding,
    pub truncated: bool,
    /// How many bytes are missing, if that is known.
    pub missing_bytes: u64,
    pub limit: u64,
}

impl Output<'_> {
    /// The output with a remark where its middle is missing; bytes that are not UTF-8 are replaced.
    pub fn readable(&self) -> String {
        let gap = match (self.truncated, self.missing_bytes) {
            (false, _) => return lossy(self.text, self.encoding).0.into_owned(),
            (true, 0) => "\n[… the middle of the output is left out …]\n".into(),
            (true, bytes) => format!("\n[… {bytes} bytes of the output are left out …]\n"),
        };
        let half = usize::try_from(self.limit / 2).unwrap_or(usize::MAX);
        if let (Encoding::Base64, Ok(bytes)) = (self.encoding, STANDARD.decode(self.text)) {
            let (head, tail) = bytes.split_at(half.min(bytes.len()));
            return format!("{}{gap}{}", String::from_utf8_lossy(head), String::from_utf8_lossy(tail));
        }
        // Half a character before the gap became U+FFFD, which may be longer.
        let (head, tail) = self.text.split_at(self.text.ceil_char_boundary(half));
        format!("{head}{gap}{tail}")
    }
}

/// Text as it is, base64 as the text it stands for, as far as it is text; whether bytes were replaced.
pub fn lossy(text: &str, encoding: Encoding) -> (Cow<'_, str>, bool) {
    match encoding {
        Encoding::Text => (text.into(), false),
        Encoding::Base64 => match STANDARD.decode(text) {
            Ok(bytes) => (String::from_utf8_lossy(&bytes).into_owned().into(), true),
            Err(_) => (text.into(), false),
        },
    }
}

/// A text in lines of its own: with a newline at its end if there is anything.
pub fn lines(text: &str) -> String {
    let newline = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
    format!("{text}{newline}")
}

/// The bytes of a part of a file as text, without halves of characters at its ends. `None` if it is not UTF-8.
pub fn part_of_text(mut bytes: &[u8], starts_inside: bool, ends_inside: bool) -> Option<&str> {
    const LONGEST_CHARACTER: usize = 4;
    if starts_inside {
        let half = bytes.iter().take(LONGEST_CHARACTER - 1).take_while(|byte| **byte & 0xC0 == 0x80).count();
        bytes = &bytes[half..];
    }
    match std::str::from_utf8(bytes) {
        Ok(text) => Some(text),
        Err(error) if ends_inside && error.error_len().is_none() => {
            std::str::from_utf8(&bytes[..error.valid_up_to()]).ok()
        }
        Err(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn readable(text: &str, encoding: Encoding, missing_bytes: u64) -> String {
        Output { text, encoding, truncated: true, missing_bytes, limit: 8 }.readable()
    }

    #[test]
    fn the_gap_is_where_the_middle_was() {
        assert_eq!(
            readable("0123789A", Encoding::Text, 3),
            "0123\n[… 3 bytes of the output are left out …]\n789A"
        );
        assert_eq!(
            readable("aaa\u{FFFD}\u{FFFD}aaa", Encoding::Text, 0),
            "aaa\u{FFFD}\n[… the middle of the output is left out …]\n\u{FFFD}aaa"
        );
        let binary = STANDARD.encode(b"abc\xFF\xFEdef");
        assert_eq!(
            readable(&binary, Encoding::Base64, 1),
            "abc\u{FFFD}\n[… 1 bytes of the output are left out …]\n\u{FFFD}def"
        );
    }

    #[test]
    fn parts_of_text_lose_halves_of_characters_only_where_they_were_cut() {
        let text = "aé€".as_bytes();
        assert_eq!(part_of_text(text, false, false), Some("aé€"));
        assert_eq!(part_of_text(&text[2..5], true, true), Some(""));
        assert_eq!(part_of_text(&text[..5], false, true), Some("aé"));
        assert_eq!(part_of_text(&text[..5], false, false), None);
        assert_eq!(part_of_text(&text[2..], false, false), None);
        assert_eq!(part_of_text(b"a\xFFb", true, true), None);
    }
}
