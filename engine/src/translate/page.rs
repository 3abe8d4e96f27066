//! The translation of one page of code: a function whose entries are the page's blocks.
//!
//! Registers live in `Cpu::regs`. A block reads each of them once, keeps it in a local variable and writes what it
//! changes to both: so wherever code is left, memory has the registers as the interpreter has them. Whatever is rare is left
//! to the interpreter, which goes on with the very micro-operation.

use wasm_encoder::ValType;

use super::body::{Body, Label, at, sized};
use super::flags::{Pending, Value};
use super::helpers::{DISPATCH, FIND, FIRST_CODE, LOOK, ON, THEN};
use super::linear::{Group, Groups, Linear, Symbols};
use super::places::Places;
use crate::Cpu;
use crate::code::{Block, CodePlaces, Links, Offset, Translated, Uop};
use crate::interpret::Exit;
use crate::memory::{Entry, PAGE, PAGE_MASK};
use crate::state::{PAGE_REGISTER, PLACES, ZERO};

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

/// A linear address, shifted to the right and masked, is the distance of its entry from the first of a TLB.
pub(super) const ENTRY_SHIFT: i32 = 12 - size_of::<Entry>().trailing_zeros() as i32;
/// See [`ENTRY_SHIFT`].
pub(super) const ENTRY_MASK: i32 = 1023 * size_of::<Entry>() as i32;

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
    top: Option<Label>,
    /// Behind it `exit` is returned; `leave` is the same with `current` the current block.
    quit: Option<Label>,
    leave: Option<Label>,
    /// Behind it the budget is used up, and `exit` is where in the page to go on.
    stop: Option<Label>,
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
pub(super) fn page(cpu: &Cpu, places: Places, part: u32, blocks: &[Offset], pieces: &[Piece]) -> (Vec<u8>, Vec<u32>) {
    let mut body = Body::new(1);
    let budget = body.local(ValType::I64);
    let [exit, current] = [(); 2].map(|()| body.local(ValType::I32));
    let mut page = Page {
        cpu,
        places,
        body,
        long: false,
        part,
        blocks,
        pieces,
        labels: Vec::new(),
        top: None,
        quit: None,
        leave: None,
        stop: None,
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
        self.quit = Some(self.body.block());
        self.stop = Some(self.body.block());
        self.leave = Some(self.body.block());
        self.top = Some(self.body.repeat());
        // The first block's label is the innermost.
        self.labels = self.pieces.iter().map(|_| self.body.block()).collect();
        self.labels.reverse();
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
        self.quit();
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
        if let Some(label) = self.stop {
            self.body.br(label);
        }
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

    fn quit(&mut self) {
        if let Some(label) = self.quit {
            self.body.br(label);
        }
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
        if let Some(label) = self.leave {
            self.body.br(label);
        }
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

    /// Pushes the address at `offset` from the start of the page, as wide as addresses are.
    pub(super) fn address_in_page(&mut self, offset: i32) {
        // Not by `register`: this may be on one of two ways.
        if self.long {
            self.body.load64(self.places.page());
        } else {
            self.body.load32(self.places.page());
        }
        self.add_constant(offset);
    }

    /// Pushes an address in a variable as 64 bits.
    fn push_address(&mut self, address: u32) {
        self.body.w().local_get(address);
        if !self.long {
            self.body.w().i64_extend_i32_u();
        }
    }

    /// Pushes all 64 bits of a register.
    fn register(&mut self, index: usize) {
        if index == ZERO {
            self.body.w().i64_const(0);
            return;
        }
        let local = self.register_local(index);
        if let Some(known) = self.known.get_mut(index)
            && !*known
        {
            *known = true;
            self.body.load64(self.places.register(index));
            self.body.w().local_set(local);
        }
        self.body.w().local_get(local);
    }

    fn register_local(&mut self, index: usize) -> u32 {
        if let Some(Some(local)) = self.registers.get(index) {
            return *local;
        }
        let local = self.body.local(ValType::I64);
        if let Some(place) = self.registers.get_mut(index) {
            *place = Some(local);
        }
        local
    }

    /// Sets all 64 bits of a register to the number on the stack.
    fn set_register(&mut self, index: usize) {
        let local = self.register_local(index);
        if let Some(known) = self.known.get_mut(index) {
            *known = true;
        }
        self.symbols.renew(index);
        self.body.w().local_set(local);
        self.body.store64(self.places.register(index), local);
    }

    /// Pushes a register of this size, sign-extended to 32 bits.
    pub(super) fn get(&mut self, size: Size, offset: u8) {
        self.register(usize::from(offset / 8));
        let shift = i64::from(offset % 8) * 8;
        if shift != 0 {
            self.body.w().i64_const(shift).i64_shr_u();
        }
        match size {
            Size::Quad => {}
            Size::Double => {
                self.body.w().i32_wrap_i64();
            }
            Size::Word => {
                self.body.w().i32_wrap_i64().i32_extend16_s();
            }
            Size::Byte => {
                self.body.w().i32_wrap_i64().i32_extend8_s();
            }
        }
    }

    /// The same in a variable.
    pub(super) fn got(&mut self, size: Size, offset: u8) -> u32 {
        self.get(size, offset);
        self.body.keep(size.is_wide())
    }

    /// Pushes a register of 1 or 2 bytes, zero-extended.
    pub(super) fn get_unsigned(&mut self, size: Size, offset: u8) {
        self.get(size, offset);
        match size {
            Size::Byte => self.body.w().i32_const(0xFF).i32_and(),
            Size::Word => self.body.w().i32_const(0xFFFF).i32_and(),
            _ => return,
        };
    }

    /// Sets a register of this size to the number on the stack; 4 bytes clear the upper half.
    pub(super) fn put(&mut self, size: Size, offset: u8) {
        let index = usize::from(offset / 8);
        match size {
            Size::Quad => self.set_register(index),
            Size::Double => {
                self.body.w().i64_extend_i32_u();
                self.set_register(index);
            }
            Size::Byte | Size::Word => {
                let (shift, mask) = (i64::from(offset % 8) * 8, (1i64 << size.bits()) - 1);
                self.body.w().i64_extend_i32_u().i64_const(mask).i64_and();
                if shift != 0 {
                    self.body.w().i64_const(shift).i64_shl();
                }
                self.register(index);
                self.body.w().i64_const(!(mask << shift)).i64_and().i64_or();
                self.set_register(index);
            }
        }
    }

    /// Keeps the linear address from a register and a displacement: of 64 bits in 64-bit code, else of 32.
    pub(super) fn address(&mut self, base: u8, displacement: i32) -> Linear {
        self.get(self.address_size(), base);
        self.add_constant(displacement);
        let symbol = self.symbols.of(usize::from(base / 8)).and(displacement);
        Linear { local: self.body.keep(self.long), symbol: Some(symbol) }
    }

    /// Adds to the address on the stack.
    fn add_constant(&mut self, constant: i32) {
        if constant != 0 {
            self.body.value(Value::Constant(constant), self.long);
            sized!(self.body, self.long, i64_add, i32_add);
        }
    }

    /// Keeps the linear address of the memory operand.
    pub(super) fn operand(&mut self, uop: &Uop) -> Linear {
        let (index, scale) = (uop.index & Uop::INDEX, uop.index & Uop::SCALE);
        let base = self.address(uop.base, uop.disp);
        if usize::from(index / 8) == ZERO {
            return base;
        }
        self.body.w().local_get(base.local);
        self.get(self.address_size(), index);
        self.body.value(Value::Constant(scale.into()), self.long);
        sized!(self.body, self.long, i64_shl, i32_shl);
        sized!(self.body, self.long, i64_add, i32_add);
        Linear { local: self.body.keep(self.long), symbol: None }
    }

    pub(super) const fn address_size(&self) -> Size {
        if self.long { Size::Quad } else { Size::Double }
    }

    /// Keeps where `bytes` bytes at a linear address lie in linear memory. If the TLB does not have it, the interpreter goes on
    /// with `uop`.
    pub(super) fn translated(&mut self, address: Linear, bytes: u32, write: bool, uop: u32) -> u32 {
        let Linear { local, symbol } = address;
        let (group, access) = self.groups.next(symbol, bytes, write);
        let addend = match self.groups.addend(group) {
            Some(addend) => addend,
            None => {
                let addend = self.look_up(local, access, self.groups.at(group), uop);
                self.groups.set_addend(group, addend);
                addend
            }
        };
        self.body.w().local_get(local);
        if self.long {
            self.body.w().i32_wrap_i64();
        }
        self.body.w().local_get(addend).i32_add();
        self.body.keep(false)
    }

    /// Where the entries of the TLB are that this part goes by: it is executed with no other.
    fn entries(&self) -> u32 {
        self.cpu.memory.entries_of(self.part == super::PROGRAMS) as usize as u32
    }

    /// Keeps what is to be added to addresses of a group, of whose accesses `address` is that at `offset`. All of them have to
    /// be in one page.
    fn look_up(&mut self, address: u32, offset: i32, group: Group, uop: u32) -> u32 {
        let miss = self.miss(uop);
        let (long, entries) = (self.long, self.entries());
        self.body.w().local_get(address);
        self.add_constant(group.from.wrapping_sub(offset));
        self.body.value(Value::Constant(ENTRY_SHIFT), long);
        sized!(self.body, long, i64_shr_u, i32_shr_u);
        if long {
            self.body.w().i32_wrap_i64();
        }
        // Not as the offset of the loads: so far away, the compiler would check bounds.
        self.body.w().i32_const(ENTRY_MASK).i32_and().i32_const(entries as i32).i32_add();
        let entry = self.body.keep(false);
        let tag = if group.write { Entry::WRITE } else { Entry::READ };
        self.body.w().local_get(entry).i64_load(at(tag));
        self.body.w().local_get(address);
        self.add_constant(group.to.wrapping_sub(1).wrapping_sub(offset));
        self.body.value(Value::Constant(!(PAGE_MASK as i32)), long);
        sized!(self.body, long, i64_and, i32_and);
        if !long {
            self.body.w().i64_extend_i32_u();
        }
        self.body.w().i64_ne();
        self.body.br_if_unlikely(miss);
        self.body.w().local_get(entry).i32_load(at(Entry::ADDEND));
        self.body.keep(false)
    }

    /// Pushes what lies at a place in linear memory, sign-extended to 32 bits.
    pub(super) fn load_from(&mut self, size: Size, place: u32) {
        self.body.w().local_get(place);
        match size {
            Size::Byte => self.body.w().i32_load8_s(at(0)),
            Size::Word => self.body.w().i32_load16_s(at(0)),
            Size::Double => self.body.w().i32_load(at(0)),
            Size::Quad => self.body.w().i64_load(at(0)),
        };
    }

    /// Stores a variable at a place in linear memory.
    pub(super) fn store_to(&mut self, size: Size, place: u32, offset: u32, value: u32) {
        self.body.w().local_get(place).local_get(value);
        match size {
            Size::Byte => self.body.w().i32_store8(at(offset)),
            Size::Word => self.body.w().i32_store16(at(offset)),
            Size::Double => self.body.w().i32_store(at(offset)),
            Size::Quad => self.body.w().i64_store(at(offset)),
        };
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
        let next = self.pieces.iter().position(|piece| piece.block == self.block && piece.first == self.after(uop));
        let function = self.current().translated.function();
        let next = next.map(|entry| Translated::new(self.part, function, entry as u32).0);
        self.then(uop, next.unwrap_or(LOOK));
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
        place.wrapping_sub(first) / size_of::<Uop>() as u32
    }

    /// Pushes whether a condition holds.
    pub(super) fn condition(&mut self, condition: u8) {
        if self.pending.needs_storing(condition) {
            self.store_flags();
        }
        let pending = self.pending.clone();
        self.body.condition_of(self.places, &pending, condition);
    }

    /// Goes to the address in a variable. The flags are stored.
    pub(super) fn go_to(&mut self, address: u32) {
        self.push_address(address);
        self.body.w().return_call(DISPATCH);
    }

    /// The ways of the branch whose links are the micro-operation after `number`: the taken and the other one.
    #[allow(unsafe_code)]
    pub(super) fn ways(&self, links: u32) -> [Way; 2] {
        let (uop, _) = self.uop(links);
        // SAFETY: links follow each branch; both are plain numbers of one size.
        let links: Links = unsafe { std::mem::transmute(uop) };
        [
            Way {
                distance: links.target,
                block: links.taken.offset(),
            },
            Way {
                distance: links.offset.into(),
                block: links.other.offset(),
            },
        ]
    }

    /// The way from the end of a block without a branch.
    pub(super) fn way_on(&self, links: u32) -> Way {
        let [taken, other] = self.ways(links);
        Way { distance: other.distance, ..taken }
    }

    /// Goes a way. The flags are stored.
    pub(super) fn go(&mut self, way: Way) {
        if let Some(block) = self.in_page(way.distance) {
            self.go_in_page(block);
            return;
        }
        self.address_in_page(way.distance);
        let address = self.body.keep(self.long);
        let is_near = u64::try_from(way.distance).is_ok_and(|distance| distance < PAGE);
        match self.linked(way).filter(|_| !is_near) {
            Some(block) => self.go_if_still(address, block),
            None => self.go_to(address),
        }
    }

    /// The block that a branch within the page leads to without a look at it.
    fn in_page(&self, distance: i32) -> Option<Offset> {
        let distance = u64::try_from(distance).ok().filter(|distance| *distance < PAGE)?;
        let physical = (self.current().physical & !PAGE_MASK) | distance;
        let index = self.blocks.binary_search_by_key(&physical, |block| self.at(*block).physical).ok()?;
        self.blocks.get(index).copied().filter(|block| self.at(*block).may_be_linked())
    }

    /// The label of a block, if it is in this function and behind this one.
    fn label_ahead(&self, block: Offset) -> Option<Label> {
        let index = self.entry_of(block)?;
        self.labels.get(index).copied().filter(|_| index > self.index)
    }

    fn entry_of(&self, block: Offset) -> Option<usize> {
        self.pieces.iter().position(|piece| piece.block == block && piece.first == 0)
    }

    fn go_in_page(&mut self, block: Offset) {
        if let Some(label) = self.label_ahead(block) {
            self.body.br(label);
        } else if let (Some(index), Some(top)) = (self.entry_of(block), self.top) {
            let entry = self.entry;
            self.body.w().i32_const(index as i32).local_set(entry);
            self.body.br(top);
        } else {
            self.enter(block);
        }
    }

    /// Goes to the function that has a block.
    fn enter(&mut self, block: Offset) {
        let translated = self.at(block).translated;
        let function = FIRST_CODE.wrapping_add(translated.function());
        self.body.w().i32_const(translated.entry() as i32).return_call(function);
    }

    /// Goes a way if the condition on the stack holds. The flags are stored.
    pub(super) fn go_when(&mut self, way: Way) {
        if let Some(label) = self.in_page(way.distance).and_then(|block| self.label_ahead(block)) {
            self.body.br_if(label);
            return;
        }
        if way.block == 0 {
            // It has not been gone yet.
            self.body.when_unlikely();
        } else {
            self.body.when();
        }
        self.go(way);
        self.body.end();
    }

    /// The block that a branch to another page has led to, if it may be gone to without the interpreter.
    fn linked(&self, way: Way) -> Option<Offset> {
        let there = self.at(way.block);
        let fits = way.block != 0
            && there.physical != u64::MAX
            && (there.physical ^ way.distance as u64) & PAGE_MASK == 0
            && there.translated.part() == self.part;
        fits.then_some(way.block)
    }

    /// Goes to the address in a variable, where `block` was before.
    fn go_if_still(&mut self, address: u32, block: Offset) {
        let there = self.at(block);
        let code = self.places.code;
        let seen = code.seen.wrapping_add(there.number().wrapping_mul(CodePlaces::SEEN_BYTES));
        let key = if self.cpu.code.is_global(there) { code.global_key } else { code.key };
        let other = self.body.block();
        self.body.w().local_get(address);
        if self.long {
            self.body.load64(seen.wrapping_add(CodePlaces::SEEN_RIP));
        } else {
            self.body.load32(seen.wrapping_add(CodePlaces::SEEN_RIP));
        }
        sized!(self.body, self.long, i64_ne, i32_ne);
        self.body.br_if_unlikely(other);
        self.body.load32(seen.wrapping_add(CodePlaces::SEEN_KEY));
        self.body.load32(key);
        self.body.w().i32_ne();
        self.body.br_if_unlikely(other);
        self.body.w().i32_const(0).local_get(address);
        self.add_constant(((there.physical & PAGE_MASK) as i32).wrapping_neg());
        if !self.long {
            self.body.w().i64_extend_i32_u();
        }
        self.body.w().i64_store(at(self.places.register(PAGE_REGISTER)));
        self.enter(block);
        self.body.end();
        self.push_address(address);
        let place = self.place_of(block);
        self.body.w().i32_const(place as i32).return_call(FIND);
    }
}
