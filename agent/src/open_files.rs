//! How many files may be open: many for the agent, which has a handful for every process, and as usual for the processes.

use std::sync::OnceLock;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// The limit that this process was started with.
static USUAL: OnceLock<Rlimit> = OnceLock::new();

/// Lets this process have as many as the kernel allows.
pub fn raise() {
    let usual = *USUAL.get_or_init(|| getrlimit(Resource::Nofile));
    let _the_usual_limit_does =
        setrlimit(Resource::Nofile, Rlimit { current: usual.maximum, maximum: usual.maximum });
}

/// In a child: as if the limit had never been raised. Programs that use `select` break beyond 1024.
pub fn lower() {
    if let Some(usual) = USUAL.get() {
        let _its_own_limits_cannot_be_refused = setrlimit(Resource::Nofile, *usual);
    }
}
