//! What PID 1 does all its life: collect orphans, and notice when the server ends.

use rustix::io::Errno;
use rustix::process::{WaitOptions, wait};

use super::Trouble;

/// Returns when the server has ended. All operations are lost then, so the machine is of no use any more.
pub fn run(server: u32) -> Trouble {
    loop {
        match wait(WaitOptions::empty()) {
            Ok(Some((pid, status))) if pid.as_raw_nonzero().get() as u32 == server => {
                return Trouble(match (status.exit_status(), status.terminating_signal()) {
                    (Some(code), _) => format!("the server ended with code {code}"),
                    (_, Some(signal)) => format!("the server was killed by signal {signal}"),
                    _ => "the server ended".into(),
                });
            }
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Trouble::new("wait for the server", error),
        }
    }
}
