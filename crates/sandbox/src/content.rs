//! From the strings of requests to bytes.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use wasm_sandbox_protocol::json::{Encoding, ErrorCode, Failure};

/// The bytes that `text` stands for.
///
/// # Errors
/// [`ErrorCode::InvalidBase64`].
pub(crate) fn decode(field: &str, text: String, encoding: Encoding) -> Result<Vec<u8>, Failure> {
    match encoding {
        Encoding::Text => Ok(text.into_bytes()),
        Encoding::Base64 => STANDARD.decode(&text).map_err(|error| {
            Failure::new(
                ErrorCode::InvalidBase64,
                format!("`{field}` is not base64 (RFC 4648, with padding, on one line): {error}"),
            )
        }),
    }
}
