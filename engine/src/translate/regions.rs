//! Which blocks of a page become one function: those that lead to each other by branches, as the blocks of a guest's function do.

use super::page::Piece;
use crate::code::{Block, CodeCache, Links, Offset, Op, Uop};
use crate::memory::{PAGE, PAGE_MASK};

/// The functions for `blocks`, all of a page, sorted by their address.
pub(super) fn regions(code: &CodeCache, blocks: &[Offset]) -> Vec<Vec<Piece>> {
    // SAFETY: they are blocks.
    #[allow(unsafe_code)]
    let at = |block: Offset| unsafe { &*code.at::<Block>(block) };
    let mut leaders: Vec<usize> = (0..blocks.len()).collect();
    for (number, offset) in blocks.iter().enumerate() {
        for target in targets(at(*offset)) {
            let physical = (at(*offset).physical & !PAGE_MASK) | target;
            if let Ok(other) = blocks.binary_search_by_key(&physical, |block| at(*block).physical) {
                join(&mut leaders, number, other);
            }
        }
    }
    let mut functions: Vec<Vec<Piece>> = Vec::new();
    let mut of_leader = std::collections::BTreeMap::new();
    for (number, &block) in blocks.iter().enumerate() {
        let next = functions.len();
        let function = *of_leader.entry(leader(&leaders, number)).or_insert(next);
        if function == next {
            functions.push(Vec::new());
        }
        if let Some(pieces) = functions.get_mut(function) {
            pieces.push(Piece { block, first: 0 });
            let general = uops(at(block)).iter().zip(1..).filter(|(uop, _)| uop.op == Op::General);
            pieces.extend(general.map(|(_, first)| Piece { block, first }));
        }
    }
    functions
}

/// The micro-operations of a block, with the links at its end.
#[allow(unsafe_code)]
fn uops(block: &Block) -> &[Uop] {
    let (first, last) = (Block::first(block), Block::last(block));
    // SAFETY: all of them follow their block.
    unsafe { std::slice::from_raw_parts(first, last.offset_from_unsigned(first).wrapping_add(1)) }
}

/// Where a block leads to within its page, other than by calls.
fn targets(block: &Block) -> impl Iterator<Item = u64> {
    let uops = uops(block);
    let last = uops.last().filter(|uop| uop.op != Op::GeneralEnd);
    let is_end = last.is_some_and(|uop| uop.op == Op::End);
    let links = last.map(|uop| Links::from(*uop));
    let before =
        uops.len().checked_sub(2).and_then(|number| uops.get(number)).map_or(Op::Links, |uop| uop.op);
    let (taken, other) = if is_end { (false, true) } else { before.ways() };
    let taken = links.filter(|_| taken).and_then(|links| u64::try_from(links.target).ok());
    let other = links.filter(|_| other).map(|links| links.offset.into());
    taken.into_iter().chain(other).filter(|target| *target < PAGE)
}

/// The first of the blocks that are joined with a block.
fn leader(leaders: &[usize], mut number: usize) -> usize {
    while let Some(&next) = leaders.get(number)
        && next != number
    {
        number = next;
    }
    number
}

fn join(leaders: &mut [usize], one: usize, other: usize) {
    let (one, other) = (leader(leaders, one), leader(leaders, other));
    if let Some(place) = leaders.get_mut(one.max(other)) {
        *place = one.min(other);
    }
}
