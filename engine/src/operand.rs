//! Operands of general instructions: registers, immediates, memory.

use iced_x86::{Instruction, OpKind, Register};

use crate::state::ZERO;
use crate::{Cpu, Fault, Seg};

/// Where a general register lies in `Cpu::regs`, in bytes (AH is byte 1 of RAX); `None` for other registers.
#[inline]
pub(crate) fn register_offset(register: Register) -> Option<u8> {
    let number = register as u32;
    let from = |first: Register| (number.wrapping_sub(first as u32) as u8) << 3;
    Some(match number {
        n if n >= Register::AL as u32 && n <= Register::BL as u32 => from(Register::AL),
        n if n >= Register::AH as u32 && n <= Register::BH as u32 => from(Register::AH) | 1,
        n if n >= Register::SPL as u32 && n <= Register::R15L as u32 => from(Register::SPL).wrapping_add(32),
        n if n >= Register::AX as u32 && n <= Register::R15W as u32 => from(Register::AX),
        n if n >= Register::EAX as u32 && n <= Register::R15D as u32 => from(Register::EAX),
        n if n >= Register::RAX as u32 && n <= Register::R15 as u32 => from(Register::RAX),
        _ => return None,
    })
}

/// Index of the full register that a base or index register is part of; [`ZERO`] for none.
pub(crate) fn full_register(register: Register) -> usize {
    match register_offset(register) {
        Some(offset) => usize::from(offset / 8),
        None => ZERO,
    }
}

/// A segment register of iced.
pub(crate) fn segment_of(register: Register) -> Seg {
    match register {
        Register::ES => Seg::Es,
        Register::CS => Seg::Cs,
        Register::SS => Seg::Ss,
        Register::FS => Seg::Fs,
        Register::GS => Seg::Gs,
        _ => Seg::Ds,
    }
}

/// The segment of the memory operand. In 64-bit mode prefixes mean something for FS and GS only.
#[inline]
pub(crate) fn memory_segment(insn: &Instruction, is_long: bool) -> Seg {
    let seg = segment_of(insn.memory_segment());
    if !is_long || matches!(seg, Seg::Fs | Seg::Gs) {
        return seg;
    }
    match insn.memory_base() {
        Register::RSP | Register::RBP | Register::ESP | Register::EBP => Seg::Ss,
        _ => Seg::Ds,
    }
}

/// How many bits `bytes` bytes have.
#[inline(always)]
pub(crate) const fn bits_of(bytes: u32) -> u32 {
    bytes << 3
}

/// Ones in the low `bits` bits.
#[inline]
pub(crate) const fn ones(bits: u32) -> u64 {
    if bits >= 64 { u64::MAX } else { !(u64::MAX << bits) }
}

/// Ones in the low `bytes` bytes.
#[inline]
pub(crate) const fn mask(bytes: u32) -> u64 {
    ones(bits_of(bytes))
}

/// The low `bytes` bytes of `value`, sign-extended.
#[inline]
pub(crate) const fn sign_extend(value: u64, bytes: u32) -> i64 {
    let shift = 64_u32.saturating_sub(bits_of(bytes));
    ((value << shift) as i64) >> shift
}

/// Size of the memory operand in bytes.
#[inline]
pub(crate) fn memory_bytes(insn: &Instruction) -> u32 {
    insn.memory_size().size() as u32
}

/// The width of an instruction's addresses in bits: 16, 32 or 64.
pub(crate) fn address_bits(insn: &Instruction) -> u32 {
    for register in [insn.memory_base(), insn.memory_index()] {
        match register.size() {
            2 => return 16,
            4 => return 32,
            8 if register != Register::None => return 64,
            _ => {}
        }
    }
    match insn.memory_displ_size() {
        2 => 16,
        8 => 64,
        _ => 32,
    }
}

impl Cpu {
    /// A general register, zero-extended. Other registers read as 0.
    #[inline]
    pub fn register(&self, register: Register) -> u64 {
        let Some(offset) = register_offset(register) else { return 0 };
        let full = self.regs.get(usize::from(offset / 8)).copied().unwrap_or_default();
        (full >> ((offset & 1) << 3)) & mask(register.size() as u32)
    }

    /// Sets a general register: 4 bytes clear the upper half, 1 and 2 bytes leave the rest alone.
    #[inline]
    pub fn set_register(&mut self, register: Register, value: u64) {
        let Some(offset) = register_offset(register) else { return };
        let Some(full) = self.regs.get_mut(usize::from(offset / 8)) else { return };
        *full = match register.size() {
            1 if offset & 1 != 0 => (*full & !0xFF00) | ((value & 0xFF) << 8),
            1 => (*full & !0xFF) | (value & 0xFF),
            2 => (*full & !0xFFFF) | (value & 0xFFFF),
            4 => value & u64::from(u32::MAX),
            _ => value,
        };
    }

    /// Size of operand `n` in bytes (0 for those without a size).
    pub fn operand_bytes(&self, insn: &Instruction, n: u32) -> u32 {
        match insn.op_kind(n) {
            OpKind::Register => insn.op_register(n).size() as u32,
            OpKind::Immediate8 | OpKind::Immediate8_2nd => 1,
            OpKind::Immediate16 | OpKind::Immediate8to16 => 2,
            OpKind::Immediate32 | OpKind::Immediate8to32 => 4,
            OpKind::Immediate64 | OpKind::Immediate8to64 | OpKind::Immediate32to64 => 8,
            _ => memory_bytes(insn),
        }
    }

    /// The value of operand `n` (register, immediate, or memory of up to 8 bytes), zero-extended from its size.
    ///
    /// # Errors
    /// Those of a load.
    #[inline]
    pub fn operand(&mut self, insn: &Instruction, n: u32) -> Result<u64, Fault> {
        match insn.op_kind(n) {
            OpKind::Register => Ok(self.register(insn.op_register(n))),
            OpKind::Memory => {
                let (seg, offset) = self.effective_address(insn);
                self.read_sized(seg, offset, memory_bytes(insn))
            }
            _ => Ok(insn.immediate(n) & mask(self.operand_bytes(insn, n))),
        }
    }

    /// Writes operand `n` (register or memory of up to 8 bytes).
    ///
    /// # Errors
    /// Those of a store; nothing has been written then.
    #[inline]
    pub fn set_operand(&mut self, insn: &Instruction, n: u32, value: u64) -> Result<(), Fault> {
        if insn.op_kind(n) == OpKind::Register {
            self.set_register(insn.op_register(n), value);
            return Ok(());
        }
        let (seg, offset) = self.effective_address(insn);
        self.write_sized(seg, offset, value, memory_bytes(insn))
    }

    /// Segment and offset of the memory operand. The offset is cut to the address size.
    #[inline]
    pub fn effective_address(&self, insn: &Instruction) -> (Seg, u64) {
        let seg = memory_segment(insn, self.mode.is_long());
        if insn.is_ip_rel_memory_operand() {
            let distance = insn.memory_displacement64().wrapping_sub(insn.next_ip());
            let target = self.rip.wrapping_add(distance);
            let target =
                if insn.memory_base() == Register::EIP { target & u64::from(u32::MAX) } else { target };
            return (seg, target);
        }
        let part = |register| self.regs.get(full_register(register)).copied().unwrap_or_default();
        let offset = part(insn.memory_base())
            .wrapping_add(part(insn.memory_index()).wrapping_mul(u64::from(insn.memory_index_scale())))
            .wrapping_add(insn.memory_displacement64());
        (seg, offset & mask(address_bits(insn) / 8))
    }

    /// Target of a direct near branch, cut to the operand size.
    pub fn branch_target(&self, insn: &Instruction) -> u64 {
        let (bytes, target) = match insn.op_kind(0) {
            OpKind::NearBranch16 => (2, u64::from(insn.near_branch16())),
            OpKind::NearBranch32 => (4, u64::from(insn.near_branch32())),
            _ => (8, insn.near_branch64()),
        };
        self.rip.wrapping_add(target.wrapping_sub(insn.next_ip())) & mask(bytes)
    }

    /// The instruction pointer's width: what near branches leave of a target.
    pub fn rip_mask(&self) -> u64 {
        if self.mode.is_long() { u64::MAX } else { u64::from(u32::MAX) }
    }

    /// The stack pointer's width in 64-bit, 32-bit or 16-bit stacks.
    pub fn stack_mask(&self) -> u64 {
        if self.mode.is_long() {
            u64::MAX
        } else if self.mode.0 & crate::Mode::BIG_STACK != 0 {
            u64::from(u32::MAX)
        } else {
            0xFFFF
        }
    }
}
