//! The x86 engine compared with the processor it runs on.

pub mod approximate;
pub mod case;
pub mod compare;
pub mod fuzz;
pub mod generate;
pub mod guest;
pub mod hunt;
pub mod intel;
pub mod layout;
pub mod minimize;
pub mod random;
pub mod report;
pub mod silicon;
pub mod table;
pub mod undefined;
