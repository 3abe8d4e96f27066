//! Notices that nobody reads standard output any more, also while there is nothing to write.

use std::os::fd::AsFd;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;

/// Waits until the reader of `output` is gone; returns at once with false if that cannot be told (for a file, for instance).
pub fn wait(output: impl AsFd) -> bool {
    loop {
        // Nothing is asked for: errors and hang-ups are always reported (poll(2)).
        let mut fds = [PollFd::new(&output, PollFlags::empty())];
        match poll(&mut fds, None) {
            Ok(_) => return fds[0].revents().intersects(PollFlags::ERR | PollFlags::HUP),
            Err(Errno::INTR) => {}
            Err(_) => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::wait;

    #[test]
    fn a_reader_that_goes_is_noticed() {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        let waiting = std::thread::spawn(move || wait(&writer));
        drop(reader);
        assert!(waiting.join().expect("no panic"));
    }
}
