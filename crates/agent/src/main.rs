//! The weftd binary.

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    match weft_agent::app::run(&weft_agent::config::Flags::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("weftd: error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
