//! Where a program keeps its variables.

use std::fs::File;
use std::os::unix::fs::FileExt;

/// The type of the section with the symbols that the dynamic loader sees.
const DYNAMIC_SYMBOLS: u32 = 11;
/// No table of a shell is larger.
const LIMIT: usize = 1 << 20;

/// Where things are in an ELF file of one of the two classes.
struct Class {
    magic: &'static [u8],
    /// Of the header: where the table of sections begins, and how many there are.
    sections: usize,
    section_count: usize,
    /// Size of a section's header; in it the offset and the size in the file, and the number of another section.
    section: usize,
    offset: usize,
    size: usize,
    link: usize,
    /// Size of a symbol; in it the value.
    symbol: usize,
    value: usize,
    /// Reads an address.
    word: fn(&[u8], usize) -> Option<u64>,
}

const CLASSES: [Class; 2] = [
    Class {
        magic: b"\x7fELF\x01\x01",
        sections: 32,
        section_count: 48,
        section: 40,
        offset: 16,
        size: 20,
        link: 24,
        symbol: 16,
        value: 4,
        word: |bytes, at| word(bytes, at).map(u64::from),
    },
    Class {
        magic: b"\x7fELF\x02\x01",
        sections: 40,
        section_count: 60,
        section: 64,
        offset: 24,
        size: 32,
        link: 40,
        symbol: 24,
        value: 8,
        word: long,
    },
];

/// The addresses of `names` in an ELF program, as in the file; `None` if one of them is missing.
pub fn find<const N: usize>(program: &File, names: [&[u8]; N]) -> Option<[u64; N]> {
    let mut header = [0; 64];
    program.read_exact_at(&mut header, 0).ok()?;
    let class = CLASSES.iter().find(|class| header.starts_with(class.magic))?;
    let count = usize::from(half(&header, class.section_count)?);
    let sections = read(program, (class.word)(&header, class.sections)?, (class.section * count) as u64)?;
    let table = |section: &[u8]| {
        read(program, (class.word)(section, class.offset)?, (class.word)(section, class.size)?)
    };
    let mut headers = sections.chunks_exact(class.section);
    let dynamic = headers.clone().find(|section| word(section, 4) == Some(DYNAMIC_SYMBOLS))?;
    let symbols = table(dynamic)?;
    let strings = table(headers.nth(word(dynamic, class.link)? as usize)?)?;
    let mut found = [0; N];
    for symbol in symbols.chunks_exact(class.symbol) {
        let Some(text) = strings.get(word(symbol, 0)? as usize..) else { continue };
        for (name, found) in names.iter().zip(&mut found) {
            if text.strip_prefix(*name).is_some_and(|rest| rest.first() == Some(&0)) {
                *found = (class.word)(symbol, class.value)?;
            }
        }
    }
    found.iter().all(|address| *address != 0).then_some(found)
}

fn read(program: &File, offset: u64, length: u64) -> Option<Vec<u8>> {
    let mut bytes = vec![0; usize::try_from(length).ok().filter(|length| *length <= LIMIT)?];
    program.read_exact_at(&mut bytes, offset).ok()?;
    Some(bytes)
}

fn long(bytes: &[u8], offset: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(offset..offset + 8)?.try_into().ok()?))
}

fn word(bytes: &[u8], offset: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(offset..offset + 4)?.try_into().ok()?))
}

fn half(bytes: &[u8], offset: usize) -> Option<u16> {
    Some(u16::from_le_bytes(bytes.get(offset..offset + 2)?.try_into().ok()?))
}
