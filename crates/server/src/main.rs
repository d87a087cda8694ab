//! The program `callveil`. Everything is in the library, so that tests and the program are built once.

use std::process::ExitCode;

fn main() -> ExitCode {
    callveil_server::main()
}
