//! The binary: everything is in [`unetr_wgpu::cli`].

use std::process::ExitCode;

fn main() -> ExitCode {
    unetr_wgpu::cli::run()
}
