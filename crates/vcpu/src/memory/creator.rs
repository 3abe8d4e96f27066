//! wasmtime's hook for memories that the host provides.
#![allow(unsafe_code)]

use std::cell::RefCell;
use std::sync::Arc;

use wasmtime::{LinearMemory, MemoryCreator, MemoryType};

use super::mapping::Mapping;

thread_local! {
    /// The memory that the next instantiation on this thread gets.
    static NEXT_MEMORY: RefCell<Option<Arc<Mapping>>> = const { RefCell::new(None) };
}

/// Runs `instantiate`; the module with a memory that it instantiates gets `mapping`. If another store
/// has the same mapping, no code of it may run any more.
pub(crate) fn with_next_memory<R>(mapping: Arc<Mapping>, instantiate: impl FnOnce() -> R) -> R {
    NEXT_MEMORY.set(Some(mapping));
    let result = instantiate();
    NEXT_MEMORY.take();
    result
}

/// Makes memories out of [`Mapping`]s.
pub(crate) struct HostMemoryCreator;

// SAFETY: `new_memory` reserves what wasmtime asks for, with the guard behind it, and the base never
// moves.
unsafe impl MemoryCreator for HostMemoryCreator {
    fn new_memory(
        &self,
        _: MemoryType,
        minimum: usize,
        _: Option<usize>,
        reserved: Option<usize>,
        guard: usize,
    ) -> Result<Box<dyn LinearMemory>, String> {
        let reserved = reserved.ok_or("linear memories are always reserved as a whole")?;
        let mapping = match NEXT_MEMORY.take() {
            Some(mapping) if mapping.reserved() >= reserved + guard && mapping.accessible() >= minimum => {
                mapping
            }
            Some(_) => return Err("the prepared memory is too small".into()),
            None => {
                let mapping = Mapping::reserve(reserved + guard).map_err(|error| error.to_string())?;
                mapping.grow_to(minimum).map_err(|error| error.to_string())?;
                Arc::new(mapping)
            }
        };
        Ok(Box::new(HostMemory { mapping, capacity: reserved }))
    }
}

struct HostMemory {
    mapping: Arc<Mapping>,
    /// Bytes up to which the memory may grow; the guard lies behind them.
    capacity: usize,
}

// SAFETY: the mapping stays where it is for as long as this lives; `grow_to` makes accessible what it
// promises or fails.
unsafe impl LinearMemory for HostMemory {
    fn byte_size(&self) -> usize {
        self.mapping.accessible()
    }

    fn byte_capacity(&self) -> usize {
        self.capacity
    }

    fn grow_to(&mut self, new_size: usize) -> wasmtime::Result<()> {
        if new_size > self.capacity {
            return Err(wasmtime::Error::msg("beyond the memory's capacity"));
        }
        Ok(self.mapping.grow_to(new_size)?)
    }

    fn as_ptr(&self) -> *mut u8 {
        self.mapping.base()
    }
}
