//! The translation of code of one page: a function whose entries are blocks that lead to each other.
//!
//! Registers live in `Cpu::regs`. A block reads each of them once, keeps it in a local variable and writes what it
//! changes to both: so wherever code is left, memory has the registers as the interpreter has them. Whatever is rare is left
//! to the interpreter, which goes on with the very micro-operation.

mod registers;
mod ways;

use wasm_encoder::ValType;

use super::body::{Body, Label, at};
use super::flags::Pending;
use super::helpers::{LOOK, ON, THEN};
use super::linear::{Groups, Symbols};
use super::places::Places;
use crate::Cpu;
use crate::code::{Block, Offset, Translated, Uop};
use crate::interpret::Exit;
use crate::memory::PAGE_MASK;
use crate::state::PLACES;

/// Size of an operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Size {
    Byte,
    Word,
    Double,
    Quad,
}

impl Size {
    /// 0 to 3 for 1, 2, 4, 8 bytes.
    pub(super) const fn of(number: u16) -> Self {
        match number & 3 {
            0 => Self::Byte,
            1 => Self::Word,
            2 => Self::Double,
            _ => Self::Quad,
        }
    }

    pub(super) const fn bytes(self) -> u32 {
        self.bits() / 8
    }

    pub(super) const fn bits(self) -> u32 {
        match self {
            Self::Byte => 8,
            Self::Word => 16,
            Self::Double => 32,
            Self::Quad => 64,
        }
    }

    /// Whether values have 64 bits in WebAssembly, too.
    pub(super) const fn is_wide(self) -> bool {
        matches!(self, Self::Quad)
    }
}

/// How code is left to the interpreter.
enum Miss {
    /// It goes on with this micro-operation; behind the label `tail` is what all with the same flags have in common.
    Uop { uop: u32, tail: Label },
    /// That: these flags are stored.
    Tail(Pending),
}

/// Where a branch leads.
#[derive(Clone, Copy)]
pub(super) struct Way {
    /// The target's distance from the start of the page.
    distance: i32,
    /// The block it has led to, or 0.
    block: Offset,
}

/// A function in the making.
pub(super) struct Page<'a> {
    pub(super) cpu: &'a Cpu,
    pub(super) places: Places,
    pub(super) body: Body,
    /// Whether this is 64-bit code.
    pub(super) long: bool,
    part: u32,
    /// All blocks of the page, sorted by their address.
    blocks: &'a [Offset],
    /// The entries.
    pieces: &'a [Piece],
    labels: Vec<Label>,
    top: Label,
    /// Behind it `exit` is returned; `leave` is the same with `current` the current block.
    quit: Label,
    leave: Label,
    /// Behind it the budget is used up, and `exit` is where in the page to go on.
    stop: Label,
    entry: u32,
    budget: u32,
    exit: u32,
    current: u32,
    registers: [Option<u32>; PLACES],
    known: [bool; PLACES],
    pending: Pending,
    /// Changes whenever `pending` does.
    flags: u32,
    misses: Vec<Miss>,
    /// The last [`Miss::Tail`], while the flags are what they were.
    tail: Option<(Label, u32)>,
    /// The block being translated, and the number of the piece.
    block: Offset,
    index: usize,
    /// What is known of addresses, and which accesses are looked at together.
    pub(super) symbols: Symbols,
    groups: Groups,
    /// Whether this block has looked whether SSE is on.
    sse_is_on: bool,
}

/// What a function can be entered with: a block, or the rest of one behind a general instruction.
#[derive(Clone, Copy, Debug)]
pub(super) struct Piece {
    pub(super) block: Offset,
    /// The number of the first micro-operation.
    pub(super) first: u32,
}

/// The body of the function for `pieces`, of one mode, from `blocks`, which are all in a page, both sorted by their address.
pub(super) fn page(
    cpu: &Cpu,
    places: Places,
    part: u32,
    blocks: &[Offset],
    pieces: &[Piece],
) -> (Vec<u8>, Vec<u32>) {
    let mut body = Body::new(1);
    let budget = body.local(ValType::I64);
    let [exit, current] = [(); 2].map(|()| body.local(ValType::I32));
    let [quit, stop, leave] = [(); 3].map(|()| body.block());
    let top = body.repeat();
    // The first piece's label is the innermost.
    let mut labels: Vec<Label> = pieces.iter().map(|_| body.block()).collect();
    labels.reverse();
    let mut page = Page {
        cpu,
        places,
        body,
        long: false,
        part,
        blocks,
        pieces,
        labels,
        top,
        quit,
        leave,
        stop,
        entry: 0,
        budget,
        exit,
        current,
        registers: [None; PLACES],
        known: [false; PLACES],
        pending: Pending::Stored,
        flags: 0,
        misses: Vec::new(),
        tail: None,
        block: 0,
        index: 0,
        symbols: Symbols::default(),
        groups: Groups::default(),
        sse_is_on: false,
    };
    page.all();
    page.body.finish()
}

impl Way {
    pub(super) const fn distance(self) -> i32 {
        self.distance
    }
}

impl Page<'_> {
    fn all(&mut self) {
        if self.pieces.len() > 1 {
            let targets: Vec<u32> = self.labels.iter().map(|label| self.body.distance(*label)).collect();
            let entry = self.entry;
            let last = targets.last().copied().unwrap_or(0);
            self.body.w().local_get(entry).br_table(targets, last);
        }
        for index in 0..self.pieces.len() {
            self.body.end();
            self.one(index);
        }
        self.body.end();
        self.body.w().unreachable();
        self.body.end();
        self.body.store32(self.places.current(), self.current);
        self.body.br(self.quit);
        self.body.end();
        // The budget is used up before the block at `exit` in the page.
        let exit = self.exit;
        self.body.w().i32_const(0);
        self.body.load64(self.places.page());
        self.body.w().local_get(exit).i64_extend_i32_u().i64_add();
        self.body.w().i64_store(at(self.places.rip()));
        self.body.w().i32_const(Exit::CHECK.number() as i32).local_set(exit);
        self.body.end();
        self.body.w().local_get(exit);
    }

    /// The block.
    fn current(&self) -> &'static Block {
        self.at(self.block)
    }

    #[allow(unsafe_code)]
    fn at(&self, block: Offset) -> &'static Block {
        // SAFETY: the caller of `page` has blocks; nothing is thrown away meanwhile.
        unsafe { &*self.cpu.code.at::<Block>(block) }
    }

    /// Where a record of the arena lies.
    fn place_of(&self, offset: Offset) -> u32 {
        self.places.code.arena.wrapping_add(offset)
    }

    fn one(&mut self, index: usize) {
        let Some(&Piece { block, first }) = self.pieces.get(index) else { return };
        (self.block, self.index) = (block, index);
        self.long = self.current().mode.is_long();
        if first == 0 {
            self.begin();
        }
        // Once to see which accesses there are, and once for good.
        self.groups = Groups::default();
        let mark = self.body.mark();
        self.piece(first);
        self.body.rewind(&mark);
        self.groups.form();
        self.piece(first);
    }

    /// As in the interpreter, what leads to a block counts all its instructions.
    fn begin(&mut self) {
        let (block, budget) = (self.current(), self.budget);
        self.body.load64(self.places.budget());
        self.body.w().local_tee(budget).i64_const(0).i64_le_s();
        self.body.when_unlikely();
        let exit = self.exit;
        self.body.w().i32_const((block.physical & PAGE_MASK) as i32).local_set(exit);
        self.body.br(self.stop);
        self.body.end();
        self.body.w().i32_const(0).local_get(budget).i64_const(block.instructions.into()).i64_sub();
        self.body.w().i64_store(at(self.places.budget()));
    }

    /// The micro-operations from `first` on.
    fn piece(&mut self, first: u32) {
        self.known = [false; PLACES];
        self.sse_is_on = false;
        self.symbols = Symbols::default();
        self.tail = None;
        self.take_pending();
        self.body.forget_temporaries();
        let mut number = first;
        loop {
            let (uop, place) = self.uop(number);
            if self.micro_operation(&uop, place) {
                break;
            }
            number = number.wrapping_add(1);
        }
        while let Some(miss) = self.misses.pop() {
            self.body.end();
            match miss {
                Miss::Uop { uop, tail } => {
                    let exit = self.exit;
                    self.body.w().i32_const(uop as i32).local_set(exit);
                    self.body.br(tail);
                }
                Miss::Tail(pending) => self.leave(&pending),
            }
        }
    }

    /// A micro-operation of the block, and where it lies.
    #[allow(unsafe_code)]
    pub(super) fn uop(&self, number: u32) -> (Uop, u32) {
        let first = Block::first(self.current());
        // SAFETY: the caller goes no further than the last one, which ends the block.
        let uop = unsafe { *first.add(number as usize) };
        let place = self.place_of(self.block).wrapping_add(size_of::<Block>() as u32);
        (uop, place.wrapping_add(number.wrapping_mul(size_of::<Uop>() as u32)))
    }

    /// The interpreter goes on with the micro-operation at `uop`, or does what an exit says.
    pub(super) fn leave_at(&mut self, uop: u32) {
        let exit = self.exit;
        self.body.w().i32_const(uop as i32).local_set(exit);
        let pending = self.pending.clone();
        self.leave(&pending);
    }

    /// The same with `exit`.
    fn leave(&mut self, pending: &Pending) {
        self.body.store_flags(self.places, pending);
        let (current, block) = (self.current, self.place_of(self.block));
        self.body.w().i32_const(block as i32).local_set(current);
        self.body.br(self.leave);
    }

    /// Opens a label: branches to it leave the micro-operation at `uop`, of which nothing has been done, to the interpreter.
    pub(super) fn miss(&mut self, uop: u32) -> Label {
        let same = self.tail.filter(|(_, flags)| *flags == self.flags);
        let tail = same.map_or_else(
            || {
                let label = self.body.block();
                self.misses.push(Miss::Tail(self.pending.clone()));
                self.tail = Some((label, self.flags));
                label
            },
            |(label, _)| label,
        );
        self.misses.push(Miss::Uop { uop, tail });
        self.body.block()
    }

    /// Leaves `uop` to the interpreter if SSE is off.
    pub(super) fn need_sse(&mut self, uop: u32) {
        if self.sse_is_on {
            return;
        }
        self.sse_is_on = true;
        let miss = self.miss(uop);
        self.body.load64(self.places.cr0());
        self.body.w().i64_const(crate::simd::CR0_OFF as i64).i64_and();
        self.body.load64(self.places.cr4());
        self.body.w().i64_const(-1).i64_xor().i64_const(crate::simd::CR4_ON as i64).i64_and().i64_or();
        self.body.w().i64_eqz().i32_eqz();
        self.body.br_if_unlikely(miss);
    }

    /// Writes the flags to where the interpreter has them.
    pub(super) fn store_flags(&mut self) {
        let pending = self.take_pending();
        self.body.store_flags(self.places, &pending);
    }

    /// The flags come from this now.
    pub(super) fn set_pending(&mut self, pending: Pending) {
        self.flags = self.flags.wrapping_add(1);
        self.pending = pending;
    }

    /// What the flags come from; they count as stored now.
    pub(super) fn take_pending(&mut self) -> Pending {
        self.flags = self.flags.wrapping_add(1);
        std::mem::replace(&mut self.pending, Pending::Stored)
    }

    /// Executes the general instruction at `uop` by its handler. Then anything may have changed: what follows it is another piece.
    pub(super) fn general(&mut self, uop: u32) {
        let next =
            self.pieces.iter().position(|piece| piece.block == self.block && piece.first == self.after(uop));
        let function = self.current().translated.function();
        match next {
            Some(entry) => self.then(uop, Translated::new(self.part, function, entry as u32).0),
            None => self.leave_at(uop),
        }
    }

    /// Executes the general instruction at `uop`, which ends the block; `branches` is whether it has set where to go on.
    pub(super) fn general_end(&mut self, uop: u32, branches: bool) {
        self.then(uop, if branches { ON } else { LOOK });
    }

    fn then(&mut self, uop: u32, next: u32) {
        self.store_flags();
        let block = self.place_of(self.block);
        self.body.w().i32_const(uop as i32).i32_const(block as i32).i32_const(next as i32).return_call(THEN);
    }

    /// The number of the micro-operation after that at a place.
    fn after(&self, place: u32) -> u32 {
        self.number_of(place).wrapping_add(1)
    }

    /// The number of the micro-operation at a place in the block.
    pub(super) fn number_of(&self, place: u32) -> u32 {
        let (_, first) = self.uop(0);
        place.wrapping_sub(first) >> size_of::<Uop>().trailing_zeros()
    }

    /// Pushes whether a condition holds.
    pub(super) fn condition(&mut self, condition: u8) {
        if self.pending.needs_storing(condition) {
            self.store_flags();
        }
        let pending = self.pending.clone();
        self.body.condition_of(self.places, &pending, condition);
    }
}
