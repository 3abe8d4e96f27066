//! What wasm-sandbox speaks: JSON lines with its clients ([`json`]), and binary frames with the
//! agent inside the guest ([`agent`]). Types and pure codecs only, no I/O.

pub mod agent;
#[cfg(feature = "json")]
pub mod json;
