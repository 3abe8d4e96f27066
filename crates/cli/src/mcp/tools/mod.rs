//! The tools, by what they are about. The documentation of a function is what a model is told about it.

mod files;
mod machine;
mod processes;
mod running;
