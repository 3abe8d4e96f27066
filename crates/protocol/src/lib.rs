//! Host-agent frames and JSON lines.
