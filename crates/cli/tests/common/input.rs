//! Writing to the program without waiting for it.

use std::io::{Read, Write};
use std::process::ChildStdin;
use std::sync::mpsc::{Sender, channel};

/// A thread that writes, so that a program that does not read makes no test hang. Dropping this ends the program's
/// input after everything was written.
pub struct Input(Sender<Box<dyn Read + Send>>);

impl Input {
    pub fn new(mut stdin: ChildStdin) -> Self {
        let (sender, pieces) = channel::<Box<dyn Read + Send>>();
        std::thread::spawn(move || {
            for mut piece in pieces {
                // Whoever waits for the answer notices that the program has gone.
                if std::io::copy(&mut piece, &mut stdin).and_then(|_| stdin.flush()).is_err() {
                    break;
                }
            }
        });
        Self(sender)
    }

    pub fn send(&self, bytes: Box<dyn Read + Send>) {
        let _program_has_gone = self.0.send(bytes);
    }
}
