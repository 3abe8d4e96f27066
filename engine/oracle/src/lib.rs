//! The x86 engine compared with the processor it runs on.

pub mod case;
pub mod generate;
pub mod layout;
pub mod random;
pub mod silicon;
pub mod undefined;
