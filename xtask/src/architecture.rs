//! The architectures that a guest can have.

use clap::ValueEnum;

/// An architecture, under the name that `uname -m` has for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Architecture {
    /// 32 bit
    #[value(name = "i686")]
    I686,
    /// 64 bit
    #[value(name = "x86_64")]
    X86_64,
}

impl Architecture {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::I686, Self::X86_64];

    /// What `uname -m` says.
    pub fn name(self) -> &'static str {
        match self {
            Self::I686 => "i686",
            Self::X86_64 => "x86_64",
        }
    }

    /// What Debian calls it.
    pub fn debian(self) -> &'static str {
        match self {
            Self::I686 => "i386",
            Self::X86_64 => "amd64",
        }
    }

    /// Where its image lies among the artefacts.
    pub fn image_directory(self) -> &'static str {
        match self {
            Self::I686 => "image",
            Self::X86_64 => "image-x86_64",
        }
    }
}
