//! Where bash keeps what it takes from its surroundings at the start, or makes of them: in a shell that was started before,
//! it is put right in place. To say the same in a script would cost as much as a short command.
#![allow(clippy::useless_conversion, reason = "an address is a u64 only on some processors")]

use std::fs::File;
use std::os::unix::fs::FileExt;

use rustix::process::Pid;
use rustix::time::ClockId;

use super::mappings::{Mapping, mappings};
use super::shell::{BASH, ROOM};
use super::symbols;
use crate::sys::arch::Word;

/// The seed of `RANDOM` in a shell at the gate: the variable that holds it has no name to be found by.
pub const SEED: u32 = 1_592_594_996;

/// The variables of bash with the time of its start: in seconds, and as a `timeval`.
const TIMES: [&[u8]; 2] = [b"shell_start_time", b"shellstart"];

/// Bytes of a number of the C type `long`, which times are made of.
const LONG: usize = size_of::<Word>();

/// Addresses in a shell and all its copies.
#[derive(Debug, Clone, Copy)]
pub struct Places {
    /// The value of `BASH_EXECUTION_STRING`, with room for any command.
    command: Word,
    seed: Word,
    second: Word,
    moment: Word,
}

/// What belongs there.
pub struct Values {
    command: Vec<u8>,
    seed: [u8; 4],
    second: [u8; LONG],
    moment: [u8; 2 * LONG],
}

impl Values {
    /// For a shell that starts now.
    pub fn now(command: &[u8], seed: u32) -> Self {
        let now = rustix::time::clock_gettime(ClockId::Realtime);
        let second = (now.tv_sec as Word).to_le_bytes();
        let microsecond = (now.tv_nsec as Word / 1000).to_le_bytes();
        let mut moment = [0; 2 * LONG];
        moment[..LONG].copy_from_slice(&second);
        moment[LONG..].copy_from_slice(&microsecond);
        Self { command: [command, b"\0"].concat(), seed: seed.max(1).to_le_bytes(), second, moment }
    }
}

impl Places {
    /// Those of a shell at the gate; `None` if this is not the bash it is taken for.
    pub fn find(pid: Pid, memory: &File) -> Option<Self> {
        let mappings = mappings(pid)?;
        let program = program(&mappings)?;
        let [second, moment] = symbols::find(&File::open(BASH).ok()?, TIMES)?.map(|place| at(program, place));
        let heap = mappings.iter().find(|mapping| mapping.file == "[heap]")?;
        // The program's variables, and behind them those that are zero at its start.
        let end = mappings.iter().rposition(|mapping| mapping.file == program.file)?;
        let variables = mappings.iter().enumerate().filter(|(index, mapping)| {
            let follows = *index == end + 1 && mapping.file.is_empty() && mapping.start == mappings[end].end;
            mapping.rights == "rw-p" && (mapping.file == program.file || follows)
        });
        let seeds = variables.map(|(_, mapping)| {
            let content = read(memory, mapping)?;
            let is_seed = |word: &[u8]| word == SEED.to_le_bytes();
            let found = content.chunks_exact(4).enumerate().filter(|(_, word)| is_seed(word));
            Some(found.map(|(index, _)| mapping.start + 4 * index as Word).collect::<Vec<_>>())
        });
        let seed = only(seeds.collect::<Option<Vec<_>>>()?.concat())?;
        let command = only(commands(heap, &read(memory, heap)?))?;
        Some(Self { command, seed, second: second?, moment: moment? })
    }

    /// What to write where.
    pub fn writes<'a>(&self, values: &'a Values) -> [(Word, &'a [u8]); 4] {
        [
            (self.command, values.command.as_slice()),
            (self.seed, &values.seed),
            (self.second, &values.second),
            (self.moment, &values.moment),
        ]
    }
}

/// The mapping of a shell's first bytes: the program itself comes first.
pub fn program(mappings: &[Mapping]) -> Option<&Mapping> {
    mappings.first().filter(|first| first.offset == 0 && first.file.ends_with("/bash"))
}

/// Where a variable of the program is, of which the program says where.
pub fn at(program: &Mapping, place: u64) -> Option<Word> {
    program.start.checked_add(Word::try_from(place).ok()?)
}

/// Where there are as many spaces as a shell gets for a command, and no more.
fn commands(heap: &Mapping, content: &[u8]) -> Vec<Word> {
    let mut spaces = 0;
    let mut found = Vec::new();
    for (index, byte) in content.iter().enumerate() {
        if *byte == 0 && spaces == ROOM {
            found.push(heap.start + (index - ROOM) as Word);
        }
        spaces = if *byte == b' ' { spaces + 1 } else { 0 };
    }
    found
}

fn read(memory: &File, mapping: &Mapping) -> Option<Vec<u8>> {
    let mut content = vec![0; (mapping.end - mapping.start) as usize];
    memory.read_exact_at(&mut content, mapping.start.into()).ok()?;
    Some(content)
}

fn only(found: Vec<Word>) -> Option<Word> {
    if let [one] = found.as_slice() { Some(*one) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_place_of_a_command_is_one() {
        let line = format!("5000-{:x} rw-p 00000000 00:00 0 [heap]", 0x5000 + 3 * ROOM);
        let heap = Mapping::parse(&line).unwrap();
        let mut content = vec![1; 3 * ROOM];
        assert!(commands(&heap, &content).is_empty());
        content[7..7 + ROOM].fill(b' ');
        assert!(commands(&heap, &content).is_empty());
        content[7 + ROOM] = 0;
        assert_eq!(commands(&heap, &content), [0x5007]);
        content[6] = b' ';
        assert!(commands(&heap, &content).is_empty());
    }
}
