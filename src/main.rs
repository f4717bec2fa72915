//! The binary: a kitchen when re-executed as one, else the command line.
//!
//! The kitchen comes before anything else: a child pays for no runtime, no parser and no log it does not use.

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    pasta_fasta::model::tune::small_pages();
    pasta_fasta::model::multiprocessing::child::main(std::env::args_os()).unwrap_or_else(pasta_fasta::cli::main)
}
