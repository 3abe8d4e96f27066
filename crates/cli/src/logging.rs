//! What goes to standard error; standard output carries protocol only.

use tracing::Level;

/// Starts logging: warnings, or with `verbose` the kernel's log and the program's own doings.
pub fn start(verbose: bool) {
    let level = if verbose { Level::DEBUG } else { Level::ERROR };
    tracing_subscriber::fmt()
        .with_max_level(level)
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .compact()
        .init();
}
