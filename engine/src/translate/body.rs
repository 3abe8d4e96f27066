//! A WebAssembly function in the making: its instructions, locals and labels.

use wasm_encoder::{BlockType, Function, InstructionSink, MemArg, ValType};

/// Appends one of two instructions: that of 64 bits, if the condition holds, or that of 32.
macro_rules! sized {
    ($body:expr, $wide:expr, $of_64:ident, $of_32:ident) => {
        if $wide {
            $body.w().$of_64();
        } else {
            $body.w().$of_32();
        }
    };
}
pub(super) use sized;

/// A label that branches can go to while it is open.
#[derive(Clone, Copy, Debug)]
pub(super) struct Label(u32);

/// A state of a [`Body`].
pub(super) struct Mark {
    bytes: usize,
    depth: u32,
    used: [usize; 2],
}

/// The body of a function.
pub(super) struct Body {
    bytes: Vec<u8>,
    /// Where in the instructions there are branches that are hardly ever taken.
    unlikely: Vec<u32>,
    parameters: u32,
    locals: Vec<ValType>,
    /// Labels that are open.
    depth: u32,
    /// Locals for values of 32 and 64 bits that live in one block, and how many of them are in use.
    temporaries: [(Vec<u32>, usize); 2],
}

impl Body {
    pub(super) fn new(parameters: u32) -> Self {
        Self {
            bytes: Vec::new(),
            unlikely: Vec::new(),
            parameters,
            locals: Vec::new(),
            depth: 0,
            temporaries: [(Vec::new(), 0), (Vec::new(), 0)],
        }
    }

    /// Appends instructions that neither open nor close a label.
    pub(super) fn w(&mut self) -> InstructionSink<'_> {
        InstructionSink::new(&mut self.bytes)
    }

    /// A new local variable.
    pub(super) fn local(&mut self, of: ValType) -> u32 {
        self.locals.push(of);
        (self.locals.len() as u32).wrapping_add(self.parameters).wrapping_sub(1)
    }

    /// A local variable that keeps its value up to [`Body::forget_temporaries`].
    pub(super) fn temporary(&mut self, wide: bool) -> u32 {
        let Self { temporaries: [narrow, other], .. } = self;
        let (pool, used) = if wide { other } else { narrow };
        *used = used.wrapping_add(1);
        if let Some(&local) = pool.get(used.wrapping_sub(1)) {
            return local;
        }
        let local = self.local(if wide { ValType::I64 } else { ValType::I32 });
        let Self { temporaries: [narrow, other], .. } = self;
        if wide { other } else { narrow }.0.push(local);
        local
    }

    /// Takes the value on the stack into a temporary variable.
    pub(super) fn keep(&mut self, wide: bool) -> u32 {
        let local = self.temporary(wide);
        self.w().local_set(local);
        local
    }

    /// Makes temporary variables available again.
    pub(super) fn forget_temporaries(&mut self) {
        for (_, used) in &mut self.temporaries {
            *used = 0;
        }
    }

    /// What can be taken back from here on.
    pub(super) fn mark(&self) -> Mark {
        let [(_, narrow), (_, wide)] = &self.temporaries;
        Mark { bytes: self.bytes.len(), depth: self.depth, used: [*narrow, *wide] }
    }

    /// Takes everything back since `mark`, but for the variables.
    pub(super) fn rewind(&mut self, mark: &Mark) {
        self.bytes.truncate(mark.bytes);
        self.unlikely.retain(|place| (*place as usize) < mark.bytes);
        self.depth = mark.depth;
        for ((_, used), before) in self.temporaries.iter_mut().zip(mark.used) {
            *used = before;
        }
    }

    fn open(&mut self) -> Label {
        self.depth = self.depth.wrapping_add(1);
        Label(self.depth)
    }

    /// Opens a label whose branches lead behind its [`Body::end`].
    pub(super) fn block(&mut self) -> Label {
        self.w().block(BlockType::Empty);
        self.open()
    }

    /// Opens a label whose branches lead back here.
    pub(super) fn repeat(&mut self) -> Label {
        self.w().loop_(BlockType::Empty);
        self.open()
    }

    /// What follows, up to `otherwise` or `end`, is executed if the number on the stack is not zero.
    pub(super) fn when(&mut self) -> Label {
        self.w().if_(BlockType::Empty);
        self.open()
    }

    /// The same for what is hardly ever executed.
    pub(super) fn when_unlikely(&mut self) -> Label {
        self.unlikely.push(self.bytes.len() as u32);
        self.when()
    }

    /// A branch, if the number on the stack is not zero, that is hardly ever taken.
    pub(super) fn br_if_unlikely(&mut self, label: Label) {
        self.unlikely.push(self.bytes.len() as u32);
        self.br_if(label);
    }

    /// Closes the label opened last.
    pub(super) fn end(&mut self) {
        self.w().end();
        self.depth = self.depth.saturating_sub(1);
    }

    /// How many labels lie between here and `label`.
    pub(super) fn distance(&self, label: Label) -> u32 {
        self.depth.wrapping_sub(label.0)
    }

    pub(super) fn br(&mut self, label: Label) {
        let distance = self.distance(label);
        self.w().br(distance);
    }

    pub(super) fn br_if(&mut self, label: Label) {
        let distance = self.distance(label);
        self.w().br_if(distance);
    }

    /// Loads 4 bytes from a known place.
    pub(super) fn load32(&mut self, place: u32) {
        self.w().i32_const(0).i32_load(at(place));
    }

    /// Loads 8 bytes from a known place.
    pub(super) fn load64(&mut self, place: u32) {
        self.w().i32_const(0).i64_load(at(place));
    }

    /// Stores the 4 bytes of a local variable at a known place.
    pub(super) fn store32(&mut self, place: u32, local: u32) {
        self.w().i32_const(0).local_get(local).i32_store(at(place));
    }

    /// Stores the 8 bytes of a local variable at a known place.
    pub(super) fn store64(&mut self, place: u32, local: u32) {
        self.w().i32_const(0).local_get(local).i64_store(at(place));
    }

    /// The function's body in the binary format: locals and instructions. Where in it there are branches that are hardly
    /// ever taken.
    pub(super) fn finish(mut self) -> (Vec<u8>, Vec<u32>) {
        self.w().end();
        let mut function = Function::new_with_locals_types(self.locals);
        let before = function.byte_len() as u32;
        function.raw(self.bytes);
        let unlikely = self.unlikely.iter().map(|place| place.wrapping_add(before)).collect();
        (function.into_raw_body(), unlikely)
    }
}

/// An access at a constant distance from the address on the stack; nothing is assumed of alignment.
pub(super) fn at(offset: u32) -> MemArg {
    MemArg { offset: offset.into(), align: 0, memory_index: 0 }
}
