//! The interpreter's loop: executes micro-operations.
//!
//! One big `match`, which becomes one jump table. What the arms share is in the macros, so that each arm
//! holds its own copy: the loop has no calls on its fast paths.

#![allow(
    unsafe_code,
    reason = "registers, micro-operations and RAM are reached by pointers that the decoder and the TLB made"
)]
#![allow(
    clippy::unnecessary_cast,
    clippy::useless_conversion,
    reason = "the same arms are written for operands of 32 and 64 bits"
)]

use crate::code::{Block, General, Link, Links, Offset, Op, Uop};
use crate::memory::{Access, PAGE, PAGE_MASK, Tlb, is_canonical};
use crate::run::Left;
use crate::simd::V;
use crate::state::PAGE_REGISTER;
use crate::{Cpu, Fault, flag, general};

/// Byte offsets of registers in `Cpu::regs`.
pub(crate) const RAX: u8 = 0;
pub(crate) const CL: u8 = 8;
pub(crate) const RDX: u8 = 2 * 8;
pub(crate) const RBX: u8 = 3 * 8;
pub(crate) const RSP: u8 = 4 * 8;
pub(crate) const RBP: u8 = 5 * 8;

/// Operations of `Cpu::alu`, by their encoding.
pub(crate) const ADD: u8 = 0;
pub(crate) const OR: u8 = 1;
pub(crate) const ADC: u8 = 2;
pub(crate) const SBB: u8 = 3;
pub(crate) const AND: u8 = 4;
pub(crate) const SUB: u8 = 5;
pub(crate) const XOR: u8 = 6;
pub(crate) const CMP: u8 = 7;
/// CF and OF.
const CARRY_AND_OVERFLOW: u32 = flag::CF | flag::OF;
/// Operations of `Cpu::shift`.
const SHL: u8 = 4;
const SHR: u8 = 5;
const SAR: u8 = 7;

/// Why the loop was left.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Exit(u32);

impl Exit {
    /// Something may have to be looked at; `Cpu::rip` says where to go on.
    pub(crate) const CHECK: Self = Self(0);
    /// The block at `Cpu::rip` has to be found; it is to be linked at `Cpu::link`.
    pub(crate) const ENTER: Self = Self(1);
    /// The instruction of `Cpu::uop` failed with `Cpu::fault`.
    pub(crate) const FAILED: Self = Self(2);
    /// Code may have changed; the instruction of `Cpu::uop` was the last one.
    pub(crate) const CHANGED: Self = Self(3);
    /// None: of what translated code calls.
    pub(crate) const NONE: Self = Self(u32::MAX);
    /// What translated code has returned: the place of the micro-operation with which to go on, or why code was left.
    #[cfg(target_arch = "wasm32")]
    pub(crate) fn place_or_exit(number: u32) -> Result<*const Uop, Self> {
        /// Nothing lies below in linear memory.
        const FIRST_PLACE: u32 = 16;
        if number < FIRST_PLACE { Err(Self(number)) } else { Ok(number as usize as *const Uop) }
    }

    /// The interpreter goes on with a micro-operation.
    #[cfg(target_arch = "wasm32")]
    pub(crate) fn going_on(uop: *const Uop) -> Self {
        Self(uop as usize as u32)
    }

    /// As translated code knows it.
    pub(crate) const fn number(self) -> u32 {
        self.0
    }

    /// `Cpu::uop` accesses memory, which the TLB cannot serve.
    const fn miss(place: Place, bytes: u32, write: bool) -> Self {
        Self(1 << 31 | bytes << 16 | (write as u32) << 8 | place as u32)
    }

    /// Where, how many bytes, and whether it is a write.
    fn access(self) -> (Place, u32, bool) {
        let place = Place::ALL.into_iter().find(|place| *place as u32 == self.0 & 0xFF);
        (place.unwrap_or(Place::Never), self.0 >> 16 & 0xFF, self.0 & 0x100 != 0)
    }
}

/// Where a micro-operation accesses memory.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// At its operand.
    Operand,
    /// Where a push stores.
    Push,
    /// Where RSP points.
    Top,
    /// Where RBP points.
    Frame,
    /// At the operand of the first instruction of a pair.
    First,
    /// At that of the second.
    Second,
    /// Where what the first one loads points to.
    Chained,
    /// Where RSP points, for the second.
    TopAfter,
    /// Where a push stores that is the second.
    PushAfter,
    /// Where it cannot be done by itself.
    Never,
}

impl Place {
    const ALL: [Self; 10] = [
        Self::Operand,
        Self::Push,
        Self::Top,
        Self::Frame,
        Self::First,
        Self::Second,
        Self::Chained,
        Self::TopAfter,
        Self::PushAfter,
        Self::Never,
    ];
}

/// An operand of 1, 2, 4 or 8 bytes.
trait Word: Copy {
    const BYTES: u64;
    /// Sign-extended.
    fn sign(self) -> i64;
    /// The low bytes of a number, sign-extended again.
    fn wrap(wide: i64) -> i64;
    /// Writes a register; 4 bytes clear the upper half.
    ///
    /// # Safety
    /// `at` points to a register, as wide as it needs to be.
    unsafe fn put(self, at: *mut u8);
}

macro_rules! word {
    ($unsigned:ty, $signed:ty, $stored:ty) => {
        impl Word for $unsigned {
            const BYTES: u64 = size_of::<$unsigned>() as u64;
            #[inline(always)]
            fn sign(self) -> i64 {
                self as $signed as i64
            }
            #[inline(always)]
            fn wrap(wide: i64) -> i64 {
                wide as $signed as i64
            }
            #[inline(always)]
            unsafe fn put(self, at: *mut u8) {
                // SAFETY: as the caller promises.
                unsafe { at.cast::<$stored>().write(self as $stored) }
            }
        }
    };
}
word!(u8, i8, u8);
word!(u16, i16, u16);
word!(u32, i32, u64);
word!(u64, i64, u64);

impl Cpu {
    /// Executes the chain of blocks that begins with `first` at `rip`, until something has to be looked at.
    pub(crate) fn run_blocks(&mut self, first: Offset) -> Left {
        let long = self.mode.is_long();
        self.code.changed = false;
        // SAFETY: it is a block; what the loop leaves in `uop` and `link` is what it is executing.
        unsafe {
            let mut u = self.begin(self.code.at(first), self.rip);
            loop {
                let exit = if long { self.execute::<true>(u) } else { self.execute::<false>(u) };
                let next = match exit {
                    Exit::CHECK => return Left::Check,
                    Exit::ENTER => self.enter(self.rip, self.link),
                    Exit::FAILED => return self.failed(self.uop, self.fault),
                    Exit::CHANGED => return self.leave_after(self.uop),
                    miss => self.serve(self.uop, miss),
                };
                match next {
                    Ok(next) => u = next,
                    Err(left) => return left,
                }
            }
        }
    }

    /// Makes `block` at `target` the current one; its first micro-operation.
    #[inline(always)]
    unsafe fn begin(&mut self, block: *const Block, target: u64) -> *const Uop {
        // SAFETY: the caller has found it.
        unsafe {
            self.current = block;
            self.regs[PAGE_REGISTER] = target.wrapping_sub((*block).physical & PAGE_MASK);
            self.budget -= i64::from((*block).instructions);
            Block::begin(block, self.translated)
        }
    }

    /// Executes micro-operations from `u` on, which is in the current block; `LONG` is whether this is 64-bit code, which
    /// forms addresses of 64 bits.
    ///
    /// The loop calls nothing but handlers of general instructions, and keeps nothing but the place of the
    /// micro-operation in variables: so the compiler can leave that in a register. The CPU lies at a fixed address in the
    /// module.
    #[allow(clippy::too_many_lines, reason = "one arm for each micro-operation")]
    unsafe fn execute<const LONG: bool>(&mut self, mut u: *const Uop) -> Exit {
        // SAFETY: blocks and records are what the decoder made, register offsets too. Throwing code away sets
        // `changed`, and the arena is reused only when a block is made, which ends the use of the old one.
        unsafe {
            let here = Self::place(self);
            let cpu = &mut *here;
            loop {
                let (target, link) = 'run: loop {
                    let uop = &*u;
                    u = u.add(1);
                    let exit = 'exit: {
                        macro_rules! get {
                            ($t:ty, $at:expr) => {
                                (&raw mut (*here).regs).cast::<u8>().add(usize::from($at)).cast::<$t>().read()
                            };
                        }
                        macro_rules! put {
                            ($t:ty, $at:expr, $value:expr) => {{
                                let value: $t = $value;
                                Word::put(value, (&raw mut (*here).regs).cast::<u8>().add(usize::from($at)))
                            }};
                        }
                        macro_rules! imm {
                            () => {
                                i64::from(uop.imm)
                            };
                        }
                        // Linear address from a register and a displacement.
                        macro_rules! address {
                            ($base:expr, $displacement:expr) => {
                                if LONG {
                                    get!(u64, $base).wrapping_add(i64::from($displacement) as u64)
                                } else {
                                    u64::from(get!(u32, $base).wrapping_add($displacement as u32))
                                }
                            };
                        }
                        // Linear address of a memory operand without index.
                        macro_rules! base {
                            () => {
                                address!(uop.base, uop.disp)
                            };
                        }
                        // Linear address of the memory operand.
                        macro_rules! ea {
                            () => {{
                                let (index, scale) = (uop.index & Uop::INDEX, uop.index & Uop::SCALE);
                                if LONG {
                                    base!().wrapping_add(get!(u64, index) << scale)
                                } else {
                                    u64::from((base!() as u32).wrapping_add(get!(u32, index) << scale))
                                }
                            }};
                        }
                        // The TLB cannot serve an access.
                        macro_rules! miss {
                            ($t:ty, $place:ident, $write:expr) => {
                                break 'exit const { Exit::miss(Place::$place, size_of::<$t>() as u32, $write) }
                            };
                        }
                        macro_rules! entry {
                            ($linear:expr) => {
                                &*cpu.memory.entries.add(($linear >> 12) as usize % 1024)
                            };
                        }
                        // Where to load.
                        macro_rules! readable {
                            ($t:ty, $linear:expr, $place:ident) => {{
                                let linear: u64 = $linear;
                                let entry = entry!(linear);
                                if entry.read != linear.wrapping_add(size_of::<$t>() as u64 - 1) & !PAGE_MASK
                                {
                                    miss!($t, $place, false)
                                }
                                (linear as usize).wrapping_add(entry.addend) as *const $t
                            }};
                        }
                        // Loads from where a micro-operation says, or from an address at a known place.
                        macro_rules! load {
                            ($t:ty, $linear:expr) => {
                                load!($t, $linear, Operand)
                            };
                            ($t:ty, $linear:expr, $place:ident) => {
                                readable!($t, $linear, $place).read_unaligned()
                            };
                        }
                        // Where to store.
                        macro_rules! place {
                            ($t:ty, $linear:expr, $place:ident) => {{
                                let linear: u64 = $linear;
                                let entry = entry!(linear);
                                if entry.write != linear.wrapping_add(size_of::<$t>() as u64 - 1) & !PAGE_MASK
                                {
                                    miss!($t, $place, true)
                                }
                                (linear as usize).wrapping_add(entry.addend) as *mut $t
                            }};
                        }
                        // Makes sure that the stack can be pushed to after a load from the operand: if both pages have
                        // one entry of the TLB, it can serve only one of them.
                        macro_rules! load_before_push {
                            ($t:ty) => {{
                                let linear = ea!();
                                let top = u64::from(get!($t, RSP).wrapping_sub(<$t as Word>::BYTES as $t));
                                if !Tlb::are_apart(linear, top) {
                                    miss!($t, Never, false)
                                }
                                load!($t, linear)
                            }};
                        }
                        macro_rules! store {
                            ($t:ty, $linear:expr, $value:expr) => {{
                                let at = place!($t, $linear, Operand);
                                at.write_unaligned($value)
                            }};
                        }
                        // A load and a store at one place: a fault is that of a write, and comes first.
                        macro_rules! modify {
                            ($t:ty, |$old:ident| $new:expr) => {{
                                let at = place!($t, ea!(), Operand);
                                let $old: $t = at.read_unaligned();
                                at.write_unaligned($new)
                            }};
                        }
                        // What may fail of a part of a pair: its access to memory.
                        macro_rules! check {
                            ($t:ty, Load, $place:ident, $base:expr, $value:expr) => {
                                readable!($t, address!($base, $value), $place)
                            };
                            ($t:ty, Store, $place:ident, $base:expr, $value:expr) => {
                                place!($t, address!($base, $value), $place)
                            };
                            ($t:ty, $other:ident, $place:ident, $base:expr, $value:expr) => {
                                std::ptr::null_mut::<$t>()
                            };
                        }
                        // The rest of it.
                        macro_rules! act {
                            ($t:ty, Load, $at:expr, $a:expr, $b:expr, $value:expr) => {
                                put!($t, $a, $at.read_unaligned())
                            };
                            ($t:ty, Store, $at:expr, $a:expr, $b:expr, $value:expr) => {
                                $at.write_unaligned(get!($t, $a))
                            };
                            ($t:ty, Move, $at:expr, $a:expr, $b:expr, $value:expr) => {
                                put!($t, $a, get!($t, $b))
                            };
                            ($t:ty, Narrow, $at:expr, $a:expr, $b:expr, $value:expr) => {
                                put!(u32, $a, get!(u32, $b))
                            };
                            ($t:ty, Zero, $at:expr, $a:expr, $b:expr, $value:expr) => {{
                                put!(u32, $a, 0u32);
                                cpu.flags_logic(0)
                            }};
                            ($t:ty, Add, $at:expr, $a:expr, $b:expr, $value:expr) => {
                                act!($t, ADD, $a, get!($t, $b).sign())
                            };
                            ($t:ty, Xor, $at:expr, $a:expr, $b:expr, $value:expr) => {
                                act!($t, XOR, $a, get!($t, $b).sign())
                            };
                            ($t:ty, And, $at:expr, $a:expr, $b:expr, $value:expr) => {
                                act!($t, AND, $a, get!($t, $b).sign())
                            };
                            ($t:ty, Or, $at:expr, $a:expr, $b:expr, $value:expr) => {
                                act!($t, OR, $a, get!($t, $b).sign())
                            };
                            ($t:ty, AddI, $at:expr, $a:expr, $b:expr, $value:expr) => {
                                act!($t, ADD, $a, i64::from($value))
                            };
                            ($t:ty, AndI, $at:expr, $a:expr, $b:expr, $value:expr) => {
                                act!($t, AND, $a, i64::from($value))
                            };
                            ($t:ty, SubI, $at:expr, $a:expr, $b:expr, $value:expr) => {
                                act!($t, SUB, $a, i64::from($value))
                            };
                            ($t:ty, Lea, $at:expr, $a:expr, $b:expr, $value:expr) => {
                                put!($t, $a, get!($t, $b).wrapping_add(i64::from($value) as $t))
                            };
                            ($t:ty, ShrI, $at:expr, $a:expr, $b:expr, $value:expr) => {{
                                let a = get!($t, $a).sign();
                                put!($t, $a, cpu.shift::<SHR, $t>(a, $value as u32) as $t)
                            }};
                            ($t:ty, ShlI, $at:expr, $a:expr, $b:expr, $value:expr) => {{
                                let a = get!($t, $a).sign();
                                put!($t, $a, cpu.shift::<SHL, $t>(a, $value as u32) as $t)
                            }};
                            ($t:ty, RorI, $at:expr, $a:expr, $b:expr, $value:expr) => {
                                put!($t, $a, cpu.rotate_right(get!($t, $a), $value as u32))
                            };
                            ($t:ty, RolI, $at:expr, $a:expr, $b:expr, $value:expr) => {
                                put!($t, $a, cpu.rotate_left(get!($t, $a), $value as u32))
                            };
                            ($t:ty, $op:ident, $a:expr, $b:expr) => {{
                                let (a, b) = (get!($t, $a).sign(), $b);
                                put!($t, $a, cpu.alu::<$op, $t>(a, b) as $t)
                            }};
                        }
                        macro_rules! pair {
                            ($first:ident, $second:ident) => {
                                pair!(u32, $first, $second)
                            };
                            ($t:ty, $first:ident, $second:ident) => {{
                                let first = check!($t, $first, First, uop.b, uop.disp);
                                let second = check!($t, $second, Second, uop.index, uop.imm);
                                let _ = (first, second);
                                act!($t, $first, first, uop.a, uop.b, uop.disp);
                                act!($t, $second, second, uop.base, uop.index, uop.imm)
                            }};
                        }
                        // What is in 64-bit code only (`Zero` and `Narrow` are in both).
                        macro_rules! pair64 {
                            ($first:ident, $second:ident) => {{
                                if !LONG {
                                    miss!(u64, Never, false)
                                }
                                pair!(u64, $first, $second)
                            }};
                        }
                        // SSE may be off.
                        macro_rules! sse {
                            () => {
                                if cpu.sse_ready().is_err() {
                                    miss!(V, Never, false)
                                }
                            };
                        }
                        // An XMM register.
                        macro_rules! vector {
                            ($at:expr) => {
                                (&raw mut (*here).xmm).cast::<u8>().add(usize::from($at)).cast::<V>()
                            };
                        }
                        // The address of an operand that has to be aligned.
                        macro_rules! aligned {
                            () => {{
                                let linear = ea!();
                                if linear & 15 != 0 {
                                    miss!(V, Never, false)
                                }
                                linear
                            }};
                        }
                        macro_rules! alu_rr {
                            ($op:ident, $t:ty) => {{
                                let (a, b) = (get!($t, uop.a).sign(), get!($t, uop.b).sign());
                                put!($t, uop.a, cpu.alu::<$op, $t>(a, b) as $t)
                            }};
                        }
                        macro_rules! alu_ri {
                            ($op:ident, $t:ty) => {{
                                let a = get!($t, uop.a).sign();
                                put!($t, uop.a, cpu.alu::<$op, $t>(a, imm!()) as $t)
                            }};
                        }
                        macro_rules! alu_rm {
                            ($op:ident, $t:ty) => {{
                                let b = load!($t, ea!()).sign();
                                let a = get!($t, uop.a).sign();
                                put!($t, uop.a, cpu.alu::<$op, $t>(a, b) as $t)
                            }};
                        }
                        macro_rules! alu_mr {
                            ($op:ident, $t:ty) => {{
                                let b = get!($t, uop.a).sign();
                                modify!($t, |old| cpu.alu::<$op, $t>(old.sign(), b) as $t)
                            }};
                        }
                        macro_rules! alu_mi {
                            ($op:ident, $t:ty) => {
                                modify!($t, |old| cpu.alu::<$op, $t>(old.sign(), imm!()) as $t)
                            };
                        }
                        macro_rules! cmp_rr {
                            ($op:ident, $t:ty) => {{
                                cpu.alu::<$op, $t>(get!($t, uop.a).sign(), get!($t, uop.b).sign());
                            }};
                        }
                        macro_rules! cmp_ri {
                            ($op:ident, $t:ty) => {{
                                cpu.alu::<$op, $t>(get!($t, uop.a).sign(), imm!());
                            }};
                        }
                        macro_rules! cmp_rm {
                            ($op:ident, $t:ty) => {{
                                let b = load!($t, ea!()).sign();
                                cpu.alu::<$op, $t>(get!($t, uop.a).sign(), b);
                            }};
                        }
                        macro_rules! cmp_mr {
                            ($op:ident, $t:ty) => {{
                                let a = load!($t, ea!()).sign();
                                cpu.alu::<$op, $t>(a, get!($t, uop.a).sign());
                            }};
                        }
                        macro_rules! cmp_mi {
                            ($op:ident, $t:ty) => {{
                                let a = load!($t, ea!()).sign();
                                cpu.alu::<$op, $t>(a, imm!());
                            }};
                        }
                        macro_rules! unary {
                            ($flags:ident, $t:ty, $step:expr) => {{
                                let a = get!($t, uop.a).sign();
                                let result = <$t>::wrap(a.wrapping_add($step));
                                cpu.$flags(a, result);
                                put!($t, uop.a, result as $t)
                            }};
                        }
                        macro_rules! negate {
                            ($t:ty) => {{
                                let b = get!($t, uop.a).sign();
                                put!($t, uop.a, cpu.alu::<SUB, $t>(0, b) as $t)
                            }};
                        }
                        macro_rules! unary_memory {
                            ($flags:ident, $t:ty, $step:expr) => {
                                modify!($t, |old| {
                                    let result = <$t>::wrap(old.sign().wrapping_add($step));
                                    cpu.$flags(old.sign(), result);
                                    result as $t
                                })
                            };
                        }
                        macro_rules! shift {
                            ($op:ident, $t:ty, $count:expr) => {{
                                let a = get!($t, uop.a).sign();
                                put!($t, uop.a, cpu.shift::<$op, $t>(a, $count) as $t)
                            }};
                        }
                        macro_rules! imul {
                            ($t:ty, $a:expr, $b:expr) => {{
                                let (a, b) = ($a.sign(), $b.sign());
                                put!($t, uop.a, cpu.multiply::<$t>(a, b) as $t)
                            }};
                        }
                        // RDX and RAX become RAX times a number.
                        macro_rules! mul {
                            ($t:ty, $twice:ty, $b:expr) => {{
                                let product = <$twice>::from($b) * <$twice>::from(get!($t, RAX));
                                let high = (product >> <$t>::BITS) as $t;
                                put!($t, RAX, product as $t);
                                put!($t, RDX, high);
                                let bits = if high != 0 { CARRY_AND_OVERFLOW } else { 0 };
                                cpu.flags_result((product as $t).sign(), bits);
                            }};
                        }
                        // What becomes of a number one of whose bits is looked at; CF is that bit.
                        macro_rules! bit {
                            ($t:ty, $old:expr, $number:expr, |$value:ident, $one:ident| $new:expr) => {{
                                let ($value, $one): ($t, $t) = ($old, 1 << ($number as u32 % <$t>::BITS));
                                cpu.set_status_flags(flag::CF, u32::from($value & $one != 0));
                                $new
                            }};
                        }
                        macro_rules! bt_r {
                            ($t:ty, $number:expr) => {
                                bit!($t, get!($t, uop.a), $number, |value, one| ())
                            };
                            ($t:ty, $number:expr, |$value:ident, $one:ident| $new:expr) => {{
                                let new = bit!($t, get!($t, uop.a), $number, |$value, $one| $new);
                                put!($t, uop.a, new)
                            }};
                        }
                        macro_rules! bt_mi {
                            ($t:ty) => {
                                bit!($t, load!($t, ea!()), uop.imm, |value, one| ())
                            };
                            ($t:ty, |$value:ident, $one:ident| $new:expr) => {
                                modify!($t, |old| bit!($t, old, uop.imm, |$value, $one| $new))
                            };
                        }
                        // The register stays if there is no bit.
                        macro_rules! scan {
                            ($t:ty, |$value:ident| $number:expr) => {{
                                let $value = get!($t, uop.b);
                                if $value != 0 {
                                    put!($t, uop.a, ($number).into());
                                }
                                cpu.set_status_flags(flag::ZF, if $value == 0 { flag::ZF } else { 0 })
                            }};
                        }
                        // The operand's address is that after the pop.
                        macro_rules! pop_to_memory {
                            ($t:ty) => {{
                                let (to, top) = (ea!(), u64::from(get!($t, RSP)));
                                if !Tlb::are_apart(to, top) {
                                    miss!($t, Never, false)
                                }
                                let value = load!($t, top, Top);
                                store!($t, to, value);
                                put!($t, RSP, (top as $t).wrapping_add(<$t as Word>::BYTES as $t))
                            }};
                        }
                        macro_rules! push {
                            ($t:ty, $value:expr) => {{
                                let value: $t = $value;
                                let top: $t = get!($t, RSP).wrapping_sub(<$t as Word>::BYTES as $t);
                                place!($t, u64::from(top), Push).write_unaligned(value);
                                put!($t, RSP, top)
                            }};
                        }
                        macro_rules! pop {
                            ($t:ty) => {
                                load!($t, u64::from(get!($t, RSP)), Top)
                            };
                        }
                        // Elsewhere it depends on more.
                        macro_rules! in_kernel {
                            () => {
                                if cpu.cpl != 0 {
                                    miss!(u8, Never, false)
                                }
                            };
                        }
                        macro_rules! xadd {
                            ($t:ty) => {
                                modify!($t, |old| {
                                    let b = get!($t, uop.a).sign();
                                    let sum = cpu.alu::<ADD, $t>(old.sign(), b);
                                    put!($t, uop.a, old);
                                    sum as $t
                                })
                            };
                        }
                        // Memory is written in any case.
                        macro_rules! cmpxchg {
                            ($t:ty) => {
                                modify!($t, |old| {
                                    let expected = get!($t, RAX);
                                    cpu.alu::<CMP, $t>(expected.sign(), old.sign());
                                    if old == expected {
                                        get!($t, uop.a)
                                    } else {
                                        put!($t, RAX, old);
                                        old
                                    }
                                })
                            };
                        }
                        // Two registers of 4 bytes as one number.
                        macro_rules! both {
                            ($high:expr, $low:expr) => {
                                u64::from(get!(u32, $high)) << 32 | u64::from(get!(u32, $low))
                            };
                        }
                        macro_rules! return_address {
                            () => {
                                cpu.regs[PAGE_REGISTER].wrapping_add(u64::from((*u.cast::<Links>()).offset))
                            };
                        }
                        // Returns to addresses that are none fail where they start.
                        macro_rules! check_target {
                            ($to:expr) => {
                                if cpu.mode.is_long() && !is_canonical($to) {
                                    cpu.fault = Fault::GP0;
                                    break 'exit Exit::FAILED;
                                }
                            };
                        }
                        // The same for the last of several instructions: the first ones are executed before.
                        macro_rules! check_return {
                            ($to:expr) => {
                                if !is_canonical($to) {
                                    miss!(u64, Never, false)
                                }
                            };
                        }
                        // To another block: by the link if that is enough, else by its address.
                        macro_rules! go {
                            ($link:ident, $links:ident, $to:expr) => {{
                                let $links = u.cast::<Links>().cast_mut();
                                let link = (*$links).$link;
                                if link.is_sure() && cpu.budget > 0 {
                                    let block: *const Block = cpu.code.at(link.offset());
                                    cpu.current = block;
                                    cpu.budget -= i64::from((*block).instructions);
                                    u = Block::begin(block, cpu.translated);
                                    continue 'run;
                                }
                                let to: u64 = $to & cpu.address_mask;
                                break 'run (to, &raw mut (*$links).$link);
                            }};
                        }
                        // A call: the return will be looked for here.
                        macro_rules! call {
                            ($t:ty) => {{
                                let back = return_address!() as $t;
                                push!($t, back);
                                cpu.code.calls.push(u64::from(back), u.cast::<Links>().cast_mut());
                            }};
                        }
                        // The stores of a call, and of pushes before it.
                        macro_rules! called {
                            ($t:ty, $at:expr, [$($pushed:expr),*]) => {{
                                let back = return_address!() as $t;
                                $at.write_unaligned([back, $($pushed),*]);
                                cpu.code.calls.push(u64::from(back), u.cast::<Links>().cast_mut());
                            }};
                        }
                        // To an address that was computed.
                        macro_rules! indirect {
                            ($to:expr) => {
                                break 'run ($to, &raw mut (*u.cast::<Links>().cast_mut()).taken)
                            };
                        }
                        macro_rules! back {
                            ($to:expr) => {
                                break 'run ($to, cpu.code.calls.pop($to))
                            };
                        }
                        // Several pushes; the last one comes first in memory.
                        macro_rules! pushes {
                            ([$t:ty; $count:literal], $($from:ident),+) => {{
                                let top: $t = get!($t, RSP).wrapping_sub(size_of::<[$t; $count]>() as $t);
                                let at = place!([$t; $count], u64::from(top), Push);
                                at.write_unaligned([$(get!($t, uop.$from)),+]);
                                put!($t, RSP, top)
                            }};
                        }
                        // Several pops, none of RSP.
                        macro_rules! pops {
                            ([$t:ty; $count:literal], $($to:ident),+) => {{
                                let [$($to),+] = load!([$t; $count], u64::from(get!($t, RSP)), Top);
                                put!($t, RSP, get!($t, RSP).wrapping_add(size_of::<[$t; $count]>() as $t));
                                $(put!($t, uop.$to, $to);)+
                            }};
                        }
                        // The same, and a return.
                        macro_rules! pops_return {
                            ([$t:ty; $count:literal], $($to:ident),+) => {{
                                let [$($to,)+ target] = load!([$t; $count], u64::from(get!($t, RSP)), Top);
                                check_return!(u64::from(target));
                                put!($t, RSP, get!($t, RSP).wrapping_add(size_of::<[$t; $count]>() as $t));
                                $(put!($t, uop.$to, $to);)+
                                back!(u64::from(target))
                            }};
                        }
                        // A load from where the first one leads.
                        macro_rules! load_chain {
                            ($t:ty) => {{
                                let value = load!($t, address!(uop.b, uop.disp), First);
                                let linear = if LONG {
                                    u64::from(value).wrapping_add(imm!() as u64)
                                } else {
                                    u64::from((value as u32).wrapping_add(uop.imm as u32))
                                };
                                let other = load!($t, linear, Chained);
                                put!($t, uop.a, value);
                                put!($t, uop.base, other)
                            }};
                        }
                        macro_rules! jump {
                            () => {
                                go!(
                                    taken,
                                    links,
                                    cpu.regs[PAGE_REGISTER].wrapping_add(i64::from((*links).target) as u64)
                                )
                            };
                        }
                        // A move, not to RSP, and a call.
                        macro_rules! move_call {
                            ($t:ty) => {{
                                let top: $t = get!($t, RSP).wrapping_sub(<$t as Word>::BYTES as $t);
                                let at = place!([$t; 1], u64::from(top), PushAfter);
                                put!($t, uop.a, get!($t, uop.b));
                                called!($t, at, []);
                                put!($t, RSP, top);
                                jump!()
                            }};
                        }
                        macro_rules! branch {
                            ($taken:expr) => {
                                if $taken { jump!() } else { go!(other, links, return_address!()) }
                            };
                        }
                        macro_rules! operands {
                            (rr, $t:ty) => {
                                (get!($t, uop.a).sign(), get!($t, uop.b).sign())
                            };
                            (ri, $t:ty) => {
                                (get!($t, uop.a).sign(), imm!())
                            };
                            (rm, $t:ty) => {{
                                let b = load!($t, ea!()).sign();
                                (get!($t, uop.a).sign(), b)
                            }};
                            (mr, $t:ty) => {{
                                let a = load!($t, ea!()).sign();
                                (a, get!($t, uop.a).sign())
                            }};
                            (mi, $t:ty) => {
                                (load!($t, ea!()).sign(), imm!())
                            };
                        }
                        macro_rules! and_branch {
                            ($r:ident, $taken:expr) => {{
                                let $r = cpu.alu::<AND, u32>(get!(u32, uop.a).sign(), imm!());
                                put!(u32, uop.a, $r as u32);
                                branch!($taken)
                            }};
                        }
                        macro_rules! sub_branch {
                            ($t:ty, $r:ident, $taken:expr) => {{
                                let at = place!($t, ea!(), Operand);
                                let $r = cpu.alu::<SUB, $t>(at.read_unaligned().sign(), imm!());
                                at.write_unaligned($r as $t);
                                branch!($taken)
                            }};
                        }
                        // A load, TEST of the register with itself, and a branch.
                        macro_rules! load_branch {
                            ($t:ty, $r:ident, $taken:expr) => {{
                                let value = load!($t, base!());
                                put!($t, uop.a, value);
                                let $r = cpu.alu::<AND, $t>(value.sign(), value.sign());
                                branch!($taken)
                            }};
                        }
                        // A load, TEST of a byte register with a constant, and a branch.
                        macro_rules! load_test_branch {
                            ($r:ident, $taken:expr) => {{
                                put!(u32, uop.a, load!(u32, base!()));
                                let $r = cpu.alu::<AND, u8>(get!(u8, uop.b).sign(), imm!());
                                branch!($taken)
                            }};
                        }
                        // An addition of a constant, a comparison, and a branch.
                        macro_rules! add_branch {
                            ($op:ident, $other:expr, $a:ident, $b:ident, $r:ident, $taken:expr) => {{
                                act!(u32, ADD, uop.a, i64::from(uop.disp));
                                let $a = get!(u32, uop.b).sign();
                                let $b = $other;
                                let $r = cpu.alu::<$op, u32>($a, $b);
                                branch!($taken)
                            }};
                        }
                        macro_rules! cmp_branch {
                            ($form:ident, $t:ty, $a:ident, $b:ident, $r:ident, $taken:expr) => {{
                                let ($a, $b) = operands!($form, $t);
                                let $r = cpu.alu::<CMP, $t>($a, $b);
                                let _ = $r;
                                branch!($taken)
                            }};
                        }
                        macro_rules! test_branch {
                            ($form:ident, $t:ty, $r:ident, $taken:expr) => {{
                                let (a, b) = operands!($form, $t);
                                let $r = cpu.alu::<AND, $t>(a, b);
                                branch!($taken)
                            }};
                        }
                        match uop.op {
                            Op::MovRr8 => put!(u8, uop.a, get!(u8, uop.b)),
                            Op::MovRi8 => put!(u8, uop.a, uop.imm as u8),
                            Op::Load8 => put!(u8, uop.a, load!(u8, ea!())),
                            Op::Store8 => store!(u8, ea!(), get!(u8, uop.a)),
                            Op::StoreI8 => store!(u8, ea!(), uop.imm as u8),
                            Op::MovRr16 => put!(u16, uop.a, get!(u16, uop.b)),
                            Op::MovRi16 => put!(u16, uop.a, uop.imm as u16),
                            Op::Load16 => put!(u16, uop.a, load!(u16, ea!())),
                            Op::Store16 => store!(u16, ea!(), get!(u16, uop.a)),
                            Op::StoreI16 => store!(u16, ea!(), uop.imm as u16),
                            Op::MovRr32 => put!(u32, uop.a, get!(u32, uop.b)),
                            Op::MovRi32 => put!(u32, uop.a, uop.imm as u32),
                            Op::Load32 => put!(u32, uop.a, load!(u32, ea!())),
                            Op::Store32 => store!(u32, ea!(), get!(u32, uop.a)),
                            Op::StoreI32 => store!(u32, ea!(), uop.imm as u32),
                            Op::MovRr64 => put!(u64, uop.a, get!(u64, uop.b)),
                            Op::MovRi64 => put!(u64, uop.a, uop.wide_immediate()),
                            Op::Load64 => put!(u64, uop.a, load!(u64, ea!())),
                            Op::Store64 => store!(u64, ea!(), get!(u64, uop.a)),
                            Op::StoreI64 => store!(u64, ea!(), imm!() as u64),
                            Op::LoadBase32 => put!(u32, uop.a, load!(u32, base!())),
                            Op::LoadBase64 => put!(u64, uop.a, load!(u64, base!())),
                            Op::StoreBase32 => store!(u32, base!(), get!(u32, uop.a)),
                            Op::StoreBase64 => store!(u64, base!(), get!(u64, uop.a)),
                            Op::ZxRr8 => put!(u32, uop.a, u32::from(get!(u8, uop.b))),
                            Op::ZxLoad8 => put!(u32, uop.a, u32::from(load!(u8, ea!()))),
                            Op::ZxRr16 => put!(u32, uop.a, u32::from(get!(u16, uop.b))),
                            Op::ZxLoad16 => put!(u32, uop.a, u32::from(load!(u16, ea!()))),
                            Op::SxRr8To32 => put!(u32, uop.a, get!(u8, uop.b).sign() as u32),
                            Op::SxLoad8To32 => put!(u32, uop.a, load!(u8, ea!()).sign() as u32),
                            Op::SxRr16To32 => put!(u32, uop.a, get!(u16, uop.b).sign() as u32),
                            Op::SxLoad16To32 => put!(u32, uop.a, load!(u16, ea!()).sign() as u32),
                            Op::SxRr8To64 => put!(u64, uop.a, get!(u8, uop.b).sign() as u64),
                            Op::SxLoad8To64 => put!(u64, uop.a, load!(u8, ea!()).sign() as u64),
                            Op::SxRr16To64 => put!(u64, uop.a, get!(u16, uop.b).sign() as u64),
                            Op::SxLoad16To64 => put!(u64, uop.a, load!(u16, ea!()).sign() as u64),
                            Op::SxRr32To64 => put!(u64, uop.a, get!(u32, uop.b).sign() as u64),
                            Op::SxLoad32To64 => put!(u64, uop.a, load!(u32, ea!()).sign() as u64),
                            Op::Lea32 => put!(u32, uop.a, ea!() as u32),
                            Op::Lea64 => put!(u64, uop.a, ea!()),
                            Op::AddRr8 => alu_rr!(ADD, u8),
                            Op::AddRr16 => alu_rr!(ADD, u16),
                            Op::AddRr32 => alu_rr!(ADD, u32),
                            Op::AddRr64 => alu_rr!(ADD, u64),
                            Op::AddRi8 => alu_ri!(ADD, u8),
                            Op::AddRi16 => alu_ri!(ADD, u16),
                            Op::AddRi32 => alu_ri!(ADD, u32),
                            Op::AddRi64 => alu_ri!(ADD, u64),
                            Op::AddRm8 => alu_rm!(ADD, u8),
                            Op::AddRm16 => alu_rm!(ADD, u16),
                            Op::AddRm32 => alu_rm!(ADD, u32),
                            Op::AddRm64 => alu_rm!(ADD, u64),
                            Op::AddMr8 => alu_mr!(ADD, u8),
                            Op::AddMr16 => alu_mr!(ADD, u16),
                            Op::AddMr32 => alu_mr!(ADD, u32),
                            Op::AddMr64 => alu_mr!(ADD, u64),
                            Op::AddMi8 => alu_mi!(ADD, u8),
                            Op::AddMi16 => alu_mi!(ADD, u16),
                            Op::AddMi32 => alu_mi!(ADD, u32),
                            Op::AddMi64 => alu_mi!(ADD, u64),
                            Op::OrRr8 => alu_rr!(OR, u8),
                            Op::OrRr16 => alu_rr!(OR, u16),
                            Op::OrRr32 => alu_rr!(OR, u32),
                            Op::OrRr64 => alu_rr!(OR, u64),
                            Op::OrRi8 => alu_ri!(OR, u8),
                            Op::OrRi16 => alu_ri!(OR, u16),
                            Op::OrRi32 => alu_ri!(OR, u32),
                            Op::OrRi64 => alu_ri!(OR, u64),
                            Op::OrRm8 => alu_rm!(OR, u8),
                            Op::OrRm16 => alu_rm!(OR, u16),
                            Op::OrRm32 => alu_rm!(OR, u32),
                            Op::OrRm64 => alu_rm!(OR, u64),
                            Op::OrMr8 => alu_mr!(OR, u8),
                            Op::OrMr16 => alu_mr!(OR, u16),
                            Op::OrMr32 => alu_mr!(OR, u32),
                            Op::OrMr64 => alu_mr!(OR, u64),
                            Op::OrMi8 => alu_mi!(OR, u8),
                            Op::OrMi16 => alu_mi!(OR, u16),
                            Op::OrMi32 => alu_mi!(OR, u32),
                            Op::OrMi64 => alu_mi!(OR, u64),
                            Op::AdcRr8 => alu_rr!(ADC, u8),
                            Op::AdcRr16 => alu_rr!(ADC, u16),
                            Op::AdcRr32 => alu_rr!(ADC, u32),
                            Op::AdcRr64 => alu_rr!(ADC, u64),
                            Op::AdcRi8 => alu_ri!(ADC, u8),
                            Op::AdcRi16 => alu_ri!(ADC, u16),
                            Op::AdcRi32 => alu_ri!(ADC, u32),
                            Op::AdcRi64 => alu_ri!(ADC, u64),
                            Op::AdcRm8 => alu_rm!(ADC, u8),
                            Op::AdcRm16 => alu_rm!(ADC, u16),
                            Op::AdcRm32 => alu_rm!(ADC, u32),
                            Op::AdcRm64 => alu_rm!(ADC, u64),
                            Op::AdcMr8 => alu_mr!(ADC, u8),
                            Op::AdcMr16 => alu_mr!(ADC, u16),
                            Op::AdcMr32 => alu_mr!(ADC, u32),
                            Op::AdcMr64 => alu_mr!(ADC, u64),
                            Op::AdcMi8 => alu_mi!(ADC, u8),
                            Op::AdcMi16 => alu_mi!(ADC, u16),
                            Op::AdcMi32 => alu_mi!(ADC, u32),
                            Op::AdcMi64 => alu_mi!(ADC, u64),
                            Op::SbbRr8 => alu_rr!(SBB, u8),
                            Op::SbbRr16 => alu_rr!(SBB, u16),
                            Op::SbbRr32 => alu_rr!(SBB, u32),
                            Op::SbbRr64 => alu_rr!(SBB, u64),
                            Op::SbbRi8 => alu_ri!(SBB, u8),
                            Op::SbbRi16 => alu_ri!(SBB, u16),
                            Op::SbbRi32 => alu_ri!(SBB, u32),
                            Op::SbbRi64 => alu_ri!(SBB, u64),
                            Op::SbbRm8 => alu_rm!(SBB, u8),
                            Op::SbbRm16 => alu_rm!(SBB, u16),
                            Op::SbbRm32 => alu_rm!(SBB, u32),
                            Op::SbbRm64 => alu_rm!(SBB, u64),
                            Op::SbbMr8 => alu_mr!(SBB, u8),
                            Op::SbbMr16 => alu_mr!(SBB, u16),
                            Op::SbbMr32 => alu_mr!(SBB, u32),
                            Op::SbbMr64 => alu_mr!(SBB, u64),
                            Op::SbbMi8 => alu_mi!(SBB, u8),
                            Op::SbbMi16 => alu_mi!(SBB, u16),
                            Op::SbbMi32 => alu_mi!(SBB, u32),
                            Op::SbbMi64 => alu_mi!(SBB, u64),
                            Op::AndRr8 => alu_rr!(AND, u8),
                            Op::AndRr16 => alu_rr!(AND, u16),
                            Op::AndRr32 => alu_rr!(AND, u32),
                            Op::AndRr64 => alu_rr!(AND, u64),
                            Op::AndRi8 => alu_ri!(AND, u8),
                            Op::AndRi16 => alu_ri!(AND, u16),
                            Op::AndRi32 => alu_ri!(AND, u32),
                            Op::AndRi64 => alu_ri!(AND, u64),
                            Op::AndRm8 => alu_rm!(AND, u8),
                            Op::AndRm16 => alu_rm!(AND, u16),
                            Op::AndRm32 => alu_rm!(AND, u32),
                            Op::AndRm64 => alu_rm!(AND, u64),
                            Op::AndMr8 => alu_mr!(AND, u8),
                            Op::AndMr16 => alu_mr!(AND, u16),
                            Op::AndMr32 => alu_mr!(AND, u32),
                            Op::AndMr64 => alu_mr!(AND, u64),
                            Op::AndMi8 => alu_mi!(AND, u8),
                            Op::AndMi16 => alu_mi!(AND, u16),
                            Op::AndMi32 => alu_mi!(AND, u32),
                            Op::AndMi64 => alu_mi!(AND, u64),
                            Op::SubRr8 => alu_rr!(SUB, u8),
                            Op::SubRr16 => alu_rr!(SUB, u16),
                            Op::SubRr32 => alu_rr!(SUB, u32),
                            Op::SubRr64 => alu_rr!(SUB, u64),
                            Op::SubRi8 => alu_ri!(SUB, u8),
                            Op::SubRi16 => alu_ri!(SUB, u16),
                            Op::SubRi32 => alu_ri!(SUB, u32),
                            Op::SubRi64 => alu_ri!(SUB, u64),
                            Op::SubRm8 => alu_rm!(SUB, u8),
                            Op::SubRm16 => alu_rm!(SUB, u16),
                            Op::SubRm32 => alu_rm!(SUB, u32),
                            Op::SubRm64 => alu_rm!(SUB, u64),
                            Op::SubMr8 => alu_mr!(SUB, u8),
                            Op::SubMr16 => alu_mr!(SUB, u16),
                            Op::SubMr32 => alu_mr!(SUB, u32),
                            Op::SubMr64 => alu_mr!(SUB, u64),
                            Op::SubMi8 => alu_mi!(SUB, u8),
                            Op::SubMi16 => alu_mi!(SUB, u16),
                            Op::SubMi32 => alu_mi!(SUB, u32),
                            Op::SubMi64 => alu_mi!(SUB, u64),
                            Op::XorRr8 => alu_rr!(XOR, u8),
                            Op::XorRr16 => alu_rr!(XOR, u16),
                            Op::XorRr32 => alu_rr!(XOR, u32),
                            Op::XorRr64 => alu_rr!(XOR, u64),
                            Op::XorRi8 => alu_ri!(XOR, u8),
                            Op::XorRi16 => alu_ri!(XOR, u16),
                            Op::XorRi32 => alu_ri!(XOR, u32),
                            Op::XorRi64 => alu_ri!(XOR, u64),
                            Op::XorRm8 => alu_rm!(XOR, u8),
                            Op::XorRm16 => alu_rm!(XOR, u16),
                            Op::XorRm32 => alu_rm!(XOR, u32),
                            Op::XorRm64 => alu_rm!(XOR, u64),
                            Op::XorMr8 => alu_mr!(XOR, u8),
                            Op::XorMr16 => alu_mr!(XOR, u16),
                            Op::XorMr32 => alu_mr!(XOR, u32),
                            Op::XorMr64 => alu_mr!(XOR, u64),
                            Op::XorMi8 => alu_mi!(XOR, u8),
                            Op::XorMi16 => alu_mi!(XOR, u16),
                            Op::XorMi32 => alu_mi!(XOR, u32),
                            Op::XorMi64 => alu_mi!(XOR, u64),
                            Op::CmpRr8 => cmp_rr!(CMP, u8),
                            Op::CmpRr16 => cmp_rr!(CMP, u16),
                            Op::CmpRr32 => cmp_rr!(CMP, u32),
                            Op::CmpRr64 => cmp_rr!(CMP, u64),
                            Op::CmpRi8 => cmp_ri!(CMP, u8),
                            Op::CmpRi16 => cmp_ri!(CMP, u16),
                            Op::CmpRi32 => cmp_ri!(CMP, u32),
                            Op::CmpRi64 => cmp_ri!(CMP, u64),
                            Op::CmpRm8 => cmp_rm!(CMP, u8),
                            Op::CmpRm16 => cmp_rm!(CMP, u16),
                            Op::CmpRm32 => cmp_rm!(CMP, u32),
                            Op::CmpRm64 => cmp_rm!(CMP, u64),
                            Op::CmpMr8 => cmp_mr!(CMP, u8),
                            Op::CmpMr16 => cmp_mr!(CMP, u16),
                            Op::CmpMr32 => cmp_mr!(CMP, u32),
                            Op::CmpMr64 => cmp_mr!(CMP, u64),
                            Op::CmpMi8 => cmp_mi!(CMP, u8),
                            Op::CmpMi16 => cmp_mi!(CMP, u16),
                            Op::CmpMi32 => cmp_mi!(CMP, u32),
                            Op::CmpMi64 => cmp_mi!(CMP, u64),
                            Op::TestRr8 => cmp_rr!(AND, u8),
                            Op::TestRr16 => cmp_rr!(AND, u16),
                            Op::TestRr32 => cmp_rr!(AND, u32),
                            Op::TestRr64 => cmp_rr!(AND, u64),
                            Op::TestRi8 => cmp_ri!(AND, u8),
                            Op::TestRi16 => cmp_ri!(AND, u16),
                            Op::TestRi32 => cmp_ri!(AND, u32),
                            Op::TestRi64 => cmp_ri!(AND, u64),
                            Op::TestMr8 => cmp_rm!(AND, u8),
                            Op::TestMr16 => cmp_rm!(AND, u16),
                            Op::TestMr32 => cmp_rm!(AND, u32),
                            Op::TestMr64 => cmp_rm!(AND, u64),
                            Op::TestMi8 => cmp_mi!(AND, u8),
                            Op::TestMi16 => cmp_mi!(AND, u16),
                            Op::TestMi32 => cmp_mi!(AND, u32),
                            Op::TestMi64 => cmp_mi!(AND, u64),
                            Op::Zero => {
                                put!(u32, uop.a, 0u32);
                                cpu.flags_logic(0);
                            }
                            Op::IncR8 => unary!(flags_increment, u8, 1),
                            Op::DecR8 => unary!(flags_decrement, u8, -1),
                            Op::IncM8 => unary_memory!(flags_increment, u8, 1),
                            Op::DecM8 => unary_memory!(flags_decrement, u8, -1),
                            Op::NegR8 => negate!(u8),
                            Op::NotR8 => put!(u8, uop.a, !get!(u8, uop.a)),
                            Op::IncR16 => unary!(flags_increment, u16, 1),
                            Op::DecR16 => unary!(flags_decrement, u16, -1),
                            Op::IncM16 => unary_memory!(flags_increment, u16, 1),
                            Op::DecM16 => unary_memory!(flags_decrement, u16, -1),
                            Op::NegR16 => negate!(u16),
                            Op::NotR16 => put!(u16, uop.a, !get!(u16, uop.a)),
                            Op::IncR32 => unary!(flags_increment, u32, 1),
                            Op::DecR32 => unary!(flags_decrement, u32, -1),
                            Op::IncM32 => unary_memory!(flags_increment, u32, 1),
                            Op::DecM32 => unary_memory!(flags_decrement, u32, -1),
                            Op::NegR32 => negate!(u32),
                            Op::NotR32 => put!(u32, uop.a, !get!(u32, uop.a)),
                            Op::IncR64 => unary!(flags_increment, u64, 1),
                            Op::DecR64 => unary!(flags_decrement, u64, -1),
                            Op::IncM64 => unary_memory!(flags_increment, u64, 1),
                            Op::DecM64 => unary_memory!(flags_decrement, u64, -1),
                            Op::NegR64 => negate!(u64),
                            Op::NotR64 => put!(u64, uop.a, !get!(u64, uop.a)),
                            Op::ShlRi8 => shift!(SHL, u8, uop.imm as u32),
                            Op::ShlRi16 => shift!(SHL, u16, uop.imm as u32),
                            Op::ShrRi8 => shift!(SHR, u8, uop.imm as u32),
                            Op::ShrRi16 => shift!(SHR, u16, uop.imm as u32),
                            Op::SarRi8 => shift!(SAR, u8, uop.imm as u32),
                            Op::SarRi16 => shift!(SAR, u16, uop.imm as u32),
                            Op::ShlRi32 => shift!(SHL, u32, uop.imm as u32),
                            Op::ShlRc32 => {
                                let count = u32::from(get!(u8, CL)) & (32 - 1);
                                if count != 0 {
                                    shift!(SHL, u32, count)
                                } else {
                                    put!(u32, uop.a, get!(u32, uop.a));
                                }
                            }
                            Op::ShrRi32 => shift!(SHR, u32, uop.imm as u32),
                            Op::ShrRc32 => {
                                let count = u32::from(get!(u8, CL)) & (32 - 1);
                                if count != 0 {
                                    shift!(SHR, u32, count)
                                } else {
                                    put!(u32, uop.a, get!(u32, uop.a));
                                }
                            }
                            Op::SarRi32 => shift!(SAR, u32, uop.imm as u32),
                            Op::SarRc32 => {
                                let count = u32::from(get!(u8, CL)) & (32 - 1);
                                if count != 0 {
                                    shift!(SAR, u32, count)
                                } else {
                                    put!(u32, uop.a, get!(u32, uop.a));
                                }
                            }
                            Op::ImulRr32 => imul!(u32, get!(u32, uop.a), get!(u32, uop.b)),
                            Op::ImulRm32 => imul!(u32, get!(u32, uop.a), load!(u32, ea!())),
                            Op::ImulRri32 => imul!(u32, get!(u32, uop.b), uop.imm as u32),
                            Op::ImulRmi32 => imul!(u32, load!(u32, ea!()), uop.imm as u32),
                            Op::ShlRi64 => shift!(SHL, u64, uop.imm as u32),
                            Op::ShlRc64 => {
                                let count = u32::from(get!(u8, CL)) & (64 - 1);
                                if count != 0 {
                                    shift!(SHL, u64, count)
                                }
                            }
                            Op::ShrRi64 => shift!(SHR, u64, uop.imm as u32),
                            Op::ShrRc64 => {
                                let count = u32::from(get!(u8, CL)) & (64 - 1);
                                if count != 0 {
                                    shift!(SHR, u64, count)
                                }
                            }
                            Op::SarRi64 => shift!(SAR, u64, uop.imm as u32),
                            Op::SarRc64 => {
                                let count = u32::from(get!(u8, CL)) & (64 - 1);
                                if count != 0 {
                                    shift!(SAR, u64, count)
                                }
                            }
                            Op::ImulRr64 => imul!(u64, get!(u64, uop.a), get!(u64, uop.b)),
                            Op::ImulRm64 => imul!(u64, get!(u64, uop.a), load!(u64, ea!())),
                            Op::ImulRri64 => imul!(u64, get!(u64, uop.b), imm!() as u64),
                            Op::ImulRmi64 => imul!(u64, load!(u64, ea!()), imm!() as u64),
                            Op::RolRi32 => {
                                put!(u32, uop.a, cpu.rotate_left(get!(u32, uop.a), uop.imm as u32))
                            }
                            Op::RorRi32 => {
                                put!(u32, uop.a, cpu.rotate_right(get!(u32, uop.a), uop.imm as u32))
                            }
                            Op::Bswap32 => put!(u32, uop.a, get!(u32, uop.a).swap_bytes()),
                            Op::XchgRr32 => {
                                let (a, b) = (get!(u32, uop.a), get!(u32, uop.b));
                                put!(u32, uop.a, b);
                                put!(u32, uop.b, a)
                            }
                            Op::RolRi64 => {
                                let value = get!(u64, uop.a).rotate_left(uop.imm as u32);
                                put!(u64, uop.a, value);
                                let carry = value as u32 & 1;
                                cpu.flags_rotate(carry | ((value >> 63) as u32 ^ carry) << 11);
                            }
                            Op::RorRi64 => {
                                let value = get!(u64, uop.a).rotate_right(uop.imm as u32);
                                put!(u64, uop.a, value);
                                let (carry, next) = ((value >> 63) as u32, (value >> 62) as u32 & 1);
                                cpu.flags_rotate(carry | (carry ^ next) << 11);
                            }
                            Op::Bswap64 => put!(u64, uop.a, get!(u64, uop.a).swap_bytes()),
                            Op::XchgRr64 => {
                                let (a, b) = (get!(u64, uop.a), get!(u64, uop.b));
                                put!(u64, uop.a, b);
                                put!(u64, uop.b, a)
                            }
                            Op::ShldRri32 => {
                                let old = get!(u32, uop.a);
                                let count = uop.imm as u32;
                                let result = old << count | get!(u32, uop.b) >> (32 - count);
                                put!(u32, uop.a, result);
                                let carry = (old >> (32 - count)) & 1;
                                cpu.flags_result(result.sign(), carry | ((result ^ old) >> 31) << 11);
                            }
                            Op::ShrdRri32 => {
                                let old = get!(u32, uop.a);
                                let count = uop.imm as u32;
                                let result = old >> count | get!(u32, uop.b) << (32 - count);
                                put!(u32, uop.a, result);
                                let carry = (old >> (count - 1)) & 1;
                                cpu.flags_result(
                                    result.sign(),
                                    carry | ((result >> 31 ^ result >> 30) & 1) << 11,
                                );
                            }
                            Op::MulR32 => mul!(u32, u64, get!(u32, uop.a)),
                            Op::MulR64 => mul!(u64, u128, get!(u64, uop.a)),
                            Op::Cwde => put!(u32, RAX, get!(u16, RAX).sign() as u32),
                            Op::Cdqe => put!(u64, RAX, get!(u32, RAX).sign() as u64),
                            Op::Cdq => put!(u32, RDX, (get!(u32, RAX).sign() >> 63) as u32),
                            Op::Cqo => put!(u64, RDX, (get!(u64, RAX).sign() >> 63) as u64),
                            Op::Setcc => put!(u8, uop.a, u8::from(cpu.lazy.condition(uop.b))),
                            Op::CmovRr32 => {
                                let value = if cpu.lazy.condition(uop.base) {
                                    get!(u32, uop.b)
                                } else {
                                    get!(u32, uop.a)
                                };
                                put!(u32, uop.a, value);
                            }
                            Op::CmovRm32 => {
                                let value = load!(u32, ea!());
                                let value = if cpu.lazy.condition(uop.b) { value } else { get!(u32, uop.a) };
                                put!(u32, uop.a, value);
                            }
                            Op::PushR32 => push!(u32, get!(u32, uop.a)),
                            Op::PushI32 => push!(u32, uop.imm as u32),
                            Op::PushM32 => {
                                let value = load_before_push!(u32);
                                push!(u32, value)
                            }
                            Op::PopR32 => {
                                let value = pop!(u32);
                                put!(u32, RSP, get!(u32, RSP).wrapping_add(4));
                                put!(u32, uop.a, value);
                            }
                            Op::Leave32 => {
                                let frame = get!(u32, RBP);
                                let value = load!(u32, u64::from(frame), Frame);
                                put!(u32, RSP, frame.wrapping_add(4));
                                put!(u32, RBP, value);
                            }
                            Op::CmovRr64 => {
                                let value = if cpu.lazy.condition(uop.base) {
                                    get!(u64, uop.b)
                                } else {
                                    get!(u64, uop.a)
                                };
                                put!(u64, uop.a, value);
                            }
                            Op::CmovRm64 => {
                                let value = load!(u64, ea!());
                                let value = if cpu.lazy.condition(uop.b) { value } else { get!(u64, uop.a) };
                                put!(u64, uop.a, value);
                            }
                            Op::PushR64 => push!(u64, get!(u64, uop.a)),
                            Op::PushI64 => push!(u64, imm!() as u64),
                            Op::PushM64 => {
                                let value = load_before_push!(u64);
                                push!(u64, value)
                            }
                            Op::PopR64 => {
                                let value = pop!(u64);
                                put!(u64, RSP, get!(u64, RSP).wrapping_add(8));
                                put!(u64, uop.a, value);
                            }
                            Op::Leave64 => {
                                let frame = get!(u64, RBP);
                                let value = load!(u64, u64::from(frame), Frame);
                                put!(u64, RSP, frame.wrapping_add(8));
                                put!(u64, RBP, value);
                            }
                            Op::Nop => {}
                            Op::Cli => {
                                in_kernel!();
                                cpu.system_flags &= !flag::IF;
                            }
                            Op::Sti => {
                                in_kernel!();
                                if cpu.system_flags & flag::IF == 0 {
                                    cpu.system_flags |= flag::IF;
                                    cpu.interrupt_shadow = true;
                                    if cpu.shared.has_interrupt() {
                                        break 'exit Exit::CHANGED;
                                    }
                                }
                            }
                            Op::Cld => cpu.system_flags &= !flag::DF,
                            Op::PushF32 => push!(u32, cpu.pushed_flags()),
                            Op::PushF64 => push!(u64, u64::from(cpu.pushed_flags())),
                            Op::XaddMr32 => xadd!(u32),
                            Op::XaddMr64 => xadd!(u64),
                            Op::CmpxchgMr32 => cmpxchg!(u32),
                            Op::CmpxchgMr64 => cmpxchg!(u64),
                            Op::Cmpxchg8b => {
                                modify!(u64, |old| {
                                    let equal = old == both!(RDX, RAX);
                                    let new = if equal { both!(CL, RBX) } else { old };
                                    if !equal {
                                        put!(u32, RAX, old as u32);
                                        put!(u32, RDX, (old >> 32) as u32);
                                    }
                                    cpu.set_status_flags(flag::ZF, if equal { flag::ZF } else { 0 });
                                    new
                                })
                            }
                            Op::SetccM => store!(u8, ea!(), u8::from(cpu.lazy.condition(uop.b))),
                            Op::PopM32 => pop_to_memory!(u32),
                            Op::PopM64 => pop_to_memory!(u64),
                            Op::MulM32 => mul!(u32, u64, load!(u32, ea!())),
                            Op::MulM64 => mul!(u64, u128, load!(u64, ea!())),
                            Op::BtRr32 => bt_r!(u32, get!(u32, uop.b)),
                            Op::BtRr64 => bt_r!(u64, get!(u64, uop.b)),
                            Op::BtRi32 => bt_r!(u32, uop.imm),
                            Op::BtRi64 => bt_r!(u64, uop.imm),
                            Op::BtMi32 => bt_mi!(u32),
                            Op::BtMi64 => bt_mi!(u64),
                            Op::BtsRr32 => bt_r!(u32, get!(u32, uop.b), |value, one| value | one),
                            Op::BtsRr64 => bt_r!(u64, get!(u64, uop.b), |value, one| value | one),
                            Op::BtsRi32 => bt_r!(u32, uop.imm, |value, one| value | one),
                            Op::BtsRi64 => bt_r!(u64, uop.imm, |value, one| value | one),
                            Op::BtsMi32 => bt_mi!(u32, |value, one| value | one),
                            Op::BtsMi64 => bt_mi!(u64, |value, one| value | one),
                            Op::BtrRr32 => bt_r!(u32, get!(u32, uop.b), |value, one| value & !one),
                            Op::BtrRr64 => bt_r!(u64, get!(u64, uop.b), |value, one| value & !one),
                            Op::BtrRi32 => bt_r!(u32, uop.imm, |value, one| value & !one),
                            Op::BtrRi64 => bt_r!(u64, uop.imm, |value, one| value & !one),
                            Op::BtrMi32 => bt_mi!(u32, |value, one| value & !one),
                            Op::BtrMi64 => bt_mi!(u64, |value, one| value & !one),
                            Op::BtcRr32 => bt_r!(u32, get!(u32, uop.b), |value, one| value ^ one),
                            Op::BtcRr64 => bt_r!(u64, get!(u64, uop.b), |value, one| value ^ one),
                            Op::BtcRi32 => bt_r!(u32, uop.imm, |value, one| value ^ one),
                            Op::BtcRi64 => bt_r!(u64, uop.imm, |value, one| value ^ one),
                            Op::BtcMi32 => bt_mi!(u32, |value, one| value ^ one),
                            Op::BtcMi64 => bt_mi!(u64, |value, one| value ^ one),
                            Op::BsfRr32 => scan!(u32, |value| value.trailing_zeros()),
                            Op::BsfRr64 => scan!(u64, |value| value.trailing_zeros()),
                            Op::BsrRr32 => scan!(u32, |value| 31 - value.leading_zeros()),
                            Op::BsrRr64 => scan!(u64, |value| 63 - value.leading_zeros()),
                            Op::VectorRr => {
                                sse!();
                                vector!(uop.a).write(vector!(uop.b).read())
                            }
                            Op::VectorLoad => {
                                sse!();
                                vector!(uop.a).write_unaligned(load!(V, ea!()))
                            }
                            Op::VectorLoadAligned => {
                                sse!();
                                vector!(uop.a).write(load!(V, aligned!()))
                            }
                            Op::VectorStore => {
                                sse!();
                                place!(V, ea!(), Operand).write_unaligned(vector!(uop.a).read())
                            }
                            Op::VectorStoreAligned => {
                                sse!();
                                place!(V, aligned!(), Operand).write_unaligned(vector!(uop.a).read())
                            }
                            Op::VectorRr64 => {
                                sse!();
                                let low = vector!(uop.b).cast::<u64>().read();
                                vector!(uop.a).write(V::new(u128::from(low)))
                            }
                            Op::VectorLoad64 => {
                                sse!();
                                let low = load!(u64, ea!());
                                vector!(uop.a).write(V::new(u128::from(low)))
                            }
                            Op::VectorStore64 => {
                                sse!();
                                store!(u64, ea!(), vector!(uop.a).cast::<u64>().read())
                            }
                            Op::VectorFrom32 => {
                                sse!();
                                vector!(uop.a).write(V::new(u128::from(get!(u32, uop.b))))
                            }
                            Op::VectorFrom64 => {
                                sse!();
                                vector!(uop.a).write(V::new(u128::from(get!(u64, uop.b))))
                            }
                            Op::VectorTo32 => {
                                sse!();
                                put!(u32, uop.a, vector!(uop.b).cast::<u32>().read())
                            }
                            Op::VectorTo64 => {
                                sse!();
                                put!(u64, uop.a, vector!(uop.b).cast::<u64>().read())
                            }
                            Op::VectorXor => {
                                sse!();
                                vector!(uop.a).write(vector!(uop.a).read().xor(vector!(uop.b).read()))
                            }
                            Op::VectorEqual8 => {
                                sse!();
                                vector!(uop.a).write(vector!(uop.a).read().equal_bytes(vector!(uop.b).read()))
                            }
                            Op::VectorMask8 => {
                                sse!();
                                put!(u32, uop.a, vector!(uop.b).read().byte_signs())
                            }
                            Op::LoadLoad => pair!(Load, Load),
                            Op::LoadStore => pair!(Load, Store),
                            Op::LoadMove => pair!(Load, Move),
                            Op::LoadAdd => pair!(Load, Add),
                            Op::LoadXor => pair!(Load, Xor),
                            Op::LoadAnd => pair!(Load, And),
                            Op::LoadOr => pair!(Load, Or),
                            Op::LoadAddI => pair!(Load, AddI),
                            Op::LoadAndI => pair!(Load, AndI),
                            Op::LoadSubI => pair!(Load, SubI),
                            Op::LoadLea => pair!(Load, Lea),
                            Op::LoadShrI => pair!(Load, ShrI),
                            Op::LoadRorI => pair!(Load, RorI),
                            Op::LoadRolI => pair!(Load, RolI),
                            Op::StoreLoad => pair!(Store, Load),
                            Op::StoreStore => pair!(Store, Store),
                            Op::StoreMove => pair!(Store, Move),
                            Op::StoreAdd => pair!(Store, Add),
                            Op::StoreXor => pair!(Store, Xor),
                            Op::StoreAnd => pair!(Store, And),
                            Op::StoreOr => pair!(Store, Or),
                            Op::StoreAddI => pair!(Store, AddI),
                            Op::StoreAndI => pair!(Store, AndI),
                            Op::StoreSubI => pair!(Store, SubI),
                            Op::StoreLea => pair!(Store, Lea),
                            Op::StoreShrI => pair!(Store, ShrI),
                            Op::StoreRorI => pair!(Store, RorI),
                            Op::StoreRolI => pair!(Store, RolI),
                            Op::MoveLoad => pair!(Move, Load),
                            Op::MoveStore => pair!(Move, Store),
                            Op::MoveMove => pair!(Move, Move),
                            Op::MoveAdd => pair!(Move, Add),
                            Op::MoveXor => pair!(Move, Xor),
                            Op::MoveAnd => pair!(Move, And),
                            Op::MoveOr => pair!(Move, Or),
                            Op::MoveAddI => pair!(Move, AddI),
                            Op::MoveAndI => pair!(Move, AndI),
                            Op::MoveSubI => pair!(Move, SubI),
                            Op::MoveLea => pair!(Move, Lea),
                            Op::MoveShrI => pair!(Move, ShrI),
                            Op::MoveRorI => pair!(Move, RorI),
                            Op::MoveRolI => pair!(Move, RolI),
                            Op::AddLoad => pair!(Add, Load),
                            Op::AddStore => pair!(Add, Store),
                            Op::AddMove => pair!(Add, Move),
                            Op::AddAdd => pair!(Add, Add),
                            Op::AddXor => pair!(Add, Xor),
                            Op::AddAnd => pair!(Add, And),
                            Op::AddOr => pair!(Add, Or),
                            Op::AddAddI => pair!(Add, AddI),
                            Op::AddAndI => pair!(Add, AndI),
                            Op::AddSubI => pair!(Add, SubI),
                            Op::AddLea => pair!(Add, Lea),
                            Op::AddShrI => pair!(Add, ShrI),
                            Op::AddRorI => pair!(Add, RorI),
                            Op::AddRolI => pair!(Add, RolI),
                            Op::XorLoad => pair!(Xor, Load),
                            Op::XorStore => pair!(Xor, Store),
                            Op::XorMove => pair!(Xor, Move),
                            Op::XorAdd => pair!(Xor, Add),
                            Op::XorXor => pair!(Xor, Xor),
                            Op::XorAnd => pair!(Xor, And),
                            Op::XorOr => pair!(Xor, Or),
                            Op::XorAddI => pair!(Xor, AddI),
                            Op::XorAndI => pair!(Xor, AndI),
                            Op::XorSubI => pair!(Xor, SubI),
                            Op::XorLea => pair!(Xor, Lea),
                            Op::XorShrI => pair!(Xor, ShrI),
                            Op::XorRorI => pair!(Xor, RorI),
                            Op::XorRolI => pair!(Xor, RolI),
                            Op::AndLoad => pair!(And, Load),
                            Op::AndStore => pair!(And, Store),
                            Op::AndMove => pair!(And, Move),
                            Op::AndAdd => pair!(And, Add),
                            Op::AndXor => pair!(And, Xor),
                            Op::AndAnd => pair!(And, And),
                            Op::AndOr => pair!(And, Or),
                            Op::AndAddI => pair!(And, AddI),
                            Op::AndAndI => pair!(And, AndI),
                            Op::AndSubI => pair!(And, SubI),
                            Op::AndLea => pair!(And, Lea),
                            Op::AndShrI => pair!(And, ShrI),
                            Op::AndRorI => pair!(And, RorI),
                            Op::AndRolI => pair!(And, RolI),
                            Op::OrLoad => pair!(Or, Load),
                            Op::OrStore => pair!(Or, Store),
                            Op::OrMove => pair!(Or, Move),
                            Op::OrAdd => pair!(Or, Add),
                            Op::OrXor => pair!(Or, Xor),
                            Op::OrAnd => pair!(Or, And),
                            Op::OrOr => pair!(Or, Or),
                            Op::OrAddI => pair!(Or, AddI),
                            Op::OrAndI => pair!(Or, AndI),
                            Op::OrSubI => pair!(Or, SubI),
                            Op::OrLea => pair!(Or, Lea),
                            Op::OrShrI => pair!(Or, ShrI),
                            Op::OrRorI => pair!(Or, RorI),
                            Op::OrRolI => pair!(Or, RolI),
                            Op::AddILoad => pair!(AddI, Load),
                            Op::AddIStore => pair!(AddI, Store),
                            Op::AddIMove => pair!(AddI, Move),
                            Op::AddIAdd => pair!(AddI, Add),
                            Op::AddIXor => pair!(AddI, Xor),
                            Op::AddIAnd => pair!(AddI, And),
                            Op::AddIOr => pair!(AddI, Or),
                            Op::AddIAddI => pair!(AddI, AddI),
                            Op::AddIAndI => pair!(AddI, AndI),
                            Op::AddISubI => pair!(AddI, SubI),
                            Op::AddILea => pair!(AddI, Lea),
                            Op::AddIShrI => pair!(AddI, ShrI),
                            Op::AddIRorI => pair!(AddI, RorI),
                            Op::AddIRolI => pair!(AddI, RolI),
                            Op::AndILoad => pair!(AndI, Load),
                            Op::AndIStore => pair!(AndI, Store),
                            Op::AndIMove => pair!(AndI, Move),
                            Op::AndIAdd => pair!(AndI, Add),
                            Op::AndIXor => pair!(AndI, Xor),
                            Op::AndIAnd => pair!(AndI, And),
                            Op::AndIOr => pair!(AndI, Or),
                            Op::AndIAddI => pair!(AndI, AddI),
                            Op::AndIAndI => pair!(AndI, AndI),
                            Op::AndISubI => pair!(AndI, SubI),
                            Op::AndILea => pair!(AndI, Lea),
                            Op::AndIShrI => pair!(AndI, ShrI),
                            Op::AndIRorI => pair!(AndI, RorI),
                            Op::AndIRolI => pair!(AndI, RolI),
                            Op::SubILoad => pair!(SubI, Load),
                            Op::SubIStore => pair!(SubI, Store),
                            Op::SubIMove => pair!(SubI, Move),
                            Op::SubIAdd => pair!(SubI, Add),
                            Op::SubIXor => pair!(SubI, Xor),
                            Op::SubIAnd => pair!(SubI, And),
                            Op::SubIOr => pair!(SubI, Or),
                            Op::SubIAddI => pair!(SubI, AddI),
                            Op::SubIAndI => pair!(SubI, AndI),
                            Op::SubISubI => pair!(SubI, SubI),
                            Op::SubILea => pair!(SubI, Lea),
                            Op::SubIShrI => pair!(SubI, ShrI),
                            Op::SubIRorI => pair!(SubI, RorI),
                            Op::SubIRolI => pair!(SubI, RolI),
                            Op::LeaLoad => pair!(Lea, Load),
                            Op::LeaStore => pair!(Lea, Store),
                            Op::LeaMove => pair!(Lea, Move),
                            Op::LeaAdd => pair!(Lea, Add),
                            Op::LeaXor => pair!(Lea, Xor),
                            Op::LeaAnd => pair!(Lea, And),
                            Op::LeaOr => pair!(Lea, Or),
                            Op::LeaAddI => pair!(Lea, AddI),
                            Op::LeaAndI => pair!(Lea, AndI),
                            Op::LeaSubI => pair!(Lea, SubI),
                            Op::LeaLea => pair!(Lea, Lea),
                            Op::LeaShrI => pair!(Lea, ShrI),
                            Op::LeaRorI => pair!(Lea, RorI),
                            Op::LeaRolI => pair!(Lea, RolI),
                            Op::ShrILoad => pair!(ShrI, Load),
                            Op::ShrIStore => pair!(ShrI, Store),
                            Op::ShrIMove => pair!(ShrI, Move),
                            Op::ShrIAdd => pair!(ShrI, Add),
                            Op::ShrIXor => pair!(ShrI, Xor),
                            Op::ShrIAnd => pair!(ShrI, And),
                            Op::ShrIOr => pair!(ShrI, Or),
                            Op::ShrIAddI => pair!(ShrI, AddI),
                            Op::ShrIAndI => pair!(ShrI, AndI),
                            Op::ShrISubI => pair!(ShrI, SubI),
                            Op::ShrILea => pair!(ShrI, Lea),
                            Op::ShrIShrI => pair!(ShrI, ShrI),
                            Op::ShrIRorI => pair!(ShrI, RorI),
                            Op::ShrIRolI => pair!(ShrI, RolI),
                            Op::RorILoad => pair!(RorI, Load),
                            Op::RorIStore => pair!(RorI, Store),
                            Op::RorIMove => pair!(RorI, Move),
                            Op::RorIAdd => pair!(RorI, Add),
                            Op::RorIXor => pair!(RorI, Xor),
                            Op::RorIAnd => pair!(RorI, And),
                            Op::RorIOr => pair!(RorI, Or),
                            Op::RorIAddI => pair!(RorI, AddI),
                            Op::RorIAndI => pair!(RorI, AndI),
                            Op::RorISubI => pair!(RorI, SubI),
                            Op::RorILea => pair!(RorI, Lea),
                            Op::RorIShrI => pair!(RorI, ShrI),
                            Op::RorIRorI => pair!(RorI, RorI),
                            Op::RorIRolI => pair!(RorI, RolI),
                            Op::RolILoad => pair!(RolI, Load),
                            Op::RolIStore => pair!(RolI, Store),
                            Op::RolIMove => pair!(RolI, Move),
                            Op::RolIAdd => pair!(RolI, Add),
                            Op::RolIXor => pair!(RolI, Xor),
                            Op::RolIAnd => pair!(RolI, And),
                            Op::RolIOr => pair!(RolI, Or),
                            Op::RolIAddI => pair!(RolI, AddI),
                            Op::RolIAndI => pair!(RolI, AndI),
                            Op::RolISubI => pair!(RolI, SubI),
                            Op::RolILea => pair!(RolI, Lea),
                            Op::RolIShrI => pair!(RolI, ShrI),
                            Op::RolIRorI => pair!(RolI, RorI),
                            Op::RolIRolI => pair!(RolI, RolI),
                            Op::LoadLoad64 => pair64!(Load, Load),
                            Op::LoadStore64 => pair64!(Load, Store),
                            Op::LoadMove64 => pair64!(Load, Move),
                            Op::LoadLea64 => pair64!(Load, Lea),
                            Op::LoadAdd64 => pair64!(Load, Add),
                            Op::LoadAddI64 => pair64!(Load, AddI),
                            Op::LoadAndI64 => pair64!(Load, AndI),
                            Op::LoadSubI64 => pair64!(Load, SubI),
                            Op::LoadShrI64 => pair64!(Load, ShrI),
                            Op::LoadShlI64 => pair64!(Load, ShlI),
                            Op::LoadZero64 => pair64!(Load, Zero),
                            Op::LoadNarrow64 => pair64!(Load, Narrow),
                            Op::StoreLoad64 => pair64!(Store, Load),
                            Op::StoreStore64 => pair64!(Store, Store),
                            Op::StoreMove64 => pair64!(Store, Move),
                            Op::StoreLea64 => pair64!(Store, Lea),
                            Op::StoreAdd64 => pair64!(Store, Add),
                            Op::StoreAddI64 => pair64!(Store, AddI),
                            Op::StoreAndI64 => pair64!(Store, AndI),
                            Op::StoreSubI64 => pair64!(Store, SubI),
                            Op::StoreShrI64 => pair64!(Store, ShrI),
                            Op::StoreShlI64 => pair64!(Store, ShlI),
                            Op::StoreZero64 => pair64!(Store, Zero),
                            Op::StoreNarrow64 => pair64!(Store, Narrow),
                            Op::MoveLoad64 => pair64!(Move, Load),
                            Op::MoveStore64 => pair64!(Move, Store),
                            Op::MoveMove64 => pair64!(Move, Move),
                            Op::MoveLea64 => pair64!(Move, Lea),
                            Op::MoveAdd64 => pair64!(Move, Add),
                            Op::MoveAddI64 => pair64!(Move, AddI),
                            Op::MoveAndI64 => pair64!(Move, AndI),
                            Op::MoveSubI64 => pair64!(Move, SubI),
                            Op::MoveShrI64 => pair64!(Move, ShrI),
                            Op::MoveShlI64 => pair64!(Move, ShlI),
                            Op::MoveZero64 => pair64!(Move, Zero),
                            Op::MoveNarrow64 => pair64!(Move, Narrow),
                            Op::LeaLoad64 => pair64!(Lea, Load),
                            Op::LeaStore64 => pair64!(Lea, Store),
                            Op::LeaMove64 => pair64!(Lea, Move),
                            Op::LeaLea64 => pair64!(Lea, Lea),
                            Op::LeaAdd64 => pair64!(Lea, Add),
                            Op::LeaAddI64 => pair64!(Lea, AddI),
                            Op::LeaAndI64 => pair64!(Lea, AndI),
                            Op::LeaSubI64 => pair64!(Lea, SubI),
                            Op::LeaShrI64 => pair64!(Lea, ShrI),
                            Op::LeaShlI64 => pair64!(Lea, ShlI),
                            Op::LeaZero64 => pair64!(Lea, Zero),
                            Op::LeaNarrow64 => pair64!(Lea, Narrow),
                            Op::AddLoad64 => pair64!(Add, Load),
                            Op::AddStore64 => pair64!(Add, Store),
                            Op::AddMove64 => pair64!(Add, Move),
                            Op::AddLea64 => pair64!(Add, Lea),
                            Op::AddAdd64 => pair64!(Add, Add),
                            Op::AddAddI64 => pair64!(Add, AddI),
                            Op::AddAndI64 => pair64!(Add, AndI),
                            Op::AddSubI64 => pair64!(Add, SubI),
                            Op::AddShrI64 => pair64!(Add, ShrI),
                            Op::AddShlI64 => pair64!(Add, ShlI),
                            Op::AddZero64 => pair64!(Add, Zero),
                            Op::AddNarrow64 => pair64!(Add, Narrow),
                            Op::AddILoad64 => pair64!(AddI, Load),
                            Op::AddIStore64 => pair64!(AddI, Store),
                            Op::AddIMove64 => pair64!(AddI, Move),
                            Op::AddILea64 => pair64!(AddI, Lea),
                            Op::AddIAdd64 => pair64!(AddI, Add),
                            Op::AddIAddI64 => pair64!(AddI, AddI),
                            Op::AddIAndI64 => pair64!(AddI, AndI),
                            Op::AddISubI64 => pair64!(AddI, SubI),
                            Op::AddIShrI64 => pair64!(AddI, ShrI),
                            Op::AddIShlI64 => pair64!(AddI, ShlI),
                            Op::AddIZero64 => pair64!(AddI, Zero),
                            Op::AddINarrow64 => pair64!(AddI, Narrow),
                            Op::AndILoad64 => pair64!(AndI, Load),
                            Op::AndIStore64 => pair64!(AndI, Store),
                            Op::AndIMove64 => pair64!(AndI, Move),
                            Op::AndILea64 => pair64!(AndI, Lea),
                            Op::AndIAdd64 => pair64!(AndI, Add),
                            Op::AndIAddI64 => pair64!(AndI, AddI),
                            Op::AndIAndI64 => pair64!(AndI, AndI),
                            Op::AndISubI64 => pair64!(AndI, SubI),
                            Op::AndIShrI64 => pair64!(AndI, ShrI),
                            Op::AndIShlI64 => pair64!(AndI, ShlI),
                            Op::AndIZero64 => pair64!(AndI, Zero),
                            Op::AndINarrow64 => pair64!(AndI, Narrow),
                            Op::SubILoad64 => pair64!(SubI, Load),
                            Op::SubIStore64 => pair64!(SubI, Store),
                            Op::SubIMove64 => pair64!(SubI, Move),
                            Op::SubILea64 => pair64!(SubI, Lea),
                            Op::SubIAdd64 => pair64!(SubI, Add),
                            Op::SubIAddI64 => pair64!(SubI, AddI),
                            Op::SubIAndI64 => pair64!(SubI, AndI),
                            Op::SubISubI64 => pair64!(SubI, SubI),
                            Op::SubIShrI64 => pair64!(SubI, ShrI),
                            Op::SubIShlI64 => pair64!(SubI, ShlI),
                            Op::SubIZero64 => pair64!(SubI, Zero),
                            Op::SubINarrow64 => pair64!(SubI, Narrow),
                            Op::ShrILoad64 => pair64!(ShrI, Load),
                            Op::ShrIStore64 => pair64!(ShrI, Store),
                            Op::ShrIMove64 => pair64!(ShrI, Move),
                            Op::ShrILea64 => pair64!(ShrI, Lea),
                            Op::ShrIAdd64 => pair64!(ShrI, Add),
                            Op::ShrIAddI64 => pair64!(ShrI, AddI),
                            Op::ShrIAndI64 => pair64!(ShrI, AndI),
                            Op::ShrISubI64 => pair64!(ShrI, SubI),
                            Op::ShrIShrI64 => pair64!(ShrI, ShrI),
                            Op::ShrIShlI64 => pair64!(ShrI, ShlI),
                            Op::ShrIZero64 => pair64!(ShrI, Zero),
                            Op::ShrINarrow64 => pair64!(ShrI, Narrow),
                            Op::ShlILoad64 => pair64!(ShlI, Load),
                            Op::ShlIStore64 => pair64!(ShlI, Store),
                            Op::ShlIMove64 => pair64!(ShlI, Move),
                            Op::ShlILea64 => pair64!(ShlI, Lea),
                            Op::ShlIAdd64 => pair64!(ShlI, Add),
                            Op::ShlIAddI64 => pair64!(ShlI, AddI),
                            Op::ShlIAndI64 => pair64!(ShlI, AndI),
                            Op::ShlISubI64 => pair64!(ShlI, SubI),
                            Op::ShlIShrI64 => pair64!(ShlI, ShrI),
                            Op::ShlIShlI64 => pair64!(ShlI, ShlI),
                            Op::ShlIZero64 => pair64!(ShlI, Zero),
                            Op::ShlINarrow64 => pair64!(ShlI, Narrow),
                            Op::ZeroLoad64 => pair64!(Zero, Load),
                            Op::ZeroStore64 => pair64!(Zero, Store),
                            Op::ZeroMove64 => pair64!(Zero, Move),
                            Op::ZeroLea64 => pair64!(Zero, Lea),
                            Op::ZeroAdd64 => pair64!(Zero, Add),
                            Op::ZeroAddI64 => pair64!(Zero, AddI),
                            Op::ZeroAndI64 => pair64!(Zero, AndI),
                            Op::ZeroSubI64 => pair64!(Zero, SubI),
                            Op::ZeroShrI64 => pair64!(Zero, ShrI),
                            Op::ZeroShlI64 => pair64!(Zero, ShlI),
                            Op::ZeroZero64 => pair!(u64, Zero, Zero),
                            Op::ZeroNarrow64 => pair!(u64, Zero, Narrow),
                            Op::NarrowLoad64 => pair64!(Narrow, Load),
                            Op::NarrowStore64 => pair64!(Narrow, Store),
                            Op::NarrowMove64 => pair64!(Narrow, Move),
                            Op::NarrowLea64 => pair64!(Narrow, Lea),
                            Op::NarrowAdd64 => pair64!(Narrow, Add),
                            Op::NarrowAddI64 => pair64!(Narrow, AddI),
                            Op::NarrowAndI64 => pair64!(Narrow, AndI),
                            Op::NarrowSubI64 => pair64!(Narrow, SubI),
                            Op::NarrowShrI64 => pair64!(Narrow, ShrI),
                            Op::NarrowShlI64 => pair64!(Narrow, ShlI),
                            Op::NarrowZero64 => pair!(u64, Narrow, Zero),
                            Op::NarrowNarrow64 => pair!(u64, Narrow, Narrow),
                            Op::LoadChain => load_chain!(u32),
                            Op::LoadChain64 => load_chain!(u64),
                            Op::PushPush32 => pushes!([u32; 2], base, a),
                            Op::PushPush64 => pushes!([u64; 2], base, a),
                            Op::PopPop32 => pops!([u32; 2], a, base),
                            Op::PopPop64 => pops!([u64; 2], a, base),
                            Op::PushSub32 => {
                                let top = get!(u32, RSP).wrapping_sub(4);
                                place!(u32, u64::from(top), Push).write_unaligned(get!(u32, uop.a));
                                put!(u32, RSP, cpu.alu::<SUB, u32>(top.sign(), imm!()) as u32)
                            }
                            Op::ThreePushes32 => pushes!([u32; 3], b, base, a),
                            Op::PushPushSub32 => {
                                let top = get!(u32, RSP).wrapping_sub(8);
                                let at = place!([u32; 2], u64::from(top), Push);
                                at.write_unaligned([get!(u32, uop.base), get!(u32, uop.a)]);
                                put!(u32, RSP, cpu.alu::<SUB, u32>(top.sign(), imm!()) as u32)
                            }
                            Op::FourPushes32 => pushes!([u32; 4], index, b, base, a),
                            Op::FourPops32 => pops!([u32; 4], a, base, b, index),
                            Op::PushMove64 => {
                                push!(u64, get!(u64, uop.a));
                                put!(u64, uop.base, get!(u64, uop.index))
                            }
                            Op::MovePush64 => {
                                let top = get!(u64, RSP).wrapping_sub(8);
                                let at = place!(u64, top, PushAfter);
                                put!(u64, uop.a, get!(u64, uop.b));
                                at.write_unaligned(get!(u64, uop.base));
                                put!(u64, RSP, top)
                            }
                            Op::ThreePushes64 => pushes!([u64; 3], b, base, a),
                            Op::FourPushes64 => pushes!([u64; 4], index, b, base, a),
                            Op::FourPops64 => pops!([u64; 4], a, base, b, index),
                            Op::Jmp => jump!(),
                            Op::Jo => branch!(cpu.lazy.condition(0)),
                            Op::Jno => branch!(cpu.lazy.condition(1)),
                            Op::Jb => branch!(cpu.lazy.condition(2)),
                            Op::Jae => branch!(cpu.lazy.condition(3)),
                            Op::Je => branch!(cpu.lazy.condition(4)),
                            Op::Jne => branch!(cpu.lazy.condition(5)),
                            Op::Jbe => branch!(cpu.lazy.condition(6)),
                            Op::Ja => branch!(cpu.lazy.condition(7)),
                            Op::Js => branch!(cpu.lazy.condition(8)),
                            Op::Jns => branch!(cpu.lazy.condition(9)),
                            Op::Jp => branch!(cpu.lazy.condition(10)),
                            Op::Jnp => branch!(cpu.lazy.condition(11)),
                            Op::Jl => branch!(cpu.lazy.condition(12)),
                            Op::Jge => branch!(cpu.lazy.condition(13)),
                            Op::Jle => branch!(cpu.lazy.condition(14)),
                            Op::Jg => branch!(cpu.lazy.condition(15)),
                            Op::CmpRr8Je => cmp_branch!(rr, u8, a, b, r, a == b),
                            Op::CmpRr8Jne => cmp_branch!(rr, u8, a, b, r, a != b),
                            Op::CmpRr8Jb => cmp_branch!(rr, u8, a, b, r, (a as u64) < b as u64),
                            Op::CmpRr8Jae => cmp_branch!(rr, u8, a, b, r, a as u64 >= b as u64),
                            Op::CmpRr8Jbe => cmp_branch!(rr, u8, a, b, r, a as u64 <= b as u64),
                            Op::CmpRr8Ja => cmp_branch!(rr, u8, a, b, r, a as u64 > b as u64),
                            Op::CmpRr8Jl => cmp_branch!(rr, u8, a, b, r, a < b),
                            Op::CmpRr8Jge => cmp_branch!(rr, u8, a, b, r, a >= b),
                            Op::CmpRr8Jle => cmp_branch!(rr, u8, a, b, r, a <= b),
                            Op::CmpRr8Jg => cmp_branch!(rr, u8, a, b, r, a > b),
                            Op::CmpRr8Js => cmp_branch!(rr, u8, a, b, r, r < 0),
                            Op::CmpRr8Jns => cmp_branch!(rr, u8, a, b, r, r >= 0),
                            Op::CmpRr32Je => cmp_branch!(rr, u32, a, b, r, a == b),
                            Op::CmpRr32Jne => cmp_branch!(rr, u32, a, b, r, a != b),
                            Op::CmpRr32Jb => cmp_branch!(rr, u32, a, b, r, (a as u64) < b as u64),
                            Op::CmpRr32Jae => cmp_branch!(rr, u32, a, b, r, a as u64 >= b as u64),
                            Op::CmpRr32Jbe => cmp_branch!(rr, u32, a, b, r, a as u64 <= b as u64),
                            Op::CmpRr32Ja => cmp_branch!(rr, u32, a, b, r, a as u64 > b as u64),
                            Op::CmpRr32Jl => cmp_branch!(rr, u32, a, b, r, a < b),
                            Op::CmpRr32Jge => cmp_branch!(rr, u32, a, b, r, a >= b),
                            Op::CmpRr32Jle => cmp_branch!(rr, u32, a, b, r, a <= b),
                            Op::CmpRr32Jg => cmp_branch!(rr, u32, a, b, r, a > b),
                            Op::CmpRr32Js => cmp_branch!(rr, u32, a, b, r, r < 0),
                            Op::CmpRr32Jns => cmp_branch!(rr, u32, a, b, r, r >= 0),
                            Op::CmpRr64Je => cmp_branch!(rr, u64, a, b, r, a == b),
                            Op::CmpRr64Jne => cmp_branch!(rr, u64, a, b, r, a != b),
                            Op::CmpRr64Jb => cmp_branch!(rr, u64, a, b, r, (a as u64) < b as u64),
                            Op::CmpRr64Jae => cmp_branch!(rr, u64, a, b, r, a as u64 >= b as u64),
                            Op::CmpRr64Jbe => cmp_branch!(rr, u64, a, b, r, a as u64 <= b as u64),
                            Op::CmpRr64Ja => cmp_branch!(rr, u64, a, b, r, a as u64 > b as u64),
                            Op::CmpRr64Jl => cmp_branch!(rr, u64, a, b, r, a < b),
                            Op::CmpRr64Jge => cmp_branch!(rr, u64, a, b, r, a >= b),
                            Op::CmpRr64Jle => cmp_branch!(rr, u64, a, b, r, a <= b),
                            Op::CmpRr64Jg => cmp_branch!(rr, u64, a, b, r, a > b),
                            Op::CmpRr64Js => cmp_branch!(rr, u64, a, b, r, r < 0),
                            Op::CmpRr64Jns => cmp_branch!(rr, u64, a, b, r, r >= 0),
                            Op::CmpRi8Je => cmp_branch!(ri, u8, a, b, r, a == b),
                            Op::CmpRi8Jne => cmp_branch!(ri, u8, a, b, r, a != b),
                            Op::CmpRi8Jb => cmp_branch!(ri, u8, a, b, r, (a as u64) < b as u64),
                            Op::CmpRi8Jae => cmp_branch!(ri, u8, a, b, r, a as u64 >= b as u64),
                            Op::CmpRi8Jbe => cmp_branch!(ri, u8, a, b, r, a as u64 <= b as u64),
                            Op::CmpRi8Ja => cmp_branch!(ri, u8, a, b, r, a as u64 > b as u64),
                            Op::CmpRi8Jl => cmp_branch!(ri, u8, a, b, r, a < b),
                            Op::CmpRi8Jge => cmp_branch!(ri, u8, a, b, r, a >= b),
                            Op::CmpRi8Jle => cmp_branch!(ri, u8, a, b, r, a <= b),
                            Op::CmpRi8Jg => cmp_branch!(ri, u8, a, b, r, a > b),
                            Op::CmpRi8Js => cmp_branch!(ri, u8, a, b, r, r < 0),
                            Op::CmpRi8Jns => cmp_branch!(ri, u8, a, b, r, r >= 0),
                            Op::CmpRi32Je => cmp_branch!(ri, u32, a, b, r, a == b),
                            Op::CmpRi32Jne => cmp_branch!(ri, u32, a, b, r, a != b),
                            Op::CmpRi32Jb => cmp_branch!(ri, u32, a, b, r, (a as u64) < b as u64),
                            Op::CmpRi32Jae => cmp_branch!(ri, u32, a, b, r, a as u64 >= b as u64),
                            Op::CmpRi32Jbe => cmp_branch!(ri, u32, a, b, r, a as u64 <= b as u64),
                            Op::CmpRi32Ja => cmp_branch!(ri, u32, a, b, r, a as u64 > b as u64),
                            Op::CmpRi32Jl => cmp_branch!(ri, u32, a, b, r, a < b),
                            Op::CmpRi32Jge => cmp_branch!(ri, u32, a, b, r, a >= b),
                            Op::CmpRi32Jle => cmp_branch!(ri, u32, a, b, r, a <= b),
                            Op::CmpRi32Jg => cmp_branch!(ri, u32, a, b, r, a > b),
                            Op::CmpRi32Js => cmp_branch!(ri, u32, a, b, r, r < 0),
                            Op::CmpRi32Jns => cmp_branch!(ri, u32, a, b, r, r >= 0),
                            Op::CmpRi64Je => cmp_branch!(ri, u64, a, b, r, a == b),
                            Op::CmpRi64Jne => cmp_branch!(ri, u64, a, b, r, a != b),
                            Op::CmpRi64Jb => cmp_branch!(ri, u64, a, b, r, (a as u64) < b as u64),
                            Op::CmpRi64Jae => cmp_branch!(ri, u64, a, b, r, a as u64 >= b as u64),
                            Op::CmpRi64Jbe => cmp_branch!(ri, u64, a, b, r, a as u64 <= b as u64),
                            Op::CmpRi64Ja => cmp_branch!(ri, u64, a, b, r, a as u64 > b as u64),
                            Op::CmpRi64Jl => cmp_branch!(ri, u64, a, b, r, a < b),
                            Op::CmpRi64Jge => cmp_branch!(ri, u64, a, b, r, a >= b),
                            Op::CmpRi64Jle => cmp_branch!(ri, u64, a, b, r, a <= b),
                            Op::CmpRi64Jg => cmp_branch!(ri, u64, a, b, r, a > b),
                            Op::CmpRi64Js => cmp_branch!(ri, u64, a, b, r, r < 0),
                            Op::CmpRi64Jns => cmp_branch!(ri, u64, a, b, r, r >= 0),
                            Op::CmpRm32Je => cmp_branch!(rm, u32, a, b, r, a == b),
                            Op::CmpRm32Jne => cmp_branch!(rm, u32, a, b, r, a != b),
                            Op::CmpRm32Jb => cmp_branch!(rm, u32, a, b, r, (a as u64) < b as u64),
                            Op::CmpRm32Jae => cmp_branch!(rm, u32, a, b, r, a as u64 >= b as u64),
                            Op::CmpRm32Jbe => cmp_branch!(rm, u32, a, b, r, a as u64 <= b as u64),
                            Op::CmpRm32Ja => cmp_branch!(rm, u32, a, b, r, a as u64 > b as u64),
                            Op::CmpRm32Jl => cmp_branch!(rm, u32, a, b, r, a < b),
                            Op::CmpRm32Jge => cmp_branch!(rm, u32, a, b, r, a >= b),
                            Op::CmpRm32Jle => cmp_branch!(rm, u32, a, b, r, a <= b),
                            Op::CmpRm32Jg => cmp_branch!(rm, u32, a, b, r, a > b),
                            Op::CmpRm32Js => cmp_branch!(rm, u32, a, b, r, r < 0),
                            Op::CmpRm32Jns => cmp_branch!(rm, u32, a, b, r, r >= 0),
                            Op::CmpRm64Je => cmp_branch!(rm, u64, a, b, r, a == b),
                            Op::CmpRm64Jne => cmp_branch!(rm, u64, a, b, r, a != b),
                            Op::CmpRm64Jb => cmp_branch!(rm, u64, a, b, r, (a as u64) < b as u64),
                            Op::CmpRm64Jae => cmp_branch!(rm, u64, a, b, r, a as u64 >= b as u64),
                            Op::CmpRm64Jbe => cmp_branch!(rm, u64, a, b, r, a as u64 <= b as u64),
                            Op::CmpRm64Ja => cmp_branch!(rm, u64, a, b, r, a as u64 > b as u64),
                            Op::CmpRm64Jl => cmp_branch!(rm, u64, a, b, r, a < b),
                            Op::CmpRm64Jge => cmp_branch!(rm, u64, a, b, r, a >= b),
                            Op::CmpRm64Jle => cmp_branch!(rm, u64, a, b, r, a <= b),
                            Op::CmpRm64Jg => cmp_branch!(rm, u64, a, b, r, a > b),
                            Op::CmpRm64Js => cmp_branch!(rm, u64, a, b, r, r < 0),
                            Op::CmpRm64Jns => cmp_branch!(rm, u64, a, b, r, r >= 0),
                            Op::CmpMi8Je => cmp_branch!(mi, u8, a, b, r, a == b),
                            Op::CmpMi8Jne => cmp_branch!(mi, u8, a, b, r, a != b),
                            Op::CmpMi8Jb => cmp_branch!(mi, u8, a, b, r, (a as u64) < b as u64),
                            Op::CmpMi8Jae => cmp_branch!(mi, u8, a, b, r, a as u64 >= b as u64),
                            Op::CmpMi8Jbe => cmp_branch!(mi, u8, a, b, r, a as u64 <= b as u64),
                            Op::CmpMi8Ja => cmp_branch!(mi, u8, a, b, r, a as u64 > b as u64),
                            Op::CmpMi8Jl => cmp_branch!(mi, u8, a, b, r, a < b),
                            Op::CmpMi8Jge => cmp_branch!(mi, u8, a, b, r, a >= b),
                            Op::CmpMi8Jle => cmp_branch!(mi, u8, a, b, r, a <= b),
                            Op::CmpMi8Jg => cmp_branch!(mi, u8, a, b, r, a > b),
                            Op::CmpMi8Js => cmp_branch!(mi, u8, a, b, r, r < 0),
                            Op::CmpMi8Jns => cmp_branch!(mi, u8, a, b, r, r >= 0),
                            Op::CmpMi32Je => cmp_branch!(mi, u32, a, b, r, a == b),
                            Op::CmpMi32Jne => cmp_branch!(mi, u32, a, b, r, a != b),
                            Op::CmpMi32Jb => cmp_branch!(mi, u32, a, b, r, (a as u64) < b as u64),
                            Op::CmpMi32Jae => cmp_branch!(mi, u32, a, b, r, a as u64 >= b as u64),
                            Op::CmpMi32Jbe => cmp_branch!(mi, u32, a, b, r, a as u64 <= b as u64),
                            Op::CmpMi32Ja => cmp_branch!(mi, u32, a, b, r, a as u64 > b as u64),
                            Op::CmpMi32Jl => cmp_branch!(mi, u32, a, b, r, a < b),
                            Op::CmpMi32Jge => cmp_branch!(mi, u32, a, b, r, a >= b),
                            Op::CmpMi32Jle => cmp_branch!(mi, u32, a, b, r, a <= b),
                            Op::CmpMi32Jg => cmp_branch!(mi, u32, a, b, r, a > b),
                            Op::CmpMi32Js => cmp_branch!(mi, u32, a, b, r, r < 0),
                            Op::CmpMi32Jns => cmp_branch!(mi, u32, a, b, r, r >= 0),
                            Op::CmpMi64Je => cmp_branch!(mi, u64, a, b, r, a == b),
                            Op::CmpMi64Jne => cmp_branch!(mi, u64, a, b, r, a != b),
                            Op::CmpMi64Jb => cmp_branch!(mi, u64, a, b, r, (a as u64) < b as u64),
                            Op::CmpMi64Jae => cmp_branch!(mi, u64, a, b, r, a as u64 >= b as u64),
                            Op::CmpMi64Jbe => cmp_branch!(mi, u64, a, b, r, a as u64 <= b as u64),
                            Op::CmpMi64Ja => cmp_branch!(mi, u64, a, b, r, a as u64 > b as u64),
                            Op::CmpMi64Jl => cmp_branch!(mi, u64, a, b, r, a < b),
                            Op::CmpMi64Jge => cmp_branch!(mi, u64, a, b, r, a >= b),
                            Op::CmpMi64Jle => cmp_branch!(mi, u64, a, b, r, a <= b),
                            Op::CmpMi64Jg => cmp_branch!(mi, u64, a, b, r, a > b),
                            Op::CmpMi64Js => cmp_branch!(mi, u64, a, b, r, r < 0),
                            Op::CmpMi64Jns => cmp_branch!(mi, u64, a, b, r, r >= 0),
                            Op::TestRr8Je => test_branch!(rr, u8, r, r == 0),
                            Op::TestRr8Jne => test_branch!(rr, u8, r, r != 0),
                            Op::TestRr8Js => test_branch!(rr, u8, r, r < 0),
                            Op::TestRr8Jns => test_branch!(rr, u8, r, r >= 0),
                            Op::TestRr8Jle => test_branch!(rr, u8, r, r <= 0),
                            Op::TestRr8Jg => test_branch!(rr, u8, r, r > 0),
                            Op::TestRr32Je => test_branch!(rr, u32, r, r == 0),
                            Op::TestRr32Jne => test_branch!(rr, u32, r, r != 0),
                            Op::TestRr32Js => test_branch!(rr, u32, r, r < 0),
                            Op::TestRr32Jns => test_branch!(rr, u32, r, r >= 0),
                            Op::TestRr32Jle => test_branch!(rr, u32, r, r <= 0),
                            Op::TestRr32Jg => test_branch!(rr, u32, r, r > 0),
                            Op::TestRr64Je => test_branch!(rr, u64, r, r == 0),
                            Op::TestRr64Jne => test_branch!(rr, u64, r, r != 0),
                            Op::TestRr64Js => test_branch!(rr, u64, r, r < 0),
                            Op::TestRr64Jns => test_branch!(rr, u64, r, r >= 0),
                            Op::TestRr64Jle => test_branch!(rr, u64, r, r <= 0),
                            Op::TestRr64Jg => test_branch!(rr, u64, r, r > 0),
                            Op::TestRi8Je => test_branch!(ri, u8, r, r == 0),
                            Op::TestRi8Jne => test_branch!(ri, u8, r, r != 0),
                            Op::TestRi8Js => test_branch!(ri, u8, r, r < 0),
                            Op::TestRi8Jns => test_branch!(ri, u8, r, r >= 0),
                            Op::TestRi8Jle => test_branch!(ri, u8, r, r <= 0),
                            Op::TestRi8Jg => test_branch!(ri, u8, r, r > 0),
                            Op::TestRi32Je => test_branch!(ri, u32, r, r == 0),
                            Op::TestRi32Jne => test_branch!(ri, u32, r, r != 0),
                            Op::TestRi32Js => test_branch!(ri, u32, r, r < 0),
                            Op::TestRi32Jns => test_branch!(ri, u32, r, r >= 0),
                            Op::TestRi32Jle => test_branch!(ri, u32, r, r <= 0),
                            Op::TestRi32Jg => test_branch!(ri, u32, r, r > 0),
                            Op::TestRi64Je => test_branch!(ri, u64, r, r == 0),
                            Op::TestRi64Jne => test_branch!(ri, u64, r, r != 0),
                            Op::TestRi64Js => test_branch!(ri, u64, r, r < 0),
                            Op::TestRi64Jns => test_branch!(ri, u64, r, r >= 0),
                            Op::TestRi64Jle => test_branch!(ri, u64, r, r <= 0),
                            Op::TestRi64Jg => test_branch!(ri, u64, r, r > 0),
                            Op::TestMi8Je => test_branch!(mi, u8, r, r == 0),
                            Op::TestMi8Jne => test_branch!(mi, u8, r, r != 0),
                            Op::TestMi8Js => test_branch!(mi, u8, r, r < 0),
                            Op::TestMi8Jns => test_branch!(mi, u8, r, r >= 0),
                            Op::CmpRi16Je => cmp_branch!(ri, u16, a, b, r, a == b),
                            Op::CmpRi16Jne => cmp_branch!(ri, u16, a, b, r, a != b),
                            Op::CmpRi16Jb => cmp_branch!(ri, u16, a, b, r, (a as u64) < b as u64),
                            Op::CmpRi16Jae => cmp_branch!(ri, u16, a, b, r, a as u64 >= b as u64),
                            Op::CmpRi16Jbe => cmp_branch!(ri, u16, a, b, r, a as u64 <= b as u64),
                            Op::CmpRi16Ja => cmp_branch!(ri, u16, a, b, r, a as u64 > b as u64),
                            Op::CmpRi16Jl => cmp_branch!(ri, u16, a, b, r, a < b),
                            Op::CmpRi16Jge => cmp_branch!(ri, u16, a, b, r, a >= b),
                            Op::CmpRi16Jle => cmp_branch!(ri, u16, a, b, r, a <= b),
                            Op::CmpRi16Jg => cmp_branch!(ri, u16, a, b, r, a > b),
                            Op::CmpRi16Js => cmp_branch!(ri, u16, a, b, r, r < 0),
                            Op::CmpRi16Jns => cmp_branch!(ri, u16, a, b, r, r >= 0),
                            Op::CmpMr8Je => cmp_branch!(mr, u8, a, b, r, a == b),
                            Op::CmpMr8Jne => cmp_branch!(mr, u8, a, b, r, a != b),
                            Op::CmpMr8Jb => cmp_branch!(mr, u8, a, b, r, (a as u64) < b as u64),
                            Op::CmpMr8Jae => cmp_branch!(mr, u8, a, b, r, a as u64 >= b as u64),
                            Op::CmpMr8Jbe => cmp_branch!(mr, u8, a, b, r, a as u64 <= b as u64),
                            Op::CmpMr8Ja => cmp_branch!(mr, u8, a, b, r, a as u64 > b as u64),
                            Op::CmpMr8Jl => cmp_branch!(mr, u8, a, b, r, a < b),
                            Op::CmpMr8Jge => cmp_branch!(mr, u8, a, b, r, a >= b),
                            Op::CmpMr8Jle => cmp_branch!(mr, u8, a, b, r, a <= b),
                            Op::CmpMr8Jg => cmp_branch!(mr, u8, a, b, r, a > b),
                            Op::CmpMr8Js => cmp_branch!(mr, u8, a, b, r, r < 0),
                            Op::CmpMr8Jns => cmp_branch!(mr, u8, a, b, r, r >= 0),
                            Op::CmpMr32Je => cmp_branch!(mr, u32, a, b, r, a == b),
                            Op::CmpMr32Jne => cmp_branch!(mr, u32, a, b, r, a != b),
                            Op::CmpMr32Jb => cmp_branch!(mr, u32, a, b, r, (a as u64) < b as u64),
                            Op::CmpMr32Jae => cmp_branch!(mr, u32, a, b, r, a as u64 >= b as u64),
                            Op::CmpMr32Jbe => cmp_branch!(mr, u32, a, b, r, a as u64 <= b as u64),
                            Op::CmpMr32Ja => cmp_branch!(mr, u32, a, b, r, a as u64 > b as u64),
                            Op::CmpMr32Jl => cmp_branch!(mr, u32, a, b, r, a < b),
                            Op::CmpMr32Jge => cmp_branch!(mr, u32, a, b, r, a >= b),
                            Op::CmpMr32Jle => cmp_branch!(mr, u32, a, b, r, a <= b),
                            Op::CmpMr32Jg => cmp_branch!(mr, u32, a, b, r, a > b),
                            Op::CmpMr32Js => cmp_branch!(mr, u32, a, b, r, r < 0),
                            Op::CmpMr32Jns => cmp_branch!(mr, u32, a, b, r, r >= 0),
                            Op::CmpMr64Je => cmp_branch!(mr, u64, a, b, r, a == b),
                            Op::CmpMr64Jne => cmp_branch!(mr, u64, a, b, r, a != b),
                            Op::CmpMr64Jb => cmp_branch!(mr, u64, a, b, r, (a as u64) < b as u64),
                            Op::CmpMr64Jae => cmp_branch!(mr, u64, a, b, r, a as u64 >= b as u64),
                            Op::CmpMr64Jbe => cmp_branch!(mr, u64, a, b, r, a as u64 <= b as u64),
                            Op::CmpMr64Ja => cmp_branch!(mr, u64, a, b, r, a as u64 > b as u64),
                            Op::CmpMr64Jl => cmp_branch!(mr, u64, a, b, r, a < b),
                            Op::CmpMr64Jge => cmp_branch!(mr, u64, a, b, r, a >= b),
                            Op::CmpMr64Jle => cmp_branch!(mr, u64, a, b, r, a <= b),
                            Op::CmpMr64Jg => cmp_branch!(mr, u64, a, b, r, a > b),
                            Op::CmpMr64Js => cmp_branch!(mr, u64, a, b, r, r < 0),
                            Op::CmpMr64Jns => cmp_branch!(mr, u64, a, b, r, r >= 0),
                            Op::AndRi32Je => and_branch!(r, r == 0),
                            Op::AndRi32Jne => and_branch!(r, r != 0),
                            Op::SubMi32Je => sub_branch!(u32, r, r == 0),
                            Op::SubMi32Jne => sub_branch!(u32, r, r != 0),
                            Op::SubMi64Je => sub_branch!(u64, r, r == 0),
                            Op::SubMi64Jne => sub_branch!(u64, r, r != 0),
                            Op::LoadTestJe => load_branch!(u32, r, r == 0),
                            Op::LoadTestJne => load_branch!(u32, r, r != 0),
                            Op::LoadTestJe64 => load_branch!(u64, r, r == 0),
                            Op::LoadTestJne64 => load_branch!(u64, r, r != 0),
                            Op::LoadTestIJe => load_test_branch!(r, r == 0),
                            Op::LoadTestIJne => load_test_branch!(r, r != 0),
                            Op::AddITestJe => add_branch!(AND, a, a, _b, r, r == 0),
                            Op::AddITestJne => add_branch!(AND, a, a, _b, r, r != 0),
                            Op::AddICmpIJe => add_branch!(CMP, imm!(), a, b, _r, a == b),
                            Op::AddICmpIJne => add_branch!(CMP, imm!(), a, b, _r, a != b),
                            Op::AddICmpIJb => add_branch!(CMP, imm!(), a, b, _r, (a as u64) < b as u64),
                            Op::PopRet32 => pops_return!([u32; 2], a),
                            Op::PopPopRet32 => pops_return!([u32; 3], a, base),
                            Op::LoadRet32 => {
                                let at = readable!(u32, address!(uop.b, uop.disp), First);
                                let to = load!(u32, u64::from(get!(u32, RSP)), TopAfter);
                                put!(u32, uop.a, at.read_unaligned());
                                put!(u32, RSP, get!(u32, RSP).wrapping_add(4));
                                back!(u64::from(to))
                            }
                            Op::PushCall32 => {
                                let top = get!(u32, RSP).wrapping_sub(8);
                                let at = place!([u32; 2], u64::from(top), Push);
                                called!(u32, at, [get!(u32, uop.a)]);
                                put!(u32, RSP, top);
                                jump!()
                            }
                            Op::PushPushCall32 => {
                                let top = get!(u32, RSP).wrapping_sub(12);
                                let at = place!([u32; 3], u64::from(top), Push);
                                called!(u32, at, [get!(u32, uop.base), get!(u32, uop.a)]);
                                put!(u32, RSP, top);
                                jump!()
                            }
                            Op::MoveCall32 => move_call!(u32),
                            Op::PopRet64 => pops_return!([u64; 2], a),
                            Op::PopPopRet64 => pops_return!([u64; 3], a, base),
                            Op::MoveCall64 => move_call!(u64),
                            Op::Call32 => {
                                call!(u32);
                                jump!()
                            }
                            Op::CallR32 => {
                                let to = u64::from(get!(u32, uop.a));
                                check_target!(to);
                                call!(u32);
                                indirect!(to)
                            }
                            Op::CallM32 => {
                                let to = u64::from(load_before_push!(u32));
                                check_target!(to);
                                call!(u32);
                                indirect!(to)
                            }
                            Op::Ret32 => {
                                let to = u64::from(pop!(u32));
                                check_target!(to);
                                put!(u32, RSP, get!(u32, RSP).wrapping_add(4));
                                back!(to)
                            }
                            Op::RetI32 => {
                                let to = u64::from(pop!(u32));
                                check_target!(to);
                                put!(u32, RSP, get!(u32, RSP).wrapping_add(4).wrapping_add(uop.imm as u32));
                                back!(to)
                            }
                            Op::JmpR32 => {
                                let to = u64::from(get!(u32, uop.a));
                                check_target!(to);
                                indirect!(to)
                            }
                            Op::JmpM32 => {
                                let to = u64::from(load!(u32, ea!()));
                                check_target!(to);
                                indirect!(to)
                            }
                            Op::Call64 => {
                                call!(u64);
                                jump!()
                            }
                            Op::CallR64 => {
                                let to = u64::from(get!(u64, uop.a));
                                check_target!(to);
                                call!(u64);
                                indirect!(to)
                            }
                            Op::CallM64 => {
                                let to = u64::from(load_before_push!(u64));
                                check_target!(to);
                                call!(u64);
                                indirect!(to)
                            }
                            Op::Ret64 => {
                                let to = u64::from(pop!(u64));
                                check_target!(to);
                                put!(u64, RSP, get!(u64, RSP).wrapping_add(8));
                                back!(to)
                            }
                            Op::RetI64 => {
                                let to = u64::from(pop!(u64));
                                check_target!(to);
                                put!(u64, RSP, get!(u64, RSP).wrapping_add(8).wrapping_add(imm!() as u64));
                                back!(to)
                            }
                            Op::JmpR64 => {
                                let to = u64::from(get!(u64, uop.a));
                                check_target!(to);
                                indirect!(to)
                            }
                            Op::JmpM64 => {
                                let to = u64::from(load!(u64, ea!()));
                                check_target!(to);
                                indirect!(to)
                            }
                            Op::General | Op::GeneralEnd => {
                                let result = cpu.call_handler(uop);
                                u = cpu.uop;
                                if let Err(fault) = result {
                                    cpu.fault = fault;
                                    return Exit::FAILED;
                                }
                                if (*u).op == Op::GeneralEnd {
                                    if (*u).b != 0 {
                                        break 'run (cpu.rip, std::ptr::null_mut());
                                    }
                                    return Exit::CHECK;
                                }
                                if cpu.code.changed {
                                    return Exit::CHANGED;
                                }
                                u = u.add(1);
                            }
                            Op::End => {
                                let links = (&raw const *uop).cast::<Links>().cast_mut();
                                let next = cpu.regs[PAGE_REGISTER].wrapping_add(u64::from((*links).offset));
                                break 'run (next & cpu.address_mask, &raw mut (*links).taken);
                            }
                            Op::Translated => match cpu.call_translation() {
                                Ok(next) => u = next,
                                Err(exit) => return exit,
                            },
                            Op::Links => return Exit::CHECK,
                        }
                        continue 'run;
                    };
                    cpu.uop = uop;
                    return exit;
                };
                if cpu.budget <= 0 {
                    cpu.rip = target;
                    return Exit::CHECK;
                }
                let hint = if link.is_null() { Link::NONE } else { *link };
                let mut block: *const Block = cpu.code.at(hint.offset());
                if !cpu.code.is_valid(block, target) {
                    block = cpu.code.at(cpu.code.noted(target));
                    if !cpu.code.is_valid(block, target) {
                        cpu.rip = target;
                        cpu.link = link;
                        return Exit::ENTER;
                    }
                    if !link.is_null() {
                        *link = cpu.link_to(block, target);
                    }
                }
                u = cpu.begin(block, target);
            }
        }
    }

    /// Where the CPU lies.
    #[cfg(target_arch = "wasm32")]
    #[inline(always)]
    fn place(_: *mut Self) -> *mut Self {
        crate::exports::cpu_place()
    }

    /// Where the CPU lies.
    #[cfg(not(target_arch = "wasm32"))]
    #[inline(always)]
    fn place(this: *mut Self) -> *mut Self {
        this
    }

    /// Executes the general instruction of a micro-operation of the current block by its handler; `Cpu::uop` is that then.
    #[inline(always)]
    pub(crate) unsafe fn call_handler(&mut self, uop: *const Uop) -> Result<(), Fault> {
        // SAFETY: the caller is executing it; its record was made with it.
        unsafe {
            let general = &*self.code.at::<General>((*uop).imm as u32);
            let start = self.regs[PAGE_REGISTER].wrapping_add(u64::from((*uop).offset));
            self.rip = start.wrapping_add(u64::from((*uop).a)) & self.address_mask;
            self.uop = uop;
            (general.handler)(self, &general.insn)
        }
    }

    /// Enters the block at `target`, which is noted for the next time and linked at `link`, if that is not null; its first
    /// micro-operation.
    #[cold]
    #[inline(never)]
    unsafe fn enter(&mut self, target: u64, link: *mut Link) -> Result<*const Uop, Left> {
        let arena_was_reused = self.code.changed;
        // SAFETY: `link` belongs to a block that is still there unless code was thrown away meanwhile.
        unsafe {
            let known = if link.is_null() { Link::NONE } else { *link };
            let likely = if known == Link::NONE { self.code.likely(target) } else { known.offset() };
            let block = self.find_and_note(target, likely).map_err(Left::Failed)?;
            let block = self.code.at::<Block>(block);
            if !link.is_null() && !arena_was_reused && !self.code.changed {
                let new = self.link_to(block, target);
                // After a switch of address space it is known already: the page stays clean.
                if *link != new {
                    *link = new;
                }
            }
            self.code.changed = false;
            Ok(self.begin(block, target))
        }
    }

    /// How a branch in the page being executed leads to `block` at `target`.
    #[inline(always)]
    unsafe fn link_to(&self, block: *const Block, target: u64) -> Link {
        let in_page = (target ^ self.regs[PAGE_REGISTER]) & !PAGE_MASK == 0;
        // SAFETY: the caller has just found it.
        let sure = in_page && unsafe { (*block).may_be_linked() };
        Link::new(self.code.offset_of(block), sure)
    }

    /// Leaves at a fault: as if the instruction, and those after it, had not been begun. But HLT has been executed.
    #[cold]
    #[inline(never)]
    unsafe fn failed(&mut self, uop: *const Uop, fault: Fault) -> Left {
        if fault == Fault::Halt {
            return Left::Failed(fault);
        }
        // SAFETY: the caller is executing them.
        unsafe {
            self.rip = self.regs[PAGE_REGISTER].wrapping_add(u64::from((*uop).offset)) & self.address_mask;
            self.give_back(uop);
        }
        Left::Failed(fault)
    }

    /// Gives back the budget for the instructions of `uop` and those after it in the block.
    unsafe fn give_back(&mut self, uop: *const Uop) {
        // SAFETY: the caller is executing it, as part of the current block.
        unsafe {
            let first = Block::first(self.current);
            let before = std::slice::from_raw_parts(first, uop.offset_from(first) as usize);
            let done: i64 = before.iter().map(|uop| i64::from(uop.op.instructions())).sum();
            self.budget += i64::from((*self.current).instructions) - done;
        }
    }

    /// Leaves after the instruction of `uop`: the code that follows may have changed.
    #[cold]
    #[inline(never)]
    unsafe fn leave_after(&mut self, uop: *const Uop) -> Left {
        // SAFETY: only the last micro-operation of a block has none after it, and that does not get here.
        unsafe { self.failed(uop.add(1), Fault::Repeat) };
        Left::Check
    }

    /// An access of micro-operation `u` that the TLB could not serve. Where to go on: there again, if it can now, or after
    /// the instruction.
    #[cold]
    #[inline(never)]
    unsafe fn serve(&mut self, u: *const Uop, miss: Exit) -> Result<*const Uop, Left> {
        let (place, bytes, write) = miss.access();
        let regs = self.regs;
        let register = |register: u8| regs.get(usize::from(register / 8)).copied().unwrap_or(0);
        // SAFETY: the caller is executing it.
        let uop = unsafe { &*u };
        let mask = self.address_mask;
        let address =
            |base: u8, displacement: i32| register(base).wrapping_add(i64::from(displacement) as u64) & mask;
        let linear = match place {
            Place::Operand => address(uop.base, uop.disp)
                .wrapping_add(register(uop.index & Uop::INDEX) << (uop.index & Uop::SCALE)),
            Place::Push | Place::PushAfter => register(RSP).wrapping_sub(u64::from(bytes)),
            Place::Top | Place::TopAfter => register(RSP),
            Place::Frame => register(RBP),
            Place::First => address(uop.b, uop.disp),
            Place::Second => address(uop.index, uop.imm),
            Place::Chained => {
                let pointer = address(uop.b, uop.disp);
                let value = match bytes {
                    8 => self.load(pointer).unwrap_or(0),
                    _ => u64::from(self.load::<u32>(pointer).unwrap_or(0)),
                };
                value.wrapping_add(i64::from(uop.imm) as u64)
            }
            Place::Never => 0,
        } & self.address_mask;
        let is_second = matches!(place, Place::Second | Place::Chained | Place::TopAfter);
        let in_page = (linear & PAGE_MASK) + u64::from(bytes) <= PAGE;
        let ordinary = in_page && place != Place::Never && !self.memory.is_checked();
        if ordinary && (!self.mode.is_long() || is_canonical(linear)) {
            let access = if write { Access::Write } else { Access::Read };
            let user = self.memory.is_user();
            match self.translate(linear, access, user) {
                Ok(_) => {
                    let entry = self.memory.tlb(user).entry(linear);
                    // The entry that the first of two accesses needs must not be the same.
                    let apart = !is_second || Tlb::are_apart(address(uop.b, uop.disp), linear);
                    if apart && linear & !PAGE_MASK == if write { entry.write } else { entry.read } {
                        return Ok(u);
                    }
                    if is_second || place == Place::PushAfter {
                        // The page is dirty already: the second instruction must follow.
                        // SAFETY: as the caller promises.
                        return Err(unsafe { self.execute_both_generally(u) });
                    }
                }
                // SAFETY: as the caller promises.
                Err(fault) if uop.op.instructions() == 1 => return Err(unsafe { self.failed(u, fault) }),
                // The first of several may succeed, or fail at another address: that of the first of several pushes.
                Err(_) => {}
            }
        }
        // SAFETY: as the caller promises.
        unsafe { self.execute_generally(u) }
    }

    /// Executes the instruction of `u` as if it had no micro-operation: with an operand on two pages, in a device, in a page
    /// with code, or when every access has to be looked at. Where to go on.
    unsafe fn execute_generally(&mut self, u: *const Uop) -> Result<*const Uop, Left> {
        // SAFETY: the caller is executing it; what follows it was decoded with it.
        unsafe {
            let start = self.regs[PAGE_REGISTER].wrapping_add(u64::from((*u).offset)) & self.address_mask;
            if let Err(fault) = self.execute_at(start) {
                return Err(self.failed(u, fault));
            }
            let next = u.add(1);
            if (*next).op == Op::Links || (*u).op.instructions() > 1 {
                // A branch, or the first of several: `rip` is where to go on.
                self.give_back(u);
                self.budget -= 1;
                return Err(Left::Check);
            }
            if self.code.changed {
                return Err(self.leave_after(u));
            }
            Ok(next)
        }
    }

    /// Executes both instructions of `u` as if they had no micro-operation.
    unsafe fn execute_both_generally(&mut self, u: *const Uop) -> Left {
        // SAFETY: as the caller promises.
        let first = unsafe { self.execute_generally(u) };
        if let Err(left @ Left::Failed(_)) = first {
            return left;
        }
        let start = self.rip;
        if let Err(fault) = self.execute_at(start) {
            self.rip = start;
            return Left::Failed(fault);
        }
        self.budget -= 1;
        Left::Check
    }

    /// Executes one instruction by its handler.
    fn execute_at(&mut self, start: u64) -> Result<(), Fault> {
        let insn = self.decode_one(start)?;
        self.rip = start.wrapping_add(insn.len() as u64) & self.address_mask;
        general::handler(insn.code()).unwrap_or(general::undefined)(self, &insn)
    }

    /// One of the eight basic operations on sign-extended operands: sets the flags, returns the sign-extended
    /// result.
    #[inline(always)]
    fn alu<const OP: u8, T: Word>(&mut self, a: i64, b: i64) -> i64 {
        match OP {
            ADD => {
                let result = T::wrap(a.wrapping_add(b));
                self.flags_add(a, b, result, false);
                result
            }
            ADC => {
                let carry = self.lazy.carry();
                let result = T::wrap(a.wrapping_add(b).wrapping_add(i64::from(carry)));
                self.flags_add(a, b, result, carry);
                result
            }
            SBB => {
                let borrow = self.lazy.carry();
                let result = T::wrap(a.wrapping_sub(b).wrapping_sub(i64::from(borrow)));
                self.flags_sub(a, b, result, borrow);
                result
            }
            SUB | CMP => {
                let result = T::wrap(a.wrapping_sub(b));
                self.flags_sub(a, b, result, false);
                result
            }
            _ => {
                let result = match OP {
                    OR => a | b,
                    AND => a & b,
                    _ => a ^ b,
                };
                self.flags_logic(result);
                result
            }
        }
    }

    /// Shifts by 1 to 31 (63) bits; sets the flags, returns the sign-extended result.
    #[inline(always)]
    fn shift<const OP: u8, T: Word>(&mut self, a: i64, count: u32) -> i64 {
        let bits = T::BYTES as u32 * 8;
        let unsigned = (a as u64) & (u64::MAX >> (64 - bits));
        let (result, carry, overflow) = match OP {
            SHL => {
                let result = T::wrap(a.wrapping_shl(count));
                let carry = (unsigned >> (bits - count)) & 1;
                (result, carry, ((result as u64 >> 63) ^ carry) & 1)
            }
            SHR => {
                let result = T::wrap((unsigned >> count) as i64);
                (result, (unsigned >> (count - 1)) & 1, (unsigned >> (bits - 1)) & 1)
            }
            _ => (a >> count, ((a >> (count - 1)) & 1) as u64, 0),
        };
        // Beyond one bit OF is undefined; silicon gives this.
        self.flags_result(result, carry as u32 | (overflow as u32) << 11);
        result
    }

    /// ROL of 32 bits by 1 to 31.
    #[inline(always)]
    fn rotate_left(&mut self, value: u32, count: u32) -> u32 {
        let value = value.rotate_left(count);
        let carry = value & 1;
        self.flags_rotate(carry | (value >> 31 ^ carry) << 11);
        value
    }

    /// ROR of 32 bits by 1 to 31.
    #[inline(always)]
    fn rotate_right(&mut self, value: u32, count: u32) -> u32 {
        let value = value.rotate_right(count);
        let (carry, next) = (value >> 31, value >> 30 & 1);
        self.flags_rotate(carry | (carry ^ next) << 11);
        value
    }

    /// IMUL with two operands.
    #[inline(always)]
    fn multiply<T: Word>(&mut self, a: i64, b: i64) -> i64 {
        let (result, overflow) = if T::BYTES == 8 {
            a.overflowing_mul(b)
        } else {
            let wide = a.wrapping_mul(b);
            (T::wrap(wide), T::wrap(wide) != wide)
        };
        self.flags_result(result, if overflow { CARRY_AND_OVERFLOW } else { 0 });
        result
    }
}
