//! Frames to bytes and bytes to frames, without I/O.

use postcard::ser_flavors::Flavor;
use serde::{Deserialize, Serialize};

use super::MAX_BODY;

/// The bytes before a body: its length as a little-endian `u32`.
const HEADER: usize = 4;

/// Why bytes are not a frame, or a message cannot become one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The length is beyond [`MAX_BODY`]. When decoding, the stream is lost: where the next frame starts is unknown.
    #[error("a frame of {length} bytes is larger than the limit of {MAX_BODY}")]
    Oversize {
        /// The length that was announced or would be needed.
        length: usize,
    },
    /// The body is not a message of the expected type. The frame is skipped; decoding can go on with the next.
    #[error("a frame of {length} bytes cannot be decoded: {reason}")]
    Undecodable {
        /// The length of the skipped body.
        length: usize,
        /// What postcard found wrong.
        reason: String,
    },
    /// A message that postcard cannot express. The types of this module never cause it.
    #[error("a message cannot be encoded: {reason}")]
    Unencodable {
        /// What postcard found wrong.
        reason: String,
    },
}

/// Appends `message` to `out` as one frame. On an error `out` is as it was.
pub fn encode<T: Serialize + ?Sized>(message: &T, out: &mut Vec<u8>) -> Result<(), FrameError> {
    let start = out.len();
    out.extend_from_slice(&[0; HEADER]);
    let result = postcard::serialize_with_flavor(message, Append(out));
    let length = out.len() - start - HEADER;
    let error = match result {
        Ok(()) if length <= MAX_BODY => {
            out[start..start + HEADER].copy_from_slice(&(length as u32).to_le_bytes());
            return Ok(());
        }
        Ok(()) => FrameError::Oversize { length },
        Err(error) => FrameError::Unencodable { reason: error.to_string() },
    };
    out.truncate(start);
    Err(error)
}

/// Lets postcard append to a borrowed vector, slices as slices.
struct Append<'a>(&'a mut Vec<u8>);

impl Flavor for Append<'_> {
    type Output = ();
    fn try_push(&mut self, byte: u8) -> postcard::Result<()> {
        self.0.push(byte);
        Ok(())
    }
    fn try_extend(&mut self, bytes: &[u8]) -> postcard::Result<()> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }
    fn finalize(self) -> postcard::Result<()> {
        Ok(())
    }
}

/// Cuts a byte stream, fed in chunks of any size, into frames.
///
/// It holds at most one frame and one chunk: feed it, then take frames until there are none left.
#[derive(Debug, Default)]
pub struct Decoder {
    /// Bytes `start..end` wait to be decoded; what lies behind is spare room.
    buffer: Vec<u8>,
    start: usize,
    end: usize,
}

impl Decoder {
    /// An empty decoder.
    pub fn new() -> Self {
        Self::default()
    }

    /// Room for at least `size` more bytes, for a reader to fill; then call [`Decoder::filled`]. This saves the copy
    /// that [`Decoder::feed`] makes.
    pub fn spare(&mut self, size: usize) -> &mut [u8] {
        if self.start == self.end {
            self.start = 0;
            self.end = 0;
        } else if self.buffer.len() - self.end < size && self.start > 0 {
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        if self.buffer.len() - self.end < size {
            self.buffer.resize(self.end + size, 0);
        }
        &mut self.buffer[self.end..]
    }

    /// Says that `size` bytes of the spare room now hold data of the stream.
    pub fn filled(&mut self, size: usize) {
        self.end = (self.end + size).min(self.buffer.len());
    }

    /// Adds a chunk of the stream.
    pub fn feed(&mut self, chunk: &[u8]) {
        self.spare(chunk.len())[..chunk.len()].copy_from_slice(chunk);
        self.filled(chunk.len());
    }

    /// The bytes that wait for the rest of their frame.
    pub fn pending(&self) -> usize {
        self.end - self.start
    }

    /// The next whole frame, or `None` until more bytes are fed. The message borrows from the decoder.
    pub fn next_frame<'d, T: Deserialize<'d>>(&'d mut self) -> Result<Option<T>, FrameError> {
        let waiting = &self.buffer[self.start..self.end];
        let Some((header, rest)) = waiting.split_first_chunk::<HEADER>() else { return Ok(None) };
        let length = u32::from_le_bytes(*header) as usize;
        if length > MAX_BODY {
            return Err(FrameError::Oversize { length });
        }
        let Some(body) = rest.get(..length) else { return Ok(None) };
        self.start += HEADER + length;
        match postcard::take_from_bytes(body) {
            Ok((message, [])) => Ok(Some(message)),
            Ok((_, rest)) => {
                Err(FrameError::Undecodable { length, reason: format!("{} bytes too many", rest.len()) })
            }
            Err(error) => Err(FrameError::Undecodable { length, reason: error.to_string() }),
        }
    }
}
