//! WebGPU's rules, checked on every target: native wgpu accepts what a browser refuses.

use super::kernel::Dispatch;
use crate::gpu::{Access, Limits};

/// A dispatch that a browser would refuse, or that exceeds the limits: a fault in a kernel.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{node} ({shader}): {reason}")]
pub struct CheckError {
    /// Path of the node.
    pub node: String,
    pub shader: &'static str,
    /// The broken rule, with the figures.
    pub reason: String,
}

/// Checks one dispatch. `buffers` gives, for each binding in order, which buffer stands behind it and its bytes.
///
/// Rules: at most `max_storage_buffers_per_shader_stage` buffers; none written may be bound twice; none larger than
/// `max_storage_buffer_binding_size`; a grid within `max_compute_workgroups_per_dimension`; a uniform block of whole
/// 16-byte rows or less than 64 KiB.
///
/// # Errors
/// The first broken rule.
pub fn check_webgpu(
    node: &str,
    dispatch: &Dispatch,
    buffers: &[(u64, u64)],
    limits: &Limits,
) -> Result<(), CheckError> {
    let fail = |reason: String| Err(CheckError { node: node.to_owned(), shader: dispatch.shader, reason });
    let most = limits.max_storage_buffers_per_shader_stage as usize;
    if dispatch.bindings.len() > most {
        return fail(format!("{} storage buffers, {most} allowed", dispatch.bindings.len()));
    }
    for (i, (a, (operand, access))) in buffers.iter().zip(&dispatch.bindings).enumerate() {
        if *access == Access::Write && buffers.iter().enumerate().any(|(j, b)| j != i && b.0 == a.0) {
            return fail(format!("{operand:?} is written and bound a second time"));
        }
        if a.1 > limits.max_storage_buffer_binding_size {
            return fail(format!(
                "{operand:?} has {} bytes, a binding holds {}",
                a.1, limits.max_storage_buffer_binding_size
            ));
        }
    }
    let axis = limits.max_compute_workgroups_per_dimension;
    if dispatch.groups.iter().any(|&g| g > axis) {
        return fail(format!("grid {:?}, {axis} allowed per axis", dispatch.groups));
    }
    if dispatch.params.bytes.len() as u64 > limits.max_uniform_buffer_binding_size {
        return fail(format!("{} bytes of parameters", dispatch.params.bytes.len()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::kernel::{Operand, Params};
    use super::*;

    fn dispatch(bindings: &[Access], groups: [u32; 3]) -> Dispatch {
        Dispatch {
            shader: "test",
            entry: "main",
            constants: Vec::new(),
            params: Params::default(),
            bindings: bindings.iter().enumerate().map(|(i, &a)| (Operand::Input(i), a)).collect(),
            groups,
        }
    }

    fn reason(d: &Dispatch, buffers: &[(u64, u64)]) -> String {
        match check_webgpu("n", d, buffers, &Limits::default()) {
            Ok(()) => String::new(),
            Err(e) => e.reason,
        }
    }

    #[test]
    fn rules() {
        use Access::{Read, Write};
        let one = [1, 1, 1];
        assert_eq!(reason(&dispatch(&[Read, Read, Write], one), &[(1, 4), (1, 4), (2, 4)]), "");
        assert!(reason(&dispatch(&[Read, Write], one), &[(1, 4), (1, 4)]).contains("second time"));
        assert!(reason(&dispatch(&[Write, Write], one), &[(1, 4), (1, 4)]).contains("second time"));
        assert!(reason(&dispatch(&[Read], one), &[(1, 1 << 30)]).contains("a binding holds"));
        assert!(reason(&dispatch(&[Read], [65_536, 1, 1]), &[(1, 4)]).contains("grid"));
        let nine: Vec<(u64, u64)> = (0..9).map(|i| (i, 4)).collect();
        assert!(reason(&dispatch(&[Read; 9], one), &nine).contains("9 storage buffers"));
    }
}
