//! Picks micro-operations for the SSE instructions that string functions are made of.

use iced_x86::{Code, Instruction, OpKind, Register};

use super::lower::Lowering;
use super::{Op, Uop};
use crate::operand::register_offset;

impl Lowering {
    pub(super) fn vector(&mut self, insn: &Instruction, mut uop: Uop) -> Option<Uop> {
        let (register, load, store) = match insn.code() {
            Code::Movdqu_xmm_xmmm128 | Code::Movups_xmm_xmmm128 | Code::Movupd_xmm_xmmm128 => {
                (Some(Op::VectorRr), Some(Op::VectorLoad), None)
            }
            Code::Movdqa_xmm_xmmm128 | Code::Movaps_xmm_xmmm128 | Code::Movapd_xmm_xmmm128 => {
                (Some(Op::VectorRr), Some(Op::VectorLoadAligned), None)
            }
            Code::Movdqu_xmmm128_xmm | Code::Movups_xmmm128_xmm | Code::Movupd_xmmm128_xmm => {
                (Some(Op::VectorRr), None, Some(Op::VectorStore))
            }
            Code::Movdqa_xmmm128_xmm | Code::Movaps_xmmm128_xmm | Code::Movapd_xmmm128_xmm => {
                (Some(Op::VectorRr), None, Some(Op::VectorStoreAligned))
            }
            Code::Movq_xmm_xmmm64 => (Some(Op::VectorRr64), Some(Op::VectorLoad64), None),
            Code::Movq_xmmm64_xmm => (Some(Op::VectorRr64), None, Some(Op::VectorStore64)),
            Code::Movlps_m64_xmm | Code::Movlpd_m64_xmm => (None, None, Some(Op::VectorStore64)),
            Code::Movd_xmm_rm32 => (Some(Op::VectorFrom32), None, None),
            Code::Movq_xmm_rm64 => (Some(Op::VectorFrom64), None, None),
            Code::Movd_rm32_xmm => (Some(Op::VectorTo32), None, None),
            Code::Movq_rm64_xmm => (Some(Op::VectorTo64), None, None),
            Code::Pxor_xmm_xmmm128 | Code::Xorps_xmm_xmmm128 | Code::Xorpd_xmm_xmmm128 => {
                (Some(Op::VectorXor), None, None)
            }
            Code::Pcmpeqb_xmm_xmmm128 => (Some(Op::VectorEqual8), None, None),
            Code::Pmovmskb_r32_xmm | Code::Pmovmskb_r64_xmm => (Some(Op::VectorMask8), None, None),
            _ => return None,
        };
        if insn.op0_kind() == OpKind::Memory {
            uop.op = store?;
            uop.a = place(insn.op1_register())?;
            self.address(insn, &mut uop, true)?;
        } else if insn.op1_kind() == OpKind::Memory {
            uop.op = load?;
            uop.a = place(insn.op0_register())?;
            self.address(insn, &mut uop, false)?;
        } else {
            uop.op = register?;
            uop.a = place(insn.op0_register())?;
            uop.b = place(insn.op1_register())?;
        }
        Some(uop)
    }
}

/// Where a register is: its offset in `Cpu::xmm` or `Cpu::regs`.
fn place(register: Register) -> Option<u8> {
    if !register.is_xmm() {
        return register_offset(register);
    }
    u8::try_from(register.number() * 16).ok()
}
