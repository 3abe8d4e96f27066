//! Lines of bounded length.

use std::io::{BufRead, BufReader, ErrorKind, Result, Stdin};

/// Longest line that is taken, in bytes without its newline: 256 MiB.
pub const LONGEST_LINE: usize = 256 << 20;

/// Bytes read at once, and bytes that may wait in a pipe: with the usual 8 and 64 KiB a file of many megabytes takes a
/// seventh longer.
const AT_ONCE: usize = 256 << 10;

/// Standard input, to be read in large pieces.
pub fn standard_input() -> BufReader<Stdin> {
    let input = std::io::stdin();
    let _not_a_pipe_or_not_allowed = rustix::pipe::fcntl_setpipe_size(&input, AT_ONCE);
    BufReader::with_capacity(AT_ONCE, input)
}

/// One line of input.
#[derive(Debug, PartialEq, Eq)]
pub enum Line {
    /// Its bytes, without the newline.
    Whole(Vec<u8>),
    /// It has more bytes than are taken; they were skipped.
    TooLong,
}

/// Reads the next line of at most `limit` bytes; `None` at the end. A last line without a newline
/// counts. Memory stays bounded whatever comes in.
pub fn read_line(input: &mut impl BufRead, limit: usize) -> Result<Option<Line>> {
    let mut line = Vec::new();
    let (mut seen_any, mut too_long) = (false, false);
    loop {
        let available = match input.fill_buf() {
            Ok(available) => available,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        if available.is_empty() {
            break;
        }
        seen_any = true;
        let newline = memchr::memchr(b'\n', available);
        let piece = &available[..newline.unwrap_or(available.len())];
        if too_long || line.len() + piece.len() > limit {
            too_long = true;
            line = Vec::new();
        } else {
            line.extend_from_slice(piece);
        }
        let consumed = piece.len() + usize::from(newline.is_some());
        input.consume(consumed);
        if newline.is_some() {
            break;
        }
    }
    Ok(seen_any.then_some(if too_long { Line::TooLong } else { Line::Whole(line) }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(input: &[u8], limit: usize) -> Vec<Line> {
        let mut reader = BufReader::with_capacity(3, input);
        std::iter::from_fn(|| read_line(&mut reader, limit).unwrap()).collect()
    }

    fn whole(text: &str) -> Line {
        Line::Whole(text.as_bytes().to_vec())
    }

    #[test]
    fn lines_end_at_newlines_or_at_the_end() {
        assert_eq!(
            lines(b"ab\n\nlonger line\nend", 20),
            [whole("ab"), whole(""), whole("longer line"), whole("end")]
        );
        assert_eq!(lines(b"ab\n", 20), [whole("ab")]);
        assert_eq!(lines(b"", 20), []);
    }

    #[test]
    fn a_long_line_is_skipped_and_the_next_is_read() {
        assert_eq!(lines(b"12345\n123456\n1\n", 5), [whole("12345"), Line::TooLong, whole("1")]);
        assert_eq!(lines(b"123456", 5), [Line::TooLong]);
    }
}
