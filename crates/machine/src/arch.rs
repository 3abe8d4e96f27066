//! The architectures that a guest can have.

use std::fmt;

use wasm_sandbox_vcpu::EngineKind;

/// What a guest's kernel and programs are made for. It decides the boot protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Arch {
    /// 32 bit.
    I686,
    /// 64 bit.
    X86_64,
}

impl Arch {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::I686, Self::X86_64];

    /// The name, as users select it and as `uname -m` has it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::I686 => "i686",
            Self::X86_64 => "x86_64",
        }
    }

    /// Whether an engine has the mode that the kernel starts in.
    pub const fn runs_on(self, engine: EngineKind) -> bool {
        match self {
            Self::I686 => true,
            Self::X86_64 => matches!(engine, EngineKind::Wx86),
        }
    }

    /// What an engine runs unless something else is asked for: 64 bit where it can.
    pub const fn usual_for(engine: EngineKind) -> Self {
        if Self::X86_64.runs_on(engine) { Self::X86_64 } else { Self::I686 }
    }

    /// The architecture called `name`.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|arch| arch.name() == name)
    }
}

impl Default for Arch {
    fn default() -> Self {
        Self::usual_for(EngineKind::default())
    }
}

impl fmt::Display for Arch {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}
