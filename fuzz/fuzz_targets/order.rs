//! What it does with the bytes: `order` in `src/lib.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| pasta_fasta_fuzz::order(bytes));
