//! Where v86.wasm keeps its registers: offsets into linear memory
//! (`src/rust/cpu/global_pointers.rs` of v86).

/// EAX, ECX, EDX, EBX, ESP, EBP, ESI, EDI: `u32` each.
pub(super) const REG32: usize = 64;
/// EFLAGS, `u32`.
pub(super) const FLAGS: usize = 120;
/// Access bytes of ES, CS, SS, DS, FS, GS: `u8` each.
pub(super) const SEGMENT_ACCESS_BYTES: usize = 512;
/// EIP, `u32` (guest-linear).
pub(super) const INSTRUCTION_POINTER: usize = 556;
/// CR0 to CR7, `u32` each.
pub(super) const CR: usize = 580;
/// Guest instructions retired, `u32`, wrapping.
pub(super) const INSTRUCTION_COUNTER: usize = 664;
/// Selectors of ES, CS, SS, DS, FS, GS: `u16` each.
pub(super) const SREG: usize = 668;
/// Whether a selector is null: `bool` each.
pub(super) const SEGMENT_IS_NULL: usize = 724;
/// Segment bases, `u32` each.
pub(super) const SEGMENT_OFFSETS: usize = 736;
/// Segment limits, `u32` each.
pub(super) const SEGMENT_LIMITS: usize = 768;
/// CR0.PE, `bool`.
pub(super) const PROTECTED_MODE: usize = 800;
/// CS.D, `bool`.
pub(super) const IS_32: usize = 804;
/// SS.B, `bool`.
pub(super) const STACK_SIZE_32: usize = 808;
/// RAM size in bytes, `u32`; written by the host before `allocate_memory`.
pub(super) const MEMORY_SIZE: usize = 812;

/// Index of ESI in [`REG32`].
pub(super) const ESI: usize = 6;
/// Index of CS in the segment arrays; the order is ES, CS, SS, DS, FS, GS.
pub(super) const CS: usize = 1;
/// How many segment registers programs see.
pub(super) const SEGMENTS: usize = 6;
