//! A convolution's weights in the order that a product reads them: no op of its own but a first or last dispatch of others.

use super::constant;
use crate::graph::{Binding, Dispatch};
use crate::graph::{groups, params};

params!(Params { rows: u32, columns: u32, first: u32, offset: u32, row: u32, column: u32, tap: u32 });

/// `packed[offset + (row, tap, column)] = weights[first + row s_0 + column s_1 + tap s_2]`, columns padded to four.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pack {
    pub rows: usize,
    pub columns: usize,
    pub taps: usize,
    pub first: usize,
    pub offset: usize,
    /// How far apart rows, columns and taps lie among the weights.
    pub strides: [usize; 3],
    /// The last tap first.
    pub flip: bool,
    pub half: u32,
}

impl Pack {
    /// From the weights' order to the packed one.
    pub(super) fn dispatch(&self, from: Binding, to: Binding) -> Dispatch {
        self.either(from, to, false)
    }

    /// From the packed order back.
    #[cfg(feature = "train")]
    pub(super) fn unpack(&self, from: Binding, to: Binding) -> Dispatch {
        self.either(from, to, true)
    }

    fn either(&self, from: Binding, to: Binding, unpack: bool) -> Dispatch {
        Dispatch {
            shader: "conv3d_pack",
            entry: "forward",
            constants: vec![
                ("TAPS", self.taps as u32),
                ("FLIP", constant(self.flip)),
                ("UNPACK", constant(unpack)),
                ("HALF", self.half),
                ("SCALAR", 1),
            ],
            params: Params {
                rows: self.rows as u32,
                columns: self.columns as u32,
                first: self.first as u32,
                offset: self.offset as u32,
                row: self.strides[0] as u32,
                column: self.strides[1] as u32,
                tap: self.strides[2] as u32,
            }
            .block(),
            bindings: vec![from, to],
            groups: groups((self.rows * self.columns.next_multiple_of(4)).div_ceil(64)),
        }
    }
}
