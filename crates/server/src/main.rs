//! The program `callveil`. Everything is in the library, so that tests and the program are built once.

use std::process::ExitCode;

// A call makes and drops thousands of small things on whichever thread runs it: the system's allocator spends a quarter of
// the processor on that, and gives little of it back after a busy hour.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    callveil_server::main()
}
