//! Where a program keeps its variables.

use std::fs::File;
use std::os::unix::fs::FileExt;

/// A section header of a 32-bit ELF file.
const SECTION: usize = 40;
/// A symbol of one.
const SYMBOL: usize = 16;
/// The type of the section with the symbols that the dynamic loader sees.
const DYNAMIC_SYMBOLS: u32 = 11;
/// No table of a shell is larger.
const LIMIT: usize = 1 << 20;

/// The addresses of `names` in a 32-bit ELF program, as in the file; `None` if one of them is missing.
pub fn find<const N: usize>(program: &File, names: [&[u8]; N]) -> Option<[u32; N]> {
    let mut header = [0; 52];
    program.read_exact_at(&mut header, 0).ok()?;
    if !header.starts_with(b"\x7fELF\x01\x01") {
        return None;
    }
    let sections = read(program, word(&header, 32)?, SECTION * usize::from(half(&header, 48)?))?;
    let table = |section: &[u8]| read(program, word(section, 16)?, word(section, 20)? as usize);
    let dynamic = sections.chunks_exact(SECTION).find(|section| word(section, 4) == Some(DYNAMIC_SYMBOLS))?;
    let symbols = table(dynamic)?;
    let strings = table(sections.chunks_exact(SECTION).nth(word(dynamic, 24)? as usize)?)?;
    let mut found = [0; N];
    for symbol in symbols.chunks_exact(SYMBOL) {
        let Some(text) = strings.get(word(symbol, 0)? as usize..) else { continue };
        for (name, found) in names.iter().zip(&mut found) {
            if text.strip_prefix(*name).is_some_and(|rest| rest.first() == Some(&0)) {
                *found = word(symbol, 4)?;
            }
        }
    }
    found.iter().all(|address| *address != 0).then_some(found)
}

fn read(program: &File, offset: u32, length: usize) -> Option<Vec<u8>> {
    let mut bytes = vec![0; Some(length).filter(|length| *length <= LIMIT)?];
    program.read_exact_at(&mut bytes, offset.into()).ok()?;
    Some(bytes)
}

fn word(bytes: &[u8], offset: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(offset..offset + 4)?.try_into().ok()?))
}

fn half(bytes: &[u8], offset: usize) -> Option<u16> {
    Some(u16::from_le_bytes(bytes.get(offset..offset + 2)?.try_into().ok()?))
}
