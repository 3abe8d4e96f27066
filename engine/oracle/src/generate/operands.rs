//! Gives an instruction operands: immediates, addresses in registers or displacements, and what lies there.

use super::encode::decode;
use super::values::{self, Kind};
use super::{places, registers};
use crate::case::{Case, Mode, Patch};
use crate::layout::{self, REGIONS};
use crate::random::Random;
use iced_x86::{
    CodeSize, ConstantOffsets, FlowControl, Instruction, InstructionInfoFactory, MemorySize, Mnemonic,
    OpKind, Register, UsedMemory,
};

/// What numbers of this size in memory are.
pub fn kind_of(size: MemorySize) -> Option<Kind> {
    match size.element_type() {
        MemorySize::Float32 => Some(Kind::Float32),
        MemorySize::Float64 => Some(Kind::Float64),
        MemorySize::Float80 => Some(Kind::Float80),
        MemorySize::Bcd => Some(Kind::Decimal),
        MemorySize::Unknown => None,
        _ => Some(Kind::Integer),
    }
}

/// The number of a general register, whatever part of it is meant.
fn number(register: Register) -> Option<usize> {
    let full = register.full_register();
    full.is_gpr64().then(|| full.number())
}

/// Gives operands to the instructions of a case, one after the other.
pub struct Operands<'a> {
    random: &'a mut Random,
    case: &'a mut Case,
    factory: InstructionInfoFactory,
    /// Registers that have their value already, or lose it before they are used.
    settled: u32,
}

impl<'a> Operands<'a> {
    /// For a case whose code, mode and registers are there.
    pub fn new(random: &'a mut Random, case: &'a mut Case) -> Self {
        Self { random, case, factory: InstructionInfoFactory::new(), settled: 1 << 4 }
    }

    /// Gives operands to the instruction that begins at this byte of the code.
    pub fn settle(&mut self, start: usize) {
        let rip = self.case.state.rip + start as u64;
        let (instruction, offsets) = decode(self.case.mode, &self.case.code[start..], rip);
        if instruction.is_invalid() {
            return;
        }
        self.immediates(&instruction, &offsets, start);
        self.displacement(&instruction, &offsets, start);
        let (instruction, _) = decode(self.case.mode, &self.case.code[start..], rip);
        self.count(&instruction);
        let info = self.factory.info(&instruction).clone();
        for memory in info.used_memory() {
            self.memory(&instruction, memory);
        }
        if matches!(instruction.flow_control(), FlowControl::IndirectBranch | FlowControl::IndirectCall)
            && instruction.op0_kind() == OpKind::Register
            && let Some(target) = number(instruction.op0_register())
        {
            let value = places::branch(self.random, self.case.mode);
            self.set(target, value);
        }
        if instruction.op0_kind() == OpKind::Register
            && instruction.op0_register().is_segment_register()
            && let Some(source) = number(instruction.op1_register())
        {
            let selector = u64::from(places::selector(self.random));
            self.set(source, self.case.state.gprs[source] & !0xFFFF | selector);
        }
        if matches!(
            instruction.mnemonic(),
            Mnemonic::Lar | Mnemonic::Lsl | Mnemonic::Verr | Mnemonic::Verw | Mnemonic::Arpl
        ) {
            let source = instruction.op_register(instruction.op_count() - 1);
            if let Some(source) = number(source) {
                let selector = u64::from(places::selector(self.random));
                self.set(source, self.case.state.gprs[source] & !0xFFFF | selector);
            }
        }
        for register in info.used_registers() {
            if !matches!(register.access(), iced_x86::OpAccess::Read | iced_x86::OpAccess::CondRead)
                && let Some(number) = number(register.register())
            {
                self.settled |= 1 << number;
            }
        }
    }

    /// Sets a register that is not settled.
    fn set(&mut self, register: usize, value: u64) {
        if self.settled & 1 << register == 0 {
            self.settled |= 1 << register;
            self.case.state.gprs[register] =
                if self.case.mode == Mode::Bits32 { value & u64::from(u32::MAX) } else { value };
        }
    }

    fn immediates(&mut self, instruction: &Instruction, offsets: &ConstantOffsets, start: usize) {
        let size = offsets.immediate_size();
        if size == 0 {
            return;
        }
        let at = start + offsets.immediate_offset();
        let value = match instruction.op0_kind() {
            _ if is_near(instruction) => self.relative(instruction, size),
            OpKind::FarBranch16 | OpKind::FarBranch32 => {
                let selector = places::selector(self.random).to_le_bytes();
                let second = start + offsets.immediate_offset2();
                self.case.code[second..second + 2].copy_from_slice(&selector);
                places::branch(self.random, self.case.mode)
            }
            _ if self.random.one_in(3) => return,
            _ if instruction.mnemonic() == Mnemonic::Enter => self.random.below(0x40),
            _ => values::integer(self.random),
        };
        self.case.code[at..at + size].copy_from_slice(&value.to_le_bytes()[..size]);
        if instruction.mnemonic() == Mnemonic::Enter && self.random.one_in(2) {
            let second = start + offsets.immediate_offset2();
            self.case.code[second] = self.random.pick(&[0, 1, 2, 3, 4, 30, 31, 32, 33]);
        }
    }

    /// The distance of a branch: not back into the case itself, which might take for ever.
    fn relative(&mut self, instruction: &Instruction, size: usize) -> u64 {
        let value = match self.random.below(6) {
            0 => values::integer(self.random),
            1 => self.random.below(64) + 0x80,
            _ => self.random.below(if size == 1 { 0x80 } else { 0xC00 }),
        };
        let shift = 64 - 8 * size as u32;
        let distance = (value << shift) as i64 >> shift;
        let code = self.case.state.rip.wrapping_sub(16)..self.case.state.rip.wrapping_add(200);
        let target = instruction.next_ip().wrapping_add(distance as u64);
        if distance < 0 && (size < 4 || code.contains(&target)) && -distance < 0x60 { 0x20 } else { value }
    }

    /// An absolute or relative address in the code.
    fn displacement(&mut self, instruction: &Instruction, offsets: &ConstantOffsets, start: usize) {
        let size = offsets.displacement_size();
        let base = instruction.memory_base();
        let is_relative = matches!(base, Register::RIP | Register::EIP);
        if size == 0 {
            return;
        }
        let at = start + offsets.displacement_offset();
        let alone = (base == Register::None || is_relative) && instruction.memory_index() == Register::None;
        let value = if alone {
            let bytes = instruction.memory_size().size() as u64;
            let mut target = places::operand(self.random, self.case.mode, bytes)
                .wrapping_sub(self.segment_base(instruction.memory_segment()));
            if is_relative {
                target = target.wrapping_sub(instruction.next_ip());
            }
            target
        } else if self.random.one_in(2) {
            self.random.below(256).wrapping_sub(128)
        } else {
            return;
        };
        self.case.code[at..at + size].copy_from_slice(&value.to_le_bytes()[..size]);
    }

    fn segment_base(&self, segment: Register) -> u64 {
        match segment {
            Register::FS => u64::from(layout::FS_BASE),
            Register::GS => u64::from(layout::GS_BASE),
            _ => 0,
        }
    }

    /// The count of a repeated instruction or a loop.
    fn count(&mut self, instruction: &Instruction) {
        if instruction.has_rep_prefix() || instruction.has_repne_prefix() {
            let count = match self.random.below(16) {
                0 => 0,
                1 => 1,
                2 => 0x800 + self.random.below(0x3000),
                3 => 0x1_0000_0002,
                _ => self.random.below(40),
            };
            self.set(1, count);
        } else if matches!(
            instruction.mnemonic(),
            Mnemonic::Loop
                | Mnemonic::Loope
                | Mnemonic::Loopne
                | Mnemonic::Jrcxz
                | Mnemonic::Jecxz
                | Mnemonic::Jcxz
        ) {
            let count = self.random.pick(&[0, 1, 2, 0x1_0000, 0x1_0000_0000, 0x1_0000_0001, 0x1_0001]);
            self.set(1, count);
        }
    }

    /// Puts an operand somewhere, by what is left to choose, and something there.
    fn memory(&mut self, instruction: &Instruction, memory: &UsedMemory) {
        let size = memory.memory_size().size();
        let mask = match memory.address_size() {
            CodeSize::Code16 => 0xFFFF,
            CodeSize::Code32 => u64::from(u32::MAX),
            _ => u64::MAX,
        };
        let mut wanted = places::operand(self.random, self.case.mode, size as u64);
        if wanted >> 32 != 0 && self.segment_base(memory.segment()) != 0 {
            // With a base, processors do not agree which sum has to be canonical.
            wanted &= 0xFFFF;
        }
        let offset =
            wanted.wrapping_sub(self.segment_base(memory.segment())).wrapping_sub(memory.displacement());
        let (base, index) = (number(memory.base()), number(memory.index()));
        let scale = u64::from(memory.scale()).max(1);
        match (base, index) {
            (Some(base), Some(index)) if base == index => self.place(base, offset / (scale + 1), mask),
            (Some(base), Some(index)) => {
                if self.random.one_in(2) {
                    let value = self.random.below(64);
                    self.place(index, value, mask);
                }
                let index = self.case.state.gprs[index] & index_mask(memory, mask);
                self.place(base, offset.wrapping_sub(index.wrapping_mul(scale)), mask);
            }
            (Some(base), None) => self.place(base, offset, mask),
            (None, Some(index)) => self.place(index, (offset & mask) / scale, mask),
            (None, None) => {}
        }
        let state = &self.case.state;
        let register = |register: Option<usize>| register.map_or(0, |register| state.gprs[register]);
        let index = register(index) & index_mask(memory, mask);
        let offset =
            register(base).wrapping_add(index.wrapping_mul(scale)).wrapping_add(memory.displacement()) & mask;
        let address = offset.wrapping_add(self.segment_base(memory.segment()));
        let bytes = self.content(instruction, memory, size);
        self.put(address, &bytes);
    }

    /// Chooses a register's value, as far as an address reaches.
    fn place(&mut self, register: usize, value: u64, mask: u64) {
        let keep = if self.random.one_in(2) { !mask & self.case.state.gprs[register] } else { 0 };
        self.set(register, value & mask | keep);
    }

    /// What lies in an operand.
    fn content(&mut self, instruction: &Instruction, memory: &UsedMemory, size: usize) -> Vec<u8> {
        let mode = self.case.mode;
        let bits = mode.bits() as usize / 8;
        let of_stack = number(memory.base()) == Some(4) && instruction.memory_base() != memory.base();
        match instruction.mnemonic() {
            Mnemonic::Ret | Mnemonic::Jmp | Mnemonic::Call
                if size <= 8 && (of_stack || is_near_indirect(instruction)) =>
            {
                let mut bytes = places::branch(self.random, mode).to_le_bytes().to_vec();
                bytes.truncate(size.max(2));
                bytes
            }
            // The frame has been put there already, for its first word.
            Mnemonic::Retf | Mnemonic::Iret | Mnemonic::Iretd | Mnemonic::Iretq
                if of_stack && memory.displacement() != 0 =>
            {
                Vec::new()
            }
            Mnemonic::Retf
            | Mnemonic::Jmp
            | Mnemonic::Call
            | Mnemonic::Iret
            | Mnemonic::Iretd
            | Mnemonic::Iretq => self.far_frame(instruction),
            Mnemonic::Pop | Mnemonic::Mov if instruction.op0_register().is_segment_register() => {
                let mut bytes = u64::from(places::selector(self.random)).to_le_bytes().to_vec();
                bytes.truncate(size.clamp(2, bits));
                bytes
            }
            Mnemonic::Lds | Mnemonic::Les | Mnemonic::Lfs | Mnemonic::Lgs | Mnemonic::Lss => {
                let mut bytes = values::integer(self.random).to_le_bytes()[..size.clamp(4, 10) - 2].to_vec();
                bytes.extend(places::selector(self.random).to_le_bytes());
                bytes
            }
            Mnemonic::Lar | Mnemonic::Lsl | Mnemonic::Verr | Mnemonic::Verw => {
                places::selector(self.random).to_le_bytes().to_vec()
            }
            Mnemonic::Fxrstor | Mnemonic::Fxrstor64 => {
                let mut image = registers::fx(self.random, None);
                if self.random.one_in(16) {
                    // Bit 17 is AMD's, for misaligned operands (APM vol. 2, 11.3).
                    let bit = self.random.below(17);
                    image.set_mxcsr(1 << bit);
                }
                image.0.to_vec()
            }
            _ => {
                let kind = kind_of(memory.memory_size()).unwrap_or(Kind::Integer);
                values::bytes(self.random, kind, size.clamp(1, 128))
            }
        }
    }

    /// Offset, selector and what IRET and far returns find behind them.
    fn far_frame(&mut self, instruction: &Instruction) -> Vec<u8> {
        let width = match instruction.code().op_code().operand_size() {
            16 => 2,
            64 => 8,
            _ => 4,
        };
        let word = |value: u64| value.to_le_bytes()[..width].to_vec();
        let mut frame = word(places::branch(self.random, self.case.mode));
        let code = match self.random.below(4) {
            0 | 1 => layout::CS32,
            2 => layout::CS64,
            _ => places::selector(self.random),
        };
        frame.extend(word(code.into()));
        frame.extend(word(self.random.next() & 0x4_0CD5 | 0x202));
        frame.extend(word(places::stack(self.random, self.case.mode)));
        let stack = if self.random.one_in(4) { places::selector(self.random) } else { layout::DS };
        frame.extend(word(stack.into()));
        frame
    }

    /// Notes bytes for an address, as far as there is memory.
    fn put(&mut self, address: u64, bytes: &[u8]) {
        for region in REGIONS {
            let (start, end) = (u64::from(region.start), u64::from(region.end));
            let first = address.max(start);
            let last = address.saturating_add(bytes.len() as u64).min(end);
            if first < last && self.case.patches.len() < 8 {
                let bytes = bytes[(first - address) as usize..(last - address) as usize].to_vec();
                self.case.patches.push(Patch { address: first as u32, bytes });
            }
        }
    }
}

/// XLAT adds AL alone.
fn index_mask(memory: &UsedMemory, mask: u64) -> u64 {
    if memory.index().size() == 1 { 0xFF } else { mask }
}

fn is_near(instruction: &Instruction) -> bool {
    matches!(instruction.op0_kind(), OpKind::NearBranch16 | OpKind::NearBranch32 | OpKind::NearBranch64)
}

fn is_near_indirect(instruction: &Instruction) -> bool {
    matches!(instruction.flow_control(), FlowControl::IndirectBranch | FlowControl::IndirectCall)
        && matches!(
            instruction.memory_size(),
            MemorySize::WordOffset | MemorySize::DwordOffset | MemorySize::QwordOffset
        )
}
